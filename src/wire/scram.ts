import { createHash, createHmac, pbkdf2Sync, timingSafeEqual } from "node:crypto";
import { BorealisError, ProtocolViolation, sqlState } from "../base/errors.ts";

/** What pg_authid stores for SCRAM: `SCRAM-SHA-256$iterations:salt$storedKey:serverKey`, the latter three base64. */
export interface ScramVerifier {
  readonly iterations: number;
  readonly salt: Buffer;
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
}

const verifierForm =
  /^SCRAM-SHA-256\$(\d{1,10}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)$/;
const keyBytes = 32;

/** Undefined if it is not a SCRAM verifier. */
export function findScramVerifier(rolpassword: string): ScramVerifier | undefined {
  const parts = verifierForm.exec(rolpassword);
  if (!parts) return undefined;
  const [, iterations = "", salt = "", stored = "", server = ""] = parts;
  const storedKey = Buffer.from(stored, "base64");
  const serverKey = Buffer.from(server, "base64");
  if (storedKey.length !== keyBytes || serverKey.length !== keyBytes) return undefined;
  return {
    iterations: Number(iterations),
    salt: Buffer.from(salt, "base64"),
    storedKey,
    serverKey,
  };
}

/** A verifier for a password, as CREATE ROLE would store it (which runs SASLprep first, where the password allows). */
export function makeScramVerifier(
  password: string,
  salt: Buffer,
  iterations: number,
): ScramVerifier {
  const salted = pbkdf2Sync(password.normalize("NFKC"), salt, iterations, keyBytes, "sha256");
  const storedKey = createHash("sha256").update(hmac(salted, "Client Key")).digest();
  return { iterations, salt, storedKey, serverKey: hmac(salted, "Server Key") };
}

/** As pg_authid stores it, and as ALTER ROLE takes it in a password's place. */
export function formatScramVerifier(verifier: ScramVerifier): string {
  const { iterations, salt, storedKey, serverKey } = verifier;
  const [saltText, stored, server] = [salt, storedKey, serverKey].map((one) =>
    one.toString("base64"),
  );
  return `SCRAM-SHA-256$${iterations}:${saltText}$${stored}:${server}`;
}

/**
 * What a role that does not exist, or has no password, is asked with: always the same salt for the same name, so
 * that nobody learns which roles exist. No proof fits it.
 */
export function mockVerifier(user: string, secret: Buffer): ScramVerifier {
  const salt = createHash("sha256").update(user).update(secret).digest().subarray(0, 16);
  const key = createHash("sha256").update(secret).update(user).digest();
  return { iterations: 4096, salt, storedKey: key, serverKey: key };
}

/** Channel binding of type tls-server-end-point, as the two mechanism names offer it. */
export interface ScramServerOptions {
  readonly verifier: ScramVerifier;
  /** No proof is accepted: see mockVerifier. */
  readonly isDoomed: boolean;
  /** Hash of the certificate that the client saw; undefined without TLS. */
  readonly certificateHash: Buffer | undefined;
  /** 18 random bytes, printable form: PostgreSQL's own length. */
  readonly serverNonce: string;
}

export const scramSha256 = "SCRAM-SHA-256";
export const scramSha256Plus = "SCRAM-SHA-256-PLUS";

/** Best first. */
export function scramMechanisms(certificateHash: Buffer | undefined): string[] {
  return certificateHash ? [scramSha256Plus, scramSha256] : [scramSha256];
}

/** The server's side of one SCRAM exchange (RFC 5802, RFC 7677): two steps, each once, in order. */
export class ScramServer {
  private readonly options: ScramServerOptions;
  private expectedBinding = "";
  private nonce = "";
  private transcript = "";

  constructor(options: ScramServerOptions) {
    this.options = options;
  }

  /** Client-first in, server-first out. Raises ProtocolViolation, or 28000 for a downgraded channel binding. */
  first(mechanism: string, clientFirst: string): string {
    const isPlus = mechanism === scramSha256Plus && this.options.certificateHash !== undefined;
    if (!isPlus && mechanism !== scramSha256) {
      throw new ProtocolViolation("client selected an invalid SASL authentication mechanism");
    }
    // gs2-cbind-flag "," [authzid] "," rest; we take no authzid, as PostgreSQL does not.
    const parts = /^(n|y|p=[^,]*),(a=[^,]*)?,(.*)$/s.exec(clientFirst);
    const [, flag = "", authzid, bare = ""] = parts ?? [];
    if (!parts) throw malformed("the message does not start with a channel-binding flag");
    if (authzid !== undefined) {
      throw new BorealisError(
        sqlState.notSupported,
        "client uses authorization identity, but it is not supported",
      );
    }
    this.checkFlag(flag, isPlus);
    const header = Buffer.from(`${flag},,`);
    const binding = isPlus
      ? Buffer.concat([header, this.options.certificateHash ?? Buffer.alloc(0)])
      : header;
    this.expectedBinding = binding.toString("base64");
    // The name in n= is ignored: the start-up packet's counts, and libpq leaves this one empty.
    const [, clientNonce] = /^n=[^,]*,r=([\x21-\x2b\x2d-\x7e]+)(?:,|$)/.exec(bare) ?? [];
    if (clientNonce === undefined)
      throw malformed("the client's nonce is missing or not printable");
    this.nonce = clientNonce + this.options.serverNonce;
    const { salt, iterations } = this.options.verifier;
    const serverFirst = `r=${this.nonce},s=${salt.toString("base64")},i=${iterations}`;
    this.transcript = `${bare},${serverFirst}`;
    return serverFirst;
  }

  /** Client-final in; server-final out, or undefined if the proof is wrong. Raises ProtocolViolation. */
  final(clientFinal: string): string | undefined {
    const parts = /^c=([A-Za-z0-9+/=]*),r=([^,]*)((?:,[^p,][^,]*)*),p=([A-Za-z0-9+/=]*)$/s.exec(
      clientFinal,
    );
    const [, binding = "", nonce = "", , proofText = ""] = parts ?? [];
    if (!parts) throw malformed("the final message has not the expected attributes");
    if (binding !== this.expectedBinding) {
      throw new BorealisError(sqlState.invalidAuthorization, "SCRAM channel binding check failed");
    }
    if (nonce !== this.nonce) throw malformed("nonce does not match");
    const proof = Buffer.from(proofText, "base64");
    if (proof.length !== keyBytes) throw malformed("malformed proof in client-final-message");
    const { storedKey, serverKey } = this.options.verifier;
    const withoutProof = clientFinal.slice(0, clientFinal.lastIndexOf(",p="));
    const message = `${this.transcript},${withoutProof}`;
    const clientKey = xor(hmac(storedKey, message), proof);
    const isRight = timingSafeEqual(createHash("sha256").update(clientKey).digest(), storedKey);
    if (!isRight || this.options.isDoomed) return undefined;
    return `v=${hmac(serverKey, message).toString("base64")}`;
  }

  private checkFlag(flag: string, isPlus: boolean): void {
    if (isPlus) {
      if (flag === "p=tls-server-end-point") return;
      if (flag.startsWith("p="))
        throw malformed(`unsupported SCRAM channel-binding type "${flag.slice(2)}"`);
      throw malformed(
        "client selected SCRAM-SHA-256-PLUS, but the message does not include channel binding data",
      );
    }
    if (flag.startsWith("p=")) {
      throw malformed(
        "client selected SCRAM-SHA-256 without channel binding, but the message includes its data",
      );
    }
    if (flag === "y" && this.options.certificateHash) {
      const detail =
        "The client supports SCRAM channel binding but thinks the server does not.  " +
        "However, this server does support channel binding.";
      throw new BorealisError(
        sqlState.invalidAuthorization,
        "SCRAM channel binding negotiation error",
        { detail },
      );
    }
  }
}

/** What a client answers server-first with, and what it must then hear: for tests, and to log in on a user's behalf. */
export function scramClientFinal(options: {
  readonly password: string;
  readonly clientFirstBare: string;
  readonly serverFirst: string;
  /** Base64 of the gs2 header and the channel's data: "biws" without binding. */
  readonly binding: string;
}): { clientFinal: string; serverFinal: string } {
  const parts = /^r=([^,]+),s=([^,]+),i=(\d+)/.exec(options.serverFirst);
  if (!parts) throw malformed("server-first-message");
  const [, nonce = "", saltText = "", iterations = ""] = parts;
  const salt = Buffer.from(saltText, "base64");
  const salted = pbkdf2Sync(
    options.password.normalize("NFKC"),
    salt,
    Number(iterations),
    keyBytes,
    "sha256",
  );
  const clientKey = hmac(salted, "Client Key");
  const storedKey = createHash("sha256").update(clientKey).digest();
  const withoutProof = `c=${options.binding},r=${nonce}`;
  const message = `${options.clientFirstBare},${options.serverFirst},${withoutProof}`;
  const proof = xor(clientKey, hmac(storedKey, message)).toString("base64");
  const signature = hmac(hmac(salted, "Server Key"), message).toString("base64");
  return { clientFinal: `${withoutProof},p=${proof}`, serverFinal: `v=${signature}` };
}

function malformed(detail: string): ProtocolViolation {
  return new ProtocolViolation("malformed SCRAM message", { detail });
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function xor(a: Buffer, b: Buffer): Buffer {
  const out = Buffer.alloc(a.length);
  for (let index = 0; index < a.length; index++) out[index] = (a[index] ?? 0) ^ (b[index] ?? 0);
  return out;
}
