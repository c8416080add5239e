import { connect } from "node:net";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  connectPg,
  encodeBind,
  encodeCancelRequest,
  encodeExecute,
  encodeParse,
  encodeQuery,
  encodeSync,
  type PgClient,
} from "../src/wire/index.ts";
import { connectTo, openEndpoints, type TestEndpoints } from "./helpers/endpoints.ts";
import { eventually } from "./helpers/eventually.ts";
import { lifeOf } from "./helpers/lives.ts";
import { RawClient } from "./helpers/raw-client.ts";
import {
  enginesForFile,
  startStockPostgres,
  type StockPostgres,
} from "./helpers/stock-postgres.ts";

const engines = enginesForFile();
const executed = (text: string): Buffer =>
  Buffer.concat([encodeParse("", text), encodeBind("", ""), encodeExecute(""), encodeSync()]);

// The synchronous standby never connects and the log's VDL stands still: whatever is reported as done is a lie.
describe.each(engines)("commits with the quorum away, on PostgreSQL $version", (engine) => {
  let stock: StockPostgres;
  let ends: TestEndpoints;
  let admin: PgClient;
  let client: pg.Client;
  let notices: string[];

  beforeAll(async () => {
    const settings = { synchronous_standby_names: "borealis_log", max_prepared_transactions: "4" };
    stock = await startStockPostgres(engine, settings);
    ends = await openEndpoints(stock, { limits: { holdTimeoutMs: 2_000 } });
    ends.topology.known = [await lifeOf(stock, 1)];
    const options = "-c synchronous_commit=local";
    admin = await connectPg({
      address: stock.address,
      user: "rdsadmin",
      database: "postgres",
      except: "all",
      options,
    });
    for (const sql of [
      "create role postgres superuser login password 'secret'",
      "create table t(id serial primary key, v text)",
      `create function lowers() returns int language plpgsql as $$begin
         perform set_config('synchronous_commit', 'off', true); insert into t(v) values ('f'); return 1; end$$`,
      `create function lowering() returns trigger language plpgsql as $$begin
         perform set_config('synchronous_commit', 'off', true); return new; end$$`,
      "create table triggered(id int)",
      "create trigger lower before insert on triggered for each row execute function lowering()",
      "create view sly as select lowers() as x",
      `create function upper(int) returns text language plpgsql as $$begin
         insert into t(v) values ('u'); return 'x'; end$$`,
      "create procedure waits() language plpgsql as $$begin insert into t(v) values ('w'); commit; end$$",
      `create procedure commits() language plpgsql as $$begin
         perform set_config('synchronous_commit', 'off', true); insert into t(v) values ('p'); commit; end$$`,
    ]) {
      await admin.query(sql);
    }
  });
  afterAll(async () => {
    await admin.close();
    await ends.close();
    await stock.stop();
  });
  beforeEach(async () => {
    ends.vdl.isFrozen = true;
    client = await open();
  });
  afterEach(async () => {
    ends.vdl.isFrozen = false;
    ends.vdl.advance();
    await client.end().catch(() => undefined); // a test may have ended it
  });

  const open = async (config: pg.ClientConfig = {}): Promise<pg.Client> => {
    const opened = await connectTo(ends.port, config);
    notices = [];
    opened.on("notice", (notice) => notices.push(notice.message ?? ""));
    return opened;
  };
  const pidOf = (of: pg.Client): number => (of as unknown as { processID: number }).processID; // pg's own
  const outcome = (
    promise: Promise<unknown>,
  ): { told: string | undefined; done: Promise<string> } => {
    const seen: { told: string | undefined; done: Promise<string> } = {
      told: undefined,
      done: Promise.resolve(""),
    };
    seen.done = promise.then(
      () => (seen.told = "done"),
      (error: unknown) =>
        (seen.told =
          error instanceof Error && "code" in error ? `${String(error.code)}` : String(error)),
    );
    return seen;
  };
  const waitsInSyncRep = (pid: number): Promise<boolean> =>
    admin
      .query(`select 1 from pg_stat_activity where pid = ${pid} and wait_event = 'SyncRep'`)
      .then(({ rows }) => rows.length === 1);

  /** Not told before VDL moves, and told then. */
  const expectHeld = async (promise: Promise<unknown>, upTo: string): Promise<void> => {
    const seen = outcome(promise);
    await eventually(
      "the completion is held",
      () => seen.told !== undefined || ends.vdl.waits.length === 1,
    );
    expect(seen.told).toBeUndefined();
    expect(ends.vdl.waits[0]?.upTo).toBe(upTo);
    ends.vdl.advance();
    expect(await seen.done).toBe("done");
    expect(notices).toEqual([]);
  };
  /** Told at once. */
  const expectFree = async (promise: Promise<unknown>): Promise<void> => {
    const seen = outcome(promise);
    await eventually("an answer", () => seen.told !== undefined || ends.vdl.waits.length > 0);
    expect(ends.vdl.waits).toEqual([]);
    expect(seen.told).toBe("done");
  };

  const plain = (text: string) => (): Promise<unknown> => client.query(text);
  const prepared =
    (text: string, values: unknown[] = []) =>
    (): Promise<unknown> =>
      client.query({ text, values, queryMode: "extended" } as pg.QueryConfig); // newer than its types
  describe("a session that lowered synchronous_commit is told nothing early", () => {
    it.each([
      ["a simple INSERT", plain("insert into t(v) values ('a')")],
      ["an INSERT with RETURNING", plain("insert into t(v) values ('a') returning id")],
      ["a parametrised INSERT", prepared("insert into t(v) values ($1)", ["a"])],
      ["a SELECT of a function that has a built-in's name", plain("select upper(5)")],
      ["DDL", plain("create table if not exists made(id int)")],
      ["several statements", plain("insert into t(v) values ('a'); insert into t(v) values ('b')")],
      ["a block in one Query", plain("begin; insert into t(v) values ('a'); commit")],
      ["DO", plain("do $$begin insert into t(v) values ('d'); end$$")],
      ["CALL", plain("call commits()")],
      ["CREATE TABLE AS, extended", prepared("create table if not exists made2 as select 1 as a")],
      ["VACUUM's kin", plain("create index concurrently if not exists made_v on t(v)")],
    ])("%s", async (_, act) => {
      await client.query("set synchronous_commit = off");
      await expectHeld(act(), "inserted");
    });

    it.each([
      ["COMMIT", "commit"],
      ["END", "end"],
      ["PREPARE TRANSACTION", "prepare transaction 'p1'"],
      ["COMMIT AND CHAIN", "commit and chain"],
    ])("%s", async (_, text) => {
      await client.query("begin");
      await client.query("set local synchronous_commit = off");
      await client.query("insert into t(v) values ('a')");
      await expectHeld(client.query(text), "inserted");
      if (text.startsWith("prepare")) await admin.query("rollback prepared 'p1'");
      if (text.endsWith("chain")) await client.query("rollback");
    });

    it("an extended COMMIT", async () => {
      await client.query("begin");
      await client.query("set local synchronous_commit = off");
      await client.query("insert into t(v) values ('a')");
      await expectHeld(prepared("commit")(), "inserted");
    });

    it("local counts as lowered, and is flushed already", async () => {
      await client.query("set synchronous_commit = local");
      await expectHeld(client.query("insert into t(v) values ('a')"), "flushed");
    });

    it("a sequence's value that somebody else logged is shown when that is durable", async () => {
      await admin.query("create sequence if not exists drawn; select nextval('drawn')");
      await expectHeld(client.query("select nextval('drawn')"), "flushed");
    });

    it("by ALTER ROLE", async () => {
      await admin.query(
        "create role lazy login password 'secret'; grant all on t, t_id_seq to lazy; alter role lazy set synchronous_commit = off",
      );
      await client.end();
      client = await open({ user: "lazy" });
      await expectHeld(client.query("insert into t(v) values ('a')"), "inserted");
      await client.query("begin");
      await client.query("insert into t(v) values ('a')");
      await expectHeld(client.query("commit"), "inserted");
    });

    it("by a start-up option", async () => {
      await client.end();
      client = await open({ options: "-c synchronous_commit=off" });
      await expectHeld(client.query("insert into t(v) values ('a')"), "inserted");
    });

    it("by COPY's company", async () => {
      await client.query("set synchronous_commit = off");
      await expectHeld(client.query("copy t(v) from program 'echo x'"), "inserted");
    });
  });

  describe("a function or trigger that lowers it for its own transaction only", () => {
    it.each([
      ["a function, simple", plain("select lowers()")],
      ["a function, extended", prepared("select lowers()")],
      ["a view over it", plain("select * from sly")],
      ["a trigger, simple", plain("insert into triggered values (1)")],
      ["a trigger, extended", prepared("insert into triggered values ($1)", [1])],
      ["a procedure that commits", plain("call commits()")],
      ["a function in DO", plain("do $$begin perform lowers(); end$$")],
    ])("%s", async (_, act) => {
      await expectHeld(act(), "inserted");
    });

    it("a trigger in a transaction block", async () => {
      await client.query("begin");
      await client.query("insert into triggered values (1)");
      await expectHeld(client.query("commit"), "inserted");
    });

    it("a deferred trigger, which runs inside COMMIT", async () => {
      await admin.query(`create table deferred(id int);
        create constraint trigger late after insert on deferred deferrable initially deferred
        for each row execute function lowering()`);
      await client.end();
      // What another way created is seen by new sessions after a while: the endpoint itself saw none of it here.
      const fresh = await openEndpoints(stock);
      try {
        fresh.vdl.isFrozen = true;
        client = await connectTo(fresh.port);
        await client.query("begin");
        await client.query("insert into deferred values (1)");
        const seen = outcome(client.query("commit"));
        await eventually(
          "it is held",
          () => seen.told !== undefined || fresh.vdl.waits.length === 1,
        );
        expect(seen.told).toBeUndefined();
        fresh.vdl.advance();
        expect(await seen.done).toBe("done");
      } finally {
        await client.end();
        await fresh.close();
        await admin.query("drop table deferred");
      }
    });
  });

  describe("what needs no quorum is not delayed", () => {
    it.each([
      ["reads", plain("select count(*) from t")],
      ["extended reads", prepared("select count(*) from t")],
      ["SHOW", plain("show synchronous_commit")],
      ["SET", plain("set work_mem = '5MB'")],
      ["LISTEN", plain("listen x")],
      [
        "a failed statement",
        () => client.query("insert into nowhere values (1)").catch(() => undefined),
      ],
      ["a rolled back block", plain("begin; select 1; rollback")],
    ])("%s", async (_, act) => {
      await client.query("set synchronous_commit = off");
      await expectFree(act());
    });

    it("a block that only read", async () => {
      await client.query("set synchronous_commit = off");
      await client.query("begin");
      await client.query("select count(*) from t");
      await expectFree(client.query("commit"));
    });
  });

  describe("borealis.force_durable_commit = off is an explicit wish", () => {
    it("by SET", async () => {
      await client.query("set borealis.force_durable_commit = off");
      await client.query("set synchronous_commit = off");
      await expectFree(client.query("do $$begin insert into t(v) values ('d'); end$$"));
      await expectFree(client.query("insert into t(v) values ('a')"));
      await client.query("begin");
      await client.query("insert into t(v) values ('a')");
      await expectFree(client.query("commit"));
      await expectFree(client.query("do $$begin insert into t(v) values ('d'); end$$"));
      await client.query("set borealis.force_durable_commit = on");
      await expectHeld(client.query("do $$begin insert into t(v) values ('d'); end$$"), "inserted");
      await expectHeld(client.query("insert into t(v) values ('a')"), "inserted");
    });

    it("by a start-up option, and by ALTER ROLE", async () => {
      await client.end();
      client = await open({
        options: "-c borealis.force_durable_commit=off -c synchronous_commit=off",
      });
      await expectFree(client.query("insert into t(v) values ('a')"));
      await client.end();
      await admin.query("create role fast superuser login password 'secret'");
      await admin.query(
        "alter role fast set borealis.force_durable_commit = off; alter role fast set synchronous_commit = off",
      );
      client = await open({ user: "fast" });
      await client.query("begin");
      await client.query("insert into t(v) values ('a')");
      await expectFree(client.query("commit"));
    });
  });

  describe("a wait that is broken off", () => {
    it("Ctrl-C on a commit that waits changes nothing", async () => {
      const seen = outcome(client.query("insert into t(v) values ('a')"));
      await eventually("it waits", () => waitsInSyncRep(pidOf(client)));
      const { secretKey } = client as unknown as { secretKey: number }; // pg's own
      const key = Buffer.alloc(4);
      key.writeInt32BE(secretKey);
      await new Promise((resolve) => {
        const socket = connect({ port: ends.port, host: "127.0.0.1" }, () =>
          socket.write(encodeCancelRequest(pidOf(client), key)),
        );
        socket.resume().once("close", resolve);
      });
      expect(await waitsInSyncRep(pidOf(client))).toBe(true);
      expect(seen.told).toBeUndefined();
      await admin.query(`select pg_cancel_backend(${pidOf(client)})`);
      await eventually("it is held", () => ends.vdl.waits.length === 1);
      ends.vdl.advance();
      await seen.done;
    });

    it.each([
      ["simple", plain("insert into t(v) values ('a')")],
      ["extended", prepared("insert into t(v) values ($1)", ["a"])],
      [
        "in a block",
        () =>
          client
            .query("begin")
            .then(() => client.query("insert into t(v) values ('a')"))
            .then(() => client.query("commit")),
      ],
    ])("pg_cancel_backend: success, without the warning, when it is true (%s)", async (_, act) => {
      const acting = act();
      await eventually("it waits", () => waitsInSyncRep(pidOf(client)));
      await admin.query(`select pg_cancel_backend(${pidOf(client)})`);
      await expectHeld(acting, "flushed");
    });

    it("a hidden warning does not help: such a session waits for each commit", async () => {
      await client.query("set client_min_messages = error");
      const acting = client.query("insert into t(v) values ('a')");
      await eventually("it waits", () => waitsInSyncRep(pidOf(client)));
      await admin.query(`select pg_cancel_backend(${pidOf(client)})`);
      await expectHeld(acting, "flushed");
    });

    it("08007 when it will never be known", async () => {
      await client.query("set synchronous_commit = off");
      const seen = outcome(client.query("insert into t(v) values ('a')"));
      await eventually("it is held", () => ends.vdl.waits.length === 1);
      ends.vdl.lose();
      expect(await seen.done).toBe("08007");
    });

    describe("by pg_terminate_backend", () => {
      const terminated = async (...asked: readonly Buffer[]): Promise<RawClient> => {
        const raw = await RawClient.open(ends.port);
        for (const message of asked.slice(0, -1)) await raw.ask(message);
        raw.send(...asked.slice(-1));
        const waiting = "select pid from pg_stat_activity where wait_event = 'SyncRep'";
        const pid = await eventually("it waits", async () => {
          const { rows } = await admin.query(waiting);
          return rows[0]?.[0] ?? undefined;
        });
        await admin.query(`select pg_terminate_backend(${pid})`);
        await eventually("it is asked about", () => ends.vdl.waits.length === 1);
        return raw;
      };
      const insert = "insert into t(v) values ('terminated') returning 1";

      it.each([
        ["a simple INSERT", [encodeQuery(insert)], "T D(1) C(INSERT 0 1) Z(I) E(57P01) closed"],
        ["an extended one", [executed(insert)], "1 2 D(1) C(INSERT 0 1) Z(I) E(57P01) closed"],
        [
          "COMMIT",
          [encodeQuery("begin"), encodeQuery(insert), encodeQuery("commit")],
          "C(COMMIT) Z(I) E(57P01) closed",
        ],
        [
          "COMMIT AND CHAIN",
          [encodeQuery("begin"), encodeQuery(insert), encodeQuery("commit and chain")],
          "C(COMMIT) Z(T) E(57P01) closed",
        ],
        [
          "PREPARE TRANSACTION",
          [encodeQuery("begin"), encodeQuery(insert), encodeQuery("prepare transaction 'p2'")],
          "C(PREPARE TRANSACTION) Z(I) E(57P01) closed",
        ],
        [
          "COMMIT PREPARED",
          [encodeQuery("commit prepared 'p2'")],
          "C(COMMIT PREPARED) Z(I) E(57P01) closed",
        ],
      ])("%s: its success when it is true, and then the end", async (_, messages, told) => {
        const raw = await terminated(...messages);
        expect([raw.heardCount, raw.hasClosed]).toEqual([0, false]);
        ends.vdl.advance();
        expect(`${await raw.answer()} ${await raw.answer()}`).toBe(told);
      });

      it("ROLLBACK PREPARED: no success before that is durable", async () => {
        await admin.query(`begin; ${insert}; prepare transaction 'p3'`);
        const raw = await terminated(encodeQuery("rollback prepared 'p3'"));
        expect([raw.heardCount, raw.hasClosed]).toEqual([0, false]);
        ends.vdl.advance();
        expect(`${await raw.answer()} ${await raw.answer()}`).toBe(
          "C(ROLLBACK PREPARED) Z(I) E(57P01) closed",
        );
      });

      it("with synchronous_commit off: no success before all that is inserted is durable", async () => {
        const raw = await RawClient.open(ends.port);
        await raw.ask(encodeQuery("set synchronous_commit = off"));
        const pid = /D\((\d+)\)/.exec(await raw.ask(encodeQuery("select pg_backend_pid()")))?.[1];
        raw.send(encodeQuery(insert));
        await eventually("it is held", () => ends.vdl.waits.length === 1);
        await admin.query(`select pg_terminate_backend(${pid})`);
        const left = `select 1 from pg_stat_activity where pid = ${pid}`;
        await eventually("it is gone", async () => (await admin.query(left)).rows.length === 0);
        // It had completed, so there is nothing to be asked.
        expect(ends.vdl.waits.map(({ upTo }) => upTo)).toEqual(["inserted"]);
        expect([raw.heardCount, raw.hasClosed]).toEqual([0, false]);
        ends.vdl.advance();
        expect(`${await raw.answer()} ${await raw.answer()}`).toBe(
          "T D(1) C(INSERT 0 1) Z(I) E(57P01) closed",
        );
      });

      it("08007 when it will never be known", async () => {
        const raw = await terminated(encodeQuery(insert));
        ends.topology.known = [];
        ends.vdl.lose();
        expect(await raw.answer()).toBe("E(08007) closed");
        ends.topology.known = [await lifeOf(stock, 1)];
      });

      it("08007 for several statements in one Query: their transaction's id is not known", async () => {
        const raw = await RawClient.open(ends.port);
        raw.send(encodeQuery(`${insert}; ${insert}`));
        const waiting = "select pid from pg_stat_activity where wait_event = 'SyncRep'";
        const pid = await eventually("it waits", async () => {
          const { rows } = await admin.query(waiting);
          return rows[0]?.[0] ?? undefined;
        });
        await admin.query(`select pg_terminate_backend(${pid})`);
        expect(await raw.answer()).toMatch(/E\(08007\) closed$/);
      });

      it("the end alone, for several statements that had not come to their commit", async () => {
        const raw = await RawClient.open(ends.port);
        raw.send(encodeQuery(`${insert}; select pg_sleep(60)`));
        const sleeping = "select pid from pg_stat_activity where wait_event = 'PgSleep'";
        const pid = await eventually("it sleeps", async () => {
          const { rows } = await admin.query(sleeping);
          return rows[0]?.[0] ?? undefined;
        });
        await admin.query(`select pg_terminate_backend(${pid})`);
        expect(await raw.answer()).toMatch(/E\(57P01\) closed$/);
      });
    });

    it.each([
      [
        "a statement, whose timer is off before its commit",
        plain("insert into t(v) values ('a')"),
        "",
      ],
      ["a procedure that commits: there it ends the wait", plain("call waits()"), "inserted"],
    ])("statement_timeout does not let out %s", async (_, act, heldUpTo) => {
      await client.query("set statement_timeout = '150ms'");
      const seen = outcome(act());
      if (heldUpTo === "") {
        await eventually("it waits", () => waitsInSyncRep(pidOf(client)));
        const age = `select 1 from pg_stat_activity where pid = ${pidOf(client)} and now() - query_start > '400ms'`;
        await eventually(
          "its time is over",
          async () => (await admin.query(age)).rows.length === 1,
        );
        expect(await waitsInSyncRep(pidOf(client))).toBe(true);
        expect(seen.told).toBeUndefined();
        await admin.query(`select pg_cancel_backend(${pidOf(client)})`);
      }
      await eventually("it is held", () => seen.told !== undefined || ends.vdl.waits.length === 1);
      expect(seen.told).toBeUndefined();
      ends.vdl.advance();
      expect(["done", "57014"]).toContain(await seen.done);
    });

    it("borealis.commit_timeout: 08007", async () => {
      await client.query("set borealis.commit_timeout = '200ms'");
      expect(await outcome(client.query("insert into t(v) values ('a')")).done).toBe("08007");
      await client.end().catch(() => undefined); // ended already
      client = await open({ options: "-c borealis.commit_timeout=200" });
      await client.query("begin");
      await client.query("insert into t(v) values ('a')");
      expect(await outcome(client.query("commit")).done).toBe("08007");
    });
  });

  it("a lost instance, and none within hold_timeout: 08007 for a commit under way, 57P03 for the others", async () => {
    const other = await startStockPostgres(engine, { synchronous_standby_names: "borealis_log" });
    await other.query(
      "set synchronous_commit = local; create role postgres superuser login password 'secret'",
    );
    const lost = await openEndpoints(other, { limits: { holdTimeoutMs: 500 } });
    const committing = await connectTo(lost.port);
    const idle = await connectTo(lost.port);
    const idleEnd = new Promise<unknown>((resolve) => idle.once("error", resolve));
    const seen = outcome(committing.query("create table x()"));
    await eventually("it waits", async () => {
      const { rows } = await other.query(
        "select 1 from pg_stat_activity where wait_event = 'SyncRep'",
      );
      return rows.length > 0;
    });
    await other.stop();
    expect(await seen.done).toBe("08007");
    expect(await idleEnd).toMatchObject({ code: "57P03" });
    await lost.close();
  });
});
