import { type Lsn, lsnMin, segmentStart } from "../base/lsn.ts";
import {
  isOnPath,
  type LogPath,
  type PlannedSnapshot,
  planRetention,
  type SnapshotFacts,
} from "../volume/index.ts";

/** What the keeper remembers of a snapshot. */
export type KnownSnapshot = PlannedSnapshot & Pick<SnapshotFacts, "history">;

export interface SnapshotKeeping {
  readonly drop: readonly string[];
  /** As in RetentionPlan. */
  readonly logFrom: Lsn | undefined;
  readonly earliestMs: number | undefined;
}

/**
 * What is kept of the volume's snapshots (planRetention), now that it is on `path`. Those of a history that a backtrack left
 * bring nobody to a moment of this one: they stay for the window, since the way back may be asked for, and stand in for
 * none that does.
 */
export function planKeeping(
  snapshots: readonly KnownSnapshot[],
  now: { readonly path: LogPath; readonly nowMs: number; readonly windowMs: number },
): SnapshotKeeping {
  const own = snapshots.filter((one) => isOnPath(one, now.path));
  const left = snapshots.filter((one) => one.kind !== "manual" && !isOnPath(one, now.path));
  const { drop, logFrom, earliestMs } = planRetention(own, now);
  const isOld = (one: KnownSnapshot): boolean => one.takenAtMs <= now.nowMs - now.windowMs;
  let lowest = logFrom;
  for (const one of left) {
    if (isOld(one) || lowest === undefined) continue;
    lowest = lsnMin(lowest, segmentStart(one.startLsn));
  }
  const gone = left.filter(isOld).map(({ id }) => id);
  return { drop: [...drop, ...gone], logFrom: lowest, earliestMs };
}
