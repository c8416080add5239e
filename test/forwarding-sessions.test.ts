/**
 * Write forwarding and what a session is: its statements, portals, settings, transactions, waits. Over each PostgreSQL, whose
 * sessions at the reader endpoint are read-only as on a reader.
 */
import { createServer } from "node:net";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { instanceId } from "../src/base/ids.ts";
import {
  encodeBind,
  encodeDescribe,
  encodeExecute,
  encodeMessage,
  encodeParse,
  encodeQuery,
  encodeSync,
  frontend,
  pgSocketPath,
} from "../src/wire/index.ts";
import { until } from "./helpers/cluster.ts";
import {
  cancelAt,
  codeOf,
  connectTo,
  openEndpoints,
  targetOf,
  type TestEndpoints,
} from "./helpers/endpoints.ts";
import { RawClient } from "./helpers/raw-client.ts";
import {
  enginesForFile,
  startStockPostgres,
  type StockPostgres,
} from "./helpers/stock-postgres.ts";

const engines = enginesForFile();
const mode = "apg_write_forward.consistency_mode";
const eventual = { options: `-c ${mode}=eventual` };

/** Parse, Bind and Execute of one statement; without Sync. */
function step(sql: string, name = ""): Buffer {
  return Buffer.concat([encodeParse(name, sql), encodeBind("", name), encodeExecute("")]);
}

describe.each(engines)("a session that forwards over PostgreSQL $version", (engine) => {
  let stock: StockPostgres;
  let ends: TestEndpoints;
  beforeAll(async () => {
    stock = await startStockPostgres(engine);
    await stock.query(`create role postgres superuser login password 'secret'`);
    await stock.query("create role weak");
    await stock.query("create table t (a int primary key, b text)");
    await stock.query("create schema other");
    await stock.query("create table other.t (a int primary key, b text)");
    ends = await openEndpoints(stock);
    ends.topology.set({ writer: targetOf(stock), reader: readerOf() });
  });
  afterAll(async () => {
    await ends?.close();
    await stock?.stop();
  });
  const readerOf = () => ({
    ...targetOf(stock, "reader"),
    instanceId: instanceId("instance-2"),
  });
  const connect = (config: pg.ClientConfig = eventual): Promise<pg.Client> =>
    connectTo(ends.readerPort, config);
  const openRaw = async (): Promise<RawClient> => {
    const raw = await RawClient.open(ends.readerPort);
    await raw.ask(encodeQuery(`set ${mode} = eventual`));
    return raw;
  };
  const countOf = async (a: number, table = "t"): Promise<number> =>
    Number((await stock.query(`select count(*) from ${table} where a = ${a}`)).rows[0]?.[0]);

  it("runs the unnamed statement that was made last, wherever others have run meanwhile", async () => {
    const raw = await openRaw();
    const prepare = (sql: string): Promise<string> =>
      raw.ask(encodeParse("", sql), encodeDescribe("statement", ""), encodeSync());
    const run = (): Promise<string> => raw.ask(encodeBind("", ""), encodeExecute(""), encodeSync());
    const text = "insert into t select coalesce(max(a), 0) + 1, 'A' from t where a < 10";
    await prepare(text);
    expect(await run()).toBe("2 C(INSERT 0 1) Z(I)");
    expect(await raw.ask(encodeQuery("insert into t values (10, 'B')"))).toContain("INSERT 0 1");
    await prepare(text);
    expect(await run()).toBe("2 C(INSERT 0 1) Z(I)");
    expect(await raw.ask(step("insert into t values (11, 'B')"), encodeSync())).toContain("INSERT");
    // Made on the writer, it is the last one: the session's own server has an older one.
    expect(await run()).toBe("2 E(23505) Z(I)");
    await prepare(text);
    expect(await run()).toBe("2 C(INSERT 0 1) Z(I)");
    raw.end();
    expect((await stock.query("select count(*) from t where b = 'A'")).rows[0]?.[0]).toBe("3");
  });

  it("runs what a name means now, not what it meant on the writer", async () => {
    const raw = await openRaw();
    await raw.ask(step("insert into t values (20)", "n"), encodeSync());
    await raw.ask(encodeQuery("deallocate n"));
    const parse = encodeParse("n", "insert into t values (21)");
    expect(await raw.ask(parse, encodeDescribe("statement", "n"), encodeSync())).toBe("1 t n Z(I)");
    const run = [encodeBind("", "n"), encodeExecute(""), encodeSync()];
    expect(await raw.ask(...run)).toBe("2 C(INSERT 0 1) Z(I)");
    raw.end();
    expect([await countOf(20), await countOf(21)]).toEqual([1, 1]);
  });

  it("leaves nothing in the writer's session that it was told to have itself", async () => {
    const raw = await openRaw();
    const set = step("set work_mem = '1234kB'");
    expect(await raw.ask(step("insert into t values (30)"), set, encodeSync())).toMatch(
      /^1 2 C\(INSERT 0 1\) 1 E\(0A000\) Z\(I\)$/,
    );
    expect(await countOf(30)).toBe(0);
    // What has set something is the session's own, and so read-only.
    expect(await raw.ask(set, step("insert into t values (30)"), encodeSync())).toBe(
      "1 2 C(SET) 1 2 E(25006) Z(I)",
    );
    await raw.ask(encodeQuery("begin"));
    await raw.ask(encodeQuery("insert into t values (30)"));
    expect(await raw.ask(step("select 1"), step("listen c"), encodeSync())).toBe(
      "1 2 D(1) C(SELECT 1) 1 E(0A000) Z(E)",
    );
    await raw.ask(encodeQuery("rollback"));
    raw.end();
  });

  it("fetches from a portal of a forwarded transaction in parts", async () => {
    const raw = await openRaw();
    const fetchOne = encodeMessage(frontend.execute, (body) => body.cString("c").u32(1));
    await raw.ask(encodeQuery("begin"));
    await raw.ask(encodeQuery("insert into t values (40)"));
    const select = encodeParse("", "select n from generate_series(1, 2) n");
    expect(await raw.ask(select, encodeBind("c", ""), fetchOne, encodeSync())).toBe(
      "1 2 D(1) s Z(T)",
    );
    expect(await raw.ask(fetchOne, encodeSync())).toBe("D(2) s Z(T)");
    expect(await raw.ask(encodeQuery("commit"))).toBe("C(COMMIT) Z(I)");
    raw.end();
    expect(await countOf(40)).toBe(1);
  });

  it("is answered up to an error as PostgreSQL does: a transaction that BEGIN opened is a failed one", async () => {
    const raw = await openRaw();
    const batch = [step("begin"), step("insert into t values (50)"), encodeSync()];
    const direct = await RawClient.open(ends.port);
    for (const client of [direct, raw]) {
      await stock.query("insert into t values (50) on conflict do nothing");
      expect(await client.ask(...batch)).toBe("1 2 C(BEGIN) 1 2 E(23505) Z(E)");
      expect(await client.ask(encodeQuery("rollback"))).toBe("C(ROLLBACK) Z(I)");
    }
    direct.end();
    raw.end();
    const none = await openEndpoints(stock, { limits: { holdTimeoutMs: 300 } });
    none.topology.set({ writer: undefined, reader: readerOf() });
    const lonely = await RawClient.open(none.readerPort);
    await lonely.ask(encodeQuery(`set ${mode} = eventual`));
    expect(await lonely.ask(...batch)).toBe("1 2 C(BEGIN) 1 E(57P03) Z(E)");
    expect(await lonely.ask(encodeQuery("rollback"))).toBe("C(ROLLBACK) Z(I)");
    expect(await lonely.ask(step("insert into t values (51)"), encodeSync())).toBe(
      "1 E(57P03) Z(I)",
    );
    lonely.end();
    await none.close();
  });

  it("hears what a transaction on the writer sets for itself, and that it ends", async () => {
    const raw = await openRaw();
    await raw.ask(encodeQuery("begin"));
    await raw.ask(encodeQuery("insert into t values (60)"));
    expect(await raw.ask(encodeQuery("set local timezone = 'Asia/Tokyo'"))).toBe("C(SET) S Z(T)");
    expect(await raw.ask(encodeQuery("rollback"))).toBe("C(ROLLBACK) S Z(I)");
    raw.end();
  });

  it("has its role, search path and read-only default on the writer, and after a rolled back SET", async () => {
    const client = await connect();
    await client.query("set search_path = other");
    await client.query("insert into t values (70)");
    expect([await countOf(70), await countOf(70, "other.t")]).toEqual([0, 1]);
    await client.query("set role weak");
    expect(await codeOf(client.query("insert into other.t values (71)"))).toBe("42501");
    await client.query("reset role");
    await client.query(`begin; set search_path = public; set ${mode} = off; rollback`);
    await client.query("insert into t values (72)");
    expect([await countOf(72), await countOf(72, "other.t")]).toEqual([0, 1]);
    await client.end();
  });

  it("is refused a mode that does not exist, at its start too", async () => {
    expect(await codeOf(connect({ options: `-c ${mode}=always` }))).toBe("22023");
  });

  it("cancels what waits for a writer", async () => {
    const none = await openEndpoints(stock);
    none.topology.set({ writer: undefined, reader: readerOf() });
    const client = await connectTo(none.readerPort, eventual);
    await client.query("begin");
    const waiting = codeOf(client.query("insert into t values (80)"));
    const watch = setInterval(() => cancelAt(none.readerPort, client), 50);
    expect(await waiting).toBe("57014");
    clearInterval(watch);
    expect(await codeOf(client.query("select 1"))).toBe("25P02");
    await client.query("rollback");
    none.topology.set({ writer: targetOf(stock), reader: readerOf() });
    await client.query("insert into t values (80)");
    await client.end();
    await none.close();
  });

  it("goes on where its writer's side alone is lost, with borealis.on_failover = disconnect, too", async () => {
    const other = await startStockPostgres(engine);
    const pidFile = readFileSync(join(other.dir, "data", "postmaster.pid"), "utf8");
    const postmaster = Number(pidFile.split("\n")[0]);
    try {
      await other.query(`create role postgres superuser login password 'secret'`);
      await other.query("create table t (a int primary key, b text)");
      ends.topology.set({ writer: targetOf(other, "writer", "lost"), reader: readerOf() });
      const options = `${eventual.options} -c borealis.on_failover=disconnect`;
      const client = await connect({ options });
      await client.query("insert into t values (500, 'on the one that is lost')");
      // Without a word: a postmaster that is killed has its children say why they end.
      const { rows } = await other.query(
        "select pid from pg_stat_activity where usename = 'postgres' and backend_type = 'client backend'",
      );
      process.kill(postmaster, "SIGSTOP");
      for (const [pid] of rows) process.kill(Number(pid), "SIGKILL");
      // Its connection has ended; the cluster does not say so yet.
      await new Promise((resolve) => setTimeout(resolve, 30));
      const late = client.query("insert into t values (501, 'on the next')");
      await new Promise((resolve) => setTimeout(resolve, 30));
      ends.topology.set({ writer: targetOf(stock), reader: readerOf() });
      await late;
      expect(await countOf(501)).toBe(1);
      await client.end();
    } finally {
      ends.topology.set({ writer: targetOf(stock), reader: readerOf() });
      process.kill(postmaster, "SIGCONT");
      await other.stop();
    }
  });

  it("gives up a writer that takes connections and says nothing", async () => {
    const dir = mkdtempSync(join(tmpdir(), "borealis-silent-"));
    const address = { ...targetOf(stock).address, socketDir: dir };
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(pgSocketPath(address), resolve));
    const none = await openEndpoints(stock);
    none.topology.set({ writer: undefined, reader: readerOf() });
    const client = await connectTo(none.readerPort, {
      options: `-c ${mode}=eventual -c apg_write_forward.connect_timeout=1`,
    });
    none.topology.set({ writer: { ...targetOf(stock), address }, reader: readerOf() });
    expect(await codeOf(client.query("insert into t values (90)"))).toBe("57P03");
    expect((await client.query("select 1 as n")).rows).toEqual([{ n: 1 }]);
    await client.end();
    await none.close();
    silent.close();
    rmSync(dir, { recursive: true, force: true });
  });

  it("keeps its connection to the writer as long as it says", async () => {
    await until("nobody is here", () => ends.server.sessionCount === 0);
    const client = await connect();
    await client.query("set apg_write_forward.idle_session_timeout = 200");
    await client.query("insert into t values (100)");
    await until("the writer's side is closed", () => ends.server.sessionCount === 1);
    await client.query("insert into t values (101)");
    await client.end();
    expect([await countOf(100), await countOf(101)]).toEqual([1, 1]);
  });
});
