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

/** A path that a backtrack left, and that may be returned to. */
export interface KeptFuture {
  readonly path: LogPath;
  /** Where the volume's path leaves it. */
  readonly fork: Lsn;
  readonly end: Lsn;
}

export interface KeepingNow {
  readonly path: LogPath;
  readonly futures: readonly KeptFuture[];
  readonly nowMs: number;
  readonly windowMs: number;
}

/**
 * What is kept of the volume's snapshots (planRetention), now that it is on `path`. Those of a history that a backtrack left
 * bring nobody to a moment of this one: they stay for the window, since the way back may be asked for, and stand in for
 * none that does. Beyond the window stays what an instance is built from that returns to a future.
 */
export function planKeeping(snapshots: readonly KnownSnapshot[], now: KeepingNow): SnapshotKeeping {
  const own = snapshots.filter((one) => isOnPath(one, now.path));
  const left = snapshots.filter((one) => one.kind !== "manual" && !isOnPath(one, now.path));
  const plan = planRetention(own, now);
  const isOld = (one: KnownSnapshot): boolean => one.takenAtMs <= now.nowMs - now.windowMs;
  const bases = now.futures.flatMap((future) => baseOf(future, snapshots) ?? []);
  const needed = new Set([...left.filter((one) => !isOld(one)), ...bases]);
  let lowest = plan.logFrom;
  for (const { startLsn } of needed) {
    const from = segmentStart(startLsn);
    lowest = lowest === undefined ? undefined : lsnMin(lowest, from);
  }
  const kept = new Set([...needed].map(({ id }) => id));
  const gone = [...plan.drop, ...left.filter(isOld).map(({ id }) => id)];
  return {
    drop: gone.filter((id) => !kept.has(id)),
    logFrom: lowest,
    earliestMs: plan.earliestMs,
  };
}

/**
 * The snapshot from which every moment of a future is reached: the newest that ends where it was left or before; if there is
 * none, the one that reaches most of it. Those that users keep hold no log behind them.
 */
function baseOf(
  { path, fork, end }: KeptFuture,
  snapshots: readonly KnownSnapshot[],
): KnownSnapshot | undefined {
  const usable = snapshots
    .filter((one) => one.kind !== "manual" && one.endLsn <= end && isOnPath(one, path))
    .toSorted((a, b) => (a.endLsn < b.endLsn ? -1 : a.endLsn > b.endLsn ? 1 : 0));
  return usable.findLast((one) => one.endLsn <= fork) ?? usable[0];
}
