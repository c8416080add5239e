/** What a database's catalogs say of code that texts do not show: names that are also built in, effects outside. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { codeNamesQuery, type DatabaseTraits, parseCodeNames } from "../src/session/index.ts";
import {
  enginesForFile,
  startStockPostgres,
  type StockPostgres,
} from "./helpers/stock-postgres.ts";

const engines = enginesForFile();

const plpgsql = (signature: string, body: string, label = ""): string =>
  `create function ${signature} language plpgsql ${label} as $$begin ${body}; end$$;`;
const writes = "insert into t values (1); return null";
const side = plpgsql("side() returns void", "copy (select 1) to program 'cat'");

describe.each(engines)("PostgreSQL $version at $bin", (engine) => {
  let postgres: StockPostgres;
  let count = 0;
  beforeAll(async () => {
    postgres = await startStockPostgres(engine);
  });
  afterAll(() => postgres.stop());

  const found = async (sql: string) => {
    const database = `d${count++}`;
    await postgres.query(`create database ${database}`);
    await postgres.query(`create table t (a int, b text); ${sql}`, database);
    const { rows } = await postgres.query(codeNamesQuery, database);
    const shown = (names: DatabaseTraits["codeNames"]) =>
      names === "any" ? names : [...names].toSorted();
    const { codeNames, outsideNames, notifyNames = new Set() } = parseCodeNames(rows[0]);
    return { names: shown(codeNames), outside: shown(outsideNames), notify: shown(notifyNames) };
  };

  it.each([
    ["nothing", "", []],
    ["a function with a name of its own", plpgsql("f(int, int) returns int", writes), []],
    ["... and one argument: t.f may mean it", plpgsql("f(t) returns int", writes), ["f"]],
    ["... or all others with defaults", plpgsql("f(t, int default 1) returns int", writes), ["f"]],
    [
      "an overload of a built-in function",
      plpgsql("upper(int, int) returns int", writes),
      ["upper"],
    ],
    [
      "... that is labelled as one that only reads: it may call another",
      plpgsql("upper(int, int) returns int", writes, "stable"),
      ["upper"],
    ],
    ["... of an extension, that is labelled so", "create extension citext;", []],
    [
      "an aggregate",
      `${plpgsql("step(int, int, int) returns int", writes)}
        create aggregate sum(int, int) (sfunc = step, stype = int);`,
      ["sum"],
    ],
    [
      "an operator",
      `${plpgsql("f(int, text) returns int", writes)}
        create operator -> (leftarg = int, rightarg = text, function = f);`,
      ["->"],
    ],
    [
      "an operator over a built-in function that acts",
      "create operator @ (rightarg = regclass, function = nextval);",
      ["@"],
    ],
    [
      "an operator over a built-in function that does not",
      "create operator @@ (leftarg = text, rightarg = int, function = repeat);",
      [],
    ],
    [
      "a type",
      "create schema s; create domain s.date as pg_catalog.date check (value > '2000-01-01');",
      ["_date", "date"],
    ],
    [
      "a cast between built-in types",
      `${plpgsql("f(int, int) returns point", writes)} ${plpgsql("f(int) returns point", writes)}
        create cast (int as point) with function f(int);`,
      "any",
    ],
    [
      "an order of a built-in type",
      `${plpgsql("f(point, point) returns int", "return 0", "immutable")}
        ${plpgsql("b(point, point) returns bool", "return true", "immutable")}
        create operator public.< (leftarg = point, rightarg = point, function = b);
        create operator class o default for type point using btree as
          operator 1 public.<, function 1 f(point, point);`,
      "any",
    ],
  ])("finds what writes under another's name: %s", async (_, sql, names) => {
    expect((await found(sql)).names).toEqual(names);
  });

  it.each([
    ["nothing", "", []],
    ["a function that only writes", plpgsql("f() returns int", writes), []],
    ["COPY to a program", side, ["side"]],
    [
      "COPY to a file whose name is built",
      plpgsql("f(x text) returns void", "execute format('copy t to %L', x)"),
      ["f"],
    ],
    [
      "what calls it",
      `${side} create function "A b"() returns void language sql as 'select side()';
      ${plpgsql("g() returns void", 'perform "A b"()')}`,
      ["A b", "g", "side"],
    ],
    [
      "not what only contains its name",
      `${side} ${plpgsql("g() returns void", "insert into t select 1 as sides, 2 as aside")}`,
      ["side"],
    ],
    [
      "a trigger",
      `${plpgsql("f() returns trigger", "perform pg_cancel_backend(1)")}
      create trigger x after insert on t execute function f();`,
      "any",
    ],
    [
      "a trigger that nobody has",
      plpgsql("f() returns trigger", "perform pg_cancel_backend(1)"),
      ["f"],
    ],
    [
      "a default",
      `create function f() returns bool language sql as 'select pg_reload_conf()';
      create table u (a bool default f());`,
      "any",
    ],
    ["a view", `${side} create view v as select 1 as a from side();`, "any"],
    ["comments", plpgsql("f() returns int", "/* dblink(x) */ -- copy t to '/x'\n return 1"), []],
    [
      "what a string makes look like one",
      plpgsql("f() returns int", "perform '--'; perform pg_cancel_backend(1)"),
      ["f"],
    ],
    [
      "a built-in function behind a default",
      "create table u (a bool default pg_terminate_backend(1));",
      "any",
    ],
    ["dblink", "create extension dblink;", "any"],
    ["a foreign server", "create extension postgres_fdw;", "any"],
    [
      "extensions that stay inside",
      `create extension "uuid-ossp"; create extension pgcrypto;
      create table u (a uuid default uuid_generate_v4());`,
      [],
    ],
    [
      "an extension in C of which nothing is known",
      "create extension pg_surgery;",
      ["heap_force_freeze", "heap_force_kill"],
    ],
  ])("finds what acts outside: %s", async (_, sql, names) => {
    expect((await found(sql)).outside).toEqual(names);
  });

  it.each([
    ["nothing", plpgsql("f() returns void", "/* notifies nobody */ perform 1"), []],
    ["pg_notify", plpgsql("tell() returns void", "perform pg_notify('a', '')"), ["tell"]],
    [
      "NOTIFY, and who calls that",
      plpgsql("tell() returns void", "NOTIFY a") +
        plpgsql("also() returns void", "perform Tell()") +
        plpgsql("teller() returns void", "perform 1"),
      ["also", "tell"],
    ],
    [
      "SQL",
      "create function tell() returns void begin atomic select pg_notify('a', ''); end;",
      ["tell"],
    ],
  ])("finds what notifies: %s", async (_, sql, names) => {
    expect((await found(sql)).notify).toEqual(names);
  });
});
