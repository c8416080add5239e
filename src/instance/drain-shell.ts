import type { Postgres } from "../engine/index.ts";
import { type Clock, sleep } from "../io/index.ts";
import { connectAgent } from "./postgres-shell.ts";

const pollMs = 2;

/** Statements of users that run now, commits that wait for the quorum among them; each by its session and its begin. */
const runningSql =
  "SELECT pid || ' ' || query_start FROM pg_catalog.pg_stat_activity " +
  "WHERE backend_type = 'client backend' AND state IN ('active', 'fastpath function call') " +
  "AND pid <> pg_catalog.pg_backend_pid() AND application_name <> 'borealis_agent'";

/** So long statements may still arrive that were sent before their proxy heard that it should hold them. */
const stragglersMs = 20;

/** Resolves when nothing runs; what began after the first moments is not waited for, and nothing longer than `withinMs`. */
export async function drainSessions(
  postgres: Pick<Postgres, "address">,
  { clock, withinMs }: { readonly clock: Clock; readonly withinMs: number },
): Promise<void> {
  const startMs = clock.nowMs();
  const elapsedMs = (): number => clock.nowMs() - startMs;
  const client = await connectAgent(postgres);
  try {
    const running = async (): Promise<Set<string | null | undefined>> =>
      new Set((await client.query(runningSql)).rows.map(([one]) => one));
    let left = await running();
    while (left.size > 0 && elapsedMs() < withinMs) {
      await sleep(clock, pollMs);
      const now = await running();
      left = elapsedMs() < stragglersMs ? now : new Set([...left].filter((one) => now.has(one)));
    }
  } finally {
    client.destroy();
  }
}
