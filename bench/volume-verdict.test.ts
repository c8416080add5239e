import { expect, test } from "vitest";
import { verdictOf } from "../scripts/volume-verdict.mjs";

const bound = { of: "seconds", below: 15 };

test.each([
  ["within its bound, and nothing lost", { seconds: 6, missing: 0 }, true],
  ["of something that loses nothing", { seconds: 6 }, true],
  ["within its bound, but a row is missing", { seconds: 6, missing: 1 }, false],
  ["a row more than was written", { seconds: 6, missing: -1 }, false],
  ["the rows could not be counted", { seconds: 6, missing: Number.NaN }, false],
  ["the balances of the moment", { seconds: 6, isEqual: true }, true],
  ["other balances", { seconds: 6, isEqual: false }, false],
  ["too late", { seconds: 15, missing: 0, isEqual: true }, false],
  ["not measured", { missing: 0 }, false],
])("a figure of the volume holds only if its data do, too: %s", (_, facts, holds) => {
  expect(verdictOf(facts, bound)).toEqual({ holds, below: 15 });
});

test("a figure without a bound promises nothing", () => {
  expect(verdictOf({ seconds: 6, missing: 1 }, undefined)).toEqual({});
});
