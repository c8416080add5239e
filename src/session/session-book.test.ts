import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { classify, loadParser } from "../route/index.ts";
import { encodeClose, encodeParse, frontend, queryTextOf } from "../wire/index.ts";
import { parseBindTexts } from "./bind-values.ts";
import type { HiddenState } from "./hidden-state.ts";
import { unread } from "./reasons.ts";
import { SessionBook } from "./session-book.ts";
import type { Change } from "./session-change.ts";
import { touchOf, unknownTouch, unseenNames } from "./session-touch.ts";

beforeAll(() => loadParser());

const quiet: HiddenState = {
  changesSession: "no",
  customNames: [],
  keepsOwnState: false,
  readsDrawn: false,
  hasNative: false,
  leavesUnseen: "no",
};
const newBook = (hidden = quiet, bytesMax?: number): SessionBook =>
  new SessionBook({ user: "u", hidden: () => hidden, ...(bytesMax !== undefined && { bytesMax }) });
const parseBody = (name: string, sql: string): Buffer => encodeParse(name, sql).subarray(5);
const closeBody = (name: string): Buffer => encodeClose("statement", name).subarray(5);
const touch = (sql: string) => touchOf(classify(sql), sql);

/** The answer to a readback of a session with these. */
function rowOf(facts: Record<string, unknown> = {}): string[] {
  const all = { user: "u", role: "none", temporary: 0, held: 0, ...facts };
  return [Buffer.from(JSON.stringify(all)).toString("base64")];
}

function readBack(book: SessionBook, facts?: Record<string, unknown>): void {
  book.askReadback();
  book.readbackAnswered(rowOf(facts), true);
}

/** The statements that a restoration makes, by name. */
function statementsOf(book: SessionBook, at: "now" | "start"): Record<string, string> {
  const made: Record<string, string> = {};
  for (const { key, bytes } of book.restore(at).cycles) {
    if (key === undefined) continue;
    // One of SQL is made by a statement of ours, behind the Close of its name.
    const isOwn = bytes[0] === frontend.close;
    const from = isOwn ? 1 + bytes.readUInt32BE(1) : 0;
    made[key] = bytes.toString("latin1", from + 5).split("\0")[1] ?? "";
  }
  return made;
}

describe("protocol statements", () => {
  type Step =
    | {
        readonly kind: "parse";
        readonly name: string;
        readonly sql: string;
        readonly works: boolean;
      }
    | { readonly kind: "close"; readonly name: string; readonly works: boolean }
    | { readonly kind: "query" }
    | { readonly kind: "ready"; readonly isIdle: boolean };
  const name = fc.constantFrom("", "a", "b", "ü");
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({
      kind: fc.constant("parse" as const),
      name,
      sql: fc.constantFrom("select 1", "select 2", "select 'x'"),
      works: fc.boolean(),
    }),
    fc.record({ kind: fc.constant("close" as const), name, works: fc.boolean() }),
    fc.record({ kind: fc.constant("query" as const) }),
    fc.record({ kind: fc.constant("ready" as const), isIdle: fc.boolean() }),
  );

  it("are those that the server has, now and when its transaction began", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40, size: "max" }), (steps) => {
        const book = newBook();
        const now = new Map<string, string>();
        let start = new Map<string, string>();
        let changes: Change[] = [];
        let at = 0;
        let hasQuery = false;
        for (const each of steps) {
          const key = "name" in each ? Buffer.from(each.name).toString("latin1") : "";
          if (each.kind === "ready") {
            book.ready(changes, each.isIdle);
            if (hasQuery) now.delete("");
            changes = [];
            at = 0;
            hasQuery = false;
            if (each.isIdle) start = new Map(now);
          } else if (each.kind === "query") {
            changes.push(book.querySent());
            hasQuery = true;
          } else {
            const change =
              each.kind === "parse"
                ? book.parseSent(at, parseBody(each.name, each.sql), true)
                : book.closeSent(at, closeBody(each.name));
            changes.push(change);
            if (each.works) {
              book.answeredStep(change);
              if (each.kind === "parse") now.set(key, each.sql);
              else now.delete(key);
            } else {
              book.failedStep(change);
              if (each.kind === "parse" && key === "") now.delete("");
            }
            at++;
          }
          expect(statementsOf(book, "now")).toEqual(Object.fromEntries(now));
          expect(statementsOf(book, "start")).toEqual(Object.fromEntries(start));
        }
      }),
    );
  });

  it("keep names apart by their bytes, up to where PostgreSQL cuts them", () => {
    const book = newBook();
    const long = "n".repeat(63);
    const changes = [
      book.parseSent(0, parseBody(`${long}1`, "select 1"), true),
      book.closeSent(1, closeBody(`${long}2`)),
    ];
    book.answeredStep(changes[0]);
    expect(statementsOf(book, "now")).toEqual({ [long]: "select 1" });
    book.answeredStep(changes[1]);
    expect(statementsOf(book, "now")).toEqual({});
  });

  it("beyond ASCII are an obstacle from where the server reads a name otherwise than its bytes say", () => {
    const book = newBook();
    readBack(book, {
      prepared: [
        ["\u00c3\u0091", true, 'prepare "\u00c3\u0091" as select 1'],
        ["a", true, "prepare a as select 2"],
      ],
    });
    book.parameter("client_encoding", "LATIN1");
    book.answeredStep(book.closeSent(0, closeBody("a")));
    expect(book.obstacle()).toBeUndefined();
    book.answeredStep(book.closeSent(0, closeBody("\u00d1")));
    expect(book.obstacle()).toMatch(/comes from is not known/);
    readBack(book, { prepared: [] });
    expect([book.obstacle(), statementsOf(book, "now")]).toEqual([undefined, {}]);
    // There is none that it could have been.
    book.answeredStep(book.closeSent(0, closeBody("\u00d1")));
    expect(book.obstacle()).toBeUndefined();
  });

  it("are an obstacle as long as they are beyond the bound, and no longer", () => {
    const book = newBook(quiet, 2_000);
    const changes = [
      book.parseSent(0, parseBody("a", "x".repeat(1_500)), true),
      book.parseSent(1, parseBody("b", "y".repeat(1_500)), true),
      book.closeSent(2, closeBody("b")),
      book.parseSent(3, parseBody("c", "z").subarray(0, 3), false),
      book.closeSent(4, closeBody("c")),
    ];
    const reasons = changes.map((_, index) => {
      book.answeredStep(changes[index]);
      return book.obstacle() !== undefined;
    });
    expect(reasons).toEqual([false, true, false, true, false]);
    expect(book.sizeBytes).toBeLessThan(2_000);
  });

  it("end and change their kind as the server says", () => {
    const book = newBook();
    const changes = [
      book.parseSent(0, parseBody("kept", "select 1"), true),
      book.parseSent(1, parseBody("gone", "select 2"), true),
      book.parseSent(2, parseBody("", "select 3"), true),
    ];
    for (const index of changes.keys()) book.answeredStep(changes[index]);
    book.ready(changes, true);
    const prepared = [
      ["kept", false, null],
      ["made", true, "set x.y = 1; prepare made as select 4; select 5"],
      ["borealis readback", false, null],
    ];
    readBack(book, { prepared });
    expect(Object.keys(statementsOf(book, "now"))).toEqual(["kept", "", "made"]);
    expect(statementsOf(book, "start")["made"]).toBe("prepare made as select 4");
    expect(book.obstacle()).toBeUndefined();
    readBack(book, { prepared: [["stranger", false, null]] });
    expect(book.obstacle()).toContain("stranger");
  });
});

describe("what was read back", () => {
  it("says whether the session could make its settings again", () => {
    const book = newBook();
    const settings = [["session_replication_role", "replica", "superuser"]];
    readBack(book, { settings });
    expect(book.hasSettingsOfOthers).toBe(true);
    readBack(book, { settings, super: "on" });
    expect(book.hasSettingsOfOthers).toBe(false);
    readBack(book, { settings, super: "on", role: "root" });
    expect(book.hasSettingsOfOthers).toBe(true);
    readBack(book, { settings: [["work_mem", "64", "user"]] });
    expect(book.hasSettingsOfOthers).toBe(false);
  });

  const kinds = ["set", "set", "begin", "end", "ask", "ask", "answer", "fail", "lose"] as const;
  const steps = fc.array(fc.constantFrom(...kinds), { maxLength: 40, size: "max" });

  it("is enough exactly when it was asked behind the last change of a transaction that is over", () => {
    fc.assert(
      fc.property(steps, (all) => {
        const book = newBook();
        const set = touch("set work_mem = '1MB'");
        let isOpen = false;
        let asked: number[] = [];
        let known = 0;
        let sets = 0;
        let over = 0;
        for (const step of all) {
          if (step === "set") {
            const change = book.runSent(0, set);
            sets++;
            book.ready(change ? [change] : [], !isOpen);
            if (!isOpen) over = sets;
          } else if (step === "begin") {
            isOpen = true;
            book.ready([], false);
          } else if (step === "end") {
            isOpen = false;
            over = sets;
            book.ready([], true);
          } else if (step === "lose") {
            book.connectionLost();
            asked = [];
          } else if (step === "ask") {
            book.askReadback();
            asked.push(sets);
          } else {
            const upTo = asked.shift();
            if (upTo === undefined) continue;
            book.readbackAnswered(step === "answer" ? rowOf() : undefined, !isOpen);
            if (step === "answer" && !isOpen) known = upTo;
          }
          expect(book.obstacle() === undefined).toBe(known >= over);
          expect(book.obstacle("start") === undefined).toBe(known >= over);
          const isCovered = (asked.at(-1) ?? known) >= sets;
          if (isCovered) expect(book.needsReadback).not.toBe("now");
          else if (step === "set") expect(book.needsReadback).toBe("now");
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it("that only sets or resets it is done again where its outcome was not read", () => {
    const reset = "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;";
    const book = newBook();
    const run = (sql: string): void => {
      const change = book.runSent(0, touch(sql), { isAlone: true });
      book.ready(change ? [change] : [], true);
    };
    const repeated = (): string[] =>
      book.restore().cycles.map(({ bytes }) => queryTextOf(bytes.subarray(5)));
    run(reset);
    run("set work_mem = '2MB'");
    book.connectionLost();
    expect(book.obstacle()).toBeUndefined();
    expect(book.isKnown).toBe(false);
    expect(repeated()).toEqual([reset, "set work_mem = '2MB'"]);
    // On the next connection it is asked after that, and again while that does not answer.
    book.moved();
    expect(book.needsReadback).toBe("now");
    expect(repeated()).toHaveLength(2);
    book.askReadback();
    book.readbackAnswered(rowOf(), true);
    expect(book.restore().cycles.map(({ what }) => what)).toEqual(["the settings"]);
    expect(book.isKnown).toBe(true);
  });

  it.each([
    ["in a transaction", "set work_mem = '2MB'", false],
    ["with more than that", "reset all; select f()", true],
    ["by a name that was quoted", 'select "pg_advisory_unlock_all"(); reset all', true],
    ["that prepares or discards", "discard all", true],
  ])("that was not read is no such thing %s", (_, sql, isAlone) => {
    const book = newBook();
    const change = book.runSent(0, touch(sql), { isAlone });
    book.ready(change ? [change] : [], true);
    book.connectionLost();
    expect(book.obstacle()).toContain("not known");
  });

  it("is not known where a statement was prepared behind it, or where there is too much of it", () => {
    const set = (book: SessionBook): void => {
      const change = book.runSent(0, touch("set search_path = app"), { isAlone: true });
      book.ready(change ? [change] : [], true);
    };
    const prepared = newBook();
    set(prepared);
    const parse = prepared.parseSent(0, parseBody("s", "select * from t"), true);
    prepared.answeredStep(parse);
    const many = newBook();
    for (let i = 0; i < 20; i++) set(many);
    expect(many.obstacle()).toBeUndefined();
    set(many);
    for (const book of [prepared, many]) {
      book.connectionLost();
      expect(book.obstacle()).toContain("not known");
      expect(book.restore().cycles.every(({ key }) => key !== undefined)).toBe(true);
      book.askReadback();
      book.readbackAnswered(rowOf({ prepared: [] }), true);
      expect(book.obstacle() ?? "").not.toContain("not known");
    }
  });

  it("that failed is not done again", () => {
    const book = newBook();
    const change = book.runSent(0, touch("set work_mem = 'x'"), { isAlone: true });
    book.failedStep(undefined);
    book.ready(change ? [change] : [], true);
    book.connectionLost();
    expect(book.obstacle()).toBeUndefined();
    expect(book.restore().cycles).toEqual([]);
  });

  it("is not asked for again and again where the server does not answer", () => {
    const book = newBook();
    const change = book.runSent(0, touch("do $$ begin end $$"));
    book.ready(change ? [change] : [], true);
    let asked = 0;
    while (book.needsReadback !== "no" && asked < 100) {
      asked++;
      book.askReadback();
      book.readbackAnswered(undefined, true);
    }
    expect(asked).toBe(3);
    expect(book.obstacle()).toContain("not known");
  });

  it.each([
    ["select 1", "no", "no", "no"],
    ["select * from t", "no", "later", "later"],
    ["insert into t values (1)", "no", "later", "later"],
    ["select f()", "no", "later", "now"],
    ["call p()", "no", "later", "now"],
    ["begin", "no", "no", "no"],
    ["set local work_mem = '1MB'", "no", "no", "no"],
    ["set local app.uid = '1'", "later", "later", "later"],
    ["set work_mem = '1MB'", "now", "now", "now"],
    ["select set_config('app.uid', '1', false)", "now", "now", "now"],
    ["do $$ begin end $$", "now", "now", "now"],
    ["prepare p as select 1", "now", "now", "now"],
    ["execute unknown", "now", "now", "now"],
    ["listen a", "now", "now", "now"],
    // The search path may begin with pg_temp.
    ["create table t (i int)", "now", "now", "now"],
    ["create table t as select 1", "now", "now", "now"],
    ["select 1 into t", "now", "now", "now"],
    ["create function f() returns int language sql as 'select 1'", "now", "now", "now"],
    ["create domain pg_temp.d as int", "now", "now", "now"],
    ["create view v as select 1", "now", "now", "now"],
    ["create table pg_temp_3.t (i int)", "now", "now", "now"],
    ["truncate t", "no", "later", "later"],
    ["declare c cursor with hold for select 1", "now", "now", "now"],
    ["create temp table t (i int)", "now", "now", "now"],
    ["select pg_advisory_lock(1)", "now", "now", "now"],
    ["discard all", "now", "now", "now"],
    ["what is this", "now", "now", "now"],
  ])("%s: %s; in a database whose code may change sessions %s, or does %s", (sql, ...expected) => {
    const needs = (["no", "perhaps", "likely"] as const).map((changesSession) => {
      const book = newBook({ ...quiet, changesSession });
      book.runSent(0, touch(sql));
      return book.needsReadback;
    });
    expect(needs).toEqual(expected);
  });

  it("of what may be temporary is no obstacle while it is not answered, but keeps the connection", () => {
    const book = newBook();
    const change = book.runSent(0, touch("create table t (i int)"));
    book.ready(change ? [change] : [], true);
    book.askReadback();
    expect(book.obstacle()).toBeUndefined();
    expect(book.keeps({ readsDrawn: false })).toBe(unread);
    book.connectionLost();
    expect(book.obstacle()).toBeUndefined();
    readBack(book);
    expect(book.keeps({ readsDrawn: false })).toBeUndefined();
  });

  it("of temporary objects is asked for again by what may free them", () => {
    const book = newBook();
    book.runSent(0, touch("drop table t"));
    expect(book.needsReadback).toBe("no");
    readBack(book, { temporary: 3 });
    expect(book.obstacle()).toContain("temporary");
    book.runSent(0, touch("drop table t"));
    expect(book.needsReadback).toBe("now");
  });
});

describe("touchOf", () => {
  it("takes names of settings from texts and from parameters", () => {
    expect(touch("select set_config($2::text, 'x', false)").nameParameters).toEqual([2]);
    expect(touch("set App.Uid = 1; reset b.c; set work_mem = 1").customNames).toEqual([
      "app.uid",
      "b.c",
    ]);
    expect(touch("load 'auto_explain'").loads).toEqual(["auto_explain"]);
    expect(touch("sellect").survivesRollback).toBe(unknownTouch.survivesRollback);
  });
});

describe("parseBindTexts", () => {
  it("finds values by their numbers, and none in what is no Bind", () => {
    // portal "", statement "s", one format for all, three values: "a", NULL, "é"
    const head = Buffer.from(
      "\0s\0\0\x01\0\0\0\x03\0\0\0\x01a\xff\xff\xff\xff\0\0\0\x02",
      "latin1",
    );
    const padded = Buffer.concat([head, Buffer.from("é\0\0")]);
    expect(parseBindTexts(padded, [1, 2, 3])).toEqual(["a", "é"]);
    expect(parseBindTexts(padded, [3])).toEqual(["é"]);
    expect(parseBindTexts(padded.subarray(0, 9), [1])).toEqual([]);
  });
});

describe("a connection that somebody else wants", () => {
  const why = (sqls: readonly string[], leavesUnseen: HiddenState["leavesUnseen"]) => {
    const book = newBook({ ...quiet, leavesUnseen });
    for (const sql of sqls) {
      const change = book.runSent(0, touch(sql));
      book.ready(change ? [change] : [], true);
      if (book.needsReadback !== "no") readBack(book);
    }
    // A doubt about the connection is none about the session: it can go on elsewhere.
    expect(book.obstacle()).toBeUndefined();
    const kept = book.keeps({ readsDrawn: false });
    book.moved();
    expect(book.keeps({ readsDrawn: false })).toBeUndefined();
    return kept?.split(" ").slice(-3).join(" ") ?? "-";
  };
  const names = "are not known";
  const backend = "or the like";
  const code = "in its connection";

  it.each([
    ["select a, count(*), now() from t where b = $1 group by 1", "-", "-", code],
    ["insert into t values ($1, 'x') returning id", "-", "-", code],
    ["update t set a = lower($1) where id = $2", "-", "-", code],
    ["set app.x = '1'", "-", "-", code],
    ["insert into t values (f(1))", "-", code, code],
    ["select f(1)", "-", code, code],
    ["call p()", "-", code, code],
    ["do $$begin perform set_config('app.x', 'y', false); end$$", "-", code, code],
    ["do $$begin perform set_config(k, 'y', false) from t; end$$", names, names, names],
    ["do $$begin execute x; end$$", names, names, names],
    ["select set_config('app.' || 'x', 'y', false)", names, names, names],
    ["select set_config(k, v, true) from t", names, names, names],
    ["select setseed(0.5)", backend, backend, backend],
    ["select pg_backup_start('x', true)", backend, backend, backend],
    ["select pg_replication_origin_session_setup('o')", backend, backend, backend],
    ["select pg_create_physical_replication_slot('s', true, true)", backend, backend, backend],
    ["select pg_create_logical_replication_slot('s', 'p', true)", backend, backend, backend],
  ])(
    "%s: %s; where functions may leave something %s, where any code may %s",
    (sql, ...expected) => {
      const levels = ["no", "named", "behind"] as const;
      expect(levels.map((level) => why([sql], level))).toEqual(expected);
    },
  );

  it("keeps it for what a prepared statement sets whose name is not known", () => {
    const run = (prepare: string | undefined): readonly [string | undefined, boolean] => {
      const book = newBook();
      const prepared = prepare === undefined ? [] : [["p", true, prepare]];
      readBack(book, { prepared });
      const change = book.runSent(0, touch("execute p"));
      book.ready(change ? [change] : [], true);
      const asked = book.askReadback().toString("latin1");
      book.readbackAnswered(rowOf({ prepared }), true);
      const hex = Buffer.from('["app.x"]').toString("hex");
      return [book.keeps({ readsDrawn: false }), asked.includes(hex)];
    };
    expect(run("prepare p as select set_config('app.x', $1, false)")).toEqual([undefined, true]);
    expect(run("prepare p as select set_config($1, 'x', false)")).toEqual([unseenNames, false]);
    expect(run("prepare p as select 1")).toEqual([undefined, false]);
    // It succeeded: somebody has made it in between.
    expect(run(undefined)).toEqual([unseenNames, false]);
  });

  it("looks for it once in a text that is executed over and over", () => {
    const book = newBook();
    const parse = book.parseSent(0, parseBody("a", `select '${"x".repeat(250_000)}'`), true);
    book.answeredStep(parse);
    const once = touch("execute a");
    // Most of a minute of work each way, if each of them were looked at.
    const executes = Array.from({ length: 10_000 }, () => "a");
    expect(book.runSent(0, { ...once, executes })).toBeUndefined();
    for (const _ of executes) expect(book.runSent(0, once)).toBeUndefined();
    expect(book.keeps({ readsDrawn: false })).toBeUndefined();
  });

  it("says of no more names in a text than make a session that has too many", () => {
    const calls = (count: number): string =>
      Array.from({ length: count }, (_, at) => `set_config('a.b${at}', '', true)`).join();
    expect(touch(`select ${calls(2)}, ${calls(2)}`).customNames).toEqual(["a.b0", "a.b1"]);
    const many = touch(`select ${calls(3000)}`);
    expect(many.customNames).toHaveLength(501);
    const book = newBook();
    book.runSent(0, many);
    expect(book.obstacle()).toBe("it has too many settings of its own");
    const body = `select 1; set a.b = ${calls(3000)}`;
    const executed = newBook();
    executed.answeredStep(executed.parseSent(0, parseBody("a", body), true));
    expect(executed.prepared.factsOf("a")?.customNames).toHaveLength(501);
    executed.runSent(0, touch("execute a"));
    expect(executed.obstacle()).toBe("it has too many settings of its own");
  });

  it("keeps it for a parameter that names a setting, and is not known", () => {
    const book = newBook();
    const sql = touch("select set_config($1, $2, false)");
    book.runSent(0, sql, { names: ["app.x"] });
    readBack(book);
    expect(book.keeps({ readsDrawn: false })).toBeUndefined();
    book.runSent(0, sql);
    readBack(book);
    expect(book.keeps({ readsDrawn: false })).toBe(unseenNames);
  });

  it("asks what code may have made where the search path begins with pg_temp", () => {
    const book = newBook();
    book.runSent(0, touch("select f()"));
    expect(book.needsReadback).toBe("no");
    readBack(book, { settings: [["search_path", "pg_temp, public"]] });
    book.runSent(0, touch("select f()"));
    expect(book.needsReadback).toBe("later");
  });
});

describe("the unnamed statement", () => {
  const query = (book: SessionBook, isRewritten: boolean, fails: boolean): string[] => {
    const changes = [book.querySent(isRewritten)];
    if (fails) book.failedStep(undefined);
    book.ready(changes, true);
    return [...book.carried().prepared.keys()];
  };

  it("is left behind by a Query that went out as extended messages and failed, and by no other", () => {
    const book = newBook();
    expect(query(book, true, false)).toEqual([]);
    expect(query(book, true, true)).toEqual([""]);
    // It is nobody's: the session itself has none.
    expect(statementsOf(book, "now")).toEqual({});
    expect(query(book, false, true)).toEqual([]);
    query(book, true, true);
    book.answeredStep(book.parseSent(0, parseBody("", "select 1"), true));
    expect(book.carried().prepared.get("")?.source).toBeInstanceOf(Buffer);
    query(book, true, true);
    book.moved();
    expect([...book.carried().prepared.keys()]).toEqual([]);
  });
});

describe("what is known of a session", () => {
  it("is all of it until something certain to change it was done, and after the question about that", () => {
    const book = newBook();
    expect(book.isKnown).toBe(true);
    const change = book.runSent(0, touch("set search_path = other"));
    book.ready(change ? [change] : [], true);
    expect(book.isKnown).toBe(false);
    readBack(book);
    expect(book.isKnown).toBe(true);
  });

  it("is not known where the question failed", () => {
    const book = newBook();
    const change = book.runSent(0, touch("set role someone"));
    book.ready(change ? [change] : [], true);
    for (let count = 0; count < 3; count++) {
      book.askReadback();
      book.readbackAnswered(undefined, true);
    }
    expect(book.needsReadback).toBe("no");
    expect(book.isKnown).toBe(false);
  });

  it("is restored with its unnamed statement only where that is wanted", () => {
    const book = newBook();
    for (const name of ["", "s"])
      book.answeredStep(book.parseSent(0, parseBody(name, "select 1"), true));
    const keys = (hasUnnamed: boolean) =>
      book
        .restore("now", { hasUnnamed })
        .cycles.flatMap(({ key }) => (key === undefined ? [] : [key]));
    expect([keys(true), keys(false)]).toEqual([["", "s"], ["s"]]);
  });
});

describe("a text of many PREPAREs", () => {
  const count = 5_000;
  const text = Array.from({ length: count }, (_, at) => `prepare s${at} as select ${at};`).join("");

  // Minutes, if it were parsed for each of them; and again, with each readback.
  it("is parsed once, however often it is shown", () => {
    const book = newBook();
    const names = Array.from({ length: count }, (_, at) => ({ name: `s${at}`, sql: text }));
    for (let time = 0; time < 3; time++)
      expect(book.prepared.reconcile(names, new Map(), null)).toBeUndefined();
    expect(book.obstacle()).toBeUndefined();
    expect(book.preparedText(`s${count - 1}`)?.sql).toBe(`prepare s${count - 1} as select 4999`);
    expect(Object.keys(statementsOf(book, "now"))).toHaveLength(count);
  });

  it("makes what is too long to be kept where such texts together are", () => {
    const book = newBook(quiet, 2 * text.length);
    const more = (each: string) => ["p", "q"].map((name) => [name, true, `${text}${each}`]);
    readBack(book, { prepared: [["s0", true, text], ...more("prepare p as select 1;")] });
    expect(book.obstacle()).toBe("its prepared statements are too long");
    readBack(book, { prepared: [["s0", true, text]] });
    expect(book.obstacle()).toBeUndefined();
  });
});
