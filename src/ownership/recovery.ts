import { assert } from "../base/assert.ts";
import { epochNone, type NodeId, timeline } from "../base/ids.ts";
import { type Lsn, lsn, lsnMaxOf, lsnZero } from "../base/lsn.ts";
import {
  type Configuration,
  type History,
  lastEpoch,
  membersOf,
  newestBacktrack,
  type Pin,
  type Promised,
  type Rules,
  timelineAt,
} from "../quorum/index.ts";

/** What the promises of an owned claim say about the log to go on from (section 7, Choosing). */
export interface Recovery {
  /** The node whose log is the volume's. */
  readonly best: NodeId;
  /** Its effective history. */
  readonly path: History;
  /** Its SCL: nothing beyond was ever acknowledged. */
  readonly recoveryLsn: Lsn;
  /** A known record end (or base) at or below recoveryLsn, from which to walk. */
  readonly walkFrom: Lsn;
  readonly low: Lsn;
  readonly floor: Lsn;
  readonly pins: readonly Pin[];
  /** Highest VDL that some promise speaks of on this path; recovery below it would lose acknowledged log. */
  readonly guardVdl: Lsn;
}

type Promises = ReadonlyMap<NodeId, Promised>;

/**
 * Among the promises of members: the best log is the one of the highest (last epoch, SCL). Never the longest as such: a
 * long log of an old epoch is an abandoned tail (M4).
 */
export function chooseRecovery(
  configuration: Configuration,
  promises: Promises,
  rules: Rules,
): Recovery {
  let best: NodeId | undefined;
  let bestPromise: Promised | undefined;
  const counted: Promised[] = [];
  for (const { nodeId } of membersOf(configuration)) {
    const promise = promises.get(nodeId);
    if (!promise) continue;
    counted.push(promise);
    if (bestPromise && !rules.isBetter(rankOf(promise), rankOf(bestPromise))) continue;
    best = nodeId;
    bestPromise = promise;
  }
  assert(best !== undefined && bestPromise !== undefined, "an owned claim has promises");
  const path = bestPromise.history;
  const hints = hintsOn(path, counted);
  const recoveryLsn = bestPromise.scl;
  return {
    best,
    path,
    recoveryLsn,
    walkFrom: walkStart(bestPromise, hints),
    low: highest(counted.map((promise) => promise.base)),
    floor: highest(counted.map((promise) => promise.floor)),
    pins: unionOfPins(counted),
    guardVdl: highest(hints),
  };
}

function rankOf(promise: Promised) {
  return { lastEpoch: lastEpoch(promise.history), scl: promise.scl };
}

/** Hints older than the newest backtrack speak of history that was removed on purpose. */
function hintsOn(path: History, promises: readonly Promised[]): Lsn[] {
  const backtrack = newestBacktrack(path)?.epoch ?? epochNone;
  return promises.filter((one) => one.vdlEpoch >= backtrack).map((one) => one.vdl);
}

/** VDLs and starts of epochs are record ends (I13); a base is at least the start of a WAL segment (decisions.md D3). */
function walkStart(best: Promised, hints: readonly Lsn[]): Lsn {
  const starts = best.history.map((entry) => entry.start);
  const known = [...hints, ...starts].filter((at) => at >= best.base && at <= best.scl);
  return highest([best.base, ...known]);
}

function highest(lsns: readonly Lsn[]): Lsn {
  return lsns.reduce(lsnMaxOf, lsnZero);
}

function unionOfPins(promises: readonly Promised[]): Pin[] {
  const pins = new Map<string, Pin>();
  for (const promise of promises) for (const pin of promise.pins) pins.set(pin.pinId, pin);
  return [...pins.values()];
}

/**
 * The timelines between which the shell chooses: that of the last byte below b, and the one that an instance promoted
 * at b will take. PostgreSQL counts from the history files that it knows, and zero-length entries are in none of them
 * (timelineSpans): the number of an epoch that opened at b and wrote nothing is free. No byte of it was ever chosen,
 * and identity is the epoch, never the number.
 */
export function branchTimelines(recovery: Recovery, b: Lsn) {
  const { path } = recovery;
  const isEmpty = path[0] === undefined || path[0].start >= b;
  const below = timelineAt(path, isEmpty ? b : lsn(b - 1n));
  return { timeline: below, nextTimeline: timeline(below + 1) };
}
