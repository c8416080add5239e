import { crc32 } from "../base/crc32.ts";
import { crc32c } from "../base/crc32c.ts";
import {
  type Epoch,
  epoch,
  type NodeId,
  nodeId,
  type Timeline,
  timeline,
  type VolumeId,
  volumeId,
} from "../base/ids.ts";
import { assert } from "../base/assert.ts";
import { advance, type Lsn, lsn } from "../base/lsn.ts";

/**
 * How log lies in a segment file (decisions.md D8). Big-endian throughout.
 *
 *     file header, 64 bytes            frame header, 80 bytes, payload behind it
 *     off size                         off size
 *       0    4 magic "BSEG"              0    4 magic "BFRM"
 *       4    2 format version, 1         4    2 flags: 1 = a run of zeros, payload not stored
 *       6    2 zero                      6    2 zero
 *       8   16 volume id                 8    8 LSN of the first byte
 *      24   16 node id                  16    8 epoch
 *      40    8 sequence of the file     24    4 timeline
 *      48    8 LSN of the first byte    28    4 payload length, at most 1 MiB
 *      56    4 zero                     32    8 SCL of the node when the frame was written
 *      60    4 CRC-32C of [0, 60)       40    4 data key id; 0 = the frame is not encrypted
 *                                       44   12 nonce, zero then
 *                                       56   16 tag, zero then
 *                                       72    4 CRC of the stored payload: CRC-32C, of ciphertext CRC-32
 *                                       76    4 CRC-32C of [0, 76)
 *
 * The header's CRC covers the payload's, so together they cover header and bytes; and headers alone can be walked
 * safely. Both are over what is stored, so that rot is found without a key; frame-cipher.ts tells what the tag covers.
 * Ciphertext has the CRC that Node computes natively: nobody has summed it before, and in JavaScript that took a third of
 * the time of encrypting it.
 * Unused space is zero: a frame never begins with a zero byte.
 */
export const fileHeaderBytes = 64;
export const frameHeaderBytes = 80;
/** Bytes of log in one frame, at most. */
export const framePayloadBytesMax = 1024 * 1024;
/** Offsets in a frame header, for encryption: what lies before the nonce is authenticated. */
export const frameAt = { nonce: 44, tag: 56 } as const;
export const frameNonceBytes = 12;
export const frameTagBytes = 16;

const fileMagic = 0x42534547;
const frameMagic = 0x4246524d;
const formatVersion = 1;
const flagZeros = 1;

export interface FileHeader {
  readonly volumeId: VolumeId;
  readonly nodeId: NodeId;
  /** Files are numbered without gaps in the order in which they were begun. */
  readonly sequence: number;
  readonly firstLsn: Lsn;
}

export interface FrameHeader {
  readonly lsn: Lsn;
  readonly epoch: Epoch;
  readonly timeline: Timeline;
  /** Bytes of log. */
  readonly lengthBytes: number;
  readonly isZeros: boolean;
  readonly sclAtWrite: Lsn;
  /** The data key that encrypts it; 0: none. */
  readonly keyId: number;
  /** Of the payload as it is stored. */
  readonly payloadCrc: number;
}

/** What is known of a frame before its payload was laid down. */
export type FrameHead = Omit<FrameHeader, "payloadCrc">;

/** `blank`: space never written. `short`: the bytes end inside the header. */
export type ParsedHeader<T> =
  | { readonly kind: "good"; readonly header: T }
  | { readonly kind: "blank" }
  | { readonly kind: "short" }
  | { readonly kind: "bad"; readonly reason: string };

/** First byte after the frame's log. */
export function frameEnd(header: FrameHeader): Lsn {
  return advance(header.lsn, header.lengthBytes);
}

/** Bytes that the frame takes in its file. */
export function storedBytes(header: FrameHeader): number {
  return frameHeaderBytes + storedPayloadBytes(header);
}

export function storedPayloadBytes(header: FrameHeader): number {
  return header.isZeros ? 0 : header.lengthBytes;
}

export function encodeFileHeader(header: FileHeader): Buffer {
  const bytes = Buffer.alloc(fileHeaderBytes);
  bytes.writeUInt32BE(fileMagic, 0);
  bytes.writeUInt16BE(formatVersion, 4);
  bytes.write(header.volumeId.replaceAll("-", ""), 8, "hex");
  bytes.write(header.nodeId.replaceAll("-", ""), 24, "hex");
  bytes.writeBigUInt64BE(BigInt(header.sequence), 40);
  bytes.writeBigUInt64BE(header.firstLsn, 48);
  bytes.writeUInt32BE(crc32c(bytes, 0, 0, 60), 60);
  return bytes;
}

export function parseFileHeader(bytes: Buffer): ParsedHeader<FileHeader> {
  if (bytes.length < fileHeaderBytes) return { kind: "short" };
  if (isAllZero(bytes, 0, fileHeaderBytes)) return { kind: "blank" };
  if (bytes.readUInt32BE(0) !== fileMagic) return { kind: "bad", reason: "wrong magic" };
  if (bytes.readUInt32BE(60) !== crc32c(bytes, 0, 0, 60))
    return { kind: "bad", reason: "wrong CRC" };
  const version = bytes.readUInt16BE(4);
  if (version !== formatVersion) return { kind: "bad", reason: `format version ${version}` };
  const header: FileHeader = {
    volumeId: volumeId(uuidText(bytes, 8)),
    nodeId: nodeId(uuidText(bytes, 24)),
    sequence: Number(bytes.readBigUInt64BE(40)),
    firstLsn: lsn(bytes.readBigUInt64BE(48)),
  };
  return { kind: "good", header };
}

function uuidText(bytes: Buffer, at: number): string {
  const hex = bytes.toString("hex", at, at + 16);
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)];
  return [...parts, hex.slice(20)].join("-");
}

/** Writes all but the CRCs, with nonce and tag zero; then encryption may fill these, then `finishFrameHeader`. */
export function beginFrameHeader(into: Buffer, at: number, header: FrameHead): void {
  assert(header.lengthBytes <= framePayloadBytesMax, "a frame holds at most 1 MiB of log");
  into.writeUInt32BE(frameMagic, at);
  into.writeUInt32BE(header.isZeros ? flagZeros << 16 : 0, at + 4);
  into.writeBigUInt64BE(header.lsn, at + 8);
  into.writeBigUInt64BE(BigInt(header.epoch), at + 16);
  into.writeUInt32BE(header.timeline, at + 24);
  into.writeUInt32BE(header.lengthBytes, at + 28);
  into.writeBigUInt64BE(header.sclAtWrite, at + 32);
  into.writeUInt32BE(header.keyId, at + 40);
  into.fill(0, at + 44, at + 72);
}

/** The header is whole after this. The payload lies (or will lie) at `at + frameHeaderBytes`. */
export function finishFrameHeader(into: Buffer, at: number, payloadCrc: number): void {
  into.writeUInt32BE(payloadCrc, at + 72);
  into.writeUInt32BE(crc32c(into, 0, at, at + 76), at + 76);
}

/** Reads the header at `at`; says nothing about the payload. */
export function parseFrameHeader(bytes: Buffer, at: number): ParsedHeader<FrameHeader> {
  if (bytes.length - at < frameHeaderBytes) return { kind: "short" };
  const magic = bytes.readUInt32BE(at);
  if (magic !== frameMagic) {
    if (isAllZero(bytes, at, at + frameHeaderBytes)) return { kind: "blank" };
    return { kind: "bad", reason: "wrong magic" };
  }
  if (bytes.readUInt32BE(at + 76) !== crc32c(bytes, 0, at, at + 76)) {
    return { kind: "bad", reason: "wrong header CRC" };
  }
  const flags = bytes.readUInt16BE(at + 4);
  if (flags > flagZeros) return { kind: "bad", reason: `unknown flags ${flags}` };
  const lengthBytes = bytes.readUInt32BE(at + 28);
  const wideEpoch = bytes.readBigUInt64BE(at + 16);
  if (lengthBytes > framePayloadBytesMax) return { kind: "bad", reason: `length ${lengthBytes}` };
  if (wideEpoch > BigInt(Number.MAX_SAFE_INTEGER)) return { kind: "bad", reason: "epoch too big" };
  const header: FrameHeader = {
    lsn: lsn(bytes.readBigUInt64BE(at + 8)),
    epoch: epoch(Number(wideEpoch)),
    timeline: timeline(bytes.readUInt32BE(at + 24)),
    lengthBytes,
    isZeros: flags === flagZeros,
    sclAtWrite: lsn(bytes.readBigUInt64BE(at + 32)),
    keyId: bytes.readUInt32BE(at + 40),
    payloadCrc: bytes.readUInt32BE(at + 72),
  };
  return { kind: "good", header };
}

/** True if the stored payload at `at` is what the header says. */
export function isPayloadGood(header: FrameHeader, bytes: Buffer, at: number): boolean {
  if (header.isZeros) return true;
  const end = at + header.lengthBytes;
  return end <= bytes.length && payloadCrcOf(header.keyId, bytes, at, end) === header.payloadCrc;
}

/** CRC of the stored payload `bytes[start, end)` of a frame with this key. */
export function payloadCrcOf(keyId: number, bytes: Buffer, start: number, end: number): number {
  return keyId === 0 ? crc32c(bytes, 0, start, end) : crc32(bytes, start, end);
}

/** True if a payload is worth storing as a run of zeros: XLOG_SWITCH leaves megabytes of them. */
export function isRunOfZeros(payload: Buffer): boolean {
  return payload.length >= zeroRunBytesMin && isAllZero(payload, 0, payload.length);
}

// Below this a header is not clearly smaller than what it stands for.
const zeroRunBytesMin = 512;

function isAllZero(bytes: Buffer, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i] !== 0) return false;
  return true;
}
