import { describe, expect, it } from "vitest";
import { alterSystemSql, changesBetween } from "./parameters.ts";

describe("changes of parameters", () => {
  it("are what was set, set otherwise, and reset", () => {
    const before = new Map([
      ["a", "1"],
      ["b", "2"],
      ["c", "3"],
    ]);
    const after = new Map([
      ["b", "2"],
      ["c", "4"],
      ["d", ""],
    ]);
    expect(changesBetween(before, after)).toEqual([
      { name: "a", value: null },
      { name: "c", value: "4" },
      { name: "d", value: "" },
    ]);
    expect(changesBetween(after, after)).toEqual([]);
  });

  const statements: [string, string | null, string][] = [
    ["work_mem", "8MB", `ALTER SYSTEM SET "work_mem" TO '8MB'`],
    ["work_mem", null, 'ALTER SYSTEM RESET "work_mem"'],
    ["auto_explain.log_format", "x'y", `ALTER SYSTEM SET "auto_explain"."log_format" TO 'x''y'`],
    ['a"; drop', "1", `ALTER SYSTEM SET "a""; drop" TO '1'`],
    ["log_line_prefix", "a\\b'", String.raw`ALTER SYSTEM SET "log_line_prefix" TO E'a\\b'''`],
    ["datestyle", "ISO, MDY", `ALTER SYSTEM SET "datestyle" TO 'ISO, MDY'`],
    ["search_path", '"$user", public', `ALTER SYSTEM SET "search_path" TO '$user', 'public'`],
    ["search_path", '"a,""b" , c', `ALTER SYSTEM SET "search_path" TO 'a,"b', 'c'`],
    ["search_path", "app", `ALTER SYSTEM SET "search_path" TO 'app'`],
    ["search_path", '""', `ALTER SYSTEM SET "search_path" TO ''`],
    ["search_path", "", `ALTER SYSTEM SET "search_path" TO ''`],
    [
      "shared_preload_libraries",
      "pg_stat_statements, auto_explain",
      `ALTER SYSTEM SET "shared_preload_libraries" TO 'pg_stat_statements', 'auto_explain'`,
    ],
  ];
  it.each(statements)("%s to %s", (name, value, sql) => {
    expect(alterSystemSql({ name, value })).toBe(sql);
  });
});
