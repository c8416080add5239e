import { type Lsn, lsnMin, segmentStart } from "../base/lsn.ts";

/** Who still needs log, apart from nodes that lag: their driver sees to that itself. */
export interface LogNeeds {
  /** Lowest LSN that snapshots need (decisions.md D11): the genesis image's until there are any. */
  readonly snapshotLsn: Lsn;
  /** Start of the backtrack window; undefined: there is none. */
  readonly backtrackLsn: Lsn | undefined;
  /** Nothing beyond is in the archive; "off": nobody archives; undefined: not known, so whatever is there stays. */
  readonly archivedLsn: Lsn | "off" | undefined;
  /** Where each reader would begin to read if it started anew; undefined: not known, so whatever is there stays. */
  readonly readers: readonly (Lsn | undefined)[];
}

/**
 * The start of the WAL segment that holds the oldest LSN that somebody needs: the low-water may be the last record end at
 * or below it (D39), since walreceivers ask from the start of a segment (D3) and standbys check its first page. Undefined:
 * not known now.
 */
export function lowWanted(needs: LogNeeds): Lsn | undefined {
  if (needs.archivedLsn === undefined) return undefined;
  let oldest = needs.snapshotLsn;
  if (needs.archivedLsn !== "off") oldest = lsnMin(oldest, needs.archivedLsn);
  for (const reader of needs.readers) {
    if (reader === undefined) return undefined;
    oldest = lsnMin(oldest, reader);
  }
  if (needs.backtrackLsn !== undefined) oldest = lsnMin(oldest, needs.backtrackLsn);
  return segmentStart(oldest);
}
