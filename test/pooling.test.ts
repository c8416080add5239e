/** Sessions that share server connections: who sees what, who keeps its own, and what becomes of whom. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import type pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { instanceId } from "../src/base/ids.ts";
import type { SessionRow } from "../src/session/index.ts";
import {
  encodeBind,
  encodeExecute,
  encodeFlush,
  encodeParse,
  encodeQuery,
  encodeSync,
  encodeTerminate,
} from "../src/wire/index.ts";
import { connectTo, openEndpoints, targetOf, type TestEndpoints } from "./helpers/endpoints.ts";
import { eventually } from "./helpers/eventually.ts";
import { Lives } from "./helpers/lives.ts";
import { RawClient } from "./helpers/raw-client.ts";
import {
  enginesForFile,
  findEngines,
  startStockPostgres,
  type StockPostgres,
} from "./helpers/stock-postgres.ts";

const engines = enginesForFile();
const parse = encodeParse("", "select 1");
const run = Buffer.concat([encodeBind("", ""), encodeExecute(""), encodeSync()]);

describe.each(engines)("sessions that share connections of PostgreSQL $version", (engine) => {
  let stock: StockPostgres;
  let ends: TestEndpoints;
  const clients: { end(): unknown }[] = [];

  beforeAll(async () => {
    stock = await startStockPostgres(engine);
    await stock.query("create role postgres superuser login password 'secret'");
    await stock.query("create role app login password 'secret'");
    await stock.query("create table t (id serial, a int)");
    await stock.query("create sequence s");
    await stock.query("grant all on all tables in schema public to app");
    await stock.query("grant all on all sequences in schema public to app");
  });
  afterAll(() => stock.stop());
  beforeEach(() => openPool(1));
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.end();
    await ends.close();
  });

  const openPool = async (maxConnections: number, borrowTimeoutMs = 20_000): Promise<void> => {
    await ends?.close();
    ends = await openEndpoints(stock, {
      pooling: { mode: "auto", maxConnections, borrowTimeoutMs },
    });
  };
  const connect = async (config: pg.ClientConfig = {}): Promise<pg.Client> => {
    const client = await connectTo(ends.port, config);
    clients.push(client);
    return client;
  };
  const raw = async (): Promise<RawClient> => {
    const client = await RawClient.open(ends.port);
    clients.push(client);
    return client;
  };
  const value = async (client: pg.Client, sql: string | pg.QueryConfig): Promise<unknown> => {
    const { rows } = await client.query(sql);
    return Object.values((rows[0] ?? {}) as Record<string, unknown>)[0];
  };
  const pidOf = (client: pg.Client): Promise<unknown> => value(client, "select pg_backend_pid()");
  const rows = (state?: SessionRow["state"]): SessionRow[] =>
    ends.server.sessionRows.filter((row) => state === undefined || row.state === state);
  const kept = (): (string | null)[] => rows().flatMap(({ keptBecause }) => keptBecause ?? []);
  const settled = (): Promise<unknown> => eventually("nothing is kept", () => kept().length === 0);

  it("is given from one to the other, and nothing is opened beside it", async () => {
    const [a, b] = [await connect(), await connect()];
    const pids = [await pidOf(a), await pidOf(b), await pidOf(a), await pidOf(b)];
    expect(new Set(pids).size).toBe(1);
    expect(ends.server.poolCounts).toEqual([{ instance: "instance-1", open: 1, free: 0 }]);
    expect(rows("parked")).toHaveLength(1);
  });

  it("serves many at once, one after the other", async () => {
    await openPool(3);
    const many = await Promise.all(Array.from({ length: 40 }, () => connect()));
    await stock.query("truncate t");
    await Promise.all(
      many.map(async (client, index) => {
        for (let round = 0; round < 10; round++) {
          await client.query("begin");
          await client.query("insert into t (a) values ($1)", [index]);
          expect(await value(client, "select 17 + 1")).toBe(18);
          await client.query(round % 3 === 0 ? "rollback" : "commit");
        }
      }),
    );
    expect((await stock.query("select count(*), count(distinct a) from t")).rows).toEqual([
      ["240", "40"],
    ]);
    expect(ends.server.poolCounts[0]?.open).toBeLessThanOrEqual(3);
  });

  it("gives each its own settings, and none of another's", async () => {
    const [a, b, c] = [await connect(), await connect(), await connect()];
    await a.query("set work_mem = '5MB'");
    await a.query("set application_name = 'alpha'");
    await b.query("set search_path = pg_catalog; set timezone = 'Asia/Tokyo'");
    const seen = async (client: pg.Client): Promise<unknown[]> => [
      await value(client, "show work_mem"),
      await value(client, "show search_path"),
      await value(client, "show timezone"),
      await value(
        client,
        "select application_name from pg_stat_activity where pid = pg_backend_pid()",
      ),
    ];
    for (let round = 0; round < 2; round++) {
      expect(await seen(a)).toEqual(["5MB", '"$user", public', "UTC", "alpha"]);
      expect(await seen(b)).toEqual(["4MB", "pg_catalog", "Asia/Tokyo", ""]);
      expect(await seen(c)).toEqual(["4MB", '"$user", public', "UTC", ""]);
    }
    await a.query("reset work_mem");
    expect(await seen(b)).toEqual(["4MB", "pg_catalog", "Asia/Tokyo", ""]);
    expect(await seen(a)).toEqual(["4MB", '"$user", public', "UTC", "alpha"]);
  });

  it("shares between sessions that differ in application_name only", async () => {
    const names = ["one", "two", ""];
    const all = await Promise.all(
      names.map((name) => connect(name === "" ? {} : { application_name: name })),
    );
    const shown =
      "select current_setting('application_name') from pg_stat_activity where pid = pg_backend_pid()";
    for (let round = 0; round < 2; round++)
      for (const [index, client] of all.entries())
        expect(await value(client, shown)).toBe(names[index]);
    expect(new Set(await Promise.all(all.map((client) => pidOf(client)))).size).toBe(1);
    const [one, two] = all as [pg.Client, pg.Client];
    await one.query("reset application_name");
    expect(await value(two, shown)).toBe("two");
    expect(await value(one, shown)).toBe("one");
    await one.query("set application_name = 'other'");
    expect(await value(two, shown)).toBe("two");
    expect(await value(one, shown)).toBe("other");
    expect(
      rows()
        .map(({ applicationName }) => applicationName)
        .sort(),
    ).toEqual(["", "other", "two"]);
  });

  it("makes a prepared statement again once its table is back", async () => {
    const [a, b] = [await connect(), await connect()];
    await a.query("create table gone (a int)");
    const prepared = { name: "q", text: "select count(*)::int from gone", values: [] };
    expect(await value(a, prepared)).toBe(0);
    await b.query("drop table gone");
    await expect(a.query(prepared)).rejects.toMatchObject({ code: "26000" });
    await b.query("create table gone (a int)");
    expect(await value(a, prepared)).toBe(0);
    await b.query("drop table gone");
  });

  it("makes a prepared statement anew whose columns have changed", async () => {
    const a = await connect();
    await a.query("create table wider (a int)");
    const prepared = { name: "q", text: "select * from wider", values: [] };
    await a.query(prepared);
    await stock.query("alter table wider add column b int");
    await expect(a.query(prepared)).rejects.toMatchObject({ code: "0A000" });
    expect((await a.query(prepared)).fields).toHaveLength(2);
    await a.query("drop table wider");
  });

  it("leaves nothing of what a function in C has done", async () => {
    const { rows: installed } = await stock.query(
      "select 1 from pg_available_extensions where name = 'pg_trgm'",
    );
    if (installed.length === 0) return;
    await stock.query("create extension if not exists pg_trgm");
    const [a, b] = [await connect(), await connect()];
    const shown = "select show_limit()";
    expect(await value(b, shown)).toBeCloseTo(0.3);
    await a.query("select set_limit(0.9)");
    expect(await value(b, shown)).toBeCloseTo(0.3);
    await a.end();
    await b.end();
    clients.length = 0;
    await stock.query("drop extension pg_trgm");
  });

  it("takes what a session was connected with for its defaults", async () => {
    await openPool(2);
    const a = await connect({ application_name: "one", options: "-c work_mem=7MB" });
    const b = await connect({ application_name: "two" });
    expect(await value(a, "show work_mem")).toBe("7MB");
    await a.query("set work_mem = '9MB'");
    expect(await value(b, "show work_mem")).toBe("4MB");
    await a.query("reset all");
    expect(await value(a, "show work_mem")).toBe("7MB");
  });

  it("shows nobody a setting with a prefix that another has made", async () => {
    const [a, b] = [await connect(), await connect()];
    await a.query("set my.tenant = 'alpha'");
    expect(await value(b, "select current_setting('my.tenant', true)")).toBeNull();
    expect(await value(a, "select current_setting('my.tenant', true)")).toBe("alpha");
    await b.query("set my.tenant = 'beta'");
    expect(await value(a, "select current_setting('my.tenant', true)")).toBe("alpha");
    expect(await value(b, "select current_setting('my.tenant', true)")).toBe("beta");
    expect(await value(await connect(), "select current_setting('my.tenant', true)")).toBeNull();
  });

  it("carries SET ROLE, and gives nobody another's", async () => {
    const [a, b] = [await connect(), await connect()];
    await a.query("set role app");
    expect(await value(b, "select current_user")).toBe("postgres");
    expect(await value(a, "select current_user")).toBe("app");
    await b.query("set session authorization app");
    expect(await value(a, "select session_user")).toBe("postgres");
    expect(await value(b, "select session_user")).toBe("app");
    await a.query("reset role");
    expect(await value(b, "select session_user")).toBe("app");
    expect(await value(a, "select current_user")).toBe("postgres");
  });

  it("lets prepared statements of one name mean what each session made of it", async () => {
    const [a, b, c] = [await connect(), await connect(), await connect()];
    const text = (client: pg.Client, of: string): Promise<unknown> =>
      value(client, { name: "q", text: `select '${of}' || $1::text`, values: ["!"] });
    for (let round = 0; round < 3; round++) {
      expect(await text(a, "a")).toBe("a!");
      expect(await text(b, "b")).toBe("b!");
    }
    await a.query("prepare p as select 'of a'");
    await b.query("prepare p as select 'of b'");
    expect(await value(a, "execute p")).toBe("of a");
    expect(await value(b, "execute p")).toBe("of b");
    await expect(c.query("execute p")).rejects.toMatchObject({ code: "26000" });
    expect(await value(c, "select count(*)::int from pg_prepared_statements")).toBe(0);
    await a.query("deallocate p");
    expect(await value(b, "execute p")).toBe("of b");
    await expect(a.query("execute p")).rejects.toMatchObject({ code: "26000" });
  });

  it("keeps an unnamed statement over cycles, whoever was there in between", async () => {
    const [a, b] = [await raw(), await raw()];
    const sql = (text: string): Buffer => Buffer.concat([encodeParse("", text), encodeSync()]);
    expect(await a.ask(sql("select 'a'"))).toBe("1 Z(I)");
    expect(await b.ask(sql("select 'b'"))).toBe("1 Z(I)");
    expect(await a.ask(run)).toBe("2 D(a) C(SELECT 1) Z(I)");
    expect(await b.ask(run)).toBe("2 D(b) C(SELECT 1) Z(I)");
    // A simple Query destroys it, here as everywhere.
    await b.ask(encodeQuery("select 1"));
    expect(await a.ask(run)).toBe("2 D(a) C(SELECT 1) Z(I)");
    expect(await b.ask(run)).toBe("E(26000) Z(I)");
  });

  it("runs no statement again that another sent as a simple Query, nor what failed so", async () => {
    const [a, b] = [await raw(), await raw()];
    await stock.query("truncate t");
    for (const [sql, answer] of [
      ["insert into t (a) values (4711)", "C(INSERT 0 1) Z(I)"],
      ["insert into t (a) values (4711 / (random() * 0)::int)", "E(22012) Z(I)"],
    ] as const) {
      expect(await a.ask(encodeQuery(sql))).toBe(answer);
      expect(await b.ask(run)).toBe("E(26000) Z(I)");
    }
    await a.ask(encodeQuery("insert into t (a) values (4711)"));
    expect(await a.ask(run)).toBe("E(26000) Z(I)");
    expect((await stock.query("select count(*) from t")).rows).toEqual([["2"]]);
  });

  it("shows no value that another drew from a sequence", async () => {
    const [a, b] = [await connect(), await connect()];
    await a.query("select nextval('s')");
    await expect(b.query("select lastval()")).rejects.toMatchObject({ code: "55000" });
    // From now on it is known that this database asks for such values.
    const drawn = await value(a, "select nextval('s')");
    expect(kept()).toEqual(["values that it drew from a sequence may be asked for"]);
    const waits = b.query("select 1");
    expect(await value(a, "select currval('s')")).toBe(drawn);
    await a.end();
    await waits;
  });

  it.each([
    [
      "a temporary table",
      "create temp table mine (a int)",
      "it has temporary objects",
      "drop table mine",
    ],
    ["LISTEN", "listen news", "it listens", "unlisten *"],
    [
      "a session's advisory lock",
      "select pg_advisory_lock(7)",
      "it holds a session advisory lock",
      "select pg_advisory_unlock(7)",
    ],
    [
      "a cursor WITH HOLD",
      "declare c cursor with hold for select 1",
      "it has a cursor WITH HOLD",
      "close c",
    ],
    ["an open transaction", "begin", "a transaction is open", "commit"],
    ["a failed transaction", "begin; select 1/0", "a transaction is open", "rollback"],
    [
      "borealis.pool",
      "set borealis.pool = off",
      "borealis.pool is off",
      "set borealis.pool = auto",
    ],
  ])("keeps a connection for %s, says so, and lets go of it after", async (_, make, why, undo) => {
    const [a, b] = [await connect(), await connect()];
    await a.query(make).catch(() => undefined);
    await eventually("it says why", () => kept().includes(why));
    let isDone = false;
    const waits = b.query("select 1").then(() => (isDone = true));
    await a.query("select 1").catch(() => undefined);
    expect(isDone).toBe(false);
    expect(rows("waiting")).toHaveLength(1);
    await a.query(undo);
    await waits;
    expect(isDone).toBe(true);
  });

  it("keeps it for what cannot be read back, and closes it at the end", async () => {
    const a = await connect();
    await a.query("select setseed(0.5)");
    await eventually("it says why", () =>
      kept().some((why) => why?.startsWith("it has a seed") === true),
    );
    const first = await pidOf(a);
    await a.end();
    expect(await pidOf(await connect())).not.toBe(first);
  });

  const byCode = "functions in this database may keep something in its connection";
  const names = "it may have settings whose names are not known";
  const show = (setting: string): string => `select current_setting('${setting}', true)`;
  const plpgsql = (signature: string, body: string): string =>
    `create function ${signature} returns void language plpgsql as $$begin\n${body}; end$$`;

  it.each([
    [
      "a DO block that names it",
      [],
      ["do $$begin perform set_config('app.a', 'of a', false); end$$"],
      show("app.a"),
      null,
    ],
    [
      "a function's SET behind a comment",
      [plpgsql("f()", "-- the tenant's\n set search_path = pg_catalog")],
      ["select f()"],
      "show search_path",
      '"$user", public',
    ],
    [
      "a function with a body of SQL",
      [
        "create function f() returns text begin atomic select set_config('work_mem', '9MB', false); end",
      ],
      ["select f()"],
      "show work_mem",
      "4MB",
    ],
  ])("shows nobody what was set by %s", async (_, setup, acts, ask, answer) => {
    for (const sql of setup) await stock.query(sql);
    await openPool(1);
    const [a, b] = [await connect(), await connect()];
    for (const sql of acts) await a.query(sql);
    expect(await value(b, ask)).toBe(answer);
    if (setup.length > 0) await stock.query("drop function f()");
  });

  it.each([
    ["DO with a name that it builds", "", "do $$begin execute 'set app.' || 'b = 1'; end$$", names],
    ["set_config of an expression", "", "select set_config('app.' || 'b', 'x', false)", names],
    [
      "a function that builds names",
      plpgsql("f()", "perform set_config('app.' || 'b', 'x', false)"),
      "select f()",
      byCode,
    ],
    ["a function's LISTEN", plpgsql("f()", "-- news\n listen news"), "select f()", "it listens"],
    ["a function that seeds", plpgsql("f()", "perform setseed(0.5)"), "select f()", byCode],
    [
      "a view that locks",
      "create view v as select pg_try_advisory_lock(77)",
      "select * from v",
      "it holds a session advisory lock",
    ],
    [
      "a table that is temporary by the search path",
      "",
      "set search_path = pg_temp, public; create table secret (a int)",
      "it has temporary objects",
    ],
    [
      "a function that makes one",
      plpgsql("f()", "create table pg_temp.secret (a int)"),
      "select f()",
      "it has temporary objects",
    ],
    [
      "a replication slot",
      "",
      "select pg_create_physical_replication_slot('mine', true, true)",
      "it has a seed, a base backup, a replication slot or the like",
    ],
  ])("gives nobody the connection of a session with %s", async (_, setup, act, why) => {
    if (setup !== "") await stock.query(setup);
    await openPool(1);
    const [a, b] = [await connect(), await connect()];
    const pid = await pidOf(a);
    await a.query(act);
    let isDone = false;
    const asked = pidOf(b).finally(() => (isDone = true));
    await eventually("it says why", () => kept().includes(why));
    expect(isDone).toBe(false);
    await a.end();
    expect(await asked).not.toBe(pid);
    if (setup !== "")
      await stock.query(`drop ${setup.includes("view") ? "view v" : "function f()"}`);
  });

  it("still shares where triggers and functions change data and nothing else", async () => {
    await stock.query(`create table counted (a int, at timestamptz);
      create function f() returns trigger language plpgsql as $$begin
        update counted set a = a + 1; new.at := now(); return new; end$$;
      create trigger g before insert on counted for each row execute function f()`);
    await openPool(1);
    const [a, b] = [await connect(), await connect()];
    for (const client of [a, b, a, b]) await client.query("insert into counted values (1)");
    expect(await value(a, "select sum(a)::int from counted")).toBe(10);
    expect(ends.server.poolCounts).toEqual([{ instance: "instance-1", open: 1, free: 0 }]);
    await stock.query("drop table counted; drop function f()");
  });

  it("hears what it listens to", async () => {
    await openPool(2);
    const [a, b] = [await connect(), await connect()];
    await a.query("listen news");
    const heard = new Promise((resolve) =>
      a.once("notification", ({ payload }) => resolve(payload)),
    );
    await b.query("notify news, 'hello'");
    expect(await heard).toBe("hello");
  });

  it("waits for a connection so long, then says so, and goes on", async () => {
    await openPool(1, 200);
    const [a, b] = [await connect(), await raw()];
    await a.query("begin");
    expect(await b.ask(encodeQuery("select 1"))).toBe("E(53300) Z(I)");
    expect(await b.ask(parse, run)).toBe("E(53300) Z(I)");
    // Its Sync comes later: the error is told at once.
    b.send(parse, encodeBind("", ""), encodeFlush());
    await eventually("it hears the error", () => b.heardCount > 0);
    expect(await b.ask(encodeExecute(""), encodeSync())).toBe("E(53300) Z(I)");
    await a.query("commit");
    expect(await b.ask(encodeQuery("select 1"))).toBe("T D(1) C(SELECT 1) Z(I)");
    expect(await b.ask(parse, run)).toBe("1 2 D(1) C(SELECT 1) Z(I)");
  });

  it("cancels what waits for a connection, and nothing of whoever has that", async () => {
    const [a, b] = [await connect(), await connect()];
    await a.query("begin");
    const sleeping = a.query("select pg_sleep(1)");
    const waiting = b.query("select 1").catch((error: unknown) => error);
    await eventually("it waits", () => rows("waiting").length === 1);
    await cancel(b);
    expect(await waiting).toMatchObject({ code: "57014" });
    await sleeping;
    await a.query("commit");
    expect(await value(b, "select 1")).toBe(1);
  });

  it("waits for others of a role that may have no more connections, and lets all others by", async () => {
    await stock.query("create role few login password 'secret' connection limit 1");
    await openPool(3);
    const [a, b] = [await connect({ user: "few" }), await connect({ user: "few" })];
    const other = await connect();
    expect(await value(other, "select 1")).toBe(1);
    await a.query("begin");
    const waiting = value(b, "select 2");
    await eventually("it waits", () => rows("waiting").length === 1);
    expect(await value(other, "select 3")).toBe(3);
    // An attempt that is refused in the end counts while it lasts.
    await eventually("no more are open", () => ends.server.poolCounts[0]?.open === 2);
    await a.query("commit");
    expect(await waiting).toBe(2);
    expect(await value(a, "select 4")).toBe(4);
  });

  it("keeps settings that it could not make again", async () => {
    await stock.query(
      "create function be_replica() returns text language sql security definer as $$select set_config('session_replication_role', 'replica', false)$$",
    );
    await openPool(2);
    const [a, b] = [await connect({ user: "app" }), await connect({ user: "app" })];
    await a.query("select be_replica()");
    await eventually("it is known", () =>
      kept().includes("it has settings that it may not make again"),
    );
    expect(await value(b, "show session_replication_role")).toBe("origin");
    expect(await value(a, "show session_replication_role")).toBe("replica");
    await stock.query("drop function be_replica()");
  });

  it("goes on without a prepared statement that means nothing any more, up to its use", async () => {
    await stock.query("create table one (x int)");
    await stock.query("create table two (y int)");
    const [a, b] = [await connect(), await connect()];
    const named = { name: "p", text: "select x from one, two" };
    await b.query(named);
    expect(await value(a, "select 1")).toBe(1);
    await stock.query("alter table two add x int");
    expect(await value(b, "select 2")).toBe(2);
    await expect(b.query(named)).rejects.toMatchObject({ code: "26000" });
    await stock.query("alter table two drop x");
    expect(await value(a, "select 1")).toBe(1);
    expect((await b.query(named)).rows).toEqual([]);
  });

  it("can be cancelled while its connection is made ready", async () => {
    await stock.query("create table locked (a int)");
    const [a, b] = [await connect(), await connect()];
    await b.query({ name: "l", text: "select a from locked" });
    expect(await value(a, "select 1")).toBe(1);
    const { socketDir, port } = stock.address;
    const locker = await connectTo(port, { host: socketDir });
    clients.push(locker);
    await locker.query("begin; lock table locked in access exclusive mode");
    const waiting = b.query("select 2").catch((error: unknown) => error);
    const locks = "select count(*) from pg_locks where not granted";
    await eventually("it waits for the lock", async () => {
      return (await stock.query(locks)).rows[0]?.[0] === "1";
    });
    await cancel(b);
    expect(await waiting).toMatchObject({ code: "57014" });
    await eventually("its server has gone", async () => {
      return (await stock.query(locks)).rows[0]?.[0] === "0";
    });
    expect(await value(a, "select 1")).toBe(1);
    await locker.query("rollback");
    expect(await value(b, "select 3")).toBe(3);
    expect((await b.query({ name: "l", text: "select a from locked" })).rows).toEqual([]);
  });

  it("gives a connection with a small timeout to others, whom that does not harm", async () => {
    const [a, b] = [await connect(), await connect()];
    await a.query("set statement_timeout = 60000");
    await a.query("select nextval('s')");
    for (let round = 0; round < 3; round++) {
      expect(await value(b, "show statement_timeout")).toBe("0");
      expect(await value(a, "show statement_timeout")).toBe("1min");
    }
  });

  it("cancels only its own statement, whatever is handed over meanwhile", async () => {
    const many = await Promise.all(Array.from({ length: 6 }, () => connect()));
    const [victim, ...others] = many as [pg.Client, ...pg.Client[]];
    let isOver = false;
    const busy = others.map(async (client) => {
      while (!isOver) await client.query("select 1");
    });
    for (let round = 0; round < 20; round++) {
      const statement = victim
        .query(round % 2 === 0 ? "select pg_sleep(5)" : "select 1")
        .catch((error: unknown) => error);
      await cancel(victim);
      if (round % 2 === 0) {
        const again = setInterval(() => void cancel(victim), 50);
        expect(await statement).toMatchObject({ code: "57014" });
        clearInterval(again);
      } else await statement;
    }
    isOver = true;
    // None of theirs was hit.
    await Promise.all(busy);
  });

  it("goes on after an error, and after a client that left in the middle", async () => {
    const [a, b] = [await connect(), await connect()];
    await expect(a.query("select 1/0")).rejects.toMatchObject({ code: "22012" });
    expect(await value(b, "select 1")).toBe(1);
    const c = await raw();
    await c.ask(encodeQuery("begin"));
    await c.ask(encodeQuery("insert into t (a) values (999)"));
    c.end();
    expect(await value(b, "select count(*)::int from t where a = 999")).toBe(0);
    const d = await raw();
    d.send(encodeQuery("select pg_sleep(0.2)"));
    d.end();
    expect(await value(a, "select 1")).toBe(1);
  });

  it("gives a connection on when its client says goodbye", async () => {
    const a = await connect();
    const pid = await pidOf(a);
    await a.end();
    await eventually("it is free", () => ends.server.poolCounts[0]?.free === 1);
    expect(await pidOf(await connect())).toBe(pid);
    // One that has none says goodbye, too.
    const b = await raw();
    b.send(encodeTerminate());
    await eventually("its socket closes", () => b.hasClosed);
  });

  it("opens another when an operator ends one that nobody uses", async () => {
    const a = await connect();
    const pid = await pidOf(a);
    await settled();
    await stock.query(`select pg_terminate_backend(${Number(pid)})`);
    await eventually("it is gone", () => ends.server.poolCounts[0]?.open === 0);
    expect(await pidOf(a)).not.toBe(pid);
  });

  it("asks PostgreSQL about a login that it may refuse", async () => {
    await stock.query("create database closed");
    await stock.query("revoke connect on database closed from public");
    const asApp = { user: "app", database: "closed" };
    await expect(connect(asApp)).rejects.toMatchObject({ code: "42501" });
    await stock.query("grant connect on database closed to app");
    await (await connect(asApp)).query("select 1");
    await stock.query("revoke connect on database closed from app");
    await expect(connect(asApp)).rejects.toMatchObject({ code: "42501" });
    await expect(connect({ database: "none" })).rejects.toMatchObject({ code: "3D000" });
    await expect(connect({ options: "-c nonsense=1" })).rejects.toMatchObject({ code: "42704" });
    await expect(connect({ password: "wrong" })).rejects.toMatchObject({ code: "28P01" });
    await stock.query("alter role app set work_mem = '11MB'");
    expect(await value(await connect({ user: "app" }), "show work_mem")).toBe("11MB");
    await stock.query("alter role app set work_mem = '12MB'");
    expect(await value(await connect({ user: "app" }), "show work_mem")).toBe("12MB");
    await ends.close();
    await eventually("they have left", async () => {
      const { rows: left } = await stock.query(
        "select 1 from pg_stat_activity where datname = 'closed'",
      );
      return left.length === 0;
    });
    await stock.query("drop database closed");
  });

  it("is off for a database that has it so, and for a session that asks", async () => {
    await openPool(4);
    await connect({ options: "-c borealis.pool=off" });
    expect(rows()).toMatchObject([{ isPooled: false, state: "idle" }]);
    await stock.query("alter role app set borealis.pool = off");
    await connect({ user: "app" });
    expect(rows()).toMatchObject([{ isPooled: false }, { isPooled: false }]);
    await stock.query("alter role app reset borealis.pool");
  });

  it("ends a session that is idle for too long by its own setting, with a connection or without", async () => {
    const [a, b, c] = [
      await connect(),
      await raw(),
      await connect({ options: "-c idle_session_timeout=200" }),
    ];
    const code = new Promise((resolve) =>
      c.once("error", (error: { code?: string }) => resolve(error.code)),
    );
    await b.ask(encodeQuery("set idle_session_timeout = 300"));
    await a.query("select 1");
    expect(await b.answer()).toBe("E(57P05) closed");
    expect(await code).toBe("57P05");
    expect(await value(a, "select 1")).toBe(1);
  });

  it("is not taken while a completion waits to be durable", async () => {
    const [a, b] = [await connect(), await connect()];
    await a.query("set synchronous_commit = off");
    ends.vdl.isFrozen = true;
    const writes = a.query("insert into t (a) values (1)");
    await eventually("it is held", () => ends.vdl.waits.length === 1);
    let isDone = false;
    const waits = b.query("select 1").then(() => (isDone = true));
    await eventually("the other waits", () => rows("waiting").length === 1);
    expect(kept()).toContain("a statement is under way");
    expect(isDone).toBe(false);
    ends.vdl.isFrozen = false;
    ends.vdl.advance();
    await Promise.all([writes, waits]);
  });

  it("only reads at the reader endpoint, stays with its reader, and leaves one that has another role", async () => {
    const writer = targetOf(stock);
    const reader = { ...targetOf(stock, "reader"), instanceId: instanceId("instance-2") };
    ends.topology.set({ writer, reader });
    const all = await Promise.all([1, 2, 3].map(() => connectTo(ends.readerPort)));
    clients.push(...all);
    const readOnly = "show default_transaction_read_only";
    for (const client of all) expect(await value(client, readOnly)).toBe("on");
    expect(ends.server.poolCounts).toEqual([{ instance: "instance-2", open: 1, free: 0 }]);
    await expect(all[0]?.query("insert into t (a) values (1)")).rejects.toMatchObject({
      code: "25006",
    });
    // It is promoted: what its connections were is none of its business any more.
    ends.topology.set({ writer: { ...reader, role: "writer" }, reader: undefined });
    await eventually("they are closed", () => ends.server.poolCounts.length === 0);
    for (const client of all) expect(await value(client, readOnly)).toBe("off");
    expect(ends.server.poolCounts).toEqual([{ instance: "instance-2", open: 1, free: 0 }]);
  });

  it("closes what nobody has used for a while", async () => {
    await ends.close();
    ends = await openEndpoints(stock, {
      pooling: { mode: "auto", maxConnections: 4, idleTimeoutMs: 1 },
    });
    const a = await connect();
    await a.query("set work_mem = '6MB'");
    await eventually("it is closed", () => ends.server.poolCounts[0]?.open === 0, 15_000);
    expect(await value(a, "show work_mem")).toBe("6MB");
  }, 30_000);

  /** As drivers do: by another connection, with the key. */
  async function cancel(client: pg.Client): Promise<void> {
    const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
    const { connect: dial } = await import("node:net");
    await new Promise<void>((resolve) => {
      const socket = dial({ port: ends.port, host: "127.0.0.1" });
      const packet = Buffer.alloc(16);
      packet.writeInt32BE(16, 0);
      packet.writeInt32BE(80877102, 4);
      packet.writeInt32BE(processID, 8);
      packet.writeInt32BE(secretKey, 12);
      socket.on("close", () => resolve());
      socket.on("error", () => resolve());
      socket.on("data", () => undefined);
      socket.write(packet);
    });
  }
});

describe.each(engines)(
  "sessions that share connections, on PostgreSQL $version that is lost",
  (engine) => {
    let lives: Lives;
    beforeAll(async () => {
      lives = await Lives.start(engine, { pooling: { mode: "auto", maxConnections: 2 } });
      await lives.stock.query("create table t (a int)");
    });
    afterAll(() => lives.stop());

    it("go on, with what they had; a transaction is run again", async () => {
      const all = await Promise.all(Array.from({ length: 6 }, () => connectTo(lives.ends.port)));
      for (const [index, client] of all.entries()) {
        await client.query(`set work_mem = '${index + 5}MB'`);
        await client.query({ name: "q", text: `select ${index} as n`, values: [] });
      }
      const [first] = all as [pg.Client];
      await first.query("begin");
      await first.query("insert into t values (1)");
      await lives.failOver();
      await first.query("commit");
      for (const [index, client] of all.entries()) {
        expect((await client.query("show work_mem")).rows).toEqual([
          { work_mem: `${index + 5}MB` },
        ]);
        const { rows } = await client.query({
          name: "q",
          text: `select ${index} as n`,
          values: [],
        });
        expect(rows).toEqual([{ n: index }]);
      }
      expect((await lives.stock.query("select count(*) from t")).rows).toEqual([["1"]]);
      await Promise.all(all.map((client) => client.end()));
    }, 60_000);
  },
);

const [engine] = findEngines();
describe.skipIf(!engine)("pgbench with 64 clients on 8 connections", () => {
  let stock: StockPostgres;
  let ends: TestEndpoints;
  beforeAll(async () => {
    if (!engine) return;
    stock = await startStockPostgres(engine);
    await stock.query("create role postgres superuser login password 'secret'");
    ends = await openEndpoints(stock, { pooling: { mode: "auto", maxConnections: 8 } });
  });
  afterAll(async () => {
    await ends.close();
    await stock.stop();
  });

  const pgbench = (...args: string[]): Promise<{ code: number | null; text: string }> =>
    new Promise((resolve) => {
      const url = `postgres://postgres:secret@127.0.0.1:${ends.port}/postgres`;
      const child = spawn(join(engine?.bin ?? "", "pgbench"), [...args, url]);
      let text = "";
      child.stdout.on("data", (chunk) => (text += String(chunk)));
      child.stderr.on("data", (chunk) => (text += String(chunk)));
      child.on("close", (code) => resolve({ code, text }));
    });

  it.each(["simple", "prepared"])(
    "-S -M %s opens hardly more than those",
    async (mode) => {
      expect((await pgbench("-i", "-q", "-s", "1")).code).toBe(0);
      // Sessions of an idle pool are told a little later: a wide margin is enough.
      const opened = async (): Promise<number> =>
        Number((await stock.query("select sum(sessions) from pg_stat_database")).rows[0]?.[0]);
      const before = await opened();
      const { code, text } = await pgbench(
        "-S",
        "-M",
        mode,
        "-c",
        "64",
        "-j",
        "2",
        "-t",
        "200",
        "-n",
      );
      expect(code, text).toBe(0);
      expect((await opened()) - before).toBeLessThan(64);
      expect(ends.server.poolCounts[0]?.open).toBeLessThanOrEqual(8);
    },
    120_000,
  );

  it.each(["simple", "extended", "prepared"])(
    "-M %s adds up",
    async (mode) => {
      expect((await pgbench("-i", "-q", "-s", "2")).code).toBe(0);
      const { code, text } = await pgbench("-M", mode, "-c", "64", "-j", "64", "-t", "30", "-n");
      expect(code, text).toBe(0);
      const sums =
        "select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)" +
        ", (select sum(tbalance) from pgbench_tellers) = (select sum(delta) from pgbench_history), count(*) from pgbench_history";
      expect((await stock.query(sums)).rows).toEqual([["t", "t", String(64 * 30)]]);
      expect(ends.server.poolCounts[0]?.open).toBeLessThanOrEqual(8);
    },
    120_000,
  );
});
