import { findLsn, formatLsn, type Lsn } from "../base/lsn.ts";
import type { Postgres } from "../engine/index.ts";
import { sleep } from "../io/index.ts";
import type { Opened } from "../log-driver/index.ts";
import type { PgClient } from "../wire/index.ts";
import type { AgentDeps } from "./agent-shell.ts";
import { startFeed } from "./feed-shell.ts";
import type { AgentConfig } from "./messages.ts";
import { connectAgent } from "./postgres-shell.ts";

const readyTimeoutMs = 600_000;
const pollMs = 2;

export interface Promotion {
  readonly config: AgentConfig;
  readonly deps: AgentDeps;
  readonly postgres: Postgres;
  /** The recovery LSN: where the epoch will start, and the instance is promoted. */
  readonly at: Lsn;
  /** Opens the epoch; asked for only when PostgreSQL runs, so that one that cannot start costs no epoch. */
  readonly open: () => Promise<Opened>;
  readonly signal: AbortSignal;
}

/**
 * Feeds a standby to the epoch's start and not a byte more, then promotes it there: PostgreSQL ends at its last
 * complete record, which is where the log driver goes on. pg_promote(false) and polling: waiting inside costs 100 ms.
 */
export async function promoteAt({
  config,
  deps,
  postgres,
  at,
  open,
  signal,
}: Promotion): Promise<Opened> {
  const feed = await startFeed(config, deps);
  feed.setCap(at);
  try {
    await postgres.start("reader");
    await postgres.untilReady({ timeoutMs: readyTimeoutMs, signal });
    const client = await connectAgent(postgres);
    const opened = await open();
    await untilReplayed(client, at, { deps, signal });
    await client.query("SELECT pg_catalog.pg_promote(false)");
    while ((await client.query("SELECT pg_catalog.pg_is_in_recovery()")).rows[0]?.[0] !== "f") {
      if (signal.aborted) throw signal.reason;
      await sleep(deps.clock, pollMs, signal);
    }
    await client.close();
    await postgres.adoptRole("writer");
    return opened;
  } finally {
    await feed.close();
  }
}

async function untilReplayed(
  client: PgClient,
  to: Lsn,
  wait: { readonly deps: AgentDeps; readonly signal: AbortSignal },
): Promise<void> {
  for (;;) {
    const { rows } = await client.query("SELECT pg_catalog.pg_last_wal_replay_lsn()");
    const at = findLsn(rows[0]?.[0] ?? "");
    if (at !== undefined && at >= to) break;
    if (wait.signal.aborted) throw wait.signal.reason;
    await sleep(wait.deps.clock, pollMs, wait.signal);
  }
  wait.deps.logger.info({ event: "recovery.replayed", to: formatLsn(to) });
}
