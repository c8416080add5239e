import { describe, expect, it } from "vitest";
import type { Outcome } from "./exchange.ts";
import { formatValue, hashOf, judge, type JudgeContext } from "./judge.ts";
import { parseTestFile } from "./parse.ts";
import type { SqlRecord } from "./record.ts";
import type { Notice } from "./session.ts";

function recordOf(text: string): SqlRecord {
  const [record] = parseTestFile(text);
  if (record?.kind !== "sql") throw new Error("not a record");
  return record;
}

function answer(rows: (string | null)[][], more: Partial<Outcome> = {}): Outcome {
  return {
    rows,
    columns: rows[0]?.length ?? 0,
    affected: undefined,
    copyOut: [],
    error: undefined,
    ...more,
  };
}

function verdictOn(
  text: string,
  outcome: Outcome,
  notices: Notice[] = [],
  context: Partial<JudgeContext> = {},
): string {
  return (
    judge(recordOf(text), outcome, notices, { hashThreshold: 0, labels: new Map(), ...context }) ??
    "right"
  );
}

const query = (lines: string, header = "query IT nosort"): string =>
  `${header}\nSELECT ...\n----\n${lines}\n`;
const twoRows = answer([
  ["1", "a"],
  ["2", null],
]);
const failure = answer([], { error: { code: "22012", message: "division by zero" } });

describe("a query", () => {
  it("passes with the rows it expects, a row or a value to a line", () => {
    expect(verdictOn(query("1 a\n2 NULL"), twoRows)).toBe("right");
    expect(verdictOn(query("1\ta\n2\tNULL"), twoRows)).toBe("right");
    expect(verdictOn(query("1\na\n2\nNULL"), twoRows)).toBe("right");
  });

  it.each([
    ["a wrong value", "1 a\n2 b"],
    ["a wrong value, one to a line", "1\na\n2\nb"],
    ["another order", "2 NULL\n1 a"],
    ["a row too few", "1 a"],
    ["a row too many", "1 a\n2 NULL\n3 c"],
    ["no rows", ""],
    ["a wrong hash", "4 values hashing to 00000000000000000000000000000000"],
    ["another column split", "1\ta\n2 NULL\t"],
  ])("fails with %s", (_, lines) => {
    expect(verdictOn(query(lines), twoRows)).toContain("wrong result");
  });

  it("fails with an error, and with other columns", () => {
    expect(verdictOn(query("1 a"), failure)).toContain("division by zero (22012)");
    expect(verdictOn(query("1", "query I nosort"), twoRows)).toContain(
      "expected 1 columns (I), got 2",
    );
  });

  it("shows what differs and what does not", () => {
    expect(verdictOn(query("1 a\n2 b"), twoRows)).toBe(
      [
        "wrong result (- expected, + actual):",
        "  - 1 a",
        "  + 1\ta",
        "  - 2 b",
        "  + 2\tNULL",
      ].join("\n"),
    );
    expect(verdictOn(query("1\ta\n2\tb"), twoRows)).toContain("\n    1\ta\n  - 2\tb\n  + 2\tNULL");
  });

  it("sorts as told", () => {
    const mixed = answer([
      ["2", "x"],
      ["10", "y"],
    ]);
    expect(verdictOn(query("10 y\n2 x", "query IT rowsort"), mixed)).toBe("right");
    expect(verdictOn(query("2 x\n10 y", "query IT rowsort"), mixed)).toContain("wrong result");
    expect(verdictOn(query("10\n2\nx\ny", "query IT valuesort"), mixed)).toBe("right");
  });

  it("compares hashes beyond the threshold, and results of one label", () => {
    const hash = hashOf(["1", "a", "2", "NULL"]);
    const hashed = query(`4 values hashing to ${hash}`);
    expect(verdictOn(hashed, twoRows)).toBe("right");
    expect(verdictOn(query("1 a\n2 NULL"), twoRows, [], { hashThreshold: 3 })).toContain(hash);
    const labels = new Map<string, string>();
    expect(verdictOn(query("1 a\n2 NULL", "query IT nosort same"), twoRows, [], { labels })).toBe(
      "right",
    );
    expect(verdictOn("query IT nosort same\nSELECT ...", twoRows, [], { labels })).toBe("right");
    const other = answer([["1", "b"]]);
    expect(verdictOn("query IT nosort same\nSELECT ...", other, [], { labels })).toContain(
      'labelled "same"',
    );
  });
});

describe("a statement", () => {
  it("passes only as it expects", () => {
    expect(verdictOn("statement ok\nx", answer([]))).toBe("right");
    expect(verdictOn("statement ok\nx", failure)).toBe("failed: division by zero (22012)");
    expect(verdictOn("statement count 2\nx", answer([], { affected: 2 }))).toBe("right");
    expect(verdictOn("statement count 2\nx", answer([], { affected: 3 }))).toContain("got 3");
    expect(verdictOn("statement count 0\nx", answer([]))).toContain("got none");
  });

  it("passes with the error it expects, and no other", () => {
    expect(verdictOn("statement error\nx", failure)).toBe("right");
    expect(verdictOn("statement error 22012 by zero$\nx", failure)).toBe("right");
    expect(verdictOn("statement error 23505\nx", failure)).toContain("expected error 23505");
    expect(verdictOn("statement error by one\nx", failure)).toContain(
      "expected an error like /by one/",
    );
    expect(verdictOn("statement error 22012\nx", answer([]))).toContain("but it succeeded");
  });

  it("wants its notice", () => {
    const notice = { code: "01000", message: "careful" };
    expect(verdictOn("notice 01000\nstatement ok\nx", answer([]), [notice])).toBe("right");
    expect(verdictOn("notice care\nstatement ok\nx", answer([]), [notice])).toBe("right");
    expect(verdictOn("notice 01004\nstatement ok\nx", answer([]), [notice])).toContain("careful");
    expect(verdictOn("notice x\nstatement ok\nx", answer([]))).toContain("got none");
  });

  it("compares what COPY sent", () => {
    expect(verdictOn("copy out\nx\n----\n1\ta", answer([], { copyOut: ["1\ta"] }))).toBe("right");
    expect(verdictOn("copy out\nx\n----\n1\ta", answer([], { copyOut: ["1\tb"] }))).toContain(
      "wrong result",
    );
  });
});

describe("formatValue", () => {
  it.each([
    ["T", null, "NULL"],
    ["T", "", "(empty)"],
    ["T", "a\nb\tc", String.raw`a\nb\tc`],
    ["I", "12", "12"],
    ["I", "-1.9", "-1"],
    ["I", "t", "1"],
    ["R", "2.5", "2.500"],
    ["R", "1e3", "1000.000"],
    ["R", "NaN", "NaN"],
    ["B", "t", "true"],
    ["B", "f", "false"],
  ])("%s %j → %s", (type, value, text) => {
    expect(formatValue(type, value)).toBe(text);
  });
});
