/** What the parser does with texts that are made to break it. */
import { beforeAll, describe, expect, it } from "vitest";
import { classify, ClassificationCache, findPrepares, loadParser } from "./index.ts";
import { Grammar, type GrammarModule } from "./grammar.ts";
import { nests } from "./nesting.ts";
import { parse, useGrammar } from "./parser.ts";
import { loadGrammar } from "./parser-shell.ts";

beforeAll(loadParser);

const deep: [what: string, textOf: (count: number) => string][] = [
  ["operators", (n) => `select 1${"+1".repeat(n)}`],
  ["operators without a gap", (n) => `select 1${"+-".repeat(n)}1`],
  ["casts", (n) => `explain select 1${"::a".repeat(n)}`],
  ["brackets", (n) => `select ${"(".repeat(n)}1${")".repeat(n)}`],
  ["queries in brackets", (n) => `select ${"(select ".repeat(n)}1${")".repeat(n)}`],
  ["... whose labels look like ends", (n) => `select ${"(select 1 as end, ".repeat(n)}1`],
  ["unions of lists", (n) => `select 1,1${" union select 1,1".repeat(n)}`],
  ["joins", (n) => `select from a${" join a on a and a".repeat(n)}`],
  ["words", (n) => `select ${"not ".repeat(n)}a`],
  ["collations", (n) => `select a${" collate a".repeat(n)}`],
  ["CASE with AND in it", (n) => `select ${"case when a and ".repeat(n)}1`],
  ["arrays", (n) => `select ${"array[".repeat(n)}1${"]".repeat(n)}`],
  ["operators amid what is skipped", (n) => `select 1 ${"/*,*/ + ',' || $$,$$ + \",\"".repeat(n)}`],
];
const flat: [what: string, text: string][] = [
  ["a list", `select 1${",1+1".repeat(20_000)}`],
  ["rows", `insert into t values (1, -1)${", (1, -(1 + 1))".repeat(10_000)}`],
  ["conditions", `select from t where a = 1${" or a = 1 and not b".repeat(10_000)}`],
  ["statements", "update t set a = (a + 1); ".repeat(5_000)],
  ["values of CASE", `select ${"case when a then 1 else 2 end, ".repeat(5_000)}1`],
  ["a string", `select '${"((((".repeat(10_000)}'`],
  ["a comment", `select 1 /*${"((((".repeat(10_000)}*/`],
];

describe("a text that nests", () => {
  it.each(deep)("too deep by %s is told from its words", (_, textOf) => {
    expect(nests(textOf(2_001))).toBe(true);
    expect(parse(textOf(2_001)).kind).toBe("tooDeep");
  });

  it.each(flat)("hardly, with %s, is parsed however long it is", (_, text) => {
    expect(parse(text).kind).toBe("parsed");
  });
});

describe("what is not understood may have in it what is refused", () => {
  const chain = "+1".repeat(10_000);
  const refused: [what: string, sql: string][] = [
    ["SET", `set application_name = 'borealis_log'; select 1${chain}`],
    ["set_config", `select set_config('application_name', 'borealis_log', false), 1${chain}`],
    ["CREATE TABLESPACE", `create tablespace t location '/x'; select 1${chain}`],
    ["ALTER SYSTEM", `alter /**/ system set synchronous_standby_names = ''; select 1${chain}`],
    [
      "a function in disguise",
      `select U&"set\\005fconfig"('application_name', 'borealis_log', false), 1${chain}`,
    ],
    [
      "SET before what is parsed, and too deep to be judged",
      `set application_name = 'borealis_log'; select 1${"+1".repeat(900)}`,
    ],
  ];

  it.each(refused)("%s", (_, sql) => {
    const { statements, parseFailed } = classify(sql);
    expect(parseFailed).toBe(true);
    expect(statements[0]).toMatchObject({ kind: "unknown", refusal: { code: "54001" } });
  });

  it("and is the server's where it has not, or where it cannot be parsed anyway", () => {
    expect(classify(`create table t as select 1${chain}`).statements[0]).toMatchObject({
      kind: "unknown",
      forbidsTransactionBlock: true,
    });
    expect(classify(`create table t as select 1${chain}`).statements[0]?.refusal).toBeUndefined();
    expect(classify("set application_name = = 'x'").statements[0]?.refusal).toBeUndefined();
  });
});

/** One whose module breaks on every text with "deep" in it, and says so in `made`. */
class Fragile {
  made = 0;
  bytes = 128 * 1024 * 1024;
  private readonly pending: (() => void)[] = [];
  readonly grammar = new Grammar(
    (got) => this.pending.push(() => got(this.module())),
    this.module(),
  );

  /** The modules that were asked for are there. */
  settle(): void {
    for (const give of this.pending.splice(0)) give();
  }

  private module(): GrammarModule {
    this.made++;
    let isBroken = false;
    let text = "";
    return {
      HEAPU8: { length: this.bytes } as Uint8Array,
      _malloc: () => 1,
      _free: () => undefined,
      _wasm_parse_query_raw: () => {
        isBroken ||= text.includes("deep");
        if (isBroken) throw new RangeError("Maximum call stack size exceeded");
        return 1;
      },
      _wasm_free_parse_result: () => undefined,
      _wasm_scan: () => 0,
      _wasm_free_string: () => undefined,
      lengthBytesUTF8: () => 1,
      stringToUTF8: (sql) => (text = sql),
      UTF8ToString: () => '{"stmts":[]}',
      getValue: (at) => (at === 1 ? 1 : 0),
    };
  }
}

describe("a module of the grammar", () => {
  it("that has raised anything is not asked again: nothing is understood before another is there", () => {
    const fragile = new Fragile();
    const { grammar } = fragile;
    expect(grammar.parse("select 1").kind).toBe("answer");
    expect(grammar.parse("deep").kind).toBe("broken");
    expect(grammar.parse("select 1").kind).toBe("broken");
    expect(fragile.made).toBe(1);
    fragile.settle();
    expect(grammar.parse("select 1").kind).toBe("answer");
    expect(grammar.scan("select 1").kind).toBe("broken");
    fragile.settle();
    expect(fragile.made).toBe(3);
  });

  it("that has grown makes room for a small one", () => {
    const fragile = new Fragile();
    fragile.bytes++;
    fragile.grammar.parse("deep");
    fragile.settle();
    fragile.bytes--;
    expect(fragile.grammar.parse("select 1").kind).toBe("answer");
    fragile.settle();
    expect(fragile.made).toBe(3);
    fragile.grammar.parse("select 1");
    fragile.settle();
    expect(fragile.made).toBe(3);
  });
});

describe("the real one", () => {
  it("is whole again after each of many texts that broke it", async () => {
    const grammar = await loadGrammar();
    const kinds = new Set<string>();
    for (let at = 0; at < 40; at++) {
      kinds.add(`deep: ${grammar.parse(`select ${at}${"+1".repeat(12_000)}`).kind}`);
      kinds.add(`at once: ${grammar.parse("select 1").kind}`);
      // Nothing else has happened in the process by then.
      await new Promise((done) => setImmediate(done));
      kinds.add(`then: ${grammar.parse("select 1").kind}, ${grammar.scan("select 1").kind}`);
    }
    expect([...kinds]).toEqual(["deep: broken", "at once: broken", "then: answer, answer"]);
  });
});

describe("what is remembered of a text", () => {
  it("is not that the parser had given up", async () => {
    const cache = new ClassificationCache();
    const grammar = await loadGrammar();
    useGrammar(grammar);
    grammar.parse(`select 1${"+1".repeat(12_000)}`);
    const long = `select 1 /* ${"x".repeat(17_000)} */`;
    for (const sql of ["select 1", "select '1'", long]) {
      expect(cache.classify(sql)).toMatchObject({ parseFailed: true, isPassing: true });
    }
    await new Promise((done) => setImmediate(done));
    for (const sql of ["select 1", "select '1'", long]) {
      expect(cache.classify(sql)).toMatchObject({ parseFailed: false });
    }
  });
});

it("a CASE of a thousand arms nests no deeper than one of two", () => {
  const arms = Array.from({ length: 1_000 }, (_, id) => `when id = ${id} then 'system'::text`);
  const sql = `update t set v = case ${arms.join(" ")} else 'x' end`;
  expect(parse(sql).kind).toBe("parsed");
});

describe("the text of a PREPARE", () => {
  const findPrepare = (sql: string, name: string): string | undefined => {
    const found = findPrepares(sql);
    if (found === "unknown") return undefined;
    return found === "whole" ? sql : found.get(name);
  };

  it("is found among others", () => {
    const sql = "select 1; prepare a as select 2; select 3";
    expect(findPrepare(sql, "a")?.trim()).toBe("prepare a as select 2");
    expect(findPrepare(`${sql}; prepare a as select 4`, "a")).toBeUndefined();
  });

  it("that cannot be looked through is the whole, unless another statement may be in it", () => {
    const long = `prepare a as select 1 /*${"x".repeat(300_000)}*/`;
    expect(findPrepare(`${long};\n `, "a")).toBe(`${long};\n `);
    expect(findPrepare(`insert into t values (1); ${long}`, "a")).toBeUndefined();
    const deep = `prepare a as select 1${"+1".repeat(3_000)}`;
    expect(findPrepare(deep, "a")).toBe(deep);
    expect(findPrepare(`begin; ${deep}`, "a")).toBeUndefined();
  });
});
