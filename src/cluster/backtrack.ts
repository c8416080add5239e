/** Where a backtrack goes, from what is known of the volume's paths: decisions only. */
import { BorealisError, sqlState } from "../base/errors.ts";
import { formatLsn, type Lsn, lsnMaxOf, lsnMin, parseLsn } from "../base/lsn.ts";
import { commonPrefix, type History, lastEpoch, type State } from "../quorum/index.ts";
import type { ClusterEvent } from "../events/index.ts";
import type { World } from "../keeper/index.ts";
import { futureOfTime, type LeftFuture, sharedEnd } from "../volume/index.ts";
import type { CommitSpan, MomentTarget } from "../wal/index.ts";
import type { BacktrackReport, BacktrackRequest } from "./messages.ts";
import type { AbandonedFuture, BacktrackState, ClusterState, ExpiredFuture } from "./state.ts";

/** state.ts' AbandonedFuture, read. */
export interface LeftPath {
  readonly path: History;
  readonly fork: Lsn;
  readonly end: Lsn;
  readonly leftAtMs: number;
}

/** A future that is kept no more. */
export type GonePath = LeftFuture & { readonly untilMs: number };

/**
 * The volume's path as nodes show it that have come to this epoch; undefined: none of those that answer has. A node that lacks log below
 * the epoch's start has accepted it, too, and shows a path that ends before (quorum-protocol.md: the effective history).
 */
export function pathIn(
  states: readonly Pick<State, "accepted" | "history">[],
  epoch: number,
): History | undefined {
  const whole = states.find(
    ({ accepted, history }) => accepted === epoch && lastEpoch(history) === epoch,
  );
  return whole?.history;
}

/** So many are remembered each, which takes up to a quarter of a megabyte in the state; the older ones as one. */
export const expiredMax = 1_000;

/** The state in which futures that were left longer ago than the window are kept no more; the same one if there are none. */
export function withExpired(
  state: ClusterState,
  { nowMs, windowMs }: { readonly nowMs: number; readonly windowMs: number },
): ClusterState {
  const { abandoned = [], expired = [] } = state;
  const isOver = ({ leftAtMs }: AbandonedFuture): boolean => leftAtMs <= nowMs - windowMs;
  const over = abandoned.filter(isOver);
  if (over.length === 0) return state;
  const gone = over.map((one) => {
    const { path: _, ...facts } = one;
    return { ...facts, untilMs: one.leftAtMs + windowMs };
  });
  return {
    ...state,
    abandoned: abandoned.filter((one) => !isOver(one)),
    expired: inBounds([...expired, ...gone]),
  };
}

/** Those that are too many are one, which has all of their moments: none of them is ever taken for another one. */
function inBounds(expired: readonly ExpiredFuture[]): ExpiredFuture[] {
  const oldestFirst = expired.toSorted((a, b) => a.leftAtMs - b.leftAtMs);
  if (oldestFirst.length <= expiredMax) return oldestFirst;
  const newest = oldestFirst.slice(1 - expiredMax);
  return [oldestFirst.slice(0, 1 - expiredMax).reduce(bothOf), ...newest];
}

/** That futures are not remembered each any more: nobody sees by looking what a moment of theirs will be told. */
export function mergedNews(was: ClusterState, is: ClusterState): Omit<ClusterEvent, "time">[] {
  const [before, after] = [was, is].map(({ expired }) => expired?.[0]?.merged);
  const [oldest] = is.expired ?? [];
  if (oldest === undefined || after === undefined || after === before) return [];
  const { fork, end, leftAtMs } = oldest;
  const time = new Date(leftAtMs).toISOString();
  const message = `Of ${after} futures that backtracks left up to ${time} none is remembered for itself any more: restores, clones and backtracks refuse earlier times and LSNs up to ${end}, except what is below ${fork}.`;
  return [{ sourceType: "cluster", source: is.clusterId, category: "backtrack", message }];
}

function bothOf(a: ExpiredFuture, b: ExpiredFuture): ExpiredFuture {
  return {
    fork: formatLsn(lsnMin(parseLsn(a.fork), parseLsn(b.fork))),
    end: formatLsn(lsnMaxOf(parseLsn(a.end), parseLsn(b.end))),
    leftAtMs: Math.max(a.leftAtMs, b.leftAtMs),
    untilMs: Math.max(a.untilMs, b.untilMs),
    merged: (a.merged ?? 1) + (b.merged ?? 1),
  };
}

/**
 * The futures that snapshots have to be kept for: those that were left, and the one that a backtrack under way leaves, whose
 * end is not known yet. Pieces of control/state.json.
 */
export function futuresOf({
  abandoned = [],
  backtrack,
}: Pick<ClusterState, "abandoned" | "backtrack">): World["futures"] {
  const futures = abandoned.map(({ path, fork, end }) => ({ path, fork, end }));
  if (!backtrack) return futures;
  const { left: path, order, leftEnd: end } = backtrack;
  return [...futures, { path, fork: order.to, end }];
}

/** What backtracks left, the one under way (left at `nowMs`, if it is done) with them, for whoever looks for a moment. */
export function leftFutures(
  {
    abandoned = [],
    expired = [],
    backtrack,
  }: Pick<ClusterState, "abandoned" | "expired" | "backtrack">,
  nowMs: number,
): LeftFuture[] {
  const kept: (Omit<ExpiredFuture, "untilMs"> & { readonly untilMs?: number })[] = abandoned;
  const left = [...expired, ...kept].map((one): LeftFuture => {
    const { fork, end, leftAtMs, firstUs, returned, merged, isParents } = one;
    return {
      fork: parseLsn(fork),
      end: parseLsn(end),
      leftAtMs,
      firstUs: firstUs === undefined ? undefined : BigInt(firstUs),
      returned: readReturn(returned),
      untilMs: one.untilMs,
      ...(merged !== undefined && { merged }),
      ...(isParents && { isParents }),
    };
  });
  if (!backtrack) return left;
  const { order, leftEnd: end } = backtrack;
  const returned = readReturn(returnedBy(backtrack));
  const place = { fork: parseLsn(order.to), end: parseLsn(end), leftAtMs: nowMs };
  return [...left, { ...place, firstUs: undefined, returned, untilMs: undefined }];
}

function readReturn(returned: AbandonedFuture["returned"]): LeftFuture["returned"] {
  if (!returned) return undefined;
  const { leftAtMs, to, nextUs } = returned;
  return { leftAtMs, to: parseLsn(to), nextUs: nextUs === undefined ? undefined : BigInt(nextUs) };
}

/** What it brings back. */
export function returnedBy({
  order: { refill },
  returnsTo: leftAtMs,
  nextUs,
}: BacktrackState): AbandonedFuture["returned"] {
  if (!refill || leftAtMs === undefined) return undefined;
  return { leftAtMs, to: refill.to, ...(nextUs !== undefined && { nextUs }) };
}

/** A path, and how far it goes. */
export interface PathToSearch {
  readonly path: History;
  readonly end: Lsn;
  /** Of a future that was left: when; undefined: it is the present path. */
  readonly leftAtMs: number | undefined;
}

/**
 * The paths that may have a moment, the one to look at first before the others. A time that was a future's which is kept no more
 * may be on another one as well: before the two part, or where a return has brought it back. So the present path is looked at,
 * then what is kept, the newest first.
 */
export function pathsOf(
  target: MomentTarget,
  present: { readonly path: History; readonly end: Lsn },
  known: { readonly left: readonly LeftPath[]; readonly futures: readonly LeftFuture[] },
): PathToSearch[] {
  const { left, futures } = known;
  const one = pathOf(target, present, left);
  const meant = target.kind === "time" && futureOf(target, present.end, futures);
  if (!meant || !isGonePath(meant)) return [one];
  const newestFirst = left.toSorted((a, b) => b.leftAtMs - a.leftAtMs);
  return [
    { ...present, leftAtMs: undefined },
    ...newestFirst.map(({ path, end, leftAtMs }) => ({ path, end, leftAtMs })),
  ];
}

/**
 * Which path a moment is on. A time: the one that was the cluster's at that time. An LSN: the present one, if it has it;
 * else the newest future that was left and has it. The end of a future that was left always means that future, since it is
 * what a backtrack has printed.
 */
export function pathOf(
  target: MomentTarget,
  present: { readonly path: History; readonly end: Lsn },
  left: readonly LeftPath[],
): PathToSearch {
  const found = futureOf(target, present.end, left);
  if (found) return { path: found.path, end: found.end, leftAtMs: found.leftAtMs };
  return { ...present, leftAtMs: undefined };
}

/** Undefined: it is on the present path, which ends at `presentEnd`. */
function futureOf<Future extends { readonly end: Lsn; readonly leftAtMs: number }>(
  target: MomentTarget,
  presentEnd: Lsn,
  futures: readonly Future[],
): Future | undefined {
  const newestFirst = futures.toSorted((a, b) => b.leftAtMs - a.leftAtMs);
  if (target.kind === "time")
    return newestFirst.findLast(({ leftAtMs }) => BigInt(leftAtMs) * 1000n > target.timeUs);
  const { at } = target;
  const ended = newestFirst.find(({ end }) => end === at);
  return ended ?? (at < presentEnd ? undefined : newestFirst.find(({ end }) => at < end));
}

/**
 * The future that is meant, by the rule of pathOf, and is kept no more; undefined: what is meant is there, or never was.
 * `found`: the moment on the path that pathOf gave, which was left at `on`. It may be the same one: before the paths part, or
 * where a return has brought that future back.
 */
export function goneOf(
  target: MomentTarget,
  place: {
    readonly presentEnd: Lsn;
    readonly found: Lsn | undefined;
    readonly on: number | undefined;
  },
  futures: readonly LeftFuture[],
): GonePath | undefined {
  const { presentEnd, found, on } = place;
  const meant =
    target.kind === "lsn"
      ? meantByLsn(target.at, { presentEnd, on }, futures)
      : found && futureOfTime(futures, target.timeUs, found, on);
  return meant && isGonePath(meant) ? meant : undefined;
}

function meantByLsn(
  at: Lsn,
  { presentEnd, on }: { readonly presentEnd: Lsn; readonly on: number | undefined },
  futures: readonly LeftFuture[],
): LeftFuture | undefined {
  const isOf = (one: LeftFuture): boolean => at <= one.end && at > sharedEnd(futures, one, on);
  const each = futures.filter(({ merged }) => merged === undefined);
  const meant = futureOf({ kind: "lsn", at }, presentEnd, each);
  if (meant?.end !== at) {
    // It may be the end of one of them: of each nobody knows it.
    const merged = futures.find((one) => one.merged !== undefined && isOf(one));
    if (merged) return merged;
  }
  return meant && isOf(meant) ? meant : undefined;
}

function isGonePath(future: LeftFuture): future is GonePath {
  return future.untilMs !== undefined;
}

/** Where the present path has to be left to come to `at` of another path, which is that LSN itself if they are one to it. */
export function forkOf(
  present: History,
  wanted: History,
  range: { readonly from: Lsn; readonly at: Lsn },
): Lsn {
  return commonPrefix(present, wanted, { from: range.from, limit: range.at });
}

/** Raises 22023 where the text is no LSN. */
export function targetOf(to: BacktrackRequest["to"]): MomentTarget {
  return to.kind === "lsn"
    ? { kind: "lsn", at: parseLsn(to.at) }
    : { kind: "time", timeUs: BigInt(to.timeUs) };
}

/** ISO 8601 with microseconds, as `--to` takes it. */
export function formatMicros(timeUs: bigint): string {
  const micros = ((timeUs % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const seconds = Number((timeUs - micros) / 1_000_000n);
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19);
  return `${whole}.${String(micros).padStart(6, "0")}Z`;
}

export const notCounted: BacktrackReport["undone"] = { transactions: null, from: null, to: null };

/** What was undone, as a report tells it. */
export function undoneOf(span: CommitSpan | undefined): BacktrackReport["undone"] {
  if (!span) return { transactions: 0, from: null, to: null };
  const { commits, earliestUs, latestUs } = span;
  return { transactions: commits, from: formatMicros(earliestUs), to: formatMicros(latestUs) };
}

export function describe(target: MomentTarget): string {
  return target.kind === "time" ? formatMicros(target.timeUs) : formatLsn(target.at);
}

export function inTheFuture(target: MomentTarget): BorealisError {
  const why = `${describe(target)} lies in the future`;
  return new BorealisError(sqlState.invalidParameter, why, {
    hint: "a backtrack goes to a moment that the cluster has lived through",
  });
}

export function outsideWindow(
  target: MomentTarget,
  window: { readonly from: string; readonly to: string },
): BorealisError {
  const why = `${describe(target)} lies outside the backtrack window, which is from ${window.from} to ${window.to}`;
  return new BorealisError(sqlState.invalidParameter, why, {
    hint: "name a moment in the window; borealis backtrack --dry-run shows what one would undo",
  });
}

/** It was kept for backtrack.windowHours, and nobody has it any more. `lowest`: to what is below nobody goes back here. */
export function isGone(
  target: MomentTarget,
  { fork, leftAtMs, untilMs, merged, isParents }: GonePath,
  here: { readonly window: { readonly from: string; readonly to: string }; readonly lowest: Lsn },
): BorealisError {
  const { window, lowest } = here;
  const [left, until] = [leftAtMs, untilMs].map((ms) => new Date(ms).toISOString());
  const whose = isParents
    ? `was left at ${left}, before this cluster was cloned`
    : `was left at ${left} and could be returned to until ${until} (backtrack.windowHours)`;
  const why =
    merged === undefined
      ? `is in a future that ${whose}`
      : `may be in one of ${merged} futures that were left up to ${left}, of which none is remembered for itself`;
  const hints = [
    ...(isParents ? [parentsHint] : []),
    `the backtrack window is from ${window.from} to ${window.to}`,
    // A clone goes back to nothing that it has of its parent.
    ...(fork > lowest && !isParents ? [beginOf(fork, merged)] : []),
  ];
  return new BorealisError(sqlState.invalidParameter, `${describe(target)} ${why}`, {
    hint: hints.join("; "),
  });
}

const parentsHint =
  "a clone goes back to nothing that was left before it was made; the cluster that left it may still have it";

function beginOf(fork: Lsn, merged: number | undefined): string {
  if (merged === undefined) return `${formatLsn(fork)} is where that future began`;
  return `name a later time, or an LSN up to ${formatLsn(fork)}`;
}

export function underWay(): BorealisError {
  const why = "a backtrack is under way";
  return new BorealisError(sqlState.notInPrerequisiteState, why, {
    hint: "wait for its end: borealis status says backtracking until then",
  });
}

export function nothingToUndo(target: MomentTarget): BorealisError {
  const why = `nothing was committed after ${describe(target)}: there is nothing to undo`;
  return new BorealisError(sqlState.notInPrerequisiteState, why, {
    hint: "name an earlier moment",
  });
}

export function noSnapshot(
  target: MomentTarget,
  window: { readonly from: string; readonly to: string },
): BorealisError {
  const why = `no snapshot leads any more to where the way to ${describe(target)} begins; the backtrack window is from ${window.from} to ${window.to}`;
  return new BorealisError(sqlState.invalidParameter, why, {
    hint: "name a moment in the window; borealis snapshot list shows what there is",
  });
}

/** The plan holds no more: there is nothing to regret, since nothing was written down yet. */
export function otherWriter(): BorealisError {
  const why = "the writer was lost or has changed meanwhile; nothing was undone";
  return new BorealisError(sqlState.notInPrerequisiteState, why, { hint: "ask again" });
}

export function lostStage(id: string, problem: string | null | undefined): BorealisError {
  const why = `${id} could not be made ready${problem ? `: ${problem}` : ""}; nothing was undone`;
  const isFull = problem?.includes("No space left on device") === true;
  const hint = isFull ? `make room on the disk of ${id}, and ask again` : "ask again";
  return new BorealisError(sqlState.cannotConnectNow, why, { hint });
}

export function notYet(): BorealisError {
  const why = "the backtrack goes on, but no writer has opened yet";
  return new BorealisError(sqlState.cannotConnectNow, why, {
    hint: "it is carried out by whoever takes the volume; borealis status shows how it is",
  });
}
