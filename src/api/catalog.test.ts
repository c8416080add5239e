import { describe, expect, it } from "vitest";
import { TalkingClient } from "../../test/helpers/admin-world.ts";
import { encodeQuery } from "../wire/index.ts";
import { tables } from "./tables.ts";

function ask(sql: string): string[] {
  return new TalkingClient().send(encodeQuery(sql)).slice(0, -2);
}

const refusalOf = (sql: string): string | undefined =>
  new TalkingClient().send(encodeQuery(sql))[0];

const listTables = (where: string): string =>
  `SELECT n.nspname as "Schema", c.relname as "Name",
     CASE c.relkind WHEN 'r' THEN 'table' END as "Type", pg_catalog.pg_get_userbyid(c.relowner) as "Owner"
   FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE ${where} ORDER BY 1,2;`;

describe("what psql asks of catalogs", () => {
  it("lists tables, by kind and by pattern", () => {
    const every = ask(
      listTables(
        "c.relkind IN ('r','p','') AND n.nspname <> 'pg_catalog' AND n.nspname !~ '^pg_toast' AND pg_catalog.pg_table_is_visible(c.oid)",
      ),
    );
    expect(every[0]).toBe("columns Schema:25, Name:25, Type:25, Owner:25");
    expect(every.slice(1)).toEqual(
      tables.map(({ name }) => `row borealis | ${name} | table | postgres`),
    );
    const some = "c.relname OPERATOR(pg_catalog.~) '^(s.*s)$' COLLATE pg_catalog.default";
    expect(ask(listTables(some)).slice(1)).toEqual([
      "row borealis | sessions | table | postgres",
      "row borealis | snapshots | table | postgres",
    ]);
    expect(ask(listTables("c.relkind IN ('v')")).slice(1)).toEqual([]);
  });

  it("describes one by its OID", () => {
    const [, found = ""] = ask(
      "SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relname OPERATOR(pg_catalog.~) '^(sessions)$' COLLATE pg_catalog.default ORDER BY 2, 3",
    );
    const oid = /^row (\d+) \| borealis \| sessions$/.exec(found)?.[1];
    const columns = ask(
      `SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid), a.attnotnull, a.attidentity
       FROM pg_catalog.pg_attribute a WHERE a.attrelid = '${oid}' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
    );
    expect(columns[0]).toBe(
      "columns attname:25, format_type:25, ?column?:25, attnotnull:25, attidentity:25",
    );
    expect(columns[1]).toBe("row pid | integer | NULL | f | ");
    expect(columns).toHaveLength(
      1 + (tables.find(({ name }) => name === "sessions")?.columns.length ?? 0),
    );
  });

  it("has no rows, but the right columns, for what it does not understand whole", () => {
    const cases: [string, string][] = [
      [
        "SELECT typname, oid AS id FROM pg_catalog.pg_type t WHERE typtype = 'b'",
        "typname:25, id:25",
      ],
      ["SELECT c.relname FROM pg_class c WHERE c.relpages > 5", "relname:25"],
      [
        "SELECT c.oid::pg_catalog.regclass FROM pg_catalog.pg_class c, pg_catalog.pg_inherits i WHERE c.oid = i.inhparent",
        "oid:25",
      ],
      ["SELECT table_name FROM information_schema.tables UNION SELECT 'x'", "table_name:25"],
      ["WITH a AS (SELECT 1) SELECT * FROM pg_class", "?column?:25"],
      ["SELECT relname FROM pg_catalog.pg_class WHERE relname ~ '^((a+)+)$'", "relname:25"],
      ["SELECT relname FROM pg_catalog.pg_class LIMIT 1", "relname:25"],
    ];
    for (const [sql, columns] of cases)
      expect([sql, ask(sql)]).toEqual([sql, [`columns ${columns}`]]);
  });

  it("counts nothing, rather than wrongly", () => {
    for (const sql of [
      "SELECT count(*) FROM pg_stat_activity",
      "SELECT 1, pg_catalog.max(oid) FROM pg_class WHERE relpages > 5",
      "SELECT count(*) AS n FROM pg_catalog.pg_class",
    ])
      expect([sql, refusalOf(sql)]).toEqual([sql, expect.stringMatching(/^ERROR 0A000/)]);
  });

  it("has limits of its own", () => {
    expect(refusalOf("SELECT $65535 FROM pg_class")).toMatch(/^ERROR 42P02/);
    const many = Array.from({ length: 1_665 }, () => "1").join();
    expect(refusalOf(`SELECT ${many} FROM pg_class`)).toMatch(/^ERROR 54011/);
  });

  it("leaves functions of pg_catalog to the evaluator", () => {
    expect(ask("SELECT pg_catalog.version()")[1]).toMatch(/^row PostgreSQL/);
    expect(ask("SELECT extract(epoch from pg_catalog.now()) > 0")[1]).toBe("row t");
  });
});
