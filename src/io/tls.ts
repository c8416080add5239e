import { createHash, X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContext, TLSSocket } from "node:tls";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { Connection } from "./connection.ts";

/** PEM texts; `cert` may be a chain with the server's own certificate first. */
export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
}

/** A server's side of TLS, ready for any number of connections. */
export interface TlsServer {
  readonly context: SecureContext;
  /**
   * Channel binding of type tls-server-end-point (RFC 5929): the hash of our certificate. Undefined where its
   * signature algorithm names no hash (Ed25519).
   */
  readonly certificateHash: Buffer | undefined;
}

/** PostgreSQL's name in application-layer protocol negotiation. */
const alpnProtocol = "postgresql";

/** Reads the identity. Raises 22023 for a certificate or key that cannot be used. */
export function openTlsServer(identity: TlsIdentity): TlsServer {
  try {
    const context = createSecureContext({
      cert: identity.cert,
      key: identity.key,
      minVersion: "TLSv1.2",
    });
    return { context, certificateHash: endPointHash(new X509Certificate(identity.cert).raw) };
  } catch (cause) {
    throw new BorealisError(
      sqlState.invalidParameter,
      "the TLS certificate or its key cannot be used",
      { cause },
    );
  }
}

/**
 * Makes the connection a TLS one; its handlers move along. `alreadyRead` is what the client sent of its handshake
 * before that was known to be one. Raises 08006 when the handshake fails or, with `requireAlpn`, when the client does
 * not name PostgreSQL.
 */
export function acceptTls(
  connection: Connection,
  server: TlsServer,
  options: { readonly alreadyRead?: Buffer; readonly requireAlpn?: boolean } = {},
): Promise<void> {
  const plain = connection.raw;
  // While it flows, what is put back would go straight to the old handler.
  plain.pause();
  if (options.alreadyRead && options.alreadyRead.length > 0) plain.unshift(options.alreadyRead);
  const secure = new TLSSocket(plain, {
    isServer: true,
    secureContext: server.context,
    ALPNProtocols: [alpnProtocol],
  });
  connection.replaceSocket(secure);
  return new Promise((resolve, reject) => {
    const fail = (cause?: unknown): void => {
      secure.destroy();
      reject(new BorealisError(sqlState.connectionFailure, "TLS handshake failed", { cause }));
    };
    secure.once("error", fail);
    secure.once("close", fail);
    secure.once("secure", () => {
      secure.off("error", fail);
      secure.off("close", fail);
      if (options.requireAlpn === true && secure.alpnProtocol !== alpnProtocol) fail();
      else resolve();
    });
  });
}

// OIDs of signature algorithms whose hash is neither SHA-256 nor weaker (RFC 5929 replaces MD5 and SHA-1 by SHA-256).
const hashBySignature: Readonly<Record<string, string>> = {
  "2a864886f70d010104": "sha256", // md5WithRSA
  "2a864886f70d010105": "sha256", // sha1WithRSA
  "2a864886f70d01010b": "sha256",
  "2a864886f70d01010c": "sha384",
  "2a864886f70d01010d": "sha512",
  "2a864886f70d01010e": "sha224",
  "2a8648ce3d0401": "sha256", // ecdsa-with-SHA1
  "2a8648ce3d040301": "sha224",
  "2a8648ce3d040302": "sha256",
  "2a8648ce3d040303": "sha384",
  "2a8648ce3d040304": "sha512",
};

/** Hash of a certificate (DER) by the hash of its own signature; undefined if that names none. */
function endPointHash(der: Buffer): Buffer | undefined {
  // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { OID, ... }, signature }
  const certificate = derElement(der, 0);
  const body = certificate && derElement(der, certificate.bodyStart);
  const algorithm = body && derElement(der, body.end);
  const oid = algorithm && derElement(der, algorithm.bodyStart);
  if (!oid) return undefined;
  const hash = hashBySignature[der.toString("hex", oid.bodyStart, oid.end)];
  return hash === undefined ? undefined : createHash(hash).update(der).digest();
}

function derElement(der: Buffer, at: number): { bodyStart: number; end: number } | undefined {
  const first = der[at + 1];
  if (first === undefined) return undefined;
  if (first < 0x80) return { bodyStart: at + 2, end: at + 2 + first };
  const count = first & 0x7f;
  if (count === 0 || count > 4 || at + 2 + count > der.length) return undefined;
  const length = der.readUIntBE(at + 2, count);
  return { bodyStart: at + 2 + count, end: at + 2 + count + length };
}
