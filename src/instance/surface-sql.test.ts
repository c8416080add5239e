import { expect, test } from "vitest";
import { auroraNames, surfaceFunctions } from "./surface-functions.ts";
import { rolesSql } from "./surface-roles.ts";
import { surfaceSql, surfaceVersion } from "./surface-sql.ts";

const facts = { settings: new Map([["rds.extensions", "a, b'c"]]) };

test("it is one transaction, in letters that every encoding has, and quotes what it is given", () => {
  const sql = surfaceSql(facts);
  expect(sql).toMatch(/^BEGIN;\n[^]*;\nCOMMIT$/);
  // oxlint-disable-next-line no-control-regex
  expect(sql).toMatch(/^[\x00-\x7f]*$/);
  expect(sql).toContain("'a, b''c'");
  expect(sql).toContain(`IS '${surfaceVersion(facts)}'`);
});

test("its version is another one with other settings, and the same with the same", () => {
  expect(surfaceVersion({ settings: new Map(facts.settings) })).toBe(surfaceVersion(facts));
  expect(surfaceVersion({ settings: new Map([["rds.extensions", "a"]]) })).not.toBe(
    surfaceVersion(facts),
  );
});

test("only what reads the file has the rights of its owner, and bodies are parsed when they are made", () => {
  for (const { name, attributes, body } of surfaceFunctions) {
    expect(attributes.includes("SECURITY DEFINER"), name).toBe(name === "borealis_sight");
    expect(body, name).toMatch(/^(RETURN |BEGIN ATOMIC )/);
  }
  expect(auroraNames).toHaveLength(new Set(auroraNames).size);
});

test("roles are one transaction that makes none twice, and none that may log in", () => {
  const sql = rolesSql();
  expect(sql).toMatch(/^BEGIN; .*; COMMIT$/s);
  expect(sql.match(/IF NOT EXISTS/g)).toHaveLength(4);
  expect(sql).not.toMatch(/\bLOGIN\b/);
});
