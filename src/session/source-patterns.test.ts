import { expect, it } from "vitest";
import { factsOfSource } from "./source-patterns.ts";

it.each([
  ["begin perform set_config('app.tenant', 'a', false); end", ["app.tenant"], false],
  [
    "begin set app.A = '1'; set local b.c to x; update t set d.e = 1; end",
    ["app.a", "b.c", "d.e"],
    false,
  ],
  ["begin -- the tenant's\n set app.tenant = '1'; end", ["app.tenant"], false],
  ["begin perform set_config('work_mem'::text, '1MB', false); end", [], false],
  ["begin x := '--'; set app.x = '1'; end", ["app.x"], false],
  ["begin perform set_config('app.' || k, v, false); end", [], true],
  ["begin perform set_config(k, v, false); end", [], true],
  ["begin perform set_config( k, v, false); end", [], true],
  [
    "begin perform set_config(setting_name => 'app.x', new_value => '', is_local => true); end",
    [],
    true,
  ],
  ["begin execute format('set app.%I = %L', k, v); end", [], true],
  ["begin execute 'set ' || k || ' = 1'; end", [], true],
  ["begin execute 'set app.ten' || k || ' = 1'; end", ["app.ten"], true],
  ['begin set "app"."x" = 1; end', [], true],
  ["begin execute statement; end", [], true],
  ["begin return query execute format('%s', statement); end", [], true],
  ["begin perform setseed(0.5); end", [], true],
  ["begin perform pg_create_physical_replication_slot('s', true, true); end", [], true],
  ["begin execute format('create table %I (a int)', name); execute 'analyze'; end", [], false],
  ["begin grant execute on function f to public; end", [], false],
  ["begin update t set a = 1, b = 'x'; insert into t values ('set'); end", [], false],
])("%s", (source, customNames, leavesUnseen) => {
  expect(factsOfSource(source)).toEqual({ customNames, leavesUnseen });
});

it("reads through a text of many comments that do not end", () => {
  // Opening by opening it would be minutes.
  const opened = "/*a".repeat(1_000_000);
  expect(factsOfSource(`set app.x = 1; ${opened}`)).toEqual({
    customNames: ["app.x"],
    leavesUnseen: false,
  });
  expect(factsOfSource(`/* a */set/**/app.x = 1; ${opened}*/; setseed(1)`)).toEqual({
    customNames: ["app.x"],
    leavesUnseen: true,
  });
});
