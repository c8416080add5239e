import { describe, expect, test } from "vitest";
import { auroraNames, surfaceFunctions } from "./surface-functions.ts";
import { endPartSql, stepsDue, type SurfacePart, surfaceParts } from "./surface-sql.ts";

const facts = { settings: new Map([["rds.extensions", "a, b'c"]]) };

test("each part has a mark of its own, is in letters that every encoding has, and quotes what it is given", () => {
  const [functions, settings] = surfaceParts(facts);
  const texts = [functions, settings].map((part) => part?.steps.map(({ sql }) => sql).join("\n"));
  // oxlint-disable-next-line no-control-regex
  for (const text of texts) expect(text).toMatch(/^[\x00-\x7f]*$/);
  expect(texts[1]).toContain("'a, b''c'");
  expect(functions?.mark).not.toBe(settings?.mark);
  expect(functions && endPartSql(functions, ["a'b"])).toContain(
    `IS '${functions?.mark} without a''b'; COMMIT`,
  );
});

test("other settings change the mark of theirs alone", () => {
  const marks = (text: string): string[] =>
    surfaceParts({ settings: new Map([["rds.extensions", text]]) }).map(({ mark }) => mark);
  expect(marks("a")).toEqual(marks("a"));
  expect(marks("a")[0]).toBe(marks("b")[0]);
  expect(marks("a")[1]).not.toBe(marks("b")[1]);
});

test("only what reads the file has the rights of its owner, and bodies are parsed when they are made", () => {
  for (const { name, attributes, body } of surfaceFunctions) {
    expect(attributes.includes("SECURITY DEFINER"), name).toBe(name === "borealis_sight");
    expect(body, name).toMatch(/^(RETURN |BEGIN ATOMIC )/);
  }
  expect(auroraNames).toHaveLength(new Set(auroraNames).size);
});

describe("what is to be made in a database", () => {
  const [part] = surfaceParts(facts) as [SurfacePart];
  const all = part.steps.map(({ name }) => name);
  const names = part.steps.filter((step) => step.isFunction).map(({ name }) => name);
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
    const [, text = ""] = /IS '(.*)'/.exec(endPartSql(part, ["aurora_stat_activity"])) ?? [];
    expect(due(text, there)).toEqual([
      "aurora_version",
      "aurora_stat_activity",
      "initial privileges",
    ]);
    expect(due(`${part.mark} without initial privileges`, names)).toEqual(["initial privileges"]);
  });

  test("is asked in one query, and settings have no functions", () => {
    for (const name of names) expect(part.foundQuery).toContain(`'${name}'`);
    const settings = surfaceParts(facts)[1] as SurfacePart;
    expect(stepsDue(settings, [[null, settings.mark]])).toEqual([]);
    expect(stepsDue(settings, [[null, "old"]])).toEqual(settings.steps);
  });
});
