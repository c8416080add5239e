/** The mask is right if PostgreSQL's own scanner and grammar see no difference: both are asked here. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { loadModule, scanSync } from "libpg-query";
import { beforeAll, describe, expect, it } from "vitest";
import { ClassificationCache, classify, loadParser } from "./index.ts";
import { isClassOfMask, maskLiterals } from "./mask.ts";

beforeAll(() => Promise.all([loadParser(), loadModule()]));

const root = join(import.meta.dirname, "..", "..");

/** Every statement of the .slt files, and every string of the tables in the tests of classify and outline. */
function corpus(): string[] {
  const found: string[] = [];
  for (const name of readdirSync(join(root, "sql-tests"), { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".slt")) continue;
    const records = readFileSync(join(root, "sql-tests", name), "utf8").split(/\n\n+/);
    for (const record of records) {
      const sql = /^(?:statement|query)\b.*\n([\s\S]*?)(?:\n----|$(?![\s\S]))/m.exec(record)?.[1];
      if (sql !== undefined) found.push(sql);
    }
  }
  for (const file of ["classify.test.ts", "scan.test.ts"]) {
    const source = readFileSync(join(import.meta.dirname, file), "utf8");
    for (const [, double, single] of source.matchAll(
      /"((?:[^"\\\n]|\\.)*)"|'((?:[^'\\\n]|\\.)*)'/g,
    ))
      found.push((double ?? single ?? "").replaceAll(/\\(.)/g, "$1"));
  }
  return [...new Set(found)];
}

interface Token {
  readonly name: string;
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

const constants = new Set(["ICONST", "FCONST", "SCONST"]);

/** What PostgreSQL's scanner makes of a text, in places of its UTF-8 form; undefined if it refuses it. */
function tokensOf(sql: string): Token[] | undefined {
  try {
    const bytes = Buffer.from(sql);
    return scanSync(sql).tokens.map(({ tokenName, tokenType, start, end }) => ({
      name: constants.has(tokenName) ? tokenName : `${tokenType}`,
      text: bytes.toString("utf8", start, end),
      start,
      end,
    }));
  } catch {
    return undefined;
  }
}

/** The tokens, of constants their sort only. */
function shapeOf(sql: string): string[] | undefined {
  return tokensOf(sql)?.map(({ name, text }) => (constants.has(name) ? name : `${name} ${text}`));
}

/** The text with its constants replaced in turn. */
function withConstants(sql: string, replacements: readonly string[]): string {
  const bytes = Buffer.from(sql);
  let varied = "";
  let copiedTo = 0;
  let count = 0;
  for (const { name, start, end } of tokensOf(sql) ?? []) {
    if (!constants.has(name)) continue;
    varied += bytes.toString("utf8", copiedTo, start) + replacements[count++ % replacements.length];
    copiedTo = end;
  }
  return varied + bytes.toString("utf8", copiedTo);
}

const words = [
  "",
  "it's",
  "synchronous_commit",
  "SYNCHRONOUS_Commit off",
  "application_name",
  "borealis_log",
  "off",
  "1",
  "; drop table t; --",
  "/*",
  "*/",
  "$1",
  "$$",
  "\\",
  "\\'; select f()",
  '"',
  "é 🐘",
  "x".repeat(5000),
];
const plainString = fc
  .oneof(
    fc.constantFrom(...words),
    fc.string({ unit: "binary-ascii" }),
    fc.string({ unit: "grapheme" }),
  )
  .map((value) => `'${value.replaceAll("'", "''")}'`);
const plainNumber = fc.oneof(
  fc.nat().map(String),
  fc.bigInt({ min: 0n, max: 2n ** 70n }).map(String),
  fc.constantFrom("0", "1", "24", "25", "53", "54", "007", "2147483647", "2147483648"),
  fc.constantFrom("0000000001", "00000000002147483648", "1.5", ".5", "1e10", "1.5e-7", ".5E+3"),
);
const oddConstant = fc.constantFrom(
  "0x1F",
  "0b11",
  "0o17",
  "1_000",
  "5.",
  "1..2",
  "5a",
  "1e",
  "$1",
  "$a$ b $a$",
  "$$'$$",
  "e'\\''",
  "E'\\\\'",
  "U&'\\0041'",
  "u&'!0041' uescape '!'",
  "b'01'",
  "X'1F'",
  "n'x'",
  "'a'\n'b'",
  "'a' 'b'",
  "'a' -- '\n'b'",
  "/* ' */ 1",
  "1 -- 2",
  "'open",
  "1; select f()",
  "set_config('synchronous_commit', 'off', false)",
  "setseed(0.5)",
  '"a 1"',
  "a$1",
  "é1",
  "1::float(3)",
  "1::float (0)",
  "date '2020-01-01'",
  "interval '1 day'",
  "-5",
  "null",
  "true",
);
const constant = fc.oneof(plainNumber, plainString);
const anything = fc.oneof(
  { weight: 3, arbitrary: constant },
  { weight: 1, arbitrary: oddConstant },
);

describe("maskLiterals", () => {
  it.each([
    [
      "SELECT abalance FROM pgbench_accounts WHERE aid = 123;",
      "SELECT abalance FROM pgbench_accounts WHERE aid = 0;",
    ],
    ["select -5, +5, a-5, a -.5", "select -0, +0, a-0, a -.0"],
    ["select 1.5, .5, 1e10, 1.5E-7, .5e+3", "select 0.0, .0, 0.0, 0.0, .0"],
    ["select 2147483647, 2147483648, 0000000001", "select 0, 0.0, 0"],
    [
      "select t1.a2b, t$1, é1, _1 from t1 where $1 = $22 and x = 3",
      "select t1.a2b, t$1, é1, _1 from t1 where $1 = $22 and x = 0",
    ],
    ["select 'it''s', '', '''', 'a--b', '/* ; */', '$$'", "select '', '', '', '', '', ''"],
    [
      "select '1'::int, date '2020-01-01', interval '1 day'",
      "select ''::int, date '', interval ''",
    ],
    ["select 'a'\n  'b'", "select ''\n  ''"],
    [
      'select "a 1", "it\'s 2", "x""3" from "t;1" where a = 4',
      'select "a 1", "it\'s 2", "x""3" from "t;1" where a = 0',
    ],
    [
      "\n insert into t values (1, 'a'), (2, 'b') ; ; ",
      "\n insert into t values (0, ''), (0, '') ; ; ",
    ],
    ["select x[1:2], y.z[3].w", "select x[0:0], y.z[0].w"],
    [String.raw`select '\', 1`, "select '', 0"],
    ["select a.5", "select a.0"],
  ])("%s → %s", (sql, masked) => {
    expect(maskLiterals(sql)).toBe(masked);
    expect(shapeOf(masked)).toEqual(shapeOf(sql));
  });

  it.each([
    ["nothing to mask", ["select a from t", "select $1", "select t1.a2"]],
    [
      "other statements",
      [
        "explain (analyze 0) select 1",
        "set a = 1",
        "prepare p as select 1",
        "begin",
        "(select 1)",
        "copy t to 'x'",
        "",
        "select1",
      ],
    ],
    [
      "several statements",
      ["select 1; select 2", "select 1; set application_name = 'borealis_log'"],
    ],
    ["comments", ["select 1 -- x", "select /* 1 */ 2", "/* x */ select 1", "select 5--6"]],
    [
      "strings of other sorts",
      [
        "select e'a'",
        "select E'a'",
        "select b'1'",
        "select X'1f'",
        "select n'a'",
        "select u&'a'",
        "select $$a$$, 1",
        "select $a$1$a$",
        'select u&"a", 1',
        "select 'a', date'x'",
      ],
    ],
    [
      "numbers of other sorts",
      [
        "select 0x1F",
        "select 1_000",
        "select 5.",
        "select 1..2",
        "select 5a",
        "select 1e",
        "select 1e5x",
        "select 1.5.2",
        "select 1$",
        "select $1a, 1",
        "select a..5",
      ],
    ],
    ["mentions", ["select f('synchronous_commit')", "select f('a SYNCHRONOUS_COMMIT b')"]],
    ["open ends", ["select 1, 'a", 'select 1, "a', "select 1, 'a''"]],
    ["NUL", ["select 1\0", "select 'a\0'"]],
  ])("refuses %s", (_, texts) => {
    for (const sql of texts) expect(maskLiterals(sql), sql).toBeUndefined();
  });

  it("leaves to PostgreSQL's scanner the same tokens, whatever the text", () => {
    const pieces = fc.constantFrom(
      ..."'\"$;-/*.eEuUbBnNxX&_aé 0179+:,()[]\\\n".split(""),
      "''",
      "--",
      "/*",
      "*/",
      "$1",
      "$$",
      "..",
      "1e5",
      ".5",
      "'a'",
      '"b"',
      " u&",
      "e'",
      "\t",
      "10",
      "::int",
    );
    let masks = 0;
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
        const sql = `select ${parts.join("")}`;
        const masked = maskLiterals(sql);
        if (masked === undefined) return;
        masks++;
        expect(shapeOf(masked)).toEqual(shapeOf(sql));
        expect(maskLiterals(masked)).toBe(masked);
      }),
      { numRuns: 4_000 },
    );
    expect(masks).toBeGreaterThan(200);
  });
});

describe("a class found by its mask", () => {
  it.each([
    [
      "select set_config('work_mem', '1MB', false)",
      "select set_config('synchronous_commit', 'off', false)",
    ],
    [
      "select set_config('application_name', 'a', false)",
      "select set_config('application_name', 'borealis_log', false)",
    ],
    [
      "select set_config('application_name', '1', true)",
      "select set_config('application_name', 'é', true)",
    ],
    ["insert into t select f('a')", "insert into t select f('synchronous_commit')"],
    ["select 1::float(3)", "select 1::float(99)"],
    ["select 1::float(99)", "select 1::float(3)"],
    ["select set_config('', '', false)", "select set_config('application_name', 'a', false)"],
    ["select 2147483647::char(2147483647)", "select 2147483647::char(2147483648)"],
  ])("is not that of %s for %s", (first, second) => {
    const cache = new ClassificationCache();
    for (const sql of [first, second, first]) expect(cache.classify(sql)).toEqual(classify(sql));
  });

  it("is what classify tells of the text itself: all known statements, with any values", () => {
    const statements = corpus();
    const maskable = statements.filter((sql) => maskLiterals(sql) !== undefined);
    expect(maskable.length).toBeGreaterThan(250);
    const cache = new ClassificationCache();
    for (const sql of statements) expect(cache.classify(sql), sql).toEqual(classify(sql));
    let masks = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...maskable),
        fc.array(anything, { minLength: 1, maxLength: 6 }),
        (sql, values) => {
          const varied = withConstants(sql, values);
          const masked = maskLiterals(varied);
          const direct = classify(varied);
          if (masked !== undefined && isClassOfMask(direct, masked)) masks++;
          expect(cache.classify(varied)).toEqual(direct);
        },
      ),
      { numRuns: 1_500 },
    );
    expect(masks).toBeGreaterThan(250);
  });

  it("is one object for all values, whichever came first", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...corpus()),
        fc.array(fc.array(constant, { minLength: 1 })),
        (sql, lists) => {
          const cache = new ClassificationCache();
          const byMask = new Map<string, unknown>();
          for (const values of [["1"], ...lists]) {
            const varied = withConstants(sql, values);
            // Longer ones are not kept.
            if (varied.length > 16_384) continue;
            const masked = maskLiterals(varied);
            const found = cache.classify(varied);
            expect(found).toEqual(classify(varied));
            if (masked === undefined || !isClassOfMask(found, masked)) continue;
            expect(byMask.get(masked) ?? found).toBe(found);
            byMask.set(masked, found);
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});
