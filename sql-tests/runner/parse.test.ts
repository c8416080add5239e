import { describe, expect, it } from "vitest";
import { noPrefixes, parseTestFile } from "./parse.ts";
import { FormatError } from "./record.ts";

const plain = {
  prefixes: noPrefixes,
  expectation: { kind: "ok" },
  result: undefined,
  copyIn: undefined,
  copyOut: undefined,
};

describe("parseTestFile", () => {
  it("reads statements and queries apart by blank lines", () => {
    const records = parseTestFile(
      [
        "# comment",
        "statement ok",
        "CREATE TABLE t (",
        "  a int)",
        "",
        "query IT rowsort label-1",
        "SELECT 1, 'x'",
        "----",
        "1 x",
        "",
      ].join("\n"),
    );
    expect(records).toEqual([
      { ...plain, kind: "sql", line: 2, sql: "CREATE TABLE t (\n  a int)" },
      {
        ...plain,
        kind: "sql",
        line: 6,
        sql: "SELECT 1, 'x'",
        result: { types: "IT", sort: "rowsort", label: "label-1", lines: ["1 x"] },
      },
    ]);
  });

  it.each([
    ["ok", { kind: "ok" }],
    ["count 12", { kind: "count", count: 12 }],
    ["error", { kind: "error", sqlState: undefined, pattern: undefined }],
    ["error 22012", { kind: "error", sqlState: "22012", pattern: undefined }],
    [
      "error 25P02 current transaction",
      { kind: "error", sqlState: "25P02", pattern: "current transaction" },
    ],
    ["error WRONG thing", { kind: "error", sqlState: undefined, pattern: "WRONG thing" }],
  ])("reads the expectation %s", (text, expectation) => {
    expect(parseTestFile(`statement ${text}\nSELECT 1`)).toMatchObject([{ expectation }]);
  });

  it("gives prefixes to the next record alone", () => {
    const text = `skipif reader
onlyif version>=16
connection two
background
bind [1, "x", null, [2]]
prepared p
fetch 3
notice 01000
statement ok
SELECT 1

statement ok
SELECT 2
`;
    expect(parseTestFile(text)).toMatchObject([
      {
        line: 9,
        prefixes: {
          conditions: [
            { kind: "word", word: "reader", isWanted: false },
            { kind: "version", operator: ">=", version: 16, isWanted: true },
          ],
          connection: "two",
          isBackground: true,
          bind: ["1", "x", null, "[2]"],
          prepared: "p",
          fetch: 3,
          notice: "01000",
        },
      },
      { line: 12, prefixes: noPrefixes },
    ]);
  });

  it("reads loops, nested ones too", () => {
    const text =
      "foreach a x y\nloop i -1 2\nstatement ok\nSELECT '$a', $i\n\nendloop\n\nendloop\n";
    expect(parseTestFile(text)).toMatchObject([
      {
        kind: "loop",
        variable: "a",
        values: ["x", "y"],
        body: [{ kind: "loop", values: ["-1", "0", "1"], body: [{ line: 3 }] }],
      },
    ]);
  });

  it("reads COPY, notifications and control lines", () => {
    const text = `hash-threshold 8
protocol extended
copy in count 1
COPY t FROM STDIN
----
1	a

copy out
COPY t TO STDOUT
----
1	a

notification news some thing

notification none

connection c
reconnect

onlyif reader
halt
`;
    expect(parseTestFile(text)).toMatchObject([
      { control: { kind: "hashThreshold", values: 8 } },
      { control: { kind: "protocol", protocol: "extended" } },
      { copyIn: ["1\ta"], expectation: { kind: "count", count: 1 } },
      { copyOut: ["1\ta"] },
      { kind: "notification", expected: { channel: "news", payload: "some thing" } },
      { kind: "notification", expected: undefined },
      { kind: "reconnect", prefixes: { connection: "c" } },
      { control: { kind: "halt", conditions: [{ word: "reader" }] } },
    ]);
  });

  it.each([
    ["statement maybe\nSELECT 1", 1],
    ["\nquery X\nSELECT 1", 2],
    ["query I sideways extra\nSELECT 1", 1],
    ["statement ok\n\n", 1],
    ["selekt 1", 1],
    ["loop i 0 3\nstatement ok\nSELECT 1\n", 1],
    ["endloop", 1],
    ["onlyif version~3\nstatement ok\nSELECT 1", 1],
    ["bind 1, 2\nstatement ok\nSELECT 1", 1],
    ["hash-threshold many", 1],
    ["connection x\n", 2],
  ])("refuses %j, and says where", (text, line) => {
    let error: unknown;
    try {
      parseTestFile(text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(FormatError);
    expect(error).toMatchObject({ line });
  });
});
