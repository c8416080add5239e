import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import { advance, formatLsn, type Lsn, parseLsn } from "../base/lsn.ts";
import { stampCache, unstampCache } from "../engine/index.ts";
import { sleep } from "../io/index.ts";
import {
  type Claimed,
  type LogDriverHandle,
  type Opened,
  type Opening,
  type OwnLog,
  type TimelineChoice,
  VolumeReader,
} from "../log-driver/index.ts";
import type { History } from "../quorum/index.ts";
import type { AgentDeps } from "./agent-deps-shell.ts";
import {
  type Backtrack,
  type BacktrackPlan,
  hasBegun,
  placesToLook,
  planBacktrack,
} from "./backtrack.ts";
import { noteCachePath } from "./cache-path-shell.ts";
import type { AgentConfig, BacktrackOrder } from "./messages.ts";
import { linkOwner, nodesNearestFirst } from "./nodes.ts";
import { parsePath } from "./path-text.ts";
import { promoteAt } from "./promotion-shell.ts";
import { NothingServes, rebuildCache } from "./rebuild-shell.ts";
import type { Standby } from "./standby-shell.ts";
import type { Standstill } from "./standstill.ts";

/** A store or a node that is away for longer keeps a cluster from writing for the sake of what can be asked for again. */
const patienceMs = 60_000;
const againMs = 1_000;
/** The smallest of a node's files, and no more questions than are answered in a second for each gigabyte. */
const lookEveryBytes = 2 * 1024 * 1024;

export interface BacktrackWork {
  readonly config: AgentConfig;
  readonly deps: AgentDeps;
  readonly driver: Pick<LogDriverHandle, "claim" | "release">;
  readonly standby: Standby;
  readonly standstill: Standstill;
  readonly claimed: Claimed;
  /** Opens what was claimed. */
  readonly open: (claimed: Claimed, choice: TimelineChoice) => Promise<Opened>;
  readonly signal: AbortSignal;
}

export function readBacktrack(order: BacktrackOrder): Backtrack {
  const { to, refill, sinceEpoch } = order;
  return {
    to: parseLsn(to),
    refill: refill ? { path: parsePath(refill.path), to: parseLsn(refill.to) } : undefined,
    sinceEpoch,
  };
}

/**
 * Takes the volume back to where the order says, with this instance as the writer of the path from there on. Undefined:
 * nothing was done, since there is nothing to do any more, or it cannot be; an ordinary start of the writer follows, and
 * whoever ordered finds out by the path.
 */
export async function carryOutBacktrack(
  work: BacktrackWork,
  order: BacktrackOrder,
): Promise<Opened | undefined> {
  const backtrack = readBacktrack(order);
  const plan = planBacktrack(work.claimed, backtrack);
  const { logger } = work.deps;
  logger.info({ event: "backtrack.planned", to: order.to, plan: plan.kind });
  switch (plan.kind) {
    case "impossible":
      logger.error({ event: "backtrack.impossible", to: order.to }, plan.reason);
      return undefined;
    case "done":
      return undefined;
    case "leave": {
      if (await isGivenUp(work, backtrack, plan)) return undefined;
      return promote(work, { ...work.claimed, start: backtrack.to }, plan.opening);
    }
    default:
      if (await isGivenUp(work, backtrack, plan)) return undefined;
      return refill(work, plan);
  }
}

/**
 * Makes ready what the epoch needs that is to be opened next. What cannot be made ready, ever or for a while, would leave the
 * volume without a writer for as long. So as long as the path that was claimed has no entry of the backtrack, it is given up:
 * the writer opens where it was, with all that was acknowledged, in an epoch whose path has none either, and that is the end of
 * it (planBacktrack). Raises what gives nobody a reason to, and all that stands in the way of one that has begun.
 */
async function isGivenUp(
  work: BacktrackWork,
  backtrack: Backtrack,
  plan: Extract<BacktrackPlan, { kind: "leave" | "refill" }>,
): Promise<boolean> {
  const { claimed, deps, signal } = work;
  const { clock, logger } = deps;
  const to = formatLsn(backtrack.to);
  const startMs = clock.nowMs();
  for (;;) {
    try {
      // The kept log first: as long as that may be missing the cache is of use.
      if (plan.kind === "refill") await requireKept(work, plan.openings);
      await ensureCacheBelow(work, backtrack.to);
      return false;
    } catch (error) {
      if (signal.aborted || !mayBeGivenUp(error) || hasBegun(claimed, backtrack)) throw error;
      const isFinal = error instanceof NothingServes || clock.nowMs() - startMs >= patienceMs;
      if (isFinal) {
        logger.error({ event: "backtrack.impossible", to }, messageOf(error));
        return true;
      }
      logger.warn({ event: "backtrack.notReady", to }, messageOf(error));
    }
    await sleep(clock, againMs, signal);
  }
}

/** A disk without room keeps an ordinary start from building its cache, too: whoever makes room gets what was asked for. */
function mayBeGivenUp(error: unknown): boolean {
  return error instanceof BorealisError && error.code !== sqlState.diskFull;
}

/** Raises 58030 where the nodes that answer do not have the kept log: an epoch that takes it would leave the path, and stay there. */
async function requireKept(
  { config, deps, signal }: BacktrackWork,
  openings: readonly Opening[],
): Promise<void> {
  const nodes = nodesNearestFirst(config);
  const reader = new VolumeReader({ nodes, owner: linkOwner(config), clock: deps.clock, signal });
  try {
    for (const { path, at } of placesToLook(openings, lookEveryBytes))
      await reader.read({ path, from: at, to: advance(at, 1) });
  } finally {
    reader.close();
  }
}

/** Undo: the kept log becomes the volume's again, epoch by epoch; then PostgreSQL replays it and is promoted at its end. */
async function refill(
  work: BacktrackWork,
  plan: Extract<BacktrackPlan, { kind: "refill" }>,
): Promise<Opened> {
  const { driver, open, deps, standby } = work;
  let { claimed } = work;
  for (const opening of plan.openings) {
    const { epoch } = await open(claimed, opening);
    deps.logger.info({ event: "backtrack.refilled", epoch, to: opening.refill?.to });
    // Nothing was ever served in it: nobody needs to wait for its lease.
    await driver.release();
    claimed = await driver.claim();
  }
  if (claimed.start !== plan.promoteAt) {
    const [at, wanted] = [formatLsn(claimed.start), formatLsn(plan.promoteAt)];
    throw new BorealisError(sqlState.internal, `the log was refilled to ${at}, not to ${wanted}`);
  }
  const { start, history } = claimed;
  // The feed so far knows the path that was just left, and would lead PostgreSQL onto it.
  await standby.closeFeed();
  await standby.openFeed(start, history);
  return promote({ ...work, claimed }, claimed, "new");
}

function promote(work: BacktrackWork, at: Claimed, choice: TimelineChoice): Promise<Opened> {
  const { config, deps, standby, standstill, open, claimed, signal } = work;
  return promoteAt({
    config,
    deps,
    standby,
    standstill,
    claimed: at,
    open: () => open(claimed, choice),
    signal,
  });
}

/** A standby that was staged for this has replayed nothing beyond; any other cache is built again, as far as there. */
async function ensureCacheBelow(work: BacktrackWork, to: Lsn): Promise<void> {
  const { config, deps, standby, claimed, signal } = work;
  if (standby.isRunning && standby.feed?.view.cap === to) return;
  if (standby.isRunning) await standby.postgres.stop("immediate", 5_000);
  await standby.closeFeed();
  await unstampCache(config.instanceDir);
  await noteCachePath(config, claimed.history, to);
  const { history: path, low: base } = claimed;
  await rebuildBelow({ config, deps, path, base, limit: to, signal });
  await stampCache(config.instanceDir, volumeId(config.volumeId));
}

/** A cache from which `limit` can be reached: never a copy of a live instance, which is beyond it. */
export async function rebuildBelow(below: {
  readonly config: AgentConfig;
  readonly deps: AgentDeps;
  readonly path: History;
  /** Where the log begins that the nodes have. */
  readonly base: Lsn;
  readonly limit: Lsn;
  readonly signal: AbortSignal;
}): Promise<OwnLog | undefined> {
  const { config, deps, path, base, limit, signal } = below;
  return rebuildCache({
    config,
    deps,
    signal,
    sources: [],
    reason: `a backtrack to ${formatLsn(limit)}`,
    patienceMs: 0,
    wish: { path, at: limit, base },
    untilUsable: () => Promise.resolve(),
  });
}
