/**
 * A stock primary and its streaming standby, with what an operator would put around them at best: commits on both disks,
 * a watcher that is the primary's parent and so hears of its end at once, and `pg_ctl promote`.
 */
import { readdirSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import { messageOf } from "../../src/base/errors.ts";
import { runToEnd } from "../child.ts";
import type { Contender, Ground } from "../contender.ts";
import { sql, type Target } from "../pgbench.ts";
import {
  initData,
  makePlace,
  type ServerPlace,
  startAt,
  type StockPostgres,
  writeOwned,
} from "./postgres.ts";

interface Seat {
  readonly place: ServerPlace;
  postgres: StockPostgres | undefined;
}

const standbyName = "standby";
const synchronous = `synchronous_standby_names = 'FIRST 1 (${standbyName})'`;

export class StreamingPair implements Contender {
  readonly name = "streaming";
  readonly settings: readonly string[];
  private readonly ground: Ground;
  private primary: Seat;
  private standby: Seat;
  private isClosing = false;
  private isKilled = false;
  /** Of the primary that is watched now; it resolves when pg_ctl has ended. */
  private promotion: Promise<unknown> = Promise.resolve();
  /** In performance.now()'s time: the watcher hears of the primary's end; pg_ctl says that the standby is promoted. */
  private heardMs = Number.NaN;
  private promotedMs = Number.NaN;

  private constructor(ground: Ground, seats: readonly [Seat, Seat]) {
    this.ground = ground;
    [this.primary, this.standby] = seats;
    this.settings = [
      `PostgreSQL ${ground.engine.version}, primary and one standby, fsync=on on both`,
      `synchronous_commit=on (remote flush), ${synchronous}; none after a promotion, until there is a standby again`,
      "wal_retrieve_retry_interval=100ms, wal_keep_size=1GB, the rest as in other benchmarks",
      "watched by its parent, pg_ctl promote at its exit; a client tries both addresses in turn",
    ];
  }

  /** Returns when the standby is synchronous. */
  static async start(ground: Ground): Promise<StreamingPair> {
    const seats: [Seat, Seat] = [
      { place: await makePlace(ground, "streaming-a"), postgres: undefined },
      { place: await makePlace(ground, "streaming-b"), postgres: undefined },
    ];
    const pair = new StreamingPair(ground, seats);
    ground.cleanup.add("streaming", () => pair.close());
    await initData(ground, seats[0].place.data);
    pair.primary.postgres = await startAt(ground, pair.primary.place, settingsOf(pair.standby));
    await pair.addStandby();
    return pair;
  }

  get target(): Target {
    return targetOf(this.primary);
  }

  get reader(): Target {
    return targetOf(this.standby);
  }

  /** What a client is configured with. */
  get targets(): readonly Target[] {
    return [this.target, this.reader];
  }

  readonly pids = (): readonly number[] =>
    [this.primary, this.standby].flatMap(({ postgres }) => (postgres ? [postgres.server.pid] : []));

  /** kill -9 of the primary. Its watcher does the rest. */
  kill(): void {
    this.isKilled = true;
    this.primary.postgres?.server.kill();
  }

  /** After a kill: the promoted one has a new, synchronous standby. */
  async settle(): Promise<void> {
    if (!this.isKilled) return;
    await this.promotion;
    this.isKilled = false;
    const { place } = this.primary;
    while (isInUse(place.data)) await pause(50, undefined, { signal: this.ground.signal });
    this.primary.postgres = undefined;
    rmSync(place.data, { recursive: true, force: true });
    [this.primary, this.standby] = [this.standby, this.primary];
    await this.addStandby();
  }

  /** Of the failover that has just been: in milliseconds after `beganMs`. */
  trace({ beganMs }: { beganMs: number }): { text: string } {
    const heard = (this.heardMs - beganMs).toFixed(0);
    const promoted = (this.promotedMs - beganMs).toFixed(0);
    const text = `${heard.padStart(6)}  the watcher hears of the exit\n${promoted.padStart(6)}  pg_ctl promote has ended`;
    return { text };
  }

  private async addStandby(): Promise<void> {
    const { ground, primary, standby } = this;
    await copyData(ground, targetOf(primary), primary.place.data, standby.place.data);
    writeOwned(ground, join(standby.place.data, "standby.signal"), "");
    standby.postgres = await startAt(ground, standby.place, settingsOf(primary));
    // After the copy: the standby is to acknowledge alone once it is promoted.
    await sql(
      ground.tools,
      targetOf(primary),
      `ALTER SYSTEM SET ${synchronous}`,
      "SELECT pg_reload_conf()",
    );
    const state = "SELECT sync_state FROM pg_stat_replication";
    await standby.postgres.server.untilReady(
      async () => (await sql(ground.tools, targetOf(primary), state)) === "sync",
      30_000,
      ground.signal,
    );
    this.watch();
  }

  private watch(): void {
    const { primary, standby, ground } = this;
    const promote = async (): Promise<void> => {
      this.heardMs = performance.now();
      if (this.isClosing) return;
      await runToEnd({
        program: join(ground.engine.binDir, "pg_ctl"),
        args: ["promote", "-D", standby.place.data],
        user: ground.user,
        signal: ground.signal,
      });
      this.promotedMs = performance.now();
    };
    this.promotion = (primary.postgres?.server.ended ?? Promise.resolve()).then(promote);
    this.promotion.catch((error: unknown) => {
      if (!this.isClosing) console.error(messageOf(error));
    });
  }

  /** The standby first: a fast shutdown of the primary waits for it, and it would be promoted. */
  private async close(): Promise<void> {
    this.isClosing = true;
    for (const { postgres } of [this.standby, this.primary]) await postgres?.server.stop();
  }
}

function targetOf({ place }: Seat): Target {
  return { host: "127.0.0.1", port: place.port, user: "postgres" };
}

/** Of either role, since it changes: where the other one is, and enough log for it to follow from its copy on. */
function settingsOf({ place }: Seat): string[] {
  const { home, port } = place;
  return [
    `primary_conninfo=host=${home} port=${port} user=postgres application_name=${standbyName}`,
    // Borealis's own; with the default of 5 s a promotion was seen to take that long.
    "wal_retrieve_retry_interval=100ms",
    "wal_keep_size=1GB",
  ];
}

/** A base backup by PostgreSQL's low-level interface: the embedded engine comes without pg_basebackup. */
async function copyData(ground: Ground, source: Target, from: string, to: string): Promise<void> {
  const client = new pg.Client({ ...source, database: "postgres" });
  await client.connect();
  try {
    await client.query("SELECT pg_backup_start('standby', true)");
    await runToEnd({ program: "cp", args: ["-a", from, to], signal: ground.signal });
    const { rows } = await client.query<{ labelfile: string }>("SELECT * FROM pg_backup_stop()");
    rmSync(join(to, "postmaster.pid"), { force: true });
    writeOwned(ground, join(to, "backup_label"), rows[0]?.labelfile ?? "");
  } finally {
    await client.end();
  }
}

/** A killed postmaster's children end a little after it. */
function isInUse(dir: string): boolean {
  return readdirSync("/proc").some((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/cwd`) === dir;
    } catch {
      return false; // gone meanwhile
    }
  });
}
