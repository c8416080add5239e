import { BorealisError, sqlState } from "../base/errors.ts";
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
  /** Ids of snapshots that cannot be read whole, as far as is known. */
  readonly hurt: ReadonlySet<string>;
}

/**
 * What is kept of the volume's snapshots (planRetention), now that it is on `path`. Those of a history that a backtrack left
 * bring nobody to a moment of this one: they stay for the window, since the way back may be asked for, and stand in for
 * none that does. Beyond the window stays what an instance is built from that returns to a future.
 *
 * One that is hurt stays as long as a sound one would, since it may be made good, and stands in for none either: what would be
 * kept without it is kept, too, with its log. While no sound one is on the path neither snapshots of it nor log go.
 */
export function planKeeping(snapshots: readonly KnownSnapshot[], now: KeepingNow): SnapshotKeeping {
  const own = snapshots.filter((one) => isOnPath(one, now.path));
  const left = snapshots.filter((one) => one.kind !== "manual" && !isOnPath(one, now.path));
  const isSound = (one: KnownSnapshot): boolean => !now.hurt.has(one.id);
  const plan = planOwn(own, own.filter(isSound), now);
  const isOld = (one: KnownSnapshot): boolean => one.takenAtMs <= now.nowMs - now.windowMs;
  const sound = snapshots.filter(isSound);
  const bases = now.futures.flatMap((future) =>
    [snapshots, sound].flatMap((some) => baseOf(future, some) ?? []),
  );
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

/** What the window keeps of those that are on the path: of all of them, and of the sound ones as if there were no others. */
function planOwn(
  own: readonly KnownSnapshot[],
  sound: readonly KnownSnapshot[],
  now: KeepingNow,
): SnapshotKeeping {
  const all = planRetention(own, now);
  if (sound.length === own.length) return all;
  const { keep, logFrom, earliestMs } = planRetention(sound, now);
  if (logFrom === undefined) return { drop: [], logFrom, earliestMs };
  const kept = new Set(keep);
  return {
    drop: all.drop.filter((id) => !kept.has(id)),
    logFrom: all.logFrom === undefined ? logFrom : lsnMin(all.logFrom, logFrom),
    earliestMs,
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

/**
 * Raises 55000 if a user may not delete it: without any automatic one that can be read whole an instance whose cache is lost could not
 * be built again, and behind the newest one log goes. A hurt one brings nobody further than a sound one.
 */
export function requireNotNeeded(
  id: string,
  snapshots: readonly KnownSnapshot[],
  hurt: ReadonlySet<string>,
): void {
  const mine = snapshots.find((one) => one.id === id);
  if (!mine || mine.kind === "manual") return;
  const others = snapshots.filter(
    (one) => one.kind !== "manual" && one.id !== id && !hurt.has(one.id),
  );
  if (others.some((one) => hurt.has(id) || one.endLsn >= mine.endLsn)) return;
  throw new BorealisError(
    sqlState.notInPrerequisiteState,
    `snapshot ${id} is the newest one that instances are built from`,
    { hint: "it goes by itself when there is a newer one and retention.days have passed" },
  );
}
