import { beforeAll, describe, expect, it } from "vitest";
import { ClassificationCache, loadParser } from "../route/index.ts";
import { TextPlanner } from "./plan.ts";
import { type DatabaseTraits, traitsDuring } from "./traits.ts";
import { parseDurationMs, parseSwitch } from "./probe.ts";
import { arrivedAt, honestyAtStart, readStart, splitOptions } from "./start-options.ts";
import { StatementBook } from "./statement-book.ts";

beforeAll(() => loadParser());

const plain: DatabaseTraits = {
  hasDeferrableTriggers: false,
  hasRules: false,
  relationsWithCode: new Set(["sly"]),
  codeNames: new Set(),
  outsideNames: new Set(),
};

function planOf(sql: string, traits: DatabaseTraits = plain) {
  const planner = new TextPlanner(new ClassificationCache());
  planner.learnTraits(traits);
  return planner.plan(sql, true);
}

describe("planText", () => {
  it.each([
    ["select 1", false],
    ["select silent()", false],
    ["select tell()", true],
    ["select s.tell() from t", true],
    ["call tell()", true],
    ["prepare c as select tell()", true],
    ["prepare c as select silent()", false],
    ["select pg_notify('a', '')", true],
    ["do $$begin perform pg_notify('a', ''); end$$", true],
    ["do $$begin perform Tell(); end$$", true],
    ["do $$begin perform teller(); end$$", false],
    ["insert into t values (1)", false],
  ])("%s may notify: %s", (sql, isOne) => {
    const { writesAtCommit, notifies } = planOf(sql, { ...plain, notifyNames: new Set(["tell"]) });
    expect([writesAtCommit, notifies]).toEqual([isOne, isOne]);
  });

  it.each([
    ["select 1", "harmless"],
    ["select * from t where id = 5", "harmless"],
    ["select * from sly", "write"],
    ["select f()", "write"],
    ["insert into t values (1)", "write"],
    ["set work_mem = 1", "harmless"],
    ["listen x", "harmless"],
    ["savepoint a", "harmless"],
    // asyncpg's after each use of a pooled connection: lost in the middle, it may run again.
    ["SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;", "harmless"],
    ["begin", "begin"],
    ["start transaction read only", "begin"],
    ["commit", "commit"],
    ["end", "commit"],
    ["prepare transaction 'x'", "commit"],
    ["commit prepared 'x'", "write"],
    ["rollback", "rollback"],
    ["rollback to a", "harmless"],
    ["copy t from stdin", "write"],
    ["copy t to stdout", "harmless"],
    ["call p()", "write"],
    ["do $$begin end$$", "write"],
    ["select 1; select 2", "harmless"],
    ["begin; insert into t values (1)", "harmless"],
    ["begin; insert into t values (1); commit", "several"],
    ["insert into t values (1); insert into t values (2)", "several"],
    ["begin; select 1; rollback", "harmless"],
    ["this is no sql", "several"],
    ["", "harmless"],
  ])("%s: %s", (sql, role) => {
    expect(planOf(sql).role).toBe(role);
  });

  it.each([
    ["insert into t values (1)", true],
    ["create table t(a int)", true],
    ["select f()", true],
    ["select f($1)", false],
    ["vacuum", false],
    ["create index concurrently on t(a)", false],
    ["copy t from stdin", false],
    ["call p()", false],
    ["create database x", false],
  ])("%s may be sent as extended messages: %s", (sql, may) => {
    expect(planOf(sql).mayBeRewritten).toBe(may);
  });

  it("rewrites nothing where rules may answer", () => {
    expect(planOf("insert into t values (1)", { ...plain, hasRules: true }).mayBeRewritten).toBe(
      false,
    );
  });

  it("knows an ALTER SYSTEM, also in a text that the parser and the session read otherwise", () => {
    const planner = new TextPlanner(new ClassificationCache());
    planner.learnTraits(plain);
    expect(planner.plan("alter system set work_mem = '8MB'", true).setsParameters).toBe(true);
    const odd = "/* \\ */ ALTER\n SYSTEM SET log_line_prefix = '\\t'";
    expect(planner.plan(odd, false).setsParameters).toBe(true);
    expect(planner.plan("select '\\'", false).setsParameters).toBe(false);
    expect(planner.plan("select 'alter system'", true).setsParameters).toBe(false);
  });

  it("tells texts apart by everything but bare numbers", () => {
    const planner = new TextPlanner(new ClassificationCache());
    planner.learnTraits({ ...plain, relationsWithCode: new Set(["v 1", "v1"]) });
    expect(planner.plan("select * from t where a = 1", true)).toBe(
      planner.plan("select * from t where a = 22", true),
    );
    expect(planner.plan('select * from "v 1"', true).role).toBe("write");
    expect(planner.plan('select * from "v 2"', true).role).toBe("harmless");
    expect(planner.plan("select * from v1", true).role).toBe("write");
  });

  it("does not take a value for a mere number where it decides what the statement does", () => {
    const planner = new TextPlanner(new ClassificationCache());
    planner.learnTraits({ ...plain, relationsWithCode: new Set(["é1"]) });
    const insert = "insert into t values (1)";
    expect(planner.plan(`explain (analyze 0) ${insert}`, true).role).toBe("harmless");
    expect(planner.plan(`explain (analyze 1) ${insert}`, true).role).toBe("write");
    expect(planner.plan("select * from é0", true).role).toBe("harmless");
    expect(planner.plan("select * from é1", true).role).toBe("write");
  });

  describe("where users have made what bears the name of something harmless", () => {
    const names = ["upper", "->", "=", ">=", "full_name", "date"];
    const traits: DatabaseTraits = { ...plain, codeNames: new Set(names) };
    it.each([
      ["select upper(5)"],
      ["select pg_catalog.upper('a')"],
      ["select 5 -> 'a'::text"],
      ["select a from t where a = 1"],
      ["select case a when 1 then 2 end from t"],
      ["select 1 from t join u using (a)"],
      ["select 1 from t natural join u"],
      ["select 1 from t where a in (select 2)"],
      ["select 1 from t where a between 1 and 2"],
      ["select u.full_name from t u"],
      ["select (u).full_name from t u"],
      ["select '1'::date"],
      ["explain analyze select upper(5)"],
      ["copy (select upper(5)) to stdout"],
    ])("%s may write", (sql) => {
      expect(planOf(sql).role).toBe("harmless");
      expect(planOf(sql, traits)).toMatchObject({ role: "write", touch: { callsCode: true } });
    });

    it.each([
      ["select lower('a'), full_name from t where a > 1"],
      ["select case when a > 1 then 2 end from t join u on t.a < u.a"],
      ["prepare p as select upper(5)"],
      ["set work_mem = 1"],
      ["begin"],
    ])("%s does not", (sql) => {
      expect(planOf(sql, traits).role).toBe(planOf(sql).role);
    });

    it("counts each read while it is not known what they have made", () => {
      const unknown: DatabaseTraits = { ...plain, codeNames: "any" };
      const roles = ["select a from t", "select upper('a')", "select 1", "begin", "show work_mem"];
      expect(roles.map((sql) => planOf(sql, unknown).role)).toEqual([
        "write",
        "write",
        "harmless",
        "begin",
        "harmless",
      ]);
      // It must not wait for a quorum where it wrote nothing.
      expect(planOf("select a from t", { ...unknown, hasRules: true }).mayBeRewritten).toBe(true);
      const touches = ["select a from t", "select upper('a')"].map(
        (sql) => planOf(sql, unknown).touch,
      );
      expect(touches).toEqual([planOf("select a from t").touch, planOf("select 1").touch]);
    });
  });

  it.each([
    ["select ('q'::regclass).nextval"],
    ["select (12345::oid).lo_unlink"],
    ["select (1::bigint).pg_advisory_xact_lock"],
  ])("%s calls a function", (sql) => {
    expect(planOf(sql).role === "write" || planOf(sql).touch.touchesLocks).toBe(true);
  });

  describe("a transaction that is not to be run again", () => {
    const beyond = "functions in this database can reach beyond it";
    const traits: DatabaseTraits = { ...plain, outsideNames: new Set(["side"]) };
    it.each([
      ["select side()", beyond],
      ["insert into t values (side())", beyond],
      ["select u.side from u", beyond],
      ["create table u (a int default side())", beyond],
      ["execute p", beyond],
      ["select f()", undefined],
      ["insert into t values (1)", undefined],
      ["select 'side'", undefined],
      ["commit", undefined],
    ])("%s: %s", (sql, why) => {
      expect(planOf(sql, traits).obstacle).toBe(why);
      expect(planOf(sql).obstacle).toBeUndefined();
    });

    it("has a text too long to be parsed: it may name any function", () => {
      const bulk = `insert into t values ${"(1),".repeat(10_000)}(1)`;
      expect(planOf(bulk, traits).obstacle).toBe(beyond);
      expect(planOf(bulk).obstacle).toBeUndefined();
    });

    it("has anything that may run code, where no name says so", () => {
      const any: DatabaseTraits = { ...plain, outsideNames: "any" };
      const texts = ["select f()", "insert into t values (1)", "select 1"];
      const found = texts.map((sql) => planOf(sql, any).obstacle);
      expect(found).toEqual([beyond, beyond, undefined]);
    });

    it.each([
      ["select pg_logical_emit_message(false, 'a', 'b')", true],
      ["select pg_log_backend_memory_contexts(1)", true],
      ["select pg_stat_reset()", true],
      ["select * from pg_logical_slot_get_changes('s', null, null)", true],
      [
        "create function f() returns void language plpgsql as $$begin copy t to program 'x'; end$$",
        true,
      ],
      [
        "create function f() returns void language plpgsql as $$begin insert into t select 'copy'; end$$",
        false,
      ],
      ["insert into t values ('copy it to ''me''')", false],
    ])("%s: %s", (sql, is) => {
      expect(planOf(sql).obstacle !== undefined).toBe(is);
    });
  });

  it.each([
    ["create function f() returns int language sql as 'select 1'", "code"],
    ["create operator -> (leftarg = int, rightarg = text, function = w)", "code"],
    ["create aggregate sum(text) (sfunc = f, stype = text)", "code"],
    ["create cast (int as point) with function f(int)", "code"],
    [
      "create operator class o default for type point using btree as function 1 f(point, point)",
      "code",
    ],
    ["create domain date as text", "code"],
    ["create extension dblink", "code"],
    ["create server s foreign data wrapper f", "code"],
    ["alter function f() rename to upper", "code"],
    ["create view v as select 1", "relations"],
    ["create trigger a after insert on t execute function f()", "relations"],
    ["alter table t enable row level security", "relations"],
    ["create table u (a int default side())", "relations"],
    ["create table u (a int)", undefined],
    ["create index on t (a)", undefined],
    ["insert into t values (side())", undefined],
  ])("%s changes %s", (sql, change) => {
    expect(planOf(sql, { ...plain, outsideNames: new Set(["side"]) }).changesTraits).toBe(change);
  });

  it("takes a text in a strange encoding for anything", () => {
    const planner = new TextPlanner(new ClassificationCache());
    expect(planner.plan("select 1", false).role).toBe("several");
  });
});

describe("while somebody changes a database", () => {
  const { codeNames, relationsWithCode } = plain;

  it("what is named the same is not known if functions change, and stays if only relations do", () => {
    expect(traitsDuring("code", plain)).toMatchObject({ codeNames: "any", outsideNames: "any" });
    expect(traitsDuring("relations", plain)).toMatchObject({ codeNames, relationsWithCode });
  });

  it("functions that act beyond it may come to be behind a relation, if there are any", () => {
    expect(traitsDuring("relations", plain).outsideNames).toEqual(new Set());
    const acting: DatabaseTraits = { ...plain, outsideNames: new Set(["side"]) };
    expect(traitsDuring("relations", acting).outsideNames).toBe("any");
  });
});

describe("StatementBook", () => {
  it("knows portals by their statements, and doubts a name that was taken twice", () => {
    const book = new StatementBook();
    const [read, write] = [planOf("select 1"), planOf("insert into t values (1)")];
    book.parse("a", read);
    book.bind("", "a");
    expect(book.planOfPortal("")).toBe(read);
    book.parse("a", write);
    expect(book.planOfStatement("a")).toBeUndefined();
    book.parse("", read);
    book.parse("", write);
    expect(book.planOfStatement("")).toBe(write);
    book.deallocate("*");
    expect(book.statementCount).toBe(0);
  });

  it("takes names for one that PostgreSQL cuts to one", () => {
    const book = new StatementBook();
    const [read, write] = [planOf("select 1"), planOf("insert into t values (1)")];
    const long = "n".repeat(61);
    book.parse(`${long}12 and on`, read);
    book.bind(`${long}ab and on`, `${long}12`);
    expect(book.planOfStatement(`${long}12 else`)).toBe(read);
    expect(book.planOfPortal(`${long}ab`)).toBe(read);
    // One byte less, and not cut: another name.
    expect(book.planOfStatement(`${long}1`)).toBeUndefined();
    book.closeStatement(`${long}12 anything`);
    book.parse(`${long}12 other`, write);
    expect(book.planOfStatement(`${long}12 and on`)).toBe(write);
    // In bytes, not in characters.
    book.parse(`${"ä".repeat(31)}${long}`, read);
    expect(book.planOfStatement(`${"ä".repeat(31)}${long}!`)).toBe(read);
  });
});

describe("start-up options", () => {
  it("are split as PostgreSQL splits them", () => {
    expect(splitOptions("-c a=b  -cwork_mem=1MB --search-path=x -c c=d\\ e -N 5")).toEqual([
      ["a", "b"],
      ["work_mem", "1MB"],
      ["search_path", "x"],
      ["c", "d e"],
    ]);
  });

  const start = (parameters: Record<string, string>) =>
    readStart({
      kind: "startup",
      minor: 0,
      protocolOptions: [],
      parameters: Object.entries(parameters).map(([name, value]) => ({
        name,
        value: Buffer.from(value),
      })),
    });

  it.each([
    [{}, "no PostgreSQL user name"],
    [{ user: "a", replication: "true" }, "replication"],
    [{ user: "a", replication: "database" }, "replication"],
    [{ user: "a", application_name: "borealis_log" }, "reserved"],
    [{ user: "a", options: "-c application_name=BOREALIS_LOG" }, "reserved"],
    [{ user: "a", options: "--application-name=borealis_log" }, "reserved"],
    [
      { user: "a", options: "-c borealis.pool=session" },
      'invalid value for parameter "borealis.pool"',
    ],
    [{ user: "a", options: "-c borealis.commit_timeout=soon" }, "invalid value"],
    [{ user: "a", options: "-c borealis.force_durable_commit=perhaps" }, "invalid value"],
    [{ user: "a", "borealis.replay": "maybe" }, "invalid value"],
    [{ user: "a", options: "-c apg_write_forward.consistency_mode=always" }, "invalid value"],
  ])("%j is refused", (parameters, why) => {
    expect(() => start(parameters)).toThrow(why);
  });

  it("the database is the user's name unless told; long names are cut", () => {
    expect(start({ user: "ann" }).database).toBe("ann");
    expect(start({ user: "é".repeat(40) }).user.length).toBeLessThanOrEqual(32);
    expect(start({ user: "ann", replication: "off" }).user).toBe("ann");
  });

  it("of who came in at a further address say so, as if the client had; others stay as they came", () => {
    const request = { kind: "startup", minor: 0, protocolOptions: [], parameters: [] } as const;
    expect(arrivedAt(request, undefined)).toBe(request);
    const { parameters } = arrivedAt(request, "127.0.0.12");
    expect(parameters.map(({ name, value }) => `${name}=${value.toString()}`)).toEqual([
      "borealis.endpoint_address=127.0.0.12",
    ]);
  });

  it("outrank what roles and databases have stored", () => {
    const wishes = start({ user: "a", options: "-c borealis.force_durable_commit=on" });
    const { honesty, synchronousCommit } = honestyAtStart(wishes, [
      "borealis.force_durable_commit=off",
      "borealis.commit_timeout=2s",
      "synchronous_commit=false",
    ]);
    expect(honesty).toEqual({ isForced: true, commitTimeoutMs: 2000 });
    expect(synchronousCommit).toBe("off");
  });
});

describe("settings", () => {
  it.each([
    ["on", true],
    ["off", false],
    ["of", false],
    ["TRUE", true],
    ["f", false],
    ["1", true],
    ["0", false],
    ["o", undefined],
    ["maybe", undefined],
    ["", undefined],
    [undefined, undefined],
  ])("%s is the switch %s", (text, value) => {
    expect(parseSwitch(text)).toBe(value);
  });

  it.each([
    ["0", 0],
    ["250", 250],
    ["30s", 30_000],
    ["1min", 60_000],
    ["1.5 s", 1_500],
    ["soon", undefined],
    [undefined, undefined],
  ])("%s is %s ms", (text, ms) => {
    expect(parseDurationMs(text)).toBe(ms);
  });
});

describe("the wishes of a text", () => {
  it("are each told once, as last set, and no other setting is", () => {
    const calls = Array.from(
      { length: 3_000 },
      (_, at) =>
        `set_config('borealis.x${at}', '', true), set_config('borealis.pool', '${at}', true)`,
    );
    expect(
      planOf(`select set_config('borealis.replay', 'off', false), ${calls.join()}`).wishes,
    ).toEqual([
      { name: "borealis.replay", value: "off", isLocal: false },
      { name: "borealis.pool", value: "2999", isLocal: true },
    ]);
  });
});
