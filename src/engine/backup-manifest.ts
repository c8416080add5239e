/**
 * A base backup's manifest: JSON with a line for each file, and a SHA-256 of itself in the last line. Checksums of files
 * are CRC-32C, printed as the bytes lie in memory.
 */
import { createHash } from "node:crypto";
import { BorealisError, sqlState } from "../base/errors.ts";

export interface ManifestFile {
  readonly sizeBytes: number;
  readonly crc: number;
}

/** The files that a backup holds, by name. Raises BorealisError XX001 if the manifest is not what was written. */
export function parseManifest(bytes: Buffer): Map<string, ManifestFile> {
  const text = bytes.toString("utf8");
  const at = text.lastIndexOf('"Manifest-Checksum"');
  const value = at < 0 ? undefined : parse(text);
  if (typeof value !== "object" || value === null) throw damaged("it is not JSON");
  const { Files: files, "Manifest-Checksum": sum } = value as Record<string, unknown>; // an object; checked below
  const hash = createHash("sha256").update(text.slice(0, at)).digest("hex");
  if (sum !== hash) throw damaged("it does not match its checksum");
  if (!Array.isArray(files)) throw damaged("it lists no files");
  const found = new Map<string, ManifestFile>();
  for (const file of files as unknown[]) {
    const [name, facts] = parseFile(file);
    found.set(name, facts);
  }
  return found;
}

/** Raises XX001 unless what was received are exactly the files that the manifest lists. */
export function requireSameFiles(
  manifest: Buffer,
  received: ReadonlyMap<string, ManifestFile>,
): void {
  const wanted = parseManifest(manifest);
  for (const [name, { sizeBytes, crc }] of wanted) {
    const found = received.get(name);
    if (found?.sizeBytes !== sizeBytes || found.crc !== crc) {
      throw unusable(`${name} is ${found ? "not what was sent" : "missing"}`);
    }
  }
  for (const name of received.keys())
    if (!wanted.has(name)) throw unusable(`${name} is not in its manifest`);
}

function parseFile(file: unknown): [string, ManifestFile] {
  const {
    Path: name,
    Size: sizeBytes,
    "Checksum-Algorithm": algorithm,
    Checksum: checksum,
  } = (file ?? {}) as Record<string, unknown>; // each field is checked below
  const isCrc = algorithm === "CRC32C" && typeof checksum === "string" && checksum.length === 8;
  if (typeof name !== "string" || typeof sizeBytes !== "number" || !isCrc) {
    throw damaged(`it says of a file ${JSON.stringify(file).slice(0, 200)}`);
  }
  return [name, { sizeBytes, crc: Buffer.from(checksum, "hex").readUInt32LE(0) }];
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function damaged(why: string): BorealisError {
  return new BorealisError(
    sqlState.dataCorrupted,
    `a base backup's manifest cannot be used: ${why}`,
  );
}

function unusable(why: string): BorealisError {
  return new BorealisError(sqlState.dataCorrupted, `a base backup cannot be used: ${why}`);
}
