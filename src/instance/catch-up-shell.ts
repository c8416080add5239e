import { findLsn, formatLsn, type Lsn, lsnZero } from "../base/lsn.ts";
import { sleep } from "../io/index.ts";
import type { LogFeed } from "../log-driver/index.ts";
import type { PgClient } from "../wire/index.ts";
import type { AgentDeps } from "./agent-deps-shell.ts";

const pollMs = 20;
/** Without a byte replayed for so long it takes sessions all the same: reads go on while nodes are away. */
const patienceMs = 10_000;

/**
 * Waits until a hot standby has replayed all that was durable when it was asked. PostgreSQL takes sessions from its consistent
 * point on, which for one that was just built is its snapshot's end: it would show a past, even one without the master user.
 * Resolves too when nobody says what is durable, or when replay stands still.
 */
export async function untilCaughtUp(
  client: PgClient,
  feed: LogFeed,
  { clock, logger }: Pick<AgentDeps, "clock" | "logger">,
  signal: AbortSignal,
): Promise<void> {
  const target = await feed.inspect().then(
    ({ vdl }) => vdl,
    () => lsnZero,
  );
  let seen: Lsn = lsnZero;
  let movedMs = clock.nowMs();
  for (;;) {
    const { rows } = await client.query("SELECT pg_catalog.pg_last_wal_replay_lsn()");
    const at = findLsn(rows[0]?.[0] ?? "") ?? lsnZero;
    if (at >= target) return;
    if (at > seen) movedMs = clock.nowMs();
    else if (clock.nowMs() - movedMs > patienceMs) {
      logger.warn({ event: "reader.behind", at: formatLsn(at), durable: formatLsn(target) });
      return;
    }
    seen = at;
    await sleep(clock, pollMs, signal);
    if (signal.aborted) throw signal.reason;
  }
}
