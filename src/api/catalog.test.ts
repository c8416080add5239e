import { describe, expect, it } from "vitest";
import { bindValues, TalkingClient } from "../../test/helpers/admin-world.ts";
import { encodeExecute, encodeParse, encodeQuery, encodeSync } from "../wire/index.ts";
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

/** As ORDER BY has them. */
const names = tables.map(({ name }) => name).toSorted();

describe("what psql asks of catalogs", () => {
  it("lists tables, by kind and by pattern", () => {
    const every = ask(
      listTables(
        "c.relkind IN ('r','p','') AND n.nspname <> 'pg_catalog' AND n.nspname !~ '^pg_toast' AND pg_catalog.pg_table_is_visible(c.oid)",
      ),
    );
    expect(every[0]).toBe("columns Schema:25, Name:25, Type:25, Owner:25");
    expect(every.slice(1)).toEqual(
      names.map((name) => `row borealis | ${name} | table | postgres`),
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

  it("reads nothing that is endless, or nested without end", () => {
    const brackets = (count: number): string =>
      `SELECT relname FROM pg_class WHERE ${"(".repeat(count)}true${")".repeat(count)}`;
    expect(refusalOf(brackets(2_100))).toMatch(/^ERROR 54001/);
    expect([50, 1_900].map((count) => ask(brackets(count)).slice(1).length)).toEqual([
      tables.length,
      0,
    ]);
    const nested = (count: number): string =>
      `${"SELECT * FROM (".repeat(count)}SELECT relname FROM pg_class${")".repeat(count)}`;
    expect(refusalOf(nested(1_400))).toMatch(/^ERROR 54001/);
    expect(ask(nested(700)).slice(1)).toHaveLength(tables.length);
    const like = (pattern: string): string[] =>
      ask(`SELECT relname FROM pg_class WHERE relname LIKE '${pattern}'`).slice(1);
    expect([like("%".repeat(256)).length, like("%".repeat(257)).length]).toEqual([
      tables.length,
      0,
    ]);
  });

  it("tells types, which are the system's, from what is not", () => {
    const types = (where: string): number =>
      ask(
        `SELECT t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE ${where}`,
      ).length - 1;
    expect(types("n.nspname <> 'pg_catalog'")).toBe(0);
    expect(types("n.nspname !~ '^pg_'")).toBe(0);
    expect(types("n.nspname ~ '^pg_'")).toBeGreaterThan(5);
    expect(types("n.nspname <> 'information_schema'")).toBeGreaterThan(5);
  });

  it("takes what a join says of which rows there are for a condition, and sorts either way", () => {
    const of = (join: string): string[] =>
      ask(
        `SELECT a.attname, t.typname FROM pg_attribute a ${join} pg_class c ON a.attrelid = c.oid AND c.relname = 'events' JOIN pg_type t ON t.oid = a.atttypid`,
      ).slice(1);
    const events = tables.find(({ name }) => name === "events")?.columns ?? [];
    expect(of("JOIN").map((row) => row.split(" ")[1])).toEqual(events.map(({ name }) => name));
    expect(of("JOIN").every((row) => !row.endsWith("NULL"))).toBe(true);
    const sorted = (order: string): string[] =>
      ask(`SELECT relname FROM pg_class ORDER BY ${order}`).slice(1);
    expect(sorted("1 DESC")).toEqual(sorted("relname ASC").toReversed());
    expect(sorted("relname DESC NULLS LAST")).toEqual(sorted("1").toReversed());
  });

  it("leaves functions of pg_catalog to the evaluator", () => {
    expect(ask("SELECT pg_catalog.version()")[1]).toMatch(/^row PostgreSQL/);
    expect(ask("SELECT extract(epoch from pg_catalog.now()) > 0")[1]).toBe("row t");
  });
});

/** As the driver of PostgreSQL 42.5 spells them. */
const jdbc = {
  schemas:
    "SELECT nspname AS TABLE_SCHEM, NULL AS TABLE_CATALOG FROM pg_catalog.pg_namespace  WHERE nspname <> 'pg_toast' AND (nspname !~ '^pg_temp_'  OR nspname = (pg_catalog.current_schemas(true))[1]) AND (nspname !~ '^pg_toast_temp_'  OR nspname = replace((pg_catalog.current_schemas(true))[1], 'pg_temp_', 'pg_toast_temp_')) ",
  tables: (conditions: string): string =>
    `SELECT NULL AS TABLE_CAT, n.nspname AS TABLE_SCHEM, c.relname AS TABLE_NAME,  CASE n.nspname ~ '^pg_' OR n.nspname = 'information_schema'  WHEN true THEN CASE c.relkind WHEN 'r' THEN 'SYSTEM TABLE' ELSE NULL END WHEN false THEN CASE c.relkind  WHEN 'r' THEN 'TABLE' ELSE NULL END ELSE NULL END  AS TABLE_TYPE, d.description AS REMARKS,  '' as TYPE_CAT  FROM pg_catalog.pg_namespace n, pg_catalog.pg_class c  LEFT JOIN pg_catalog.pg_description d ON (c.oid = d.objoid AND d.objsubid = 0  and d.classoid = 'pg_class'::regclass)  WHERE c.relnamespace = n.oid  ${conditions} ORDER BY TABLE_TYPE,TABLE_SCHEM,TABLE_NAME `,
  columns: (inner: string, outer = ""): string =>
    `SELECT * FROM (SELECT n.nspname,c.relname,a.attname,a.atttypid,a.attnotnull OR (t.typtype = 'd' AND t.typnotnull) AS attnotnull,a.atttypmod,a.attlen,t.typtypmod,row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) AS attnum, nullif(a.attidentity, '') as attidentity,pg_catalog.pg_get_expr(def.adbin, def.adrelid) AS adsrc,dsc.description,t.typbasetype,t.typtype  FROM pg_catalog.pg_namespace n  JOIN pg_catalog.pg_class c ON (c.relnamespace = n.oid)  JOIN pg_catalog.pg_attribute a ON (a.attrelid=c.oid)  JOIN pg_catalog.pg_type t ON (a.atttypid = t.oid)  LEFT JOIN pg_catalog.pg_attrdef def ON (a.attrelid=def.adrelid AND a.attnum = def.adnum)  LEFT JOIN pg_catalog.pg_description dsc ON (c.oid=dsc.objoid AND a.attnum = dsc.objsubid)  LEFT JOIN pg_catalog.pg_class dc ON (dc.oid=dsc.classoid AND dc.relname='pg_class')  LEFT JOIN pg_catalog.pg_namespace dn ON (dc.relnamespace=dn.oid AND dn.nspname='pg_catalog')  WHERE c.relkind in ('r','p','v','f','m') and a.attnum > 0 AND NOT a.attisdropped ${inner}) c WHERE true ${outer} ORDER BY nspname,c.relname,attnum `,
  typeName:
    "SELECT n.nspname = ANY(current_schemas(true)), n.nspname, t.typname FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON t.typnamespace = n.oid WHERE t.oid = $1",
  typeKind: (condition: string): string =>
    `SELECT typinput='pg_catalog.array_in'::regproc as is_array, typtype, typname, pg_type.oid   FROM pg_catalog.pg_type   LEFT JOIN (select ns.oid as nspoid, ns.nspname, r.r from pg_namespace as ns join ( select s.r, (current_schemas(false))[s.r] as nspname from generate_series(1, array_upper(current_schemas(false), 1)) as s(r) ) as r using ( nspname )) as sp ON sp.nspoid = typnamespace  WHERE ${condition} ORDER BY sp.r, pg_type.oid DESC`,
};

describe("what JDBC asks of catalogs", () => {
  it("lists schemas", () => {
    expect(ask(`${jdbc.schemas} ORDER BY TABLE_SCHEM`).slice(1)).toEqual(["row borealis | NULL"]);
    expect(ask(`${jdbc.schemas} AND nspname LIKE 'bor%'`)).toHaveLength(2);
    expect(ask(`${jdbc.schemas} AND nspname LIKE 'pub%'`)).toHaveLength(1);
  });

  it("lists tables by schema, name and kind", () => {
    const kind = (letter: string): string =>
      `( c.relkind = '${letter}' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' )`;
    const system =
      "( c.relkind = 'r' AND (n.nspname = 'pg_catalog' OR n.nspname = 'information_schema') )";
    const listed = (conditions: string): (string | undefined)[] =>
      ask(jdbc.tables(conditions))
        .slice(1)
        .map((row) => /^row NULL \| borealis \| (\w+) \| TABLE \| .+ \| $/.exec(row)?.[1]);
    expect(listed("")).toEqual(names);
    expect(listed(`AND (false OR ${kind("r")} OR ${kind("v")} )`)).toEqual(names);
    expect(listed(`AND (false OR ${kind("v")} OR ${system} )`)).toEqual([]);
    expect(listed("AND n.nspname LIKE 'borealis' AND c.relname LIKE 's%s'")).toEqual([
      "sessions",
      "snapshots",
    ]);
    expect(listed("AND c.relname LIKE 'par\\_%'")).toEqual([]);
    // What is not understood has no rows, also among alternatives.
    expect(listed("AND (c.relkind = 'v' OR c.reltuples > 5)")).toEqual([]);
    expect(listed("AND (c.relkind = 'r' OR c.reltuples > 5)")).toEqual([]);
  });

  it("lists columns in their order", () => {
    const rows = ask(jdbc.columns("AND n.nspname LIKE 'borealis' AND c.relname LIKE 'events'"));
    expect(rows[1]).toBe(
      "row borealis | events | time | 1184 | f | -1 | 8 | -1 | 1 | NULL | NULL | when | 0 | b",
    );
    expect(rows.slice(1).map((row) => row.split(" | ")[2])).toEqual([
      "time",
      "source_type",
      "source",
      "category",
      "message",
    ]);
    const some = ask(jdbc.columns("", "AND attname LIKE '%\\_lsn'"));
    expect(some.slice(1).map((row) => row.split(" | ", 3).slice(1).join("."))).toEqual([
      "cluster.archived_lsn",
      "instances.replay_lsn",
      "snapshots.start_lsn",
      "snapshots.end_lsn",
    ]);
    // Where a default would take away the rest.
    const inner = jdbc.columns("").replace("LEFT JOIN pg_catalog.pg_attrdef", "JOIN pg_attrdef");
    expect(ask(inner)).toHaveLength(1);
  });

  it("names types by their OIDs, and tells OIDs by their names", () => {
    const client = new TalkingClient();
    const asked = (sql: string, value: string): string[] => {
      const said = client.send(
        encodeParse("", sql),
        bindValues([value]),
        encodeExecute(""),
        encodeSync(),
      );
      return said.filter((line) => line.startsWith("row"));
    };
    expect(asked(jdbc.typeName, "3220")).toEqual(["row t | pg_catalog | pg_lsn"]);
    expect(asked(jdbc.typeName, "1009")).toEqual(["row t | pg_catalog | _text"]);
    expect(asked(jdbc.typeName, "1")).toEqual([]);
    expect(asked(jdbc.typeKind("typname = $1"), "jsonb")).toEqual(["row f | b | jsonb | 3802"]);
    expect(asked(jdbc.typeKind("pg_type.oid = $1"), "1009")).toEqual(["row t | b | _text | 1009"]);
  });
});
