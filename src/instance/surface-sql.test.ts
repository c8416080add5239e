import { expect, test } from "vitest";
import { auroraNames, surfaceFunctions } from "./surface-functions.ts";
import { endPartSql, surfaceParts } from "./surface-sql.ts";

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
