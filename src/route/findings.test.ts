import { beforeAll, describe, expect, it } from "vitest";
import { classify } from "./classify.ts";
import { inspect } from "./findings.ts";
import { loadParser } from "./parser-shell.ts";

beforeAll(() => loadParser());

const relationsOf = (sql: string): string[] | undefined =>
  classify(sql).statements[0]?.relations.map(({ schema, name }) =>
    schema === undefined ? name : `${schema}.${name}`,
  );

describe("the relations of a statement", () => {
  it.each([
    ['select * from t, s.t, t x, s.t y, "s.t"', "t s.t s.t"],
    ["with a as (table t) select * from a, s.a", "t s.a"],
    ["with a as (table b), b as (table a) select * from a, b", "b"],
    ["with recursive a as (table b), b as (table a) select * from a, b", ""],
    // Each is seen in its own statement, and not behind it.
    ["select * from (with a as (select 1) table a) x, a", "a"],
    ["with a as (select 1) select * from (with a as (select 2) table a) x, a", ""],
    ["with a as (with b as (table t) table b) select * from a, b", "t b"],
    ["with a as (with a as (table a) table a) select * from a", "a"],
    ["with recursive a as (with recursive a as (select 1) table a) select * from a, c", "c"],
  ])("%s: %s", (sql, expected) => {
    expect(relationsOf(sql)?.join(" ")).toBe(expected);
  });
});

// Where each name was compared with all the others, or copied with them, these ran for minutes.
describe("a statement of very many names", () => {
  const count = 250_000;

  it("is walked in a time that grows with its text", () => {
    const items = Array.from({ length: count }, (_, at) => ({ RangeVar: { relname: `_${at}` } }));
    expect(inspect({ LockStmt: { relations: items } })?.relations).toHaveLength(count);
  });

  it("that are CTEs, too, with some in each of them", () => {
    const table = (relname: string) => ({
      SelectStmt: { fromClause: [{ RangeVar: { relname } }] },
    });
    const cte = (ctename: string, ctequery: unknown) => ({
      CommonTableExpr: { ctename, ctequery },
    });
    const inner = { ctes: [cte("b", table("t"))] };
    const ctes = Array.from({ length: count / 2 }, (_, at) =>
      cte(`_${at}`, {
        SelectStmt: { withClause: inner, fromClause: [{ RangeVar: { relname: "b" } }] },
      }),
    );
    const found = inspect({ SelectStmt: { withClause: { ctes }, ...table("_7").SelectStmt } });
    expect(found?.relations).toEqual([{ schema: undefined, name: "t" }]);
  });
});
