/**
 * A data directory brought to one place of the log by stock PostgreSQL, which runs alone: no feed, no log driver, nobody who
 * listens but its private socket. What is left afterwards was shut down cleanly and has a timeline of its own: a genesis
 * image, from which a volume can be born (D1).
 */
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { assert } from "../base/assert.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { type Timeline, timeline } from "../base/ids.ts";
import { findLsn, formatLsn, type Lsn } from "../base/lsn.ts";
import { type Logger, realClock, sleep } from "../io/index.ts";
import {
  formatHistoryFile,
  type HistoryLine,
  parseHistoryFile,
  parseSegmentName,
} from "../wal/index.ts";
import { connectPg, type PgClient } from "../wire/index.ts";
import { historyFileName, installHistoryFiles } from "./data-dir-shell.ts";
import type { Engine } from "./find-engine-shell.ts";
import { type Genesis, readGenesis } from "./genesis-shell.ts";
import type { TimelineStart } from "./lay-log-shell.ts";
import { lastLines } from "./log-file-shell.ts";
import type { OsUser } from "./os-user-shell.ts";
import { Postgres } from "./postgres-shell.ts";
import { bootstrapUser } from "./settings.ts";

export interface Recovery {
  readonly engine: Engine;
  readonly osUser: OsUser | undefined;
  /** The data directory: a snapshot's files, the log up to `end` in pg_wal (layLog). */
  readonly dir: string;
  /** A record's end, where recovery has to end. */
  readonly end: Lsn;
  /** The timelines of the path that have a byte below `end`, oldest first. */
  readonly spans: readonly TimelineStart[];
  /** Of the private socket: short, and made by this. */
  readonly socketDir: string;
  /** What PostgreSQL writes. */
  readonly logFile: string;
  readonly logger: Logger;
  /** Asked when all is recovered and before it is shut down. */
  readonly ask?: (client: PgClient) => Promise<void>;
  readonly signal: AbortSignal;
}

/** Gibibytes of log replay at 100 MB/s or more; a day is no limit but for what hangs. */
const recoveryTimeoutMs = 24 * 3_600_000;
const stopTimeoutMs = 600_000;
const watchEveryMs = 500;

/**
 * Recovers, shuts down, and clears away what only the way here needed. Raises BorealisError XX001 if PostgreSQL did not end
 * where it had to, 57P03 with its own reason if it could not recover at all.
 */
export async function recoverImage(
  recovery: Recovery,
  onProgress: (replayed: Lsn) => void = () => {},
): Promise<Genesis> {
  const { dir, end, spans, osUser, ask } = recovery;
  const last = spans.at(-1);
  assert(last !== undefined, "log that is recovered from is of a timeline");
  await installHistoryFiles(dir, historyFiles(spans), osUser);
  const postgres = makePostgres(recovery, last.timeline);
  try {
    await postgres.start("writer");
    await untilRecovered(postgres, recovery, onProgress);
    await checkEnd(dir, { parent: last.timeline, end });
    const client = await connectPg({
      address: postgres.address,
      user: bootstrapUser,
      database: "postgres",
    });
    try {
      await ask?.(client);
      // So that the volume's log begins with a segment in which there is nothing from before.
      await client.query("SELECT pg_catalog.pg_switch_wal()");
    } finally {
      client.destroy();
    }
    const { isClean } = await postgres.stop("fast", stopTimeoutMs);
    if (!isClean) throw notStopped(recovery.logFile);
  } finally {
    await postgres.killAll();
    await rm(recovery.socketDir, { recursive: true, force: true });
  }
  const genesis = await readGenesis(dir);
  await clearImage(dir, genesis);
  return genesis;
}

function makePostgres(
  { engine, osUser, dir, socketDir, logFile, logger }: Recovery,
  newest: Timeline,
): Postgres {
  return new Postgres({
    engine,
    instance: "restore",
    dataDir: dir,
    socketDir,
    feedDir: join(socketDir, "feed"),
    logFile,
    osUser,
    logger,
    recovery: new Map([
      // All log is in pg_wal. PostgreSQL insists on a command, and "not found" is its answer for each file.
      ["restore_command", "exit 1"],
      ["recovery_target_timeline", String(newest)],
      ["primary_conninfo", ""],
      // Nobody sees what is half recovered.
      ["hot_standby", "off"],
      ["synchronous_standby_names", ""],
      ["autovacuum", "off"],
      // One checkpoint, at the end.
      ["checkpoint_timeout", "1d"],
      ["max_wal_size", "1TB"],
      ["wal_keep_size", "0"],
      ...(engine.major >= 17 ? ([["summarize_wal", "off"]] as const) : []),
      ["log_startup_progress_interval", "1s"],
    ]),
  });
}

function historyFiles(spans: readonly TimelineStart[]) {
  const lines: HistoryLine[] = [];
  const files = [];
  for (const [i, span] of spans.entries()) {
    const before = spans[i - 1];
    if (before)
      lines.push({
        parent: before.timeline,
        switchLsn: span.start,
        reason: "borealis epoch",
      });
    if (span.timeline > 1)
      files.push({ timeline: span.timeline, content: formatHistoryFile(lines) });
  }
  return files;
}

/** PostgreSQL says each second how far it is (log_startup_progress_interval). */
async function untilRecovered(
  postgres: Postgres,
  { logFile, signal }: Recovery,
  onProgress: (replayed: Lsn) => void,
): Promise<void> {
  const isOver = new AbortController();
  const watch = async (): Promise<void> => {
    while (!isOver.signal.aborted) {
      const lines = await lastLines(logFile, { startBytes: 0, linesMax: 5 });
      const said = lines.findLast((line) => line.includes("redo in progress")) ?? "";
      const at = findLsn(/current LSN: ([0-9A-F]+\/[0-9A-F]+)/.exec(said)?.[1] ?? "");
      if (at !== undefined) onProgress(at);
      await sleep(realClock, watchEveryMs, isOver.signal);
    }
  };
  const watching = watch();
  try {
    await postgres.untilReady({ timeoutMs: recoveryTimeoutMs, signal });
  } finally {
    isOver.abort();
    await watching;
  }
}

/** PostgreSQL names in its history file where the timeline of its own begins: that is where recovery ended. */
async function checkEnd(
  dir: string,
  wanted: { readonly parent: Timeline; readonly end: Lsn },
): Promise<void> {
  const { parent, end } = wanted;
  const name = historyFileName(timeline(parent + 1));
  const text = await readFile(join(dir, "pg_wal", name), "utf8").catch(() => "");
  const last = parseHistoryFile(text).at(-1);
  if (last?.switchLsn === end && last.parent === parent) return;
  const where = last
    ? `${formatLsn(last.switchLsn)} of timeline ${last.parent}`
    : "nobody knows where";
  throw new BorealisError(
    sqlState.dataCorrupted,
    `recovery ended at ${where}, not at ${formatLsn(end)} of timeline ${parent}`,
    { hint: "the log or the snapshot is damaged: try another moment, and report this" },
  );
}

/** What a volume is born with: no log but the checkpoint's segment, no history of what was before. */
async function clearImage(dir: string, { baseLsn, timeline: own }: Genesis): Promise<void> {
  const walDir = join(dir, "pg_wal");
  for (const name of await readdir(walDir)) {
    const segment = parseSegmentName(name);
    const isNeeded = segment && segment.timeline === own && segment.start >= baseLsn;
    if (isNeeded || name === "archive_status" || name === "summaries") continue;
    await rm(join(walDir, name), { recursive: true });
  }
  for (const folder of ["archive_status", "summaries"]) {
    const names = await readdir(join(walDir, folder)).catch(() => []);
    for (const name of names) await rm(join(walDir, folder, name));
  }
  for (const name of ["backup_label.old", "tablespace_map.old", "postmaster.opts"])
    await rm(join(dir, name), { recursive: true, force: true });
}

function notStopped(logFile: string): BorealisError {
  return new BorealisError(
    sqlState.ioError,
    "PostgreSQL has recovered, but did not shut down cleanly",
    { hint: `its log is ${logFile}` },
  );
}
