/** Where a backtrack goes, from what is known of the volume's paths: decisions only. */
import { BorealisError, sqlState } from "../base/errors.ts";
import { formatLsn, type Lsn, parseLsn } from "../base/lsn.ts";
import { commonPrefix, type History } from "../quorum/index.ts";
import type { World } from "../keeper/index.ts";
import type { LeftFuture } from "../volume/index.ts";
import type { CommitSpan, MomentTarget } from "../wal/index.ts";
import type { BacktrackReport, BacktrackRequest } from "./messages.ts";
import type { AbandonedFuture, BacktrackState, ClusterState } from "./state.ts";

/** state.ts' AbandonedFuture, read. */
export interface LeftPath {
  readonly path: History;
  readonly fork: Lsn;
  readonly end: Lsn;
  readonly leftAtMs: number;
}

/** state.ts' ExpiredFuture, read. */
export interface GonePath {
  readonly fork: Lsn;
  readonly end: Lsn;
  readonly leftAtMs: number;
  readonly untilMs: number;
}

/** Of more, nobody remembers the LSNs that a backtrack has printed. */
const expiredMax = 64;

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
    expired: [...expired, ...gone].slice(-expiredMax),
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
  const left = [...expired, ...abandoned].map((one): LeftFuture => {
    const { fork, end, leftAtMs, firstUs, returned } = one;
    return {
      fork: parseLsn(fork),
      end: parseLsn(end),
      leftAtMs,
      firstUs: firstUs === undefined ? undefined : BigInt(firstUs),
      returned: readReturn(returned),
      untilMs: "untilMs" in one ? one.untilMs : undefined,
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
 * `found`: the moment on the path that pathOf gave. Before the fork that is the same one; and where `committed`, the end of the
 * last commit before it, lies behind the fork, a return has brought that future back: it was left later than the moment.
 */
export function goneOf(
  target: MomentTarget,
  place: {
    readonly presentEnd: Lsn;
    readonly found: Lsn | undefined;
    readonly committed: Lsn | undefined;
  },
  { left, gone }: { readonly left: readonly LeftPath[]; readonly gone: readonly GonePath[] },
): GonePath | undefined {
  const { presentEnd, found, committed } = place;
  const meant = futureOf<LeftPath | GonePath>(target, presentEnd, [...left, ...gone]);
  if (!meant || !("untilMs" in meant)) return undefined;
  if (target.kind === "time") {
    if (found === undefined || found < meant.fork) return undefined;
    if (committed !== undefined && committed > meant.fork) return undefined;
  }
  return meant;
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

/** It was kept for backtrack.windowHours, and nobody has it any more. */
export function isGone(
  target: MomentTarget,
  { fork, leftAtMs, untilMs }: GonePath,
  window: { readonly from: string; readonly to: string },
): BorealisError {
  const [left, until] = [leftAtMs, untilMs].map((ms) => new Date(ms).toISOString());
  const why = `${describe(target)} is in a future that was left at ${left} and could be returned to until ${until} (backtrack.windowHours)`;
  return new BorealisError(sqlState.invalidParameter, why, {
    hint: `the backtrack window is from ${window.from} to ${window.to}; ${formatLsn(fork)} is where that future began`,
  });
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

export function noSnapshot(target: MomentTarget): BorealisError {
  const why = `no snapshot reaches back to ${describe(target)}`;
  return new BorealisError(sqlState.notInPrerequisiteState, why, {
    hint: "name a later moment; borealis snapshot list shows what there is",
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
