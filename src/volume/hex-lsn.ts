import { type Lsn, lsn } from "../base/lsn.ts";

/** 16 hex digits: sorts as it counts. */
export function formatHexLsn(at: Lsn): string {
  return at.toString(16).padStart(16, "0");
}

/** Undefined: not 16 hex digits. */
export function findHexLsn(text: string): Lsn | undefined {
  return /^[0-9a-f]{16}$/.test(text) ? lsn(BigInt(`0x${text}`)) : undefined;
}
