/**
 * A WAL record's header, little-endian, at an LSN that is a multiple of 8.
 *
 * | offset | size | meaning                                                                |
 * | ------ | ---- | ---------------------------------------------------------------------- |
 * | 0      | 4    | length of the record with this header, without padding                 |
 * | 4      | 4    | transaction id                                                         |
 * | 8      | 8    | LSN where the record before begins                                     |
 * | 16     | 1    | what it is, to its resource manager                                    |
 * | 17     | 1    | resource manager; 2 padding                                            |
 * | 20     | 4    | CRC-32C of the bytes after the header, then of the header's first 20   |
 */
import { crc32c } from "../base/crc32c.ts";

export const recordHeaderBytes = 24;
export const crcOffset = 20;
/** PostgreSQL cannot read a longer record: it assembles one in a single allocation. */
export const recordBytesMax = 0x3fff_ffff;

const word = 0x1_0000_0000;
const managerXlog = 0;
const infoSwitch = 0x40;
const managerTransaction = 1;
const transactionKind = 0x70;
const kindCommit = 0x00;
const kindCommitPrepared = 0x30;

/** Of a commit record, this much of its front is enough to find its time. */
export const commitFrontBytes = 48;

/** Is it XLOG_SWITCH, which takes the rest of its segment with it? */
export function isSwitch(manager: number, info: number): boolean {
  return manager === managerXlog && (info & 0xf0) === infoSwitch;
}

/** Does it end a transaction with success? */
export function isCommit(manager: number, info: number): boolean {
  if (manager !== managerTransaction) return false;
  const kind = info & transactionKind;
  return kind === kindCommit || kind === kindCommitPrepared;
}

/** Smallest multiple of 8 that is not below `length`, which is a record's or less. */
export function aligned(length: number): number {
  return (length + 7) & ~7;
}

type Bytes = { readonly [index: number]: number };

/** Unchecked reads for the walker's inner loop, which has checked the length; Buffer's own cost a third more. */
export function u8(b: Bytes, i: number): number {
  return b[i] ?? 0;
}

export function u32(b: Bytes, i: number): number {
  return (u8(b, i) | (u8(b, i + 1) << 8) | (u8(b, i + 2) << 16) | (u8(b, i + 3) << 24)) >>> 0;
}

// Ids in front of a record's data (xlogrecord.h): the origin of a replicated change, the top-level transaction, and
// the main data, whose length takes one byte or four.
const idOrigin = 253;
const idTopLevel = 252;
const idDataShort = 255;
const idDataLong = 254;
const microsTo2000 = 946_684_800_000_000n;

/**
 * When a commit record says that it was made, in microseconds since 1970. `front` begins with the record's header.
 * Undefined if the front does not look like a commit's.
 */
export function findCommitTimeUs(front: Buffer): bigint | undefined {
  let at = recordHeaderBytes;
  if (front[at] === idOrigin) at += 3;
  if (front[at] === idTopLevel) at += 5;
  if (front[at] === idDataShort) at += 2;
  else if (front[at] === idDataLong) at += 5;
  else return undefined;
  return at + 8 > front.length ? undefined : front.readBigInt64LE(at) + microsTo2000;
}

const msTo2000 = Number(microsTo2000 / 1000n);

/**
 * The same of the commit record that begins at `at`, in milliseconds and without a bigint: to a fraction of a microsecond. NaN if
 * it does not look like a commit's. What lies behind the bytes reads as zeros.
 */
export function commitTimeMs(b: Bytes, at: number): number {
  let i = at + recordHeaderBytes;
  if (u8(b, i) === idOrigin) i += 3;
  if (u8(b, i) === idTopLevel) i += 5;
  if (u8(b, i) === idDataShort) i += 2;
  else if (u8(b, i) === idDataLong) i += 5;
  else return Number.NaN;
  return (u32(b, i + 4) * word + u32(b, i)) / 1000 + msTo2000;
}

/** Of the record of `total` bytes at `at`: its body first, then its header, as PostgreSQL does it. */
export function recordCrc(bytes: Buffer, at: number, total: number): number {
  const bodyCrc = crc32c(bytes, 0, at + recordHeaderBytes, at + total);
  return crc32c(bytes, bodyCrc, at, at + crcOffset);
}
