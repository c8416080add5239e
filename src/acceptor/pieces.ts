import type { Epoch } from "../base/ids.ts";
import { type Lsn, lsnMin } from "../base/lsn.ts";
import { epochAt, type History, type Run } from "../quorum/index.ts";

/** Part of a run: bytes of one epoch. */
export interface Piece {
  readonly run: Run;
  readonly bytes: Uint8Array;
}

/** Does a byte of `epoch` belong where the path says `expected`? */
export type SameByte = (epoch: Epoch, expected: Epoch) => boolean;

/**
 * The bytes of `found` that continue a log of this path from `at` on: only those whose epoch is the one that the path
 * gives to that LSN. (epoch, LSN) is what a byte is, so wherever they come from (a peer, the retired store, behind a
 * hole of the own log), these are the right ones; bytes of an abandoned tail never match.
 */
export function piecesOnPath(
  path: History,
  at: Lsn,
  found: { readonly lsn: Lsn; readonly runs: readonly Run[] },
  isSame: SameByte,
): Piece[] {
  const pieces: Piece[] = [];
  let next = at;
  let runStart = found.lsn;
  for (const run of found.runs) {
    const runEnd = (runStart + BigInt(run.bytes.length)) as Lsn; // below 2^64: it was read from a log
    while (next >= runStart && next < runEnd) {
      if (!isSame(run.epoch, epochAt(path, next))) return pieces;
      const pieceEnd = lsnMin(runEnd, nextStart(path, next) ?? runEnd);
      const bytes = run.bytes.subarray(Number(next - runStart), Number(pieceEnd - runStart));
      pieces.push({ run, bytes });
      next = pieceEnd;
    }
    if (next < runEnd) return pieces;
    runStart = runEnd;
  }
  return pieces;
}

function nextStart(path: History, after: Lsn): Lsn | undefined {
  return path.find((entry) => entry.start > after)?.start;
}
