/** Where a backtrack goes, from what is known of the volume's paths: decisions only. */
import { BorealisError, sqlState } from "../base/errors.ts";
import { formatLsn, type Lsn, parseLsn } from "../base/lsn.ts";
import { commonPrefix, type History } from "../quorum/index.ts";
import type { World } from "../keeper/index.ts";
import type { CommitSpan, MomentTarget } from "../wal/index.ts";
import type { BacktrackReport, BacktrackRequest } from "./messages.ts";
import type { ClusterState } from "./state.ts";

/** state.ts' AbandonedFuture, read. */
export interface LeftPath {
  readonly path: History;
  readonly fork: Lsn;
  readonly end: Lsn;
  readonly leftAtMs: number;
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

/** A path, and how far it goes. */
export interface PathToSearch {
  readonly path: History;
  readonly end: Lsn;
  readonly isAbandoned: boolean;
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
  const newestFirst = left.toSorted((a, b) => b.leftAtMs - a.leftAtMs);
  const found =
    target.kind === "time"
      ? newestFirst.findLast(({ leftAtMs }) => BigInt(leftAtMs) * 1000n > target.timeUs)
      : (newestFirst.find(({ end }) => end === target.at) ??
        (target.at < present.end ? undefined : newestFirst.find(({ end }) => target.at < end)));
  if (found) return { path: found.path, end: found.end, isAbandoned: true };
  return { ...present, isAbandoned: false };
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
