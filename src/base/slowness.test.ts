import { expect, it } from "vitest";
import { slownessBetween } from "./slowness.ts";

const before = { ranMs: 1_000, waitedMs: 5_000 };

it.each([
  ["runs when it wants to", 40, 4, 1],
  ["waits as long as it runs", 40, 40, 1],
  ["has a quarter of what it wants", 40, 120, 2],
  ["has a hundredth", 40, 3_960, 3],
  ["has nothing at all", 0, 2_000, 3],
  ["hardly wants anything", 1, 15, 1],
])("what %s is so many times as slow", (_, ranMs, waitedMs, slowness) => {
  const after = { ranMs: before.ranMs + ranMs, waitedMs: before.waitedMs + waitedMs };
  expect(slownessBetween(before, after)).toBe(slowness);
});

it("is as fast as ever where the system does not tell", () => {
  expect(slownessBetween(undefined, before)).toBe(1);
  expect(slownessBetween(before, undefined)).toBe(1);
});
