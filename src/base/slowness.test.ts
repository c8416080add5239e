import { expect, it } from "vitest";
import { countedSilence } from "./slowness.ts";

const before = { ranMs: 1_000, waitedMs: 5_000 };

it.each([
  ["runs when it wants to", 40, 0, 2_100],
  ["waits five times as long as it runs", 15, 75, 1_900],
  ["waits ten times as long", 45, 450, 1_700],
  ["waits for most of the time", 30, 1_050, 700],
  ["never runs", 0, 2_000, 700],
  ["hardly wants anything", 1, 15, 2_100],
])("where our thread %s a silence counts for the less", (_, ranMs, waitedMs, counted) => {
  const after = { ranMs: before.ranMs + ranMs, waitedMs: before.waitedMs + waitedMs };
  expect(countedSilence(2_100, before, after)).toBe(counted);
});

it("counts whole where the system does not tell", () => {
  expect(countedSilence(2_100, undefined, before)).toBe(2_100);
  expect(countedSilence(2_100, before, undefined)).toBe(2_100);
});
