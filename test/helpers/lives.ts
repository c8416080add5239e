import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { join } from "node:path";
import type { PoolingOptions, WriterLife } from "../../src/session/index.ts";
import { postmasterSql } from "../../src/wire/index.ts";
import { isAlive } from "./cluster.ts";
import { eventually } from "./eventually.ts";
import { openEndpoints, targetOf, type TestEndpoints } from "./endpoints.ts";
import { startPostgresOn, startStockPostgres, type StockPostgres } from "./stock-postgres.ts";

type Engine = { readonly version: string; readonly bin: string };

/** Endpoints over a stock PostgreSQL that is killed and started again: each start is a new life of the writer. */
export class Lives {
  private readonly engine: Engine;
  private count = 1;
  stock: StockPostgres;
  readonly ends: TestEndpoints;

  private constructor(engine: Engine, stock: StockPostgres, ends: TestEndpoints) {
    this.engine = engine;
    this.stock = stock;
    this.ends = ends;
  }

  static async start(
    engine: Engine,
    options: { readonly pooling?: Partial<PoolingOptions> } = {},
  ): Promise<Lives> {
    const stock = await startStockPostgres(engine);
    await stock.query(`create role postgres superuser login password 'secret'`);
    const ends = await openEndpoints(stock, { limits: { holdTimeoutMs: 20_000 }, ...options });
    const lives = new Lives(engine, stock, ends);
    await lives.record();
    return lives;
  }

  /** kill -9 of all of it. */
  async kill(): Promise<void> {
    const { rows } = await this.stock.query("select pid from pg_stat_activity");
    const pids = rows.map(([pid]) => Number(pid));
    // Nobody may see another one end before he does himself.
    const pidFile = join(this.stock.dir, "data", "postmaster.pid");
    process.kill(Number(readFileSync(pidFile, "utf8").split("\n")[0]), "SIGSTOP");
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // gone by itself
      }
    }
    await this.stock.kill();
    while (pids.some((pid) => isAlive(pid))) await sleep(10);
  }

  /** Servers of clients run nothing more; to be killed. */
  async freezeServers(): Promise<void> {
    const sql = "select pid from pg_stat_activity where usename = 'postgres'";
    for (const [pid] of (await this.stock.query(sql)).rows) process.kill(Number(pid), "SIGSTOP");
  }

  /** The next life, with the same files. */
  async revive(): Promise<void> {
    const { dir } = this.stock;
    this.stock = await startPostgresOn(this.engine, {
      dir,
      data: join(dir, "data"),
      isOwnDir: true,
    });
    this.count++;
    await this.record();
    this.ends.topology.set({
      writer: targetOf(this.stock, "writer", String(this.count)),
      reader: undefined,
    });
  }

  async failOver(): Promise<void> {
    await this.kill();
    await this.revive();
  }

  /** Commits hang from now on, as while the quorum is away; or not any more. */
  async hangCommits(areHanging: boolean): Promise<void> {
    const names = areHanging ? "nobody" : "";
    await this.stock.query(`alter system set synchronous_standby_names = '${names}'`);
    await this.stock.query("select pg_reload_conf()");
    if (areHanging) await eventually("commits hang", () => this.doesCommitHang());
  }

  /** The setting has come to who decides (the checkpointer) when a commit of ours waits; it is sent on its way again. */
  private async doesCommitHang(): Promise<boolean> {
    let isOver = false;
    const sql = "select pg_logical_emit_message(true, 'probe', '')";
    const commit = this.stock.query(sql).finally(() => {
      isOver = true;
    });
    const waiting = "from pg_stat_activity where wait_event = 'SyncRep'";
    const isWaiting = async (): Promise<boolean> =>
      (await this.stock.query(`select exists (select ${waiting})`)).rows[0]?.[0] === "t";
    await eventually("it waits, or is over", async () => isOver || (await isWaiting()));
    const hangs = !isOver;
    if (hangs) await this.stock.query(`select pg_cancel_backend(pid) ${waiting}`);
    await commit;
    return hangs;
  }

  async stop(): Promise<void> {
    await this.ends.close();
    await this.stock.stop();
  }

  private async record(): Promise<void> {
    const { topology } = this.ends;
    topology.known = [...topology.known, await lifeOf(this.stock, this.count)];
  }
}

/** The `number`th life of a writer, which begins at this moment. */
export async function lifeOf(stock: StockPostgres, number: number): Promise<WriterLife> {
  const sql = `select pg_snapshot_xmax(pg_current_snapshot()), ${postmasterSql}`;
  const [row] = (await stock.query(sql)).rows;
  return {
    incarnation: String(number),
    epoch: number,
    cutoff: BigInt(row?.[0] ?? 0),
    postmaster: row?.[1] ?? "",
  };
}
