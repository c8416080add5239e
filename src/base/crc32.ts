import { crc32 as native } from "node:zlib";

/**
 * CRC-32 (zlib's) of `bytes[start, end)`, computed by Node itself: three to four times as fast as crc32c.ts on a few KiB.
 * For sums over bytes that nobody has summed yet, and that no format of others asks a CRC-32C for.
 */
export function crc32(bytes: Uint8Array, start = 0, end = bytes.length): number {
  return native(bytes.subarray(start, end));
}
