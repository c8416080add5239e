import { beforeAll, describe, expect, it } from "vitest";
import { ClassificationCache, loadParser } from "../route/index.ts";
import { type DatabaseTraits, TextPlanner } from "./plan.ts";
import { parseDurationMs, parseSwitch } from "./probe.ts";
import { honestyAtStart, readStart, splitOptions } from "./start-options.ts";
import { StatementBook } from "./statement-book.ts";

beforeAll(() => loadParser());

const plain: DatabaseTraits = {
  hasDeferrableTriggers: false,
  hasRules: false,
  relationsWithCode: new Set(["sly"]),
};

function planOf(sql: string, traits: DatabaseTraits = plain) {
  const planner = new TextPlanner(new ClassificationCache());
  planner.learnTraits(traits);
  return planner.plan(sql, true);
}

describe("planText", () => {
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

  it("takes a text in a strange encoding for anything", () => {
    const planner = new TextPlanner(new ClassificationCache());
    expect(planner.plan("select 1", false).role).toBe("several");
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
  ])("%j is refused", (parameters, why) => {
    expect(() => start(parameters)).toThrow(why);
  });

  it("the database is the user's name unless told; long names are cut", () => {
    expect(start({ user: "ann" }).database).toBe("ann");
    expect(start({ user: "é".repeat(40) }).user.length).toBeLessThanOrEqual(32);
    expect(start({ user: "ann", replication: "off" }).user).toBe("ann");
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
