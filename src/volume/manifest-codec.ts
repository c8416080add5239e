/**
 * A manifest's plain bytes; extent-sealer-shell.ts seals them. `n` is a number in seven bits a byte, lowest first:
 *
 *     4 magic "BXSN", u16 format, u32 length of the head, head (JSON: who, when, from where)
 *     n extents:     32 id, n plain bytes, n stored bytes
 *     n directories: n length, name
 *     n files:       n length, name, n bytes, u8 CRC known?, u32 CRC-32C, pieces
 *     n parts:       16 hash, n extent, n at, n bytes
 *     u8 log?        u64 from, u64 to, pieces
 *
 *     pieces:        n count, each: n extent's place in the list + 1, or 0 for zeros; n at (not of zeros); n bytes
 */
import { assert } from "../base/assert.ts";
import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { BorealisError, ProtocolViolation, sqlState } from "../base/errors.ts";
import { bytesBetween } from "../base/lsn.ts";
import { encodeHead, parseHead } from "./manifest-head.ts";
import type {
  ExtentSize,
  PackedPart,
  SnapshotFile,
  SnapshotLog,
  SnapshotManifest,
} from "./manifest.ts";
import { extentBytesMax } from "./extent-format.ts";
import { type Piece, PieceList, type Pieces } from "./pieces.ts";

const magic = 0x4258_534e;
const format = 1;
const headBytesMax = 4 * 1024 * 1024;
const nameBytesMax = 1024;
const fileBytesMax = 2 ** 40;
const idBytes = 32;
const partKeyBytes = 16;

export function encodeManifest(manifest: SnapshotManifest): Buffer {
  const out = new ByteWriter(64 * 1024);
  const head = encodeHead(manifest);
  out.u32(magic).u16(format).u32(Buffer.byteLength(head)).text(head);
  const places = new Map<string, number>();
  writeCount(out, manifest.extents.size);
  for (const [id, { plainBytes, storedBytes }] of manifest.extents) {
    places.set(id, places.size);
    out.raw(Buffer.from(id, "hex"));
    writeCount(out, plainBytes);
    writeCount(out, storedBytes);
  }
  writeCount(out, manifest.directories.length);
  for (const name of manifest.directories) writeName(out, name);
  writeCount(out, manifest.files.length);
  for (const { name, sizeBytes, crc, pieces } of manifest.files) {
    writeName(out, name);
    writeCount(out, sizeBytes);
    out.u8(crc === undefined ? 0 : 1).u32(crc ?? 0);
    writePieces(out, pieces, places);
  }
  writeCount(out, manifest.parts.size);
  for (const [key, { extent, at, lengthBytes }] of manifest.parts) {
    out.raw(Buffer.from(key, "hex"));
    writeCount(out, placeOf(places, extent));
    writeCount(out, at);
    writeCount(out, lengthBytes);
  }
  const { log } = manifest;
  out.u8(log ? 1 : 0);
  if (log) {
    out.u64(log.from).u64(log.to);
    writePieces(out, log.pieces, places);
  }
  return out.finish();
}

/**
 * The manifest of snapshot `id`. Raises BorealisError XX001 if it is not one, or another's; 0A000 for a format of a newer
 * version. What it gives is sound: pieces lie within their extents and add up to their file, names only lead down.
 */
export function parseManifest(id: string, plain: Buffer): SnapshotManifest {
  try {
    return new ManifestReader(id, plain).manifest();
  } catch (error) {
    if (error instanceof ProtocolViolation) throw damaged(id, error.message);
    throw error;
  }
}

class ManifestReader {
  private readonly id: string;
  private readonly bytes: ByteReader;
  private readonly extentIds: string[] = [];
  private readonly extents = new Map<string, ExtentSize>();

  constructor(id: string, plain: Buffer) {
    this.id = id;
    this.bytes = new ByteReader(plain);
  }

  manifest(): SnapshotManifest {
    const { bytes, id } = this;
    if (bytes.u32() !== magic) throw damaged(id, "it is no manifest");
    const found = bytes.u16();
    if (found > format) throw newer(id, found);
    if (found !== format) throw damaged(id, `it has format ${found}`);
    const headBytes = bytes.u32();
    if (headBytes > headBytesMax) throw damaged(id, `it claims a head of ${headBytes} bytes`);
    const facts = parseHead(bytes.view(headBytes).toString("utf8"));
    if (!facts) throw damaged(id, "its head is malformed");
    if (facts.id !== id) throw damaged(id, `it is the manifest of ${facts.id}`);
    this.readExtents();
    const directories = this.readDirectories();
    const files = this.readFiles();
    const parts = this.readParts();
    const log = this.readLog();
    bytes.end();
    return { ...facts, directories, files, extents: this.extents, parts, log };
  }

  private readExtents(): void {
    const { bytes, extents, extentIds } = this;
    for (let rest = this.count(); rest > 0; rest--) {
      const id = bytes.view(idBytes).toString("hex");
      const plainBytes = this.number(extentBytesMax);
      const storedBytes = this.number(0xffff_ffff);
      if (plainBytes === 0 || extents.has(id)) throw damaged(this.id, `extent ${id} in it`);
      extentIds.push(id);
      extents.set(id, { plainBytes, storedBytes });
    }
  }

  private readDirectories(): string[] {
    return Array.from({ length: this.count() }, () => this.name());
  }

  private readFiles(): SnapshotFile[] {
    const names = new Set<string>();
    return Array.from({ length: this.count() }, () => {
      const name = this.name();
      if (names.has(name)) throw damaged(this.id, `it has ${name} twice`);
      names.add(name);
      const sizeBytes = this.number(fileBytesMax);
      const isKnown = this.flag();
      const sum = this.bytes.u32();
      const pieces = this.pieces(sizeBytes);
      return { name, sizeBytes, crc: isKnown ? sum : undefined, pieces };
    });
  }

  private readParts(): Map<string, PackedPart> {
    const parts = new Map<string, PackedPart>();
    for (let rest = this.count(); rest > 0; rest--) {
      const key = this.bytes.view(partKeyBytes).toString("hex");
      const { extent, at, lengthBytes } = this.pieceOf(this.number(this.extentIds.length));
      if (extent === undefined) throw damaged(this.id, "a part lies nowhere");
      parts.set(key, { extent, at, lengthBytes });
    }
    return parts;
  }

  private readLog(): SnapshotLog | undefined {
    if (!this.flag()) return undefined;
    const from = this.bytes.lsn();
    const to = this.bytes.lsn();
    if (to < from || to - from > BigInt(fileBytesMax)) throw damaged(this.id, "its log is none");
    return { from, to, pieces: this.pieces(bytesBetween(from, to)) };
  }

  private pieces(sizeBytes: number): Pieces<string> {
    const list = new PieceList<string>();
    for (let rest = this.count(); rest > 0; rest--) {
      const place = this.number(this.extentIds.length);
      list.add(place === 0 ? this.zeros() : this.pieceOf(place - 1));
      if (list.lengthBytes > sizeBytes) break;
    }
    if (list.lengthBytes !== sizeBytes)
      throw damaged(this.id, `pieces of ${list.lengthBytes} bytes for ${sizeBytes}`);
    return list.pieces;
  }

  private zeros(): Piece<string> {
    return { extent: undefined, at: 0, lengthBytes: this.number(fileBytesMax) };
  }

  private pieceOf(place: number): Piece<string> {
    const extent = this.extentIds[place];
    const size = extent === undefined ? undefined : this.extents.get(extent);
    if (extent === undefined || !size) throw damaged(this.id, `extent ${place} is not in its list`);
    const at = this.number(extentBytesMax);
    const lengthBytes = this.number(extentBytesMax);
    if (lengthBytes === 0 || at + lengthBytes > size.plainBytes)
      throw damaged(this.id, `a piece lies outside of extent ${extent}`);
    return { extent, at, lengthBytes };
  }

  private name(): string {
    const name = this.bytes.view(this.number(nameBytesMax)).toString("utf8");
    const steps = name.split("/");
    const isReadable = !/\p{Cc}|\uFFFD/u.test(name);
    if (!isReadable || steps.some((step) => step === "" || step === "." || step === ".."))
      throw damaged(this.id, `"${name}" is no name of a file in a data directory`);
    return name;
  }

  private flag(): boolean {
    const value = this.bytes.u8();
    if (value > 1) throw damaged(this.id, `a flag is ${value}`);
    return value === 1;
  }

  /** How many follow; each takes a byte at least, so it is never more than there can be. */
  private count(): number {
    return this.number(this.bytes.remainingBytes);
  }

  private number(max: number): number {
    let value = 0;
    for (let factor = 1; factor < 2 ** 53; factor *= 128) {
      const byte = this.bytes.u8();
      value += (byte & 0x7f) * factor;
      if (byte >= 0x80) continue;
      if (value > max) break;
      return value;
    }
    throw damaged(this.id, `${value} where at most ${max} can be`);
  }
}

function writeCount(out: ByteWriter, value: number): void {
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) out.u8((rest % 128) | 0x80);
  out.u8(rest);
}

function writeName(out: ByteWriter, name: string): void {
  writeCount(out, Buffer.byteLength(name));
  out.text(name);
}

function writePieces(
  out: ByteWriter,
  pieces: Pieces<string>,
  places: ReadonlyMap<string, number>,
): void {
  writeCount(out, pieces.length);
  for (const { extent, at, lengthBytes } of pieces) {
    writeCount(out, extent === undefined ? 0 : placeOf(places, extent) + 1);
    if (extent !== undefined) writeCount(out, at);
    writeCount(out, lengthBytes);
  }
}

function placeOf(places: ReadonlyMap<string, number>, extent: string): number {
  const place = places.get(extent);
  assert(place !== undefined, "a manifest lists every extent that it names");
  return place;
}

function damaged(id: string, why: string): BorealisError {
  return new BorealisError(
    sqlState.dataCorrupted,
    `the manifest of snapshot ${id} is damaged: ${why}`,
    { hint: "another copy of it is used if there is one, and heals this one" },
  );
}

function newer(id: string, found: number): BorealisError {
  return new BorealisError(
    sqlState.notSupported,
    `snapshot ${id} has format ${found}, and this Borealis knows ${format}`,
    { hint: "use the version that took it, or a newer one" },
  );
}
