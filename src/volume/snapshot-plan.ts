/** When snapshots are taken and how long they are kept: decisions only, with time and log positions handed in. */
import { type Lsn, lsnMin, segmentStart } from "../base/lsn.ts";
import { type LogPath, sharedUpTo } from "./log-path.ts";
import { reasonForFull, type SnapshotFacts, type SnapshotManifest } from "./manifest.ts";

/** What a plan looks at. */
export type PlannedSnapshot = Pick<
  SnapshotFacts,
  "id" | "kind" | "startLsn" | "endLsn" | "takenAtMs"
>;

export interface RetentionPlan {
  readonly keep: readonly string[];
  readonly drop: readonly string[];
  /** Log is needed from here on (the start of a WAL segment); undefined: no snapshot serves a restore to a moment. */
  readonly logFrom: Lsn | undefined;
  /** The earliest moment that can be restored: when the oldest snapshot that serves one was taken. */
  readonly earliestMs: number | undefined;
}

/**
 * What the retention window keeps: automatic snapshots (and the genesis image) within it and the newest older one, from
 * which its first moment is reached; manual ones until they are deleted. These need no log: they have theirs with them
 * (keepLog). But while log reaches back to them anyway, they serve moments as well as any other.
 */
export function planRetention(
  snapshots: readonly PlannedSnapshot[],
  { nowMs, windowMs }: { readonly nowMs: number; readonly windowMs: number },
): RetentionPlan {
  const serving = snapshots
    .filter((one) => one.kind !== "manual")
    .toSorted((a, b) => a.takenAtMs - b.takenAtMs || compareLsn(a.startLsn, b.startLsn));
  const windowStartMs = nowMs - windowMs;
  const firstInside = serving.findIndex((one) => one.takenAtMs > windowStartMs);
  // A clock that jumped back: every one is inside, and all are kept.
  const first = Math.max(0, (firstInside < 0 ? serving.length : firstInside) - 1);
  const kept = new Set(serving.slice(first));
  const [keep, drop]: [string[], string[]] = [[], []];
  for (const one of snapshots) (one.kind === "manual" || kept.has(one) ? keep : drop).push(one.id);
  let lowest: Lsn | undefined;
  for (const { startLsn } of kept)
    lowest = lowest === undefined ? startLsn : lsnMin(lowest, startLsn);
  const logFrom = lowest === undefined ? undefined : segmentStart(lowest);
  return { keep, drop, logFrom, earliestMs: serving[first]?.takenAtMs };
}

export interface Schedule {
  /** A restart replays about this much log at most. */
  readonly everyLogBytes: number;
  /** With at least this much new log in them. */
  readonly everyMs: number;
  /** Log that is not worth a snapshot, unless the last one is as old as the following. */
  readonly logBytesMin: number;
  /** With any new log in them: what was dropped in a quiet database is in the last snapshot until there is another one. */
  readonly anyLogEveryMs: number;
}

/**
 * Whether the next automatic snapshot is due. Users' do not count, though instances are built from them too: log goes behind
 * automatic ones only (planRetention), so a user who takes one each hour would else keep all log for ever.
 */
export function isSnapshotDue(
  schedule: Schedule,
  now: {
    readonly snapshots: readonly (PlannedSnapshot & Pick<SnapshotFacts, "history">)[];
    readonly path: LogPath;
    readonly vdl: Lsn;
    readonly nowMs: number;
  },
): boolean {
  const { snapshots, path, vdl, nowMs } = now;
  const last = snapshots
    .filter((one) => one.kind !== "manual" && isOnPath(one, path))
    .toSorted((a, b) => compareLsn(a.endLsn, b.endLsn))
    .at(-1);
  if (!last) return true;
  const newBytes = vdl - last.endLsn;
  if (newBytes >= BigInt(schedule.everyLogBytes)) return true;
  const ageMs = nowMs - last.takenAtMs;
  if (ageMs >= schedule.anyLogEveryMs && newBytes > 0n) return true;
  return ageMs >= schedule.everyMs && newBytes >= BigInt(Math.max(1, schedule.logBytesMin));
}

export type SnapshotMode =
  | { readonly kind: "full"; readonly reason: string }
  | { readonly kind: "incremental" };

/** Whether the next snapshot may be an incremental one over `previous` (PostgreSQL decides in the end). */
export function planMode(
  previous: SnapshotManifest | undefined,
  source: { readonly postgresMajor: number; readonly addressing: string; readonly path: LogPath },
): SnapshotMode {
  if (!previous) return { kind: "full", reason: "there is no snapshot before it" };
  if (previous.addressing !== source.addressing)
    return { kind: "full", reason: "extents are named by another key now" };
  if (source.postgresMajor < 17)
    return {
      kind: "full",
      reason: `PostgreSQL ${source.postgresMajor} has no incremental backups`,
    };
  if (previous.kind === "genesis")
    return { kind: "full", reason: "the snapshot before it is the genesis image" };
  if (!isOnPath(previous, source.path))
    return { kind: "full", reason: `${previous.id} is of a history that was left` };
  const reason = reasonForFull(previous);
  return reason === undefined ? { kind: "incremental" } : { kind: "full", reason };
}

/** Whether the log that made the snapshot's bytes is the path's. */
export function isOnPath(
  { startLsn, endLsn, history }: Pick<SnapshotFacts, "startLsn" | "endLsn" | "history">,
  path: LogPath,
): boolean {
  return sharedUpTo(history, path, { from: startLsn, limit: endLsn }) === endLsn;
}

/**
 * The lowest LSN of a path that a snapshot leads to, and so is every later one; undefined: none leads anywhere. `base`: the volume
 * has log from here on. A snapshot is of no use before its own end, though log is kept from the segment of its start.
 */
export function reachOf(
  snapshots: readonly Pick<SnapshotFacts, "startLsn" | "endLsn" | "history">[],
  { path, base }: { readonly path: LogPath; readonly base: Lsn },
): Lsn | undefined {
  let lowest: Lsn | undefined;
  for (const one of snapshots) {
    if (segmentStart(one.startLsn) < base || !isOnPath(one, path)) continue;
    lowest = lowest === undefined ? one.endLsn : lsnMin(lowest, one.endLsn);
  }
  return lowest;
}

/** The newest snapshot from which `at` can be reached on `path`; undefined: there is none. */
export function snapshotFor<Snapshot extends PlannedSnapshot & Pick<SnapshotFacts, "history">>(
  snapshots: readonly Snapshot[],
  { at, path }: { readonly at: Lsn; readonly path: LogPath },
): Snapshot | undefined {
  const usable = snapshots.filter((one) => one.endLsn <= at && isOnPath(one, path));
  return usable.toSorted((a, b) => compareLsn(a.endLsn, b.endLsn)).at(-1);
}

function compareLsn(a: Lsn, b: Lsn): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
