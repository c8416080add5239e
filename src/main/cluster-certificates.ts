import { X509Certificate } from "node:crypto";
import {
  type ClusterCredential,
  type ClusterRole,
  realSecretFiles,
  roleName,
} from "../io/index.ts";

/** Ten years: nothing else trusts these certificates, and whoever loses faith in them removes `control/tls`. */
const validYears = 10;
/** One that ends sooner is made again at the next start. */
const renewBeforeMs = 180 * 24 * 3_600_000;

interface Pem {
  readonly cert: string;
  readonly key: string;
}

/**
 * The certificates between a cluster's processes: an authority of its own, and one certificate for each role, in
 * `folder` (0600 in 0700). What is missing, damaged or about to end is made.
 */
export async function openCredentials(
  folder: string,
  roles: readonly ClusterRole[],
): Promise<ReadonlyMap<ClusterRole, ClusterCredential>> {
  const authority = readPem(folder, "ca") ?? keep(folder, "ca", await makeAuthority());
  const credentials = new Map<ClusterRole, ClusterCredential>();
  for (const role of roles) {
    const known = readPem(folder, role, authority);
    const own = known ?? keep(folder, role, await makeCertificate(authority, role));
    credentials.set(role, { ca: authority.cert, ...own });
  }
  return credentials;
}

/** Signs itself, and whatever the cluster's processes show each other. */
export async function makeAuthority(): Promise<Pem> {
  const { generate } = await import("selfsigned");
  const made = await generate([{ name: "commonName", value: "Borealis cluster" }], {
    ...shared(),
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  return { cert: made.cert, key: made.private };
}

/** A certificate for a role. Storage nodes serve and call each other; the others only call. */
export async function makeCertificate(
  authority: Pem,
  role: ClusterRole,
  notAfterDate = shared().notAfterDate,
): Promise<Pem> {
  const { generate } = await import("selfsigned");
  const serverAuth = role === "storage-node";
  const made = await generate([{ name: "commonName", value: role }], {
    ...shared(),
    notAfterDate,
    ca: authority,
    extensions: [
      { name: "basicConstraints", cA: false, critical: true },
      { name: "keyUsage", digitalSignature: true, critical: true },
      { name: "extKeyUsage", clientAuth: true, serverAuth },
      { name: "subjectAltName", altNames: [{ type: 2, value: roleName(role) }] },
    ],
  });
  return { cert: made.cert, key: made.private };
}

function shared() {
  // Clocks of hosts differ a little.
  const notBeforeDate = new Date(Date.now() - 3_600_000);
  const notAfterDate = new Date();
  notAfterDate.setFullYear(notAfterDate.getFullYear() + validYears);
  const curve = "P-256" as const;
  return { notBeforeDate, notAfterDate, keyType: "ec" as const, curve, algorithm: "sha256" };
}

function keep(folder: string, name: string, made: Pem): Pem {
  realSecretFiles.replace(`${folder}/${name}.key`, made.key);
  realSecretFiles.replace(`${folder}/${name}.crt`, made.cert);
  return made;
}

/** Undefined: not there, not usable, about to end, or not signed by `authority`. */
function readPem(folder: string, name: string, authority?: Pem): Pem | undefined {
  const key = realSecretFiles.read(`${folder}/${name}.key`);
  const cert = realSecretFiles.read(`${folder}/${name}.crt`);
  if (key === undefined || cert === undefined) return undefined;
  try {
    const parsed = new X509Certificate(cert);
    const isEnding = Date.parse(parsed.validTo) - Date.now() < renewBeforeMs;
    const signer = authority && new X509Certificate(authority.cert);
    if (isEnding || (signer && !parsed.verify(signer.publicKey))) return undefined;
    return { cert, key };
  } catch {
    return undefined; // no certificate: half a file, or somebody's accident
  }
}
