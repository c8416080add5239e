import { describe, expect, test } from "vitest";
import { auroraNames, surfaceFunctions } from "./surface-functions.ts";
import { injectFunctions, requestFunction, signatureOf } from "./inject-functions.ts";
import { settingsFunctions } from "./surface-settings.ts";
import { markSql, stepsDue, type SurfacePart, surfaceParts } from "./surface-sql.ts";

const facts = { hasSuperuserRole: true, settings: new Map([["rds.extensions", "a, b'c"]]) };

test("each part has a mark of its own, is in letters that every encoding has, and quotes what it is given", () => {
  const parts = surfaceParts(facts);
  const [functions] = parts;
  const texts = parts.map((part) => part.steps.map(({ sql }) => sql).join("\n"));
  // oxlint-disable-next-line no-control-regex
  for (const text of texts) expect(text).toMatch(/^[\x00-\x7f]*$/);
  expect(texts[1]).toContain("'a, b''c'");
  expect(new Set(parts.map(({ mark }) => mark)).size).toBe(3);
  expect(functions && markSql(functions, ["a'b"])).toContain(
    `IS '${functions?.mark} without a''b'`,
  );
});

test("other settings change the function that has them, and not the view for which readers would wait", () => {
  const marks = (text: string): string[] =>
    surfaceParts({ ...facts, settings: new Map([["rds.extensions", text]]) }).map(
      ({ mark }) => mark,
    );
  expect(marks("a")).toEqual(marks("a"));
  expect(marks("a")[0]).toBe(marks("b")[0]);
  expect(marks("a")[1]).not.toBe(marks("b")[1]);
  expect(marks("a")[2]).toBe(marks("b")[2]);
});

test("only what reads the file or the catalogs has the rights of its owner, and bodies are parsed when they are made", () => {
  const ofOwner = ["borealis_sight", "borealis_kept_mode"];
  for (const { name, attributes, body } of [
    ...surfaceFunctions,
    ...settingsFunctions(facts.settings),
  ]) {
    expect(attributes.includes("SECURITY DEFINER"), name).toBe(ofOwner.includes(name));
    expect(body, name).toMatch(/^(RETURN |BEGIN ATOMIC )/);
  }
  expect(auroraNames).toHaveLength(new Set(auroraNames).size);
});

test("who may inject faults is nobody but members of a role that is ours", () => {
  const sqlOf = (hasSuperuserRole: boolean): Map<string, string> => {
    const [part] = surfaceParts({ ...facts, hasSuperuserRole });
    return new Map(part?.steps.map(({ name, sql }) => [name, sql]));
  };
  for (const one of injectFunctions) {
    const granted = sqlOf(true).get(one.name);
    const signature = signatureOf(one);
    expect(granted).toContain(`REVOKE ALL ON FUNCTION pg_catalog.${signature} FROM PUBLIC`);
    expect(granted).toContain(`GRANT EXECUTE ON FUNCTION pg_catalog.${signature} TO rds_superuser`);
    expect(granted).toContain("SECURITY DEFINER SET search_path TO pg_catalog, pg_temp");
    expect(sqlOf(false).get(one.name)).not.toContain("GRANT");
  }
  const request = sqlOf(true).get(requestFunction.name);
  expect(request).toContain("FROM PUBLIC");
  expect(request).not.toMatch(/GRANT|SECURITY DEFINER/);
});

describe("what is to be made in a database", () => {
  const [part] = surfaceParts(facts) as [SurfacePart];
  const all = part.steps.map(({ name }) => name);
  const names = part.steps.filter((step) => step.signature !== undefined).map(({ name }) => name);
  const due = (mark: string | null, there: readonly string[]): string[] =>
    stepsDue(part, [[null, mark], ...there.map((name) => [name, null])]).map(({ name }) => name);

  test("is everything where nothing is, or what another version made", () => {
    expect(due(null, [])).toEqual(all);
    expect(due("borealis 00000000", names)).toEqual(all);
    expect(due(`${part.mark}0`, names)).toEqual(all);
  });

  test("is nothing where all is there, whatever a superuser has made of it", () => {
    expect(due(part.mark, names)).toEqual([]);
  });

  test("is what is missing or was refused, and nothing that is there", () => {
    const there = names.filter((name) => name !== "aurora_version");
    expect(due(part.mark, there)).toEqual(["aurora_version", "initial privileges"]);
    const [, text = ""] = /IS '(.*)'/.exec(markSql(part, ["aurora_stat_activity"])) ?? [];
    expect(due(text, there)).toEqual([
      "aurora_version",
      "aurora_stat_activity",
      "initial privileges",
    ]);
    expect(due(`${part.mark} without initial privileges`, names)).toEqual(["initial privileges"]);
  });

  test("is asked in one query, and the view has no functions", () => {
    for (const name of names) expect(part.foundQuery).toContain(`'${name}'`);
    const [, settings, view] = surfaceParts(facts) as [SurfacePart, SurfacePart, SurfacePart];
    expect(stepsDue(view, [[null, view.mark]])).toEqual([]);
    expect(stepsDue(view, [[null, "old"]])).toEqual(view.steps);
    expect(stepsDue(settings, [[null, settings.mark]])).toEqual(settings.steps);
    const there = settings.steps.map(({ name }) => [name, null]);
    expect(stepsDue(settings, [[null, settings.mark], ...there])).toEqual([]);
  });
});
