/** What a restore is made of: where the log ends, and the newest snapshot from which that is reached. */
import { BorealisError, sqlState } from "../base/errors.ts";
import { formatLsn, type Lsn, segmentStart } from "../base/lsn.ts";
import {
  automaticSnapshotFacts,
  findMoment,
  futureOfLsn,
  futureOfTime,
  genesisSnapshotId,
  type LeftFuture,
  liveSnapshots,
  readSnapshot,
  snapshotFor,
  type SnapshotManifest,
} from "../volume/index.ts";
import type { Moment } from "../wal/index.ts";
import { type AskedMoment, formatTimeUs } from "./moment-text.ts";
import type { Progress } from "./progress.ts";
import type { RestoreSource } from "./restore-source.ts";

export type RestoreBase =
  | { readonly kind: "snapshot"; readonly manifest: SnapshotManifest }
  /** The image that the volume was born with, as a directory. */
  | { readonly kind: "genesis"; readonly dir: string; readonly startLsn: Lsn };

export interface RestorePoint {
  readonly base: RestoreBase;
  /** For people. */
  readonly snapshot: string;
  /**
   * What is replayed over it: nothing (it is as it was when the volume was born), the log that the snapshot brought, or the
   * volume's, each up to `end`.
   */
  readonly log: "none" | "snapshot" | "volume";
  /** A record's end. */
  readonly end: Lsn;
}

/** So many snapshots are named to who asks for one that is not there. */
const namedMax = 12;

export interface PointSearch {
  readonly source: RestoreSource;
  readonly progress: Pick<Progress, "begin" | "at">;
  readonly signal: AbortSignal;
  /** For people: what it is looked for. `restored` unless told. */
  readonly verb?: "restored" | "cloned";
}

/** What a snapshot was when it was taken. Raises 22023 if there is none of that name, 55000 if log that it needs is gone. */
export async function pointOfSnapshot({ source }: PointSearch, id: string): Promise<RestorePoint> {
  const { genesis, log } = source;
  const known = await idsOf(source);
  if (!known.includes(id) && id === genesisSnapshotId && genesis)
    return { base: imageOf(genesis), snapshot: id, log: "none", end: genesis.startLsn };
  const manifest = await readManifest(source, id, known);
  const { endLsn: end } = manifest;
  const base = { kind: "snapshot", manifest } as const;
  if (manifest.kind === "genesis") return { base, snapshot: id, log: "none", end };
  if (manifest.log) return { base, snapshot: id, log: "snapshot", end };
  const point = overVolumeLog(source, { base, snapshot: id, log: "snapshot", end });
  if (point) return point;
  throw new BorealisError(
    sqlState.notInPrerequisiteState,
    `the log that snapshot ${id} needs is gone: it begins at ${formatLsn(log.from)}`,
    { hint: "choose a newer one: borealis snapshot list" },
  );
}

/** Raises 22023 with the ids that there are, all unless told: of an object store alone no other command tells them. */
export async function readManifest(
  source: RestoreSource,
  id: string,
  ids?: readonly string[],
): Promise<SnapshotManifest> {
  const { replicas, sealer, deletions } = source;
  try {
    return await readSnapshot(replicas, id, sealer, deletions);
  } catch (error) {
    const isUnknown = error instanceof BorealisError && error.code === sqlState.invalidParameter;
    const known = ids ?? (isUnknown ? await idsOf(source) : []);
    if (!isUnknown || known.length === 0) throw error;
    throw new BorealisError(error.code, error.message, { hint: `there are ${namesOf(known)}` });
  }
}

function namesOf(ids: readonly string[]): string {
  const named = ids.length > namedMax ? [...ids.slice(-namedMax), "older ones"] : ids;
  return named.join(", ");
}

/** For people: what there is beside a snapshot that will not do. */
export async function othersThan(source: RestoreSource, id: string): Promise<string> {
  const others = (await idsOf(source)).filter((one) => one !== id);
  const candidates = (await candidatesOf(source)).filter((one) => one.id !== id);
  const earliestMs = earliestOf(candidates);
  const from =
    others.length === 0
      ? "there is no other snapshot"
      : `choose another snapshot: ${namesOf(others)}`;
  if (earliestMs === undefined || earliestMs > source.log.latestMs) return from;
  return `${from}; or a moment (--to) from ${isoOf(earliestMs)} to ${isoOf(source.log.latestMs)}`;
}

function imageOf(genesis: NonNullable<RestoreSource["genesis"]>): RestoreBase {
  return { kind: "genesis", ...genesis };
}

/** As findPoint. */
export async function pointOfMoment(
  search: PointSearch,
  asked: AskedMoment,
): Promise<RestorePoint> {
  return (await findPoint(search, asked)).point;
}

/** Raises 22023 outside of the window, and says which one there is. */
export async function findPoint(
  search: PointSearch,
  asked: AskedMoment,
): Promise<{ readonly point: RestorePoint; readonly moment: Moment }> {
  const { source } = search;
  const candidates = await candidatesOf(source);
  const outside = (): BorealisError => outsideWindow(search, candidates, asked);
  const leftBehind = (future: LeftFuture | undefined): void => {
    if (future) throw inLeftFuture(search, asked, { future, candidates });
  };
  if (asked.kind === "lsn") {
    leftBehind(futureOfLsn(source.left, asked.at, source.log.to));
    if (asked.at > source.log.to) throw outside();
  }
  if (asked.kind === "time") {
    const earliestMs = earliestOf(candidates);
    const atMs = Number(asked.timeUs / 1_000n);
    if (atMs > source.log.latestMs || earliestMs === undefined || atMs < earliestMs)
      throw outside();
  }
  const moment = await searchLog(search, asked);
  if (!moment) throw outside();
  if (asked.kind === "time") leftBehind(futureOfTime(source.left, asked.timeUs, moment.endLsn));
  const point = await pointAt(source, candidates, moment.endLsn);
  if (!point) throw outside();
  return { point, moment };
}

/** What has been tried and does not do, in whatever store. */
export interface Tried {
  readonly ids: ReadonlySet<string>;
  /** Whether it needs what others that were tried have failed for. */
  lacks(manifest: SnapshotManifest): boolean;
}

/** The same snapshot with the volume's log over it, not its own. Undefined: that is not there, or does not lead there. */
export function overVolumeLog(
  source: Pick<RestoreSource, "log">,
  point: RestorePoint,
): RestorePoint | undefined {
  const { base, log, end } = point;
  if (log !== "snapshot" || base.kind !== "snapshot") return undefined;
  const isThere = source.log.from <= segmentStart(base.manifest.startLsn) && end <= source.log.to;
  return isThere && reaches(base, { end, source }) ? { ...point, log: "volume" } : undefined;
}

/**
 * The same end of the log over another snapshot, with more log to replay. Undefined: there is none, or log does not lead from
 * it to what the first one was asked for.
 */
export async function olderPoint(
  source: RestoreSource,
  point: RestorePoint,
  tried: Tried,
): Promise<RestorePoint | undefined> {
  const { base, log, end } = point;
  const { genesis } = source;
  const isImage = base.kind === "genesis";
  if (log === "none") return genesis && !isImage ? { ...point, base: imageOf(genesis) } : undefined;
  // A snapshot that brought its log may be of a path that was left.
  if (end > source.log.to || !reaches(base, { end, source })) return undefined;
  const candidates = await candidatesOf(source);
  const others = candidates.filter((one) => (one.isImage ? !isImage : !tried.ids.has(one.id)));
  return pointAt(source, others, end, (manifest) => !tried.lacks(manifest));
}

/** Over the newest of these from which log leads there. */
async function pointAt(
  source: RestoreSource,
  candidates: readonly Candidate[],
  end: Lsn,
  mayDo: (manifest: SnapshotManifest) => boolean = () => true,
): Promise<RestorePoint | undefined> {
  for (const candidate of candidates) {
    if (candidate.startLsn > end) continue;
    const base = await candidate.read();
    if (!base || !reaches(base, { end, source })) continue;
    if (base.kind === "snapshot" && !mayDo(base.manifest)) continue;
    return { base, snapshot: candidate.id, log: "volume", end };
  }
  return undefined;
}

function searchLog(
  { source, progress, signal }: PointSearch,
  asked: AskedMoment,
): Promise<Moment | undefined> {
  const { log } = source;
  progress.begin("looking for the moment in the log");
  return findMoment({
    log,
    from: log.from,
    to: log.to,
    target: asked.kind === "latest" ? { kind: "lsn", at: log.to } : asked,
    signal,
    onProgress: (bytes) => progress.at(bytes),
  });
}

/** Something that the log may be replayed over. */
interface Candidate {
  readonly id: string;
  /** The directory that the volume was born with; a snapshot of the same id may be in the stores. */
  readonly isImage: boolean;
  readonly startLsn: Lsn;
  readonly takenAtMs: number;
  /** Undefined: every copy of its manifest is damaged. */
  read(): Promise<RestoreBase | undefined>;
}

/**
 * Newest first. Those that log still reaches; the manifests of automatic ones are not read for that, since there may be
 * many, and their names say when and where they were taken.
 */
async function candidatesOf(source: RestoreSource): Promise<Candidate[]> {
  const { replicas, sealer, deletions, genesis, log, identity } = source;
  const found: Candidate[] = [];
  for (const id of await idsOf(source)) {
    const read = async (): Promise<SnapshotManifest | undefined> => {
      try {
        return await readSnapshot(replicas, id, sealer, deletions);
      } catch (error) {
        // An older one is as good, with more log behind it.
        if (error instanceof BorealisError && error.code === sqlState.dataCorrupted)
          return undefined;
        throw error;
      }
    };
    const facts = automaticSnapshotFacts(id) ?? (await read());
    if (!facts) continue;
    const { startLsn } = facts;
    // The image is as old as the volume, whenever it was put.
    const takenAtMs = id === genesisSnapshotId ? identity.createdAtMs : facts.takenAtMs;
    found.push({
      id,
      isImage: false,
      startLsn,
      takenAtMs,
      read: async () => {
        const manifest = await read();
        return manifest && { kind: "snapshot", manifest };
      },
    });
  }
  // Behind the snapshot of it: what lies here was there first, and nobody has looked at it since.
  if (genesis) {
    found.push({
      id: genesisSnapshotId,
      isImage: true,
      startLsn: genesis.startLsn,
      takenAtMs: identity.createdAtMs,
      read: () => Promise.resolve(imageOf(genesis)),
    });
  }
  return found
    .filter(({ startLsn }) => segmentStart(startLsn) >= log.from)
    .toSorted((a, b) => (a.startLsn === b.startLsn ? 0 : a.startLsn < b.startLsn ? 1 : -1));
}

/** Of all stores together; one that is away is passed over while another answers. */
async function idsOf({ stores, deletions }: RestoreSource): Promise<string[]> {
  const { ids, failures } = await liveSnapshots(stores, deletions);
  const [failure] = failures.values();
  if (failure && failures.size === stores.length) throw failure;
  return [...ids.keys()];
}

function reaches(
  base: RestoreBase,
  { end, source }: { readonly end: Lsn; readonly source: Pick<RestoreSource, "log"> },
): boolean {
  if (base.kind === "genesis") return base.startLsn < end;
  return snapshotFor([base.manifest], { at: end, path: source.log.path }) !== undefined;
}

function earliestOf(candidates: readonly Candidate[]): number | undefined {
  if (candidates.length === 0) return undefined;
  return Math.min(...candidates.map(({ takenAtMs }) => takenAtMs));
}

function outsideWindow(
  { source: { label, log }, verb = "restored" }: PointSearch,
  candidates: readonly Candidate[],
  asked: AskedMoment,
): BorealisError {
  const earliestMs = earliestOf(candidates);
  if (earliestMs === undefined) {
    return new BorealisError(
      sqlState.notInPrerequisiteState,
      `${label} has no snapshot that its log goes on from (the log begins at ${formatLsn(log.from)})`,
      { hint: "choose a snapshot that brought its log: borealis snapshot list" },
    );
  }
  if (log.from === log.to) return withoutLog(label, candidates);
  const lsns = rangeOf(candidates.at(-1)?.startLsn ?? log.from, log.to);
  // Of log in which nothing was committed nobody may know how late it is.
  const times =
    log.latestMs < earliestMs
      ? `no time is known of its log, the LSNs are ${lsns}`
      : `${isoOf(earliestMs)} to ${isoOf(log.latestMs)}`;
  const [what, window] =
    asked.kind === "time" ? [formatTimeUs(asked.timeUs), times] : [describeLsn(asked), lsns];
  return new BorealisError(
    sqlState.invalidParameter,
    `${what} is outside of what can be ${verb}: ${window}`,
    { hint: "choose a moment between these two" },
  );
}

/** Somebody's copies of snapshots, which bring their own log and no more; or a store from which the archive is gone. */
function withoutLog(label: string, candidates: readonly Candidate[]): BorealisError {
  // An automatic one is nothing without the volume's.
  const ids = candidates.flatMap(({ id }) => (automaticSnapshotFacts(id) ? [] : [id])).toReversed();
  const hint = `restore a snapshot as it was when it was taken, with --from: ${namesOf(ids)}`;
  return new BorealisError(
    sqlState.invalidParameter,
    `${label} has snapshots of the volume and none of its log: --to finds no moment there`,
    ids.length > 0 ? { hint } : {},
  );
}

/** What the present path has there is another moment than the one that whoever names it may think of. */
function inLeftFuture(
  { source: { log }, verb = "restored" }: PointSearch,
  asked: AskedMoment,
  found: { readonly future: LeftFuture; readonly candidates: readonly Candidate[] },
): BorealisError {
  const { end, leftAtMs, untilMs, merged, isParents } = found.future;
  const what = asked.kind === "time" ? formatTimeUs(asked.timeUs) : describeLsn(asked);
  const left = isoOf(leftAtMs);
  const others = othersOf(found, log);
  const refusal = (why: string, way: string): BorealisError => {
    const hint = [way, others].filter((one) => one !== "").join("; ");
    return new BorealisError(sqlState.invalidParameter, `${what} ${why}`, { hint });
  };
  if (merged !== undefined) {
    const which = `${merged} futures that backtracks left up to ${left}`;
    return refusal(`may be in one of ${which}, of which none is remembered for itself`, "");
  }
  const why = `is in a future that was left: a backtrack went to another moment at ${left}`;
  if (isParents) {
    const there = "the cluster that left it may still have it";
    return refusal(why, `it was left before this clone was made: ${there}`);
  }
  if (untilMs !== undefined) return refusal(why, `until ${isoOf(untilMs)} it could be returned to`);
  // A backtrack takes an LSN that both have for the present path's.
  const isOfBoth = asked.kind === "lsn" && asked.at !== end && asked.at <= log.to;
  const time = "the present path has that LSN, too: name a time, which is in one of them";
  const back = `borealis backtrack --to ${what} goes there again, and then it can be ${verb}`;
  return refusal(why, isOfBoth ? time : back);
}

/** Of what lies beside a future, what can be had. */
function othersOf(
  {
    future,
    candidates,
  }: { readonly future: LeftFuture; readonly candidates: readonly Candidate[] },
  { latestMs }: RestoreSource["log"],
): string {
  const firstLsn = candidates.at(-1)?.startLsn;
  const fromMs = Math.max(future.leftAtMs, earliestOf(candidates) ?? 0);
  const isBelow = firstLsn !== undefined && firstLsn < future.fork;
  const others = [
    ...(isBelow ? [`what is below ${formatLsn(future.fork)}`] : []),
    ...(fromMs <= latestMs ? [`a time from ${isoOf(fromMs)} on`] : []),
  ];
  if (others.length === 0) return "";
  const whose = future.merged === undefined ? "that future" : "them";
  return `no part of ${whose} is ${others.join(", or ")}`;
}

function describeLsn(asked: AskedMoment): string {
  return asked.kind === "lsn" ? formatLsn(asked.at) : "the end";
}

function rangeOf(from: Lsn, to: Lsn): string {
  return `${formatLsn(from)} to ${formatLsn(to)}`;
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}
