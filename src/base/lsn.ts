import { assert } from "./assert.ts";
import type { Brand } from "./brand.ts";
import { BorealisError, sqlState } from "./errors.ts";

/** A byte position in the WAL (u64). A "prefix to p" is all bytes with LSN < p; ends are exclusive. */
export type Lsn = Brand<bigint, "Lsn">;

const lsnMax = 0xffff_ffff_ffff_ffffn;

/** The LSN of a raw u64. Raises InvariantBroken outside its range. */
export function lsn(value: bigint): Lsn {
  assert(value >= 0n && value <= lsnMax, "an LSN is an unsigned 64-bit number");
  return value as Lsn; // the brand's one constructor
}

export const lsnZero: Lsn = lsn(0n);

/** The LSN `bytes` further on (or back, if negative). */
export function advance(from: Lsn, bytes: number): Lsn {
  return lsn(from + BigInt(bytes));
}

/** Bytes from `from` to `to`; negative if `to` is behind. Raises InvariantBroken beyond 2^53. */
export function bytesBetween(from: Lsn, to: Lsn): number {
  const distance = Number(to - from);
  assert(Number.isSafeInteger(distance), "a distance in the log fits a safe integer");
  return distance;
}

export function lsnMin(a: Lsn, b: Lsn): Lsn {
  return a < b ? a : b;
}

export function lsnMaxOf(a: Lsn, b: Lsn): Lsn {
  return a > b ? a : b;
}

/** The start of the WAL segment (16 MiB unless told) that contains `at`. */
export function segmentStart(at: Lsn, segmentBytes = 16 * 1024 * 1024): Lsn {
  return lsn(at - (at % BigInt(segmentBytes)));
}

/** As PostgreSQL prints it: two hexadecimal halves, unpadded. */
export function formatLsn(at: Lsn): string {
  return `${(at >> 32n).toString(16).toUpperCase()}/${(at & 0xffff_ffffn).toString(16).toUpperCase()}`;
}

/** Parses `hi/lo` with padded or unpadded halves. Undefined if it is not an LSN. */
export function findLsn(text: string): Lsn | undefined {
  const parts = /^([0-9a-fA-F]{1,8})\/([0-9a-fA-F]{1,8})$/.exec(text);
  if (!parts) return undefined;
  return lsn((BigInt(`0x${parts[1]}`) << 32n) | BigInt(`0x${parts[2]}`));
}

/** Parses `hi/lo`. Raises BorealisError 22P02 if it is not an LSN. */
export function parseLsn(text: string): Lsn {
  const at = findLsn(text);
  if (at === undefined) {
    throw new BorealisError(sqlState.invalidText, `"${text}" is not an LSN`, {
      hint: "write it as PostgreSQL does, for example 0/16B3748",
    });
  }
  return at;
}
