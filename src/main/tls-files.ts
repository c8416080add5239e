import { existsSync, readFileSync } from "node:fs";
import { X509Certificate } from "node:crypto";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { replaceFile } from "./replace-file.ts";

export interface TlsFiles {
  readonly key: string;
  readonly cert: string;
}

/** Makes a self-signed certificate for the endpoints, good for ten years; kept with the cluster. */
export async function makeCertificate(
  files: { key: string; cert: string },
  hosts: string[],
): Promise<void> {
  if (existsSync(files.key) && existsSync(files.cert)) return;
  const { generate } = await import("selfsigned");
  const until = new Date();
  until.setFullYear(until.getFullYear() + 10);
  const altNames = hosts.map((host) =>
    /^[\d.]+$|:/.test(host) ? { type: 7 as const, ip: host } : { type: 2 as const, value: host },
  );
  const made = await generate([{ name: "commonName", value: "borealis" }], {
    notAfterDate: until,
    keyType: "ec",
    curve: "P-256",
    algorithm: "sha256",
    extensions: [
      { name: "basicConstraints", cA: true },
      { name: "subjectAltName", altNames },
    ],
  });
  replaceFile(files.key, made.private, { isDurable: true });
  replaceFile(files.cert, made.cert, { isDurable: true, mode: 0o644 });
}

/** Reads a certificate and its key. Raises BorealisError 22023 naming the file that does not fit. */
export function readCertificate(files: { key: string; cert: string }): TlsFiles {
  try {
    const cert = readFileSync(files.cert, "utf8");
    const key = readFileSync(files.key, "utf8");
    void new X509Certificate(cert); // throws on what is no certificate
    return { cert, key };
  } catch (cause) {
    throw new BorealisError(
      sqlState.invalidParameter,
      `cannot use the certificate ${files.cert} with the key ${files.key}: ${messageOf(cause)}`,
      { hint: "give PEM files with --tls-cert and --tls-key, or --tls off", cause },
    );
  }
}
