import type { Lsn } from "../base/lsn.ts";
import { pageBytes } from "./page.ts";
import { WalWalker } from "./walker.ts";

/**
 * The first record boundary of a segment: its start, or the end of the record that an earlier segment began.
 * Undefined if `bytes`, from the segment's start on, do not reach it. A walk can begin there, of kind recordEnd.
 */
export function findFirstBoundary(bytes: Buffer, segment: Lsn): Lsn | undefined {
  const walker = new WalWalker({ at: segment, kind: "segmentStart" });
  for (let i = 0; i < bytes.length && walker.firstBoundary === undefined; i += pageBytes) {
    walker.push(bytes.subarray(i, i + pageBytes));
  }
  return walker.firstBoundary;
}
