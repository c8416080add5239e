/** Sessions whose PostgreSQL is killed under them, message by message: every form of a commit that may be in flight. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  encodeBind,
  encodeDescribe,
  encodeExecute,
  encodeFlush,
  encodeParse,
  encodeQuery,
  encodeSync,
} from "../src/wire/index.ts";
import { eventually } from "./helpers/eventually.ts";
import { Lives } from "./helpers/lives.ts";
import { RawClient } from "./helpers/raw-client.ts";
import { enginesForFile } from "./helpers/stock-postgres.ts";

const engines = enginesForFile();

const extended = (text: string): Buffer =>
  Buffer.concat([
    encodeParse("", text),
    encodeBind("", ""),
    encodeDescribe("portal", ""),
    encodeExecute(""),
  ]);
const sync = encodeSync();
const insert = "insert into t values (1)";

interface Form {
  readonly name: string;
  /** Run before, each to its end. */
  readonly before?: readonly string[];
  readonly inFlight: Buffer;
  /** What it hears if its commit is in the log, and if it had not come to that. */
  readonly done: string;
  readonly undone: string;
  /** How many rows there are then. */
  readonly rows: { readonly done: number; readonly undone: number };
  /** What a `select 7` hears then; as outside a transaction unless told. */
  readonly after?: { readonly done: string; readonly undone: string };
}

const commitWaits = "select exists (select from pg_stat_activity where wait_event = 'SyncRep')";
const once = { done: 1, undone: 1 };
const seven = "T D(7) C(SELECT 1) Z(I)";
const forms: readonly Form[] = [
  {
    name: "COMMIT as a simple Query",
    before: ["begin", insert],
    inFlight: encodeQuery("commit"),
    done: "C(COMMIT) Z(I)",
    undone: "C(COMMIT) Z(I)",
    rows: once,
  },
  {
    name: "COMMIT in extended messages",
    before: ["begin", insert],
    inFlight: Buffer.concat([extended("commit"), sync]),
    done: "1 2 n C(COMMIT) Z(I)",
    undone: "1 2 n C(COMMIT) Z(I)",
    rows: once,
  },
  {
    name: "a pipeline of INSERT and COMMIT",
    before: ["begin"],
    inFlight: Buffer.concat([extended(insert), extended("commit"), sync]),
    done: "1 2 n C(INSERT 0 1) 1 2 n C(COMMIT) Z(I)",
    undone: "1 2 n C(INSERT 0 1) 1 2 n C(COMMIT) Z(I)",
    rows: once,
  },
  {
    name: "an INSERT as a simple Query",
    inFlight: encodeQuery(insert),
    done: "C(INSERT 0 1) Z(I)",
    undone: "C(INSERT 0 1) Z(I)",
    rows: once,
  },
  {
    name: "an INSERT in extended messages, with RETURNING",
    inFlight: Buffer.concat([extended(`${insert} returning a`), sync]),
    done: "1 2 T D(1) C(INSERT 0 1) Z(I)",
    undone: "1 2 T D(1) C(INSERT 0 1) Z(I)",
    rows: once,
  },
  {
    name: "a pipeline of two INSERTs in one implicit transaction",
    inFlight: Buffer.concat([extended(insert), extended(insert), sync]),
    done: "1 2 n C(INSERT 0 1) 1 2 n C(INSERT 0 1) Z(I)",
    undone: "1 2 n C(INSERT 0 1) 1 2 n C(INSERT 0 1) Z(I)",
    rows: { done: 2, undone: 2 },
  },
  {
    name: "a SELECT of a function that writes",
    inFlight: encodeQuery("select writes()"),
    done: "T D(null) C(SELECT 1) Z(I)",
    undone: "T D(null) C(SELECT 1) Z(I)",
    rows: once,
  },
  {
    name: "a SELECT of a function that writes and has a built-in's name",
    inFlight: encodeQuery("select upper(5)"),
    done: "T D(x) C(SELECT 1) Z(I)",
    undone: "T D(x) C(SELECT 1) Z(I)",
    rows: once,
  },
  {
    name: "a SELECT of an operator that writes and has a built-in's name",
    inFlight: encodeQuery("select 5 -> 'a'::text"),
    done: "T D(x) C(SELECT 1) Z(I)",
    undone: "T D(x) C(SELECT 1) Z(I)",
    rows: once,
  },
  {
    name: "a SELECT of a function that writes and looks like a column",
    inFlight: encodeQuery("select r.field from r"),
    done: "T D(x) C(SELECT 1) Z(I)",
    undone: "T D(x) C(SELECT 1) Z(I)",
    rows: once,
  },
  {
    name: "COMMIT AND CHAIN",
    before: ["begin", insert],
    inFlight: encodeQuery("commit and chain"),
    done: "C(COMMIT) Z(T)",
    undone: "C(COMMIT) Z(T)",
    rows: once,
    after: { done: "E(40001) Z(E)", undone: "T D(7) C(SELECT 1) Z(T)" },
  },
  {
    name: "NOTIFY beside a write",
    before: ["begin", "notify x", insert],
    inFlight: encodeQuery("commit"),
    done: "C(COMMIT) Z(I)",
    undone: "C(COMMIT) Z(I)",
    rows: once,
  },
  {
    name: "several statements in one Query",
    inFlight: encodeQuery(`${insert}; ${insert}`),
    done: "E(08007) Z(I)",
    undone: "E(08007) Z(I)",
    rows: { done: 2, undone: 0 },
  },
  {
    name: "DO",
    inFlight: encodeQuery(`do $$begin ${insert}; end$$`),
    done: "E(08007) Z(I)",
    undone: "E(08007) Z(I)",
    rows: { done: 1, undone: 0 },
  },
  {
    name: "a procedure that commits",
    inFlight: encodeQuery("call commits()"),
    done: "E(08007) Z(I)",
    undone: "E(08007) Z(I)",
    rows: { done: 1, undone: 0 },
  },
];

describe.each(engines)("sessions over PostgreSQL $version", (engine) => {
  let lives: Lives;
  let client: RawClient;

  const until = (what: string, sql: string): Promise<true> =>
    eventually(what, async () => (await lives.stock.query(sql)).rows[0]?.[0] === "t");
  const rowCount = async (): Promise<number> =>
    Number((await lives.stock.query("select count(*) from t")).rows[0]?.[0]);
  const sideFile = (): string => join(lives.stock.dir, "side");
  const outcomes = (): Record<string, number> => lives.ends.server.outcomeCounts;

  beforeAll(async () => {
    lives = await Lives.start(engine);
    await lives.stock.query("create table t (a int)");
    await lives.stock.query("grant all on t to public");
    await lives.stock.query(
      "create function writes() returns void language sql as 'insert into t values (1)'",
    );
    const writing =
      "returns text language plpgsql as 'begin insert into t values (1); return ''x''; end'";
    await lives.stock.query(`create table r as select 1 as a; grant select on r to public;
      create function upper(int) ${writing};
      create function writes(int, text) ${writing};
      create operator -> (leftarg = int, rightarg = text, function = writes);
      create function field(r) ${writing};
      create function side() returns void language plpgsql as $$begin
        copy (select 1) to program 'cat >> ${sideFile()}'; end$$;
      create function side_of_side() returns int language sql as 'select side(); select 1'`);
    await lives.stock.query(
      "create procedure commits() language plpgsql as 'begin insert into t values (1); commit; insert into t values (2); end'",
    );
  });
  afterEach(async () => {
    client.end();
    await lives.stock.query("truncate t");
  });
  afterAll(() => lives.stop());

  describe.each(forms)("$name", ({ before = [], inFlight, done, undone, rows, after }) => {
    it("is told the truth when its commit was in the log", async () => {
      client = await RawClient.open(lives.ends.port);
      for (const text of before) await client.ask(encodeQuery(text));
      await lives.hangCommits(true);
      client.send(inFlight);
      await until("the commit waits", commitWaits);
      await lives.kill();
      await lives.revive();
      await lives.hangCommits(false);
      expect(await client.answer()).toBe(done);
      expect(await client.ask(encodeQuery("select 7"))).toBe(after?.done ?? seven);
      expect(await rowCount()).toBe(rows.done);
    });

    it("is told the truth when it had not come to its commit", async () => {
      client = await RawClient.open(lives.ends.port);
      const isLast = before.at(-1) === insert;
      // What is in flight waits for a lock: in a transaction, its last statement does.
      for (const text of isLast ? before.slice(0, -1) : before) await client.ask(encodeQuery(text));
      const blocker = await RawClient.open(lives.ends.port);
      await blocker.ask(encodeQuery("set borealis.replay = off"));
      await blocker.ask(encodeQuery("begin"));
      await blocker.ask(encodeQuery("lock table t"));
      if (isLast) client.send(encodeQuery(insert));
      client.send(inFlight);
      await until(
        "it waits for the lock",
        "select exists (select from pg_stat_activity where wait_event_type = 'Lock')",
      );
      await lives.failOver();
      const expected = isLast ? `C(INSERT 0 1) Z(T) ${undone}` : undone;
      const first = await client.answer();
      expect(isLast ? `${first} ${await client.answer()}` : first).toBe(expected);
      expect(await client.ask(encodeQuery("select 7"))).toBe(after?.undone ?? seven);
      expect(await rowCount()).toBe(rows.undone);
      blocker.end();
    });
  });

  describe("an idle session", () => {
    it("goes on, and is counted", async () => {
      client = await RawClient.open(lives.ends.port);
      const before = outcomes()["continued"] ?? 0;
      await lives.failOver();
      expect(await client.ask(encodeQuery("select 7"))).toBe("T D(7) C(SELECT 1) Z(I)");
      expect(outcomes()["continued"]).toBe(before + 1);
    });

    it("is closed without a word with borealis.on_failover = disconnect", async () => {
      client = await RawClient.open(lives.ends.port);
      await client.ask(encodeQuery("set borealis.on_failover = disconnect"));
      await lives.failOver();
      expect(await client.answer()).toBe("closed");
    });

    it.each(["set local", "set"])(
      "goes on where %s borealis.on_failover = disconnect was rolled back",
      async (set) => {
        client = await RawClient.open(lives.ends.port);
        await client.ask(encodeQuery("begin"));
        await client.ask(encodeQuery(`${set} borealis.on_failover = disconnect`));
        await client.ask(encodeQuery("rollback"));
        // The server has been asked what came of it.
        expect(await client.ask(encodeQuery("select 7"))).toBe("T D(7) C(SELECT 1) Z(I)");
        await lives.failOver();
        expect(await client.ask(encodeQuery("select 7"))).toBe("T D(7) C(SELECT 1) Z(I)");
      },
    );

    it("ends with 57P01 where an operator ends it", async () => {
      client = await RawClient.open(lives.ends.port);
      await lives.stock.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres'",
      );
      expect(await client.answer()).toBe("E(57P01) closed");
    });

    it("is held no longer than borealis.hold_timeout", async () => {
      client = await RawClient.open(lives.ends.port);
      await client.ask(encodeQuery("set borealis.hold_timeout = '200ms'"));
      await lives.kill();
      expect(await client.ask(encodeQuery("select 7"))).toBe("E(57P03) closed");
      await lives.revive();
    });
  });

  describe("a transaction", () => {
    const begin = async (...texts: string[]): Promise<void> => {
      client = await RawClient.open(lives.ends.port);
      await client.ask(encodeQuery("begin"));
      for (const text of texts) await client.ask(encodeQuery(text));
    };

    it("goes on unseen, in extended messages and across savepoints and errors too", async () => {
      await begin(insert, "savepoint s", "select 1/0", "rollback to s", "select count(*) from t");
      await client.ask(extended(insert), sync);
      await lives.failOver();
      expect(await client.ask(encodeQuery("select count(*) from t"))).toBe(
        "T D(2) C(SELECT 1) Z(T)",
      );
      expect(await client.ask(encodeQuery("commit"))).toBe("C(COMMIT) Z(I)");
      expect(await rowCount()).toBe(2);
    });

    it("with an answer that is another now gets 40001, and fails until its ROLLBACK", async () => {
      await begin(insert, "select pg_backend_pid()");
      await lives.failOver();
      expect(await client.ask(encodeQuery("select 1"))).toBe("E(40001) Z(E)");
      expect(await client.ask(encodeQuery("select 1"))).toBe("E(25P02) Z(E)");
      expect(await client.ask(encodeQuery("rollback"))).toBe("C(ROLLBACK) Z(I)");
      expect(await client.ask(encodeQuery("select 1"))).toBe("T D(1) C(SELECT 1) Z(I)");
      expect(await rowCount()).toBe(0);
    });

    it("that is lost does not commit", async () => {
      await begin(insert, "select pg_backend_pid()");
      await lives.failOver();
      expect(await client.ask(encodeQuery("commit"))).toBe("E(40001) Z(I)");
      await begin(insert, "select pg_backend_pid()");
      await lives.failOver();
      expect(await client.ask(extended("commit"), extended(insert), sync)).toBe(
        "1 2 n E(40001) Z(I)",
      );
      expect(await rowCount()).toBe(0);
    });

    it("with an effect outside its database is not run again, though a function hides it", async () => {
      await begin("select side_of_side()");
      await lives.failOver();
      expect(await client.ask(encodeQuery("select 1"))).toBe("E(40001) Z(E)");
      expect(readFileSync(sideFile(), "utf8")).toBe("1\n");
    });

    it("with more than is kept gets 40001", async () => {
      const text = `insert into t select length('${"x".repeat(200_000)}')`;
      await begin(...Array.from({ length: 6 }, () => text));
      await lives.failOver();
      expect(await client.ask(encodeQuery("select 1"))).toBe("E(40001) Z(E)");
    });

    it("with COPY under way gets 40001, and its data is ignored", async () => {
      await begin();
      client.send(encodeQuery("copy t from stdin"));
      await until(
        "COPY waits for its data",
        "select exists (select from pg_stat_activity where query like 'copy%' and wait_event = 'ClientRead')",
      );
      await lives.failOver();
      expect(await client.answer()).toBe("G E(40001) Z(E)");
    });

    const commitPrepared: [string, Buffer, string][] = [
      ["a simple Query", encodeQuery("commit prepared 'x'"), "C(COMMIT PREPARED) Z(I)"],
      [
        "extended messages",
        Buffer.concat([extended("commit prepared 'x'"), sync]),
        "1 2 n C(COMMIT PREPARED) Z(I)",
      ],
    ];

    it.each(commitPrepared)(
      "of two phases, by %s, is told that it was committed, when that was in the log",
      async (_, message, told) => {
        await begin(insert, "prepare transaction 'x'");
        await lives.hangCommits(true);
        client.send(message);
        await until("the commit waits", commitWaits);
        await lives.failOver();
        await lives.hangCommits(false);
        expect(await client.answer()).toBe(told);
        expect(await rowCount()).toBe(1);
      },
    );

    it.each(commitPrepared)(
      "of two phases, by %s, is committed then, when its server had not come to it",
      async (_, message, told) => {
        await begin(insert, "prepare transaction 'x'");
        await lives.freezeServers();
        client.send(message);
        await lives.failOver();
        expect(await client.answer()).toBe(told);
        expect(await rowCount()).toBe(1);
      },
    );

    it("with PREPARE TRANSACTION in flight is told that it is prepared, though it wrote nothing", async () => {
      for (const written of [[], [insert]]) {
        await begin(...written);
        await lives.hangCommits(true);
        client.send(encodeQuery("prepare transaction 'x'"));
        await until("the commit waits", commitWaits);
        await lives.failOver();
        await lives.hangCommits(false);
        expect(await client.answer()).toBe("C(PREPARE TRANSACTION) Z(I)");
        expect(await client.ask(encodeQuery("rollback prepared 'x'"))).toBe(
          "C(ROLLBACK PREPARED) Z(I)",
        );
        client.end();
      }
      expect(await rowCount()).toBe(0);
    });

    it("that is failed is failed still", async () => {
      await begin("select 1/0");
      await lives.failOver();
      expect(await client.ask(encodeQuery("select 1"))).toBe("E(25P02) Z(E)");
      expect(await client.ask(encodeQuery("rollback"))).toBe("C(ROLLBACK) Z(I)");
    });

    it("goes on within a batch that has no Sync yet", async () => {
      await begin();
      client.send(extended("select 5"), encodeFlush());
      await eventually("the answer is here", () => Promise.resolve(client.heardCount >= 5));
      await lives.failOver();
      expect(await client.ask(extended("select 6"), sync)).toBe(
        "1 2 T D(5) C(SELECT 1) 1 2 T D(6) C(SELECT 1) Z(T)",
      );
    });
  });
});
