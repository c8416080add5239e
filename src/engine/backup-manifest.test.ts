import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { crc32c } from "../base/crc32c.ts";
import { parseManifest } from "./backup-manifest.ts";

/** A manifest as PostgreSQL writes it (backup_manifest.c): CRC bytes in memory order, its own SHA-256 last. */
function aManifest(files: readonly string[]): string {
  const head = `{ "PostgreSQL-Backup-Manifest-Version": 2,\n"Files": [\n${files.join(",\n")}\n],\n`;
  const sum = createHash("sha256").update(head).digest("hex");
  return `${head}"Manifest-Checksum": "${sum}"}\n`;
}

const crc = Buffer.alloc(4);
crc.writeUInt32LE(crc32c(Buffer.from("18\n")));
const version = `{ "Path": "PG_VERSION", "Size": 3, "Last-Modified": "2026-11-28 16:00:00 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "${crc.toString("hex")}" }`;

const parse = (text: string): ReturnType<typeof parseManifest> => parseManifest(Buffer.from(text));

describe("a base backup's manifest", () => {
  it("lists files with size and CRC", () => {
    const expected = { sizeBytes: 3, crc: crc32c(Buffer.from("18\n")) };
    expect([...parse(aManifest([version]))]).toEqual([["PG_VERSION", expected]]);
  });

  it("is refused when a character of it has changed", () => {
    const text = aManifest([version]).replace('"Size": 3', '"Size": 4');
    expect(() => parse(text)).toThrow("does not match its checksum");
  });

  it.each([
    ["nothing", ""],
    ["half of it", aManifest([version]).slice(0, 120)],
    ["no JSON", '{ "Files": "Manifest-Checksum"'],
    ["a file without a checksum", aManifest(['{ "Path": "x", "Size": 1 }'])],
    ["a file of null", aManifest(["null"])],
    ["another algorithm", aManifest([version.replace("CRC32C", "SHA224")])],
  ])("is refused when it is %s", (_, text) => {
    expect(() => parse(text)).toThrow("manifest cannot be used");
  });
});
