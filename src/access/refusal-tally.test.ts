import { expect, it } from "vitest";
import { RefusalTally } from "./refusal-tally.ts";

it("tells so many of a kind, and counts the others", () => {
  const tally = new RefusalTally<number>({ ofKindMax: 2, ofAllMax: 10 });
  expect([1, 2, 3, 4].map((which) => tally.note("a", which))).toEqual([true, true, false, false]);
  expect(tally.note("b", 5)).toBe(true);
  expect(tally.finish()).toEqual({ counted: [{ facts: 4, count: 2 }], others: 0 });
  expect(tally.finish()).toEqual({ counted: [], others: 0 });
  expect(tally.note("a", 6)).toBe(true);
});

it("tells a bounded number of all kinds together, and loses none", () => {
  const tally = new RefusalTally<string>({ ofKindMax: 20, ofAllMax: 200 });
  let told = 0;
  for (let turn = 0; turn < 3; turn++)
    for (let kind = 0; kind < 5_000; kind++) if (tally.note(`${kind}`, `${kind}`)) told++;
  expect(told).toBe(200);
  const { counted, others } = tally.finish();
  expect(counted).toHaveLength(200);
  expect(told + others + counted.reduce((sum, { count }) => sum + count, 0)).toBe(15_000);
});
