import { expect, it } from "vitest";
import { substitute } from "./substitute.ts";

const variables = new Map([
  ["i", "7"],
  ["schema", "s1"],
]);

it.each([
  ["SELECT $i, ${i}x, $schema.t", "SELECT 7, 7x, s1.t"],
  [
    "SELECT $1, $$body$$, $i$ not a variable $i$, ${unknown}, $index",
    "SELECT $1, $$body$$, $i$ not a variable $i$, ${unknown}, $index",
  ],
])("%s", (text, expected) => {
  expect(substitute(text, variables)).toBe(expected);
});

it("replaces in every string of a record", () => {
  expect(substitute({ line: 1, sql: "$i", prefixes: { bind: ["$i", null] } }, variables)).toEqual({
    line: 1,
    sql: "7",
    prefixes: { bind: ["7", null] },
  });
});
