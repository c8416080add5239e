import { describe, expect, it } from "vitest";
import { classify, loadParser } from "../route/index.ts";
import {
  decideForward,
  type ForwardPlace,
  type ForwardText,
  forwardTextOf,
  preparedTextOf,
} from "./forward-decision.ts";

// Cases are classified while the file is read.
await loadParser();

const of = (sql: string): ForwardText => forwardTextOf(classify(sql));

describe("what a text means for forwarding", () => {
  it.each([
    // What Aurora forwards.
    ["insert into t values (1)", "write"],
    ["insert into t select f(x) from u returning id", "write"],
    ["insert into t values (nextval('s'))", "write"],
    ["update t set a = a + 1", "write"],
    ["delete from t where id = $1", "write"],
    ["merge into t using u on t.id = u.id when matched then delete", "write"],
    ["with n as (insert into t values (1) returning id) select * from n", "write"],
    ["select * from t for update", "write"],
    ["select * from t for no key update", "write"],
    ["select * from t for share skip locked", "write"],
    ["select * from t for key share", "write"],
    ["select 1 from (select * from t for update) x", "write"],
    ["explain analyze insert into t values (1)", "write"],
    ["explain (analyze, costs off) select * from t for update", "write"],
    ["insert into t values (1); insert into t values (2)", "write"],
    ["select 1; delete from t", "write"],
    [`insert into t values ${"(1),".repeat(10_000)}(1)`, "write"],
    // What it does not, or what may be no write: the reader runs it, or refuses it.
    ["select 1", "other"],
    ["select f(x) from t", "other"],
    ["select nextval('s')", "other"],
    ["select setval('s', 1)", "other"],
    ["select * into u from t", "other"],
    ["select 1 into u union select 2", "other"],
    ["explain insert into t values (1)", "other"],
    ["explain (analyze false) insert into t values (1)", "other"],
    ["explain (analyze, analyze off) insert into t values (1)", "other"],
    ["explain analyze create table u as select 1", "other"],
    ["create table u (a int)", "other"],
    ["create table u as select 1", "other"],
    ["truncate t", "other"],
    ["copy t from stdin", "other"],
    ["lock table t", "other"],
    ["vacuum t", "other"],
    ["analyze t", "other"],
    ["grant select on t to u", "other"],
    ["call p()", "other"],
    ["do $$ begin insert into t values (1); end $$", "other"],
    ["declare c cursor for select * from t for update", "other"],
    ["notify c", "other"],
    ["listen c", "other"],
    ["set constraints all deferred", "other"],
    ["prepare p as insert into t values (1)", "other"],
    ["prepare transaction 'x'", "other"],
    ["commit prepared 'x'", "other"],
    ["savepoint s", "other"],
    ["commit", "other"],
    ["insert into t values (1); create table u (a int)", "other"],
    ["begin; insert into t values (1); commit", "other"],
    [`insert into t select pg_advisory_lock(1), '${"x".repeat(40_000)}'`, "other"],
    [`insert into pg_temp.t values ${"(1),".repeat(10_000)}(1)`, "other"],
    ["insert into t select set_config('a.b', 'c', false)", "other"],
    ["insert into t select 1 where pg_try_advisory_lock(1)", "other"],
    ["insert into", "other"],
    ["", "other"],
    ["begin", "begin"],
    ["start transaction isolation level repeatable read", "begin"],
    ["begin read write", "begin"],
    ["begin read only", "readOnlyBegin"],
    ["begin isolation level repeatable read, read only, deferrable", "readOnlyBegin"],
    ["begin read only read write", "begin"],
    ["execute p(1)", "execute"],
  ])("%s: %s", (sql, kind) => {
    expect(of(sql).kind).toBe(kind);
  });

  it("knows what PREPARE will write", () => {
    const kindOf = (sql: string): string => preparedTextOf(classify(sql)).kind;
    expect(kindOf("prepare p as delete from t")).toBe("write");
    expect(kindOf("prepare p (int) as select * from t where a = $1 for update")).toBe("write");
    expect(kindOf("prepare p as select f()")).toBe("other");
  });

  it.each([
    ["set work_mem = '1MB'", true],
    ["set local work_mem = '1MB'", false],
    ["select set_config('a.b', 'c', true)", false],
    ["prepare p as select 1", true],
    ["discard all", true],
    ["declare c cursor with hold for select 1", true],
    ["declare c cursor for select 1", false],
    ["call p()", true],
    ["commit", false],
    ["savepoint s", false],
    ["select 1", false],
    ["not sql", true],
  ])("%s leaves something in the session: %s", (sql, expected) => {
    expect(of(sql).changesSession).toBe(expected);
  });
});

describe("whether a text reads what is in the database", () => {
  it.each([
    ["select 1", true],
    ["insert into t values (1)", true],
    ["prepare p as select * from t", true],
    ["fetch c", true],
    ["set role someone", true],
    ["set session authorization someone", true],
    ["set work_mem = '1MB'; select 1", true],
    ["set apg_write_forward.consistency_mode = eventual", false],
    ["show work_mem", false],
    ["reset all", false],
    ["discard all", false],
    ["deallocate all", false],
    ["begin", false],
    ["commit", false],
    ["savepoint s", false],
    ["", false],
    ["not sql", true],
  ])("%s: %s", (sql, expected) => {
    expect(of(sql).readsData).toBe(expected);
  });
});

describe("where a text runs", () => {
  const write = of("insert into t values (1)");
  const read = of("select 1");
  const decide = (text: ForwardText, place: ForwardPlace): string => {
    const decision = decideForward(text, { mode: "session", isReader: true, place });
    return decision.kind === "refuse" ? decision.error.code : decision.kind;
  };

  it.each<[ForwardPlace, string, string]>([
    ["outside", "forward", "here"],
    ["begun", "forward", "here"],
    ["reading", "25006", "here"],
    ["readOnly", "here", "here"],
    ["failed", "here", "here"],
    ["writing", "forward", "forward"],
  ])("%s: a write %s, a read %s", (place, ofWrite, ofRead) => {
    expect([decide(write, place), decide(read, place)]).toEqual([ofWrite, ofRead]);
  });

  it("is the session's own server while the mode is off, or where that is the writer", () => {
    const facts = { place: "outside", isReader: true, mode: "session" } as const;
    expect(decideForward(write, { ...facts, mode: "off" }).kind).toBe("here");
    expect(decideForward(write, { ...facts, isReader: false }).kind).toBe("here");
    expect(decideForward(write, { ...facts, mode: "eventual" }).kind).toBe("forward");
    expect(decideForward(write, { ...facts, mode: "global" }).kind).toBe("forward");
  });

  it("refuses in a forwarded transaction what would stay in the writer's session only", () => {
    expect(decide(of("set work_mem = '1MB'"), "writing")).toBe("0A000");
    expect(decide(of("set local work_mem = '1MB'"), "writing")).toBe("forward");
    expect(decide(of("prepare p as select 1"), "writing")).toBe("0A000");
  });
});
