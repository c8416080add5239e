import { BorealisError, sqlState } from "../base/errors.ts";
import { findLsn, formatLsn, type Lsn } from "../base/lsn.ts";
import { unstampCache } from "../engine/index.ts";
import { sleep } from "../io/index.ts";
import type { Claimed, Opened } from "../log-driver/index.ts";
import type { PgClient } from "../wire/index.ts";
import type { AgentDeps } from "./agent-deps-shell.ts";
import { noteCachePath } from "./cache-path-shell.ts";
import { readCutoff } from "./cutoff-shell.ts";
import { historyBelow, installPathHistory, newestHistoryFile } from "./history-shell.ts";
import type { AgentConfig } from "./messages.ts";
import type { Standby } from "./standby-shell.ts";
import type { Standstill } from "./standstill.ts";

const readyTimeoutMs = 600_000;
const pollMs = 2;
/** A standby that replays nothing for so long, though it has not all it needs, never will. */
const stuckAfterMs = 60_000;
/** One that replayed all and does not become a writer in so long: much longer than to empty any number of unlogged tables. */
const neverPromotedMs = 300_000;
/** ... and which may take so long before it counts as standing still. */
const quietPromotionMs = 15_000;

const endsWithinMs = 1_000;
const lostSession: ReadonlySet<string> = new Set([
  sqlState.connectionFailure,
  sqlState.adminShutdown,
]);

export interface Promotion {
  readonly config: AgentConfig;
  readonly deps: AgentDeps;
  /** Running as a reader's, or down with a cache that may be read on from. */
  readonly standby: Standby;
  /** Told how it gets on, once only its PostgreSQL has anything left to do. */
  readonly standstill: Standstill;
  /** Its start is the recovery LSN b: where the epoch will begin, and the instance is promoted. */
  readonly claimed: Claimed;
  /** Opens the epoch: of a standby that runs when all is ready for it, of one that is down before it is started. */
  readonly open: () => Promise<Opened>;
  readonly signal: AbortSignal;
}

/**
 * Feeds a standby to the epoch's start and not a byte more, then promotes it there: PostgreSQL ends at its last
 * complete record, which is where the log driver goes on. The order is D45's: cap the feed, open the epoch, replay to
 * b, take all sessions off, note the cutoff, promote. pg_promote(false) and polling: waiting inside costs 100 ms.
 *
 * A cache that was just hydrated takes no sessions before it has replayed to its snapshot's end, and nodes that were all
 * started anew do not tell how far readers may read before an epoch is open: so the epoch comes first where nothing runs.
 */
export async function promoteAt(promotion: Promotion): Promise<Opened> {
  const { config, deps, standby, standstill, claimed, open, signal } = promotion;
  const { start: at } = claimed;
  const wait = { config, deps, standstill, signal };
  // If this dies with the cache still a reader's, it has log of this path, and maybe as far as here.
  await noteCachePath(config, claimed.history, at);
  // A node that has not heard of this path yet, and is on one that a backtrack left, would lead PostgreSQL onto that.
  await standby.openFeed(at, claimed.history);
  let runs = standby.isRunning;
  try {
    const openedFirst = runs ? undefined : await open();
    runs = true;
    await ensureOnPath(promotion);
    const client = await standby.takeSession();
    try {
      const opened = openedFirst ?? (await open());
      standstill.moved(deps.clock.nowMs());
      await freeReplay(client);
      await untilReplayed(client, at, wait);
      standby.tellCutoff(await readCutoff(client));
      await client.query("SELECT pg_catalog.pg_promote(false)");
      await untilPromoted(client, wait);
      deps.logger.info({ event: "recovery.promoted", at: formatLsn(at) });
      // Who slipped in meanwhile believes to be on a reader.
      await takeSessionsOff(client);
      await Promise.all([standby.postgres.adoptRole("writer"), standby.closeFeed()]);
      standby.giveSession(client);
      return opened;
    } catch (error) {
      client.destroy();
      throw error;
    }
  } catch (error) {
    if (runs && (await hasEnded(promotion, error))) await unstampCache(config.instanceDir);
    throw error;
  } finally {
    standstill.end();
    await standby.closeFeed();
  }
}

/**
 * Whether PostgreSQL ended by itself while it replayed what the volume has: it would do so at each attempt on this cache.
 * Whoever makes it end on purpose does so after the promotion was given up.
 */
async function hasEnded({ deps, standby, signal }: Promotion, error: unknown): Promise<boolean> {
  const { clock } = deps;
  const startMs = clock.nowMs();
  const isLost = error instanceof BorealisError && lostSession.has(error.code);
  // Its sessions hear of it before it is gone.
  while (isLost && standby.isRunning && !signal.aborted && clock.nowMs() - startMs < endsWithinMs)
    await sleep(clock, pollMs);
  return !standby.isRunning;
}

/**
 * The path's history files, and a PostgreSQL that has seen no others (D38). One that runs and has followed a timeline
 * which wrote nothing would name that one as its parent and take another number than the registered one: it is started
 * again, and follows the path from its files.
 */
async function ensureOnPath({ config, standby, claimed, signal }: Promotion): Promise<void> {
  const spans = historyBelow(claimed);
  const last = spans.at(-1)?.timeline ?? 0;
  if (standby.isRunning && (await newestHistoryFile(config)) > last) {
    await standby.postgres.stop("immediate", 5_000);
  }
  await installPathHistory(config, spans);
  if (!standby.isRunning) await standby.start({ timeoutMs: readyTimeoutMs, signal });
}

/**
 * Nothing may hold up replay: a pause that somebody asked for, or a query that conflicts with it (the wait does not
 * read a lowered max_standby_streaming_delay again, so the query has to go).
 */
async function freeReplay(client: PgClient): Promise<void> {
  await client.query("SELECT pg_catalog.pg_wal_replay_resume()");
  await takeSessionsOff(client);
}

async function takeSessionsOff(client: PgClient): Promise<void> {
  await client.query(
    "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity " +
      "WHERE backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()",
  );
}

interface Wait {
  readonly config: AgentConfig;
  readonly deps: AgentDeps;
  readonly standstill: Standstill;
  readonly signal: AbortSignal;
}

async function untilReplayed(
  client: PgClient,
  to: Lsn,
  { config, deps, standstill, signal }: Wait,
): Promise<void> {
  const { clock, logger } = deps;
  let before: Lsn | undefined;
  for (;;) {
    const { rows } = await client.query("SELECT pg_catalog.pg_last_wal_replay_lsn()");
    const at = findLsn(rows[0]?.[0] ?? "");
    if (at !== undefined && at >= to) break;
    if (signal.aborted) throw signal.reason;
    if (at !== before) standstill.moved(clock.nowMs());
    before = at;
    if (standstill.ms(clock.nowMs()) > stuckAfterMs) {
      // The next attempt would stand there, too: it begins with another cache.
      await unstampCache(config.instanceDir);
      const where = at === undefined ? "nowhere" : formatLsn(at);
      const why = `replay stands at ${where} and does not reach ${formatLsn(to)}`;
      throw new BorealisError(sqlState.cannotConnectNow, why);
    }
    await sleep(clock, pollMs, signal);
  }
  logger.info({ event: "recovery.replayed", to: formatLsn(to) });
}

async function untilPromoted(client: PgClient, { deps, standstill, signal }: Wait): Promise<void> {
  const { clock } = deps;
  // What it does meanwhile it does not tell: unlogged tables may be many.
  standstill.moved(clock.nowMs() + quietPromotionMs);
  while ((await client.query("SELECT pg_catalog.pg_is_in_recovery()")).rows[0]?.[0] !== "f") {
    if (signal.aborted) throw signal.reason;
    if (standstill.ms(clock.nowMs()) > neverPromotedMs) {
      throw new BorealisError(sqlState.cannotConnectNow, "PostgreSQL does not become a writer");
    }
    await sleep(clock, pollMs, signal);
  }
  standstill.moved(clock.nowMs());
}
