import type { Postgres } from "../engine/index.ts";
import { type Clock, sleep } from "../io/index.ts";
import { connectAgent } from "./postgres-shell.ts";

const pollMs = 2;

/**
 * What runs for users now, commits that wait for the quorum included: whether by itself, or in a transaction block, whose client
 * may be at its next statement. In extended messages the transaction of a statement by itself is as old as its Parse.
 */
const runningSql =
  "SELECT DISTINCT state LIKE 'idle%' OR coalesce(query_start - xact_start > interval '20 ms', false) " +
  "FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend' AND (state IN ('active', 'fastpath function call') " +
  "OR state = 'idle in transaction' AND state_change > pg_catalog.clock_timestamp() - interval '20 ms') " +
  "AND pid <> pg_catalog.pg_backend_pid() AND application_name <> 'borealis_agent'";

/** Nothing seen for so long: what was sent before its proxy heard that nothing more is to begin has come. */
const quietMs = 10;
export interface DrainTimes {
  readonly withinMs: number;
  /** For transaction blocks. */
  readonly blocksMs: number;
}

/** Resolves when nothing runs any more, or after `withinMs`. New statements are held elsewhere meanwhile. */
export async function drainSessions(
  postgres: Pick<Postgres, "address">,
  { clock, withinMs, blocksMs }: DrainTimes & { readonly clock: Clock },
): Promise<void> {
  const startMs = clock.nowMs();
  const elapsedMs = (): number => clock.nowMs() - startMs;
  const client = await connectAgent(postgres);
  try {
    let quietSinceMs: number | undefined;
    while (elapsedMs() < withinMs) {
      const kinds = (await client.query(runningSql)).rows.map(([isInBlock]) => isInBlock);
      const isBusy = kinds.includes("f") || (kinds.length > 0 && elapsedMs() < blocksMs);
      quietSinceMs = isBusy ? undefined : (quietSinceMs ?? clock.nowMs());
      if (quietSinceMs !== undefined && clock.nowMs() - quietSinceMs >= quietMs) return;
      await sleep(clock, pollMs);
    }
  } finally {
    client.destroy();
  }
}
