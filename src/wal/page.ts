/**
 * A page of WAL, little-endian. Every page of 8 KiB begins with a header; a segment's first page has the long one.
 *
 * | offset | size | meaning                                                                     |
 * | ------ | ---- | --------------------------------------------------------------------------- |
 * | 0      | 2    | magic: one value for each major version                                     |
 * | 2      | 2    | flags: 1 goes on with a record, 2 long header, 8 that record was given up   |
 * | 4      | 4    | timeline                                                                    |
 * | 8      | 8    | LSN of this page                                                            |
 * | 16     | 4    | bytes of the record that still come, on this page and later ones; 4 padding |
 * | 24     | 8    | long header only: the system's identifier                                   |
 * | 32     | 4    | long header only: segment size                                              |
 * | 36     | 4    | long header only: page size                                                 |
 */
export const pageBytes = 8192;
export const segmentBytes = 16 * 1024 * 1024;
export const shortHeaderBytes = 24;
export const longHeaderBytes = 40;

/** Flag of a page whose first bytes go on with a record that an earlier page began. */
export const flagContinues = 0x0001;
export const flagLongHeader = 0x0002;
/** Flag of a page where a record of the page before should go on, but was lost in a crash and is given up. */
export const flagOverwrites = 0x0008;

/** The magic of each PostgreSQL that can be an engine, and its major version. */
export const pageMagics: ReadonlyMap<number, number> = new Map([
  [0xd110, 15],
  [0xd113, 16],
  [0xd116, 17],
  [0xd118, 18],
]);

export interface PageHeader {
  readonly magic: number;
  readonly flags: number;
  readonly timeline: number;
  /** Low and high half of the page's LSN: it is compared once a page, and needs no bigint for it. */
  readonly lsnLow: number;
  readonly lsnHigh: number;
  readonly remainingBytes: number;
}

/** The header at the front of `bytes`, which hold at least the short form of it. */
export function parsePageHeader(bytes: Buffer): PageHeader {
  return {
    magic: bytes.readUInt16LE(0),
    flags: bytes.readUInt16LE(2),
    timeline: bytes.readUInt32LE(4),
    lsnLow: bytes.readUInt32LE(8),
    lsnHigh: bytes.readUInt32LE(12),
    remainingBytes: bytes.readUInt32LE(16),
  };
}

/** What makes a long header one of an installation with other sizes. Undefined if nothing does. */
export function findSizeFault(bytes: Buffer): string | undefined {
  const segment = bytes.readUInt32LE(32);
  const page = bytes.readUInt32LE(36);
  if (segment !== segmentBytes) return `WAL segments of ${segment} bytes, not ${segmentBytes}`;
  if (page !== pageBytes) return `WAL pages of ${page} bytes, not ${pageBytes}`;
  return undefined;
}
