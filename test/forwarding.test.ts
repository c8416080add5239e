/**
 * Write forwarding, statement by statement, over each PostgreSQL: its sessions at the reader endpoint are read-only as on
 * a reader. And over a cluster: what a read waits for, and what becomes of a forwarded statement at a failover.
 */
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { instanceId } from "../src/base/ids.ts";
import {
  encodeBind,
  encodeDescribe,
  encodeExecute,
  encodeFlush,
  encodeParse,
  encodeQuery,
  encodeSync,
} from "../src/wire/index.ts";
import { TestCluster, until } from "./helpers/cluster.ts";
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

describe.each(engines)("write forwarding over PostgreSQL $version", (engine) => {
  let stock: StockPostgres;
  let ends: TestEndpoints;
  const eventual = { options: "-c apg_write_forward.consistency_mode=eventual" };
  beforeAll(async () => {
    stock = await startStockPostgres(engine);
    await stock.query(`create role postgres superuser login password 'secret'`);
    await stock.query("create table t (a int primary key, b text)");
    await stock.query("create sequence s");
    await stock.query(
      "create function f(a int) returns int language sql as 'insert into t values (a) returning a'",
    );
    ends = await openEndpoints(stock);
    ends.topology.set({
      writer: targetOf(stock),
      reader: { ...targetOf(stock, "reader"), instanceId: instanceId("instance-2") },
    });
  });
  afterAll(async () => {
    await ends?.close();
    await stock?.stop();
  });
  const connect = (config: pg.ClientConfig = eventual): Promise<pg.Client> =>
    connectTo(ends.readerPort, config);
  const countOf = async (a: number): Promise<number> =>
    Number((await stock.query(`select count(*) from t where a = ${a}`)).rows[0]?.[0]);

  it("is off by default: PostgreSQL's own refusal, and no second server", async () => {
    const client = await connect({});
    expect(await codeOf(client.query("insert into t values (0)"))).toBe("25006");
    expect(ends.server.sessionCount).toBe(1);
    await client.end();
  });

  it("takes the mode from SET, from options, and from the role", async () => {
    const client = await connect({});
    await client.query("set apg_write_forward.consistency_mode = 'EVENTUAL'");
    await client.query("insert into t values (1)");
    await client.query("set apg_write_forward.consistency_mode = off");
    expect(await codeOf(client.query("insert into t values (2)"))).toBe("25006");
    await client.query("set apg_write_forward.consistency_mode = eventual");
    await client.query("insert into t values (2)");
    await client.query("reset all");
    expect(await codeOf(client.query("insert into t values (3)"))).toBe("25006");
    const wrong = client.query("set apg_write_forward.consistency_mode = 'always'");
    expect(await codeOf(wrong)).toBe("22023");
    await client.end();
    await stock.query("alter role postgres set apg_write_forward.consistency_mode = 'eventual'");
    const next = await connect({});
    await next.query("insert into t values (3)");
    await next.query("discard all");
    await next.query("insert into t values (4)");
    await next.end();
    await stock.query("alter role postgres reset apg_write_forward.consistency_mode");
    expect(await countOf(4)).toBe(1);
  });

  it("forwards what Aurora forwards, and gives the writer's answer", async () => {
    const client = await connect();
    const { rows, rowCount } = await client.query(
      "insert into t select n, 'x' from generate_series(10, 12) n returning a",
    );
    expect([rows.map(({ a }) => a), rowCount]).toEqual([[10, 11, 12], 3]);
    expect((await client.query("update t set b = 'y' where a >= 10")).rowCount).toBe(3);
    expect((await client.query("select a from t where a = 10 for update")).rows).toEqual([
      { a: 10 },
    ]);
    await client.query("with n as (delete from t where a = 11 returning a) select * from n");
    await client.query(
      "merge into t using (values (12)) v (a) on t.a = v.a when matched then delete",
    );
    expect(await countOf(12)).toBe(0);
    await client.query("explain analyze insert into t values (13)");
    expect(await countOf(13)).toBe(1);
    expect(await codeOf(client.query("insert into t values (13)"))).toBe("23505");
    await client.query("insert into t values ($1, $2)", [14, "bound"]);
    await client.query("prepare p (int) as insert into t values ($1)");
    await client.query("execute p (15)");
    expect([await countOf(14), await countOf(15)]).toEqual([1, 1]);
    await client.end();
  });

  it.each([
    "create table u (a int)",
    "truncate t",
    "select f(20)",
    "select nextval('s')",
    "select * into u from t",
    "do $$ begin insert into t values (20); end $$",
    "insert into t values (20); create table u (a int)",
    "begin; insert into t values (20); commit",
  ])("refuses %s as a reader does", async (sql) => {
    const client = await connect();
    expect(await codeOf(client.query(sql))).toBe("25006");
    await client.end();
    expect(await countOf(20)).toBe(0);
  });

  it("carries the session's settings, and what it has prepared, to the writer and back", async () => {
    const client = await connect({ ...eventual, application_name: "carried" });
    const here =
      "current_setting('work_mem') || current_setting('application_name') || current_user";
    const seen = async (a: number): Promise<string> =>
      (await client.query(`insert into t values (${a}, ${here}) returning b`)).rows[0].b;
    await client.query("set work_mem = '1234kB'");
    expect(await seen(30)).toBe("1234kBcarriedpostgres");
    await client.query("set work_mem = '2345kB'; set application_name = 'other'");
    expect(await seen(31)).toBe("2345kBotherpostgres");
    await client.query("reset work_mem");
    expect(await seen(32)).toBe("4MBotherpostgres");
    const named = { name: "n", text: "insert into t values ($1) returning a" };
    expect((await client.query({ ...named, values: [33] })).rows).toEqual([{ a: 33 }]);
    // Prepared on the writer, it is the session's: known on the reader, and there after a RESET of the writer's side.
    const { rows } = await client.query("select name from pg_prepared_statements");
    expect(rows).toEqual([{ name: "n" }]);
    await client.query("set work_mem = '1MB'");
    expect((await client.query({ ...named, values: [34] })).rows).toEqual([{ a: 34 }]);
    await client.query("set default_transaction_read_only = on");
    expect(await codeOf(client.query("insert into t values (35)"))).toBe("25006");
    await client.end();
  });

  it("takes a transaction that begins with a write to the writer as a whole", async () => {
    const client = await connect();
    await client.query("begin isolation level repeatable read");
    await client.query("insert into t values (40)");
    const { rows } = await client.query(
      "select current_setting('transaction_isolation') i, current_setting('transaction_read_only') r",
    );
    expect(rows).toEqual([{ i: "repeatable read", r: "off" }]);
    await client.query("savepoint s");
    expect(await codeOf(client.query("insert into t values (40)"))).toBe("23505");
    await client.query("rollback to s");
    expect(await countOf(40)).toBe(0);
    await client.query("commit");
    expect(await countOf(40)).toBe(1);
    await client.query("begin");
    await client.query("insert into t values ($1)", [41]);
    await client.query("rollback");
    expect(await countOf(41)).toBe(0);
    await client.query("begin");
    await client.query("insert into t values (42)");
    expect(await codeOf(client.query("set work_mem = '1MB'"))).toBe("0A000");
    expect(await codeOf(client.query("select 1"))).toBe("25P02");
    await client.query("rollback");
    expect(await countOf(42)).toBe(0);
    await client.end();
  });

  it("refuses the write of a transaction that has read, says why, and fails the transaction", async () => {
    const client = await connect();
    await client.query("begin");
    await client.query("select 1");
    const error = await client.query("insert into t values (50)").catch((cause: unknown) => cause);
    expect(error).toMatchObject({
      code: "25006",
      message: "cannot execute INSERT in a read-only transaction",
      hint: "Let the transaction begin with its first write, or run it at the writer endpoint.",
    });
    expect(await codeOf(client.query("select 1"))).toBe("25P02");
    await client.query("rollback");
    await client.query("insert into t values (50)");
    await client.end();
    expect(await countOf(50)).toBe(1);
  });

  it("keeps the order of pipelined messages, and of what a client awaits before its Sync", async () => {
    const raw = await RawClient.open(ends.readerPort);
    await raw.ask(encodeQuery("set apg_write_forward.consistency_mode = eventual"));
    const run = (text: string): Buffer =>
      Buffer.concat([encodeParse("", text), encodeBind("", ""), encodeExecute(""), encodeSync()]);
    raw.send(
      encodeQuery("select 1"),
      run("insert into t values (60) returning a"),
      run("select 2"),
      run("begin"),
      run("insert into t values (61)"),
      run("commit"),
      encodeQuery("select 3"),
    );
    const heard: string[] = [];
    for (let count = 0; count < 7; count++) heard.push(await raw.answer());
    expect(heard).toEqual([
      "T D(1) C(SELECT 1) Z(I)",
      "1 2 D(60) C(INSERT 0 1) Z(I)",
      "1 2 D(2) C(SELECT 1) Z(I)",
      "1 2 C(BEGIN) Z(T)",
      "1 2 C(INSERT 0 1) Z(T)",
      "1 2 C(COMMIT) Z(I)",
      "T D(3) C(SELECT 1) Z(I)",
    ]);
    const ahead = [encodeParse("a", "insert into t values (62)"), encodeDescribe("statement", "a")];
    raw.send(...ahead, encodeFlush(), encodeBind("", "a"), encodeExecute(""), encodeSync());
    expect(await raw.answer()).toBe("1 t n 2 C(INSERT 0 1) Z(I)");
    const both = [run("begin").subarray(0, -5), run("insert into t values (63)")];
    expect(await raw.ask(...both)).toBe("1 2 C(BEGIN) 1 2 C(INSERT 0 1) Z(T)");
    expect(await raw.ask(run("rollback"))).toBe("1 2 C(ROLLBACK) Z(I)");
    raw.end();
    expect([await countOf(61), await countOf(62), await countOf(63)]).toEqual([1, 1, 0]);
  });

  it("moves large values both ways", async () => {
    const client = await connect();
    const large = "z".repeat(20 * 1024 * 1024);
    const { rows } = await client.query("insert into t values (70, $1) returning b", [large]);
    expect(rows[0].b === large).toBe(true);
    await client.end();
  });

  it("cancels what runs on the writer", async () => {
    const client = await connect();
    const blocker = await connectTo(ends.port);
    await blocker.query("begin; lock table t");
    const blocked = codeOf(client.query("insert into t values (80)"));
    const waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
    await until("it waits", async () => Number((await stock.query(waits)).rows[0]?.[0]) === 1);
    cancelAt(ends.readerPort, client);
    expect(await blocked).toBe("57014");
    await blocker.query("rollback");
    await blocker.end();
    await client.query("insert into t values (80)");
    await client.end();
  });

  it("holds a forwarded commit until it is durable, and leaves no server behind", async () => {
    const client = await connect();
    await client.query("insert into t values (90)");
    ends.vdl.isFrozen = true;
    await client.query("set synchronous_commit = off");
    let isDone = false;
    const insert = client.query("insert into t values (91)").then(() => (isDone = true));
    await until("the commit waits", () => ends.vdl.waits.length > 0);
    expect(isDone).toBe(false);
    ends.vdl.isFrozen = false;
    ends.vdl.advance();
    await insert;
    await client.end();
    await until("both have left", () => ends.server.sessionCount === 0);
  });

  it("forwards the first thing that a session says, though it has no server at that moment", async () => {
    const { writer, reader } = ends.topology.current;
    const backends = async (): Promise<string[]> => {
      const { rows } = await stock.query(
        "select pid from pg_stat_activity where usename = 'postgres'",
      );
      return rows.map(([pid]) => pid ?? "");
    };
    const before = await backends();
    const client = await connect();
    const own = (await backends()).filter((pid) => !before.includes(pid));
    ends.topology.set({ writer: undefined, reader: undefined });
    for (const pid of own) await stock.query(`select pg_terminate_backend(${pid})`);
    await until("it has no server", async () =>
      (await backends()).every((pid) => !own.includes(pid)),
    );
    const writing = client.query("insert into t values (801)");
    ends.topology.set({ writer, reader });
    await writing;
    expect(await countOf(801)).toBe(1);
    await client.end();
  });

  it("runs again on the writer what it was running there for want of a reader", async () => {
    const { writer, reader } = ends.topology.current;
    ends.topology.set({ writer, reader: undefined });
    const client = await connect();
    const { pid } = (await client.query("select pg_backend_pid() as pid")).rows[0];
    const writing = client.query("insert into t select 802 from pg_sleep(1)");
    const sleeping = `select 1 from pg_stat_activity where pid = ${pid} and wait_event = 'PgSleep'`;
    await until("it runs", async () => (await stock.query(sleeping)).rows.length === 1);
    // Another is the writer, and readers are there again.
    ends.topology.set({ writer: targetOf(stock, "writer", "2"), reader });
    await stock.query(`select pg_terminate_backend(${pid})`);
    await writing;
    expect(await countOf(802)).toBe(1);
    ends.topology.set({ writer, reader });
    await client.end();
  });

  it("says so where there is no writer, and the session goes on", async () => {
    const none = await openEndpoints(stock, { limits: { holdTimeoutMs: 300 } });
    const reader = { ...targetOf(stock, "reader"), instanceId: instanceId("instance-2") };
    none.topology.set({ writer: undefined, reader });
    const client = await connectTo(none.readerPort, eventual);
    expect(await codeOf(client.query("insert into t values (95)"))).toBe("57P03");
    await client.query("begin");
    expect(await codeOf(client.query("insert into t values (95)"))).toBe("57P03");
    expect(await codeOf(client.query("select 1"))).toBe("25P02");
    await client.query("rollback");
    expect((await client.query("select 1 as n")).rows).toEqual([{ n: 1 }]);
    none.topology.set({ writer: targetOf(stock), reader });
    await client.query("insert into t values (95)");
    await client.end();
    await none.close();
  });
});

describe("what a read waits for on a cluster", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await TestCluster.create({ readers: 2 });
    await cluster.query("CREATE TABLE t (a int primary key)");
    await cluster.query("CREATE TABLE log (session int, n int)");
  });
  afterAll(() => cluster.destroy());

  const connect = (mode: string, options = ""): Promise<pg.Client> =>
    cluster.client("reader", {
      options: `-c apg_write_forward.consistency_mode=${mode} ${options}`,
    });
  const whereIs = async (client: pg.Client): Promise<`instance-${number}`> =>
    (await client.query("SELECT current_setting('cluster_name') AS name")).rows[0].name;
  const countOn = async (client: pg.Client, a: number): Promise<number> =>
    (await client.query("SELECT count(*)::int AS n FROM t WHERE a = $1", [a])).rows[0].n;

  it("session: each session reads what it has written, every time", async () => {
    const sessions = await Promise.all(Array.from({ length: 4 }, () => connect("session")));
    await Promise.all(
      sessions.map(async (client, session) => {
        for (let n = 1; n <= 100; n++) {
          await client.query("INSERT INTO log VALUES ($1, $2)", [session, n]);
          const { rows } = await client.query(
            "SELECT count(*)::int AS n, pg_is_in_recovery() AS r FROM log WHERE session = $1",
            [session],
          );
          expect(rows[0]).toEqual({ n, r: true });
        }
      }),
    );
    await Promise.all(sessions.map((client) => client.end()));
  });

  it("global: a session reads what another has committed; eventual does not wait; session not for others", async () => {
    const global = await connect("global");
    const session = await connect("session");
    const eventual = await connect("eventual");
    const writer = await cluster.client("writer");
    for (let a = 1; a <= 50; a++) {
      await writer.query("INSERT INTO t VALUES ($1)", [a]);
      expect(await countOn(global, a)).toBe(1);
    }
    const pauses = [await cluster.client("instance-2"), await cluster.client("instance-3")];
    const replay = (what: "pause" | "resume"): Promise<unknown> =>
      Promise.all(pauses.map((one) => one.query(`SELECT pg_wal_replay_${what}()`)));
    await replay("pause");
    await eventual.query("INSERT INTO t VALUES (101)");
    expect(await countOn(eventual, 101)).toBe(0);
    expect(await countOn(session, 101)).toBe(0);
    let isTold = false;
    const told = countOn(global, 101).then((n) => {
      isTold = true;
      return n;
    });
    await session.query("INSERT INTO t VALUES (102)");
    const own = countOn(session, 102);
    await countOn(eventual, 102);
    expect(isTold).toBe(false);
    await replay("resume");
    expect([await told, await own]).toEqual([1, 1]);
    await Promise.all([global, session, eventual, writer, ...pauses].map((one) => one.end()));
  });

  it("not longer than borealis.hold_timeout: 57014, and the session goes on", async () => {
    const client = await connect("session", "-c borealis.hold_timeout=300ms");
    const pause = await cluster.client(await whereIs(client));
    await client.query("INSERT INTO t VALUES (201)");
    // What was written before may be replayed already.
    await pause.query("SELECT pg_wal_replay_pause()");
    await client.query("INSERT INTO t VALUES (202)");
    expect(await codeOf(countOn(client, 202))).toBe("57014");
    await client.query("BEGIN");
    expect(await codeOf(countOn(client, 202))).toBe("57014");
    expect(await codeOf(client.query("SELECT 1"))).toBe("25P02");
    await client.query("ROLLBACK");
    await pause.query("SELECT pg_wal_replay_resume()");
    expect(await countOn(client, 202)).toBe(1);
    await Promise.all([client.end(), pause.end()]);
  });

  it("survives a failover: each write that was told is there once, and is read", async () => {
    const client = await connect("session", "-c borealis.hold_timeout=60s");
    await cluster.query("TRUNCATE log");
    const { cluster: facts, instances } = await cluster.status();
    const postgresPid = instances.find(({ id }) => id === facts.writer)?.postgresPid ?? 0;
    let n = 0;
    const write = async (): Promise<void> => {
      await client.query("INSERT INTO log VALUES (1, $1)", [++n]);
      const { rows } = await client.query("SELECT count(*)::int AS n FROM log");
      expect(rows[0].n).toBe(n);
    };
    for (let count = 0; count < 20; count++) await write();
    process.kill(postgresPid, "SIGKILL");
    for (let count = 0; count < 100; count++) await write();
    await client.end();
    await cluster.untilEverybody();
    const { rows } = await cluster.query(
      "SELECT count(*)::int AS n, count(DISTINCT n)::int AS d FROM log",
    );
    expect(rows[0]).toEqual({ n: 120, d: 120 });
  });
});
