/**
 * An object as it lies in a store: an extent, or a manifest. Numbers are big-endian:
 *
 *     offset size
 *          0    4  magic "BXTN"
 *          4    1  version, 1
 *          5    1  codec: 0 none, 1 deflate (raw), 2 zstd
 *          6    2  zero
 *          8    4  length of the plain bytes
 *         12    4  length of the stored bytes
 *         16    4  data key's id; 0: not encrypted
 *         20   12  nonce, random; zero if not encrypted
 *         32    .  stored bytes: compressed, then encrypted
 *          .   16  tag; not encrypted: 4 bytes, CRC-32C of the object's name, the header and the stored bytes
 *
 * Associated data is the header and the object's name: nothing can be given another name or length.
 */
import { BorealisError, sqlState } from "../base/errors.ts";
import type { DataKeyId } from "../keys/index.ts";

/** Plain bytes of an extent. */
export const extentBytesMax = 1024 * 1024;
export const objectHeaderBytes = 32;
export const nonceBytes = 12;
export const tagBytes = 16;
export const sumBytes = 4;

const magic = 0x4258_544e;
const version = 1;
const at = { version: 4, codec: 5, zero: 6, plain: 8, stored: 12, key: 16, nonce: 20 } as const;

export const codecs = ["none", "deflate", "zstd"] as const;
export type Codec = (typeof codecs)[number];

export interface ObjectHeader {
  readonly codec: Codec;
  readonly plainBytes: number;
  readonly storedBytes: number;
  /** 0: not encrypted. */
  readonly keyId: DataKeyId;
  readonly nonce: Uint8Array;
}

export function encodeObjectHeader(header: ObjectHeader): Buffer {
  const bytes = Buffer.alloc(objectHeaderBytes);
  bytes.writeUInt32BE(magic, 0);
  bytes.writeUInt8(version, at.version);
  bytes.writeUInt8(codecs.indexOf(header.codec), at.codec);
  bytes.writeUInt32BE(header.plainBytes, at.plain);
  bytes.writeUInt32BE(header.storedBytes, at.stored);
  bytes.writeUInt32BE(header.keyId, at.key);
  bytes.set(header.nonce, at.nonce);
  return bytes;
}

/**
 * The header of a whole object; every length in it fits the bytes and `plainBytesMax`. Raises BorealisError XX001 for what is
 * damaged, 0A000 for what a newer version wrote.
 */
export function parseObjectHeader(
  bytes: Buffer,
  { name, plainBytesMax }: { readonly name: string; readonly plainBytesMax: number },
): ObjectHeader {
  if (bytes.length < objectHeaderBytes + sumBytes) throw damagedObject(name, "it is cut short");
  if (bytes.readUInt32BE(0) !== magic) throw damagedObject(name, "it is no object of Borealis");
  const found = bytes.readUInt8(at.version);
  const codec = codecs[bytes.readUInt8(at.codec)];
  if (found > version || codec === undefined) throw newerObject(name, found);
  if (found !== version || bytes.readUInt16BE(at.zero) !== 0)
    throw damagedObject(name, "its header is malformed");
  const plainBytes = bytes.readUInt32BE(at.plain);
  const storedBytes = bytes.readUInt32BE(at.stored);
  const keyId = bytes.readUInt32BE(at.key);
  if (plainBytes > plainBytesMax) throw damagedObject(name, `it claims ${plainBytes} bytes`);
  const trailerBytes = keyId === 0 ? sumBytes : tagBytes;
  if (bytes.length !== objectHeaderBytes + storedBytes + trailerBytes)
    throw damagedObject(name, `it has ${bytes.length} bytes, and claims ${storedBytes} stored`);
  const nonce = bytes.subarray(at.nonce, objectHeaderBytes);
  return { codec, plainBytes, storedBytes, keyId, nonce };
}

/**
 * The object with another version, codec or key id in its header, one at a time: what it was before bits of that field
 * flipped, if one of these is sound. `keyIds`: keys that are here.
 */
export function* mendedHeaders(bytes: Buffer, keyIds: Iterable<DataKeyId>): Generator<Buffer> {
  const mended = (change: (copy: Buffer) => void): Buffer => {
    const copy = Buffer.from(bytes);
    change(copy);
    return copy;
  };
  if (bytes.length < objectHeaderBytes) return;
  yield mended((copy) => copy.writeUInt8(version, at.version));
  for (const codec of codecs.keys()) yield mended((copy) => copy.writeUInt8(codec, at.codec));
  for (const id of keyIds) yield mended((copy) => copy.writeUInt32BE(id, at.key));
}

export function damagedObject(name: string, why: string): BorealisError {
  return new BorealisError(sqlState.dataCorrupted, `the object ${name} is damaged: ${why}`, {
    hint: "another copy of it is used if there is one, and heals this one",
  });
}

function newerObject(name: string, found: number): BorealisError {
  const why = `the object ${name} has format ${found}, and this Borealis knows ${version}`;
  return new BorealisError(sqlState.notSupported, why, { hint: "use the version that wrote it" });
}
