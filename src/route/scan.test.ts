import { describe, expect, it } from "vitest";
import { outline } from "./scan.ts";

describe("outline", () => {
  it.each([
    ["insert into t values (1)", "insert", true],
    ["  /* a /* nested; */ */ -- x;\n INSERT into t values (1);", "insert", true],
    ["insert into t values ('a;b'); ; -- done", "insert", true],
    ["insert into t values ('it''s; fine')", "insert", true],
    [String.raw`insert into t values (E'\'; x')`, "insert", true],
    [String.raw`insert into t values (e'\\'); select 1`, "insert", false],
    [String.raw`insert into t values ('\'); select 1`, "insert", false],
    [String.raw`insert into t values (date'\'); select 1`, "insert", false],
    ["insert into t values ($$ ; $$, $a$ $$ ; $a$, $1)", "insert", true],
    ["insert into t values ($1); select $2", "insert", false],
    ['update "a;b" set a$b$ = 1; select $b$', "update", false],
    ["select a-1, b/2, c->>'d;e'", "select", true],
    ["select 1; select 2", "select", false],
    ["select 1 -- ; no end", "select", true],
    ["select 'open; ", "select", true],
    ["", "", true],
    ["(select 1)", "", true],
  ])("%s", (sql, firstWord, isSingle) => {
    expect(outline(sql)).toEqual({ firstWord, isSingle });
  });

  it("reads through a text of many comments in comments that do not end", () => {
    const opened = "/*a".repeat(1_000_000);
    const unknown = { firstWord: "", isSingle: true };
    expect(outline(`${opened}*/ select 1`)).toEqual(unknown);
    expect(outline(`${opened}${"*/".repeat(1_000_000)} select 1`)).toEqual({
      firstWord: "select",
      isSingle: true,
    });
  });
});
