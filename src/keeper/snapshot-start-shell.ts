import { messageOf } from "../base/errors.ts";
import { findLsn, type Lsn } from "../base/lsn.ts";
import { bootstrapUser, socketPort } from "../engine/index.ts";
import { sleep } from "../io/index.ts";
import { connectPg, type PgClient } from "../wire/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import { findWriter, type SnapshotSource } from "./snapshot-source.ts";

/** Checkpoints, and the reader's way to where the writer was: beyond this the snapshot begins where it can. */
const patienceMs = 30_000;
const pollMs = 50;

/**
 * Lets a backup of a reader begin near the end of the log: the writer makes a checkpoint, the reader replays it and makes a
 * restartpoint of it. Without, it begins at the last restartpoint, up to max_wal_size (2 GB) of log back, all of which a
 * hydrated instance would replay; and PostgreSQL refuses an incremental one that begins before the last one's end. What
 * stands in the way is told in the log, no more: such a snapshot is as good, and slower to start from.
 */
export async function beginNearTheEnd(
  context: KeeperContext,
  source: SnapshotSource,
  signal: AbortSignal,
): Promise<void> {
  const writer = findWriter(context.world());
  if (source.role === "writer" || !writer) return;
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]);
  const { clock, logger } = context;
  let sinceMs = clock.nowMs();
  const lap = (): number => {
    const tookMs = Math.round(clock.nowMs() - sinceMs);
    sinceMs = clock.nowMs();
    return tookMs;
  };
  try {
    const at = await onPostgres(context, writer.socketDir, bounded, async (client) => {
      await client.query("CHECKPOINT");
      return lsnOf(client, "pg_catalog.pg_current_wal_insert_lsn()");
    });
    const checkpointMs = lap();
    await onPostgres(context, source.socketDir, bounded, async (client) => {
      await untilReplayed(context, client, at, bounded);
      const replayMs = lap();
      await client.query("CHECKPOINT");
      const facts = { from: source.id, checkpointMs, replayMs, restartpointMs: lap() };
      logger.info({ event: "snapshot.prepared", ...facts });
    });
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    logger.info({ event: "snapshot.beginsEarly", from: source.id }, messageOf(error));
  }
}

async function untilReplayed(
  { clock }: KeeperContext,
  client: PgClient,
  at: Lsn | undefined,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    const now = await lsnOf(client, "pg_catalog.pg_last_wal_replay_lsn()");
    if (at === undefined || (now !== undefined && now >= at)) return;
    if (signal.aborted) throw signal.reason;
    await sleep(clock, pollMs, signal);
  }
}

async function lsnOf(client: PgClient, expression: string): Promise<Lsn | undefined> {
  const { rows } = await client.query(`SELECT ${expression}`);
  return findLsn(rows[0]?.[0] ?? "");
}

async function onPostgres<Result>(
  { config }: KeeperContext,
  socketDir: string,
  signal: AbortSignal,
  work: (client: PgClient) => Promise<Result>,
): Promise<Result> {
  const client = await connectPg({
    address: { socketDir, port: socketPort, major: config.postgresMajor },
    user: bootstrapUser,
    database: "postgres",
    applicationName: "borealis_keeper",
    signal,
  });
  const onAbort = (): void => client.destroy();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (signal.aborted) throw signal.reason;
    return await work(client);
  } finally {
    signal.removeEventListener("abort", onAbort);
    client.destroy();
  }
}
