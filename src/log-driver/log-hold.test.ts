import { expect, test } from "vitest";
import { seededRng } from "../base/rng.ts";
import { LogHold } from "./log-hold.ts";

const now = { nowMs: 1_000, wallMs: 50_000 };

test("log is kept back until its time is over, and that is told once", () => {
  const hold = new LogHold();
  const rng = seededRng(1);
  expect(hold.holds(1_000, rng)).toBe(false);
  expect(hold.begin({ percent: 100, durationMs: 500 }, now)).toEqual({
    percent: 100,
    untilMs: 50_500,
  });
  for (let i = 0; i < 100; i++) expect(hold.holds(1_499, rng)).toBe(true);
  expect(hold.takeEnded(1_499)).toBe(false);
  // Nobody may have looked yet.
  expect(hold.holds(1_500, rng)).toBe(false);
  expect([hold.takeEnded(1_500), hold.takeEnded(1_500), hold.holding]).toEqual([
    true,
    false,
    undefined,
  ]);
});

test("of so many in a hundred", () => {
  const hold = new LogHold();
  hold.begin({ percent: 30, durationMs: 500 }, now);
  const rng = seededRng(5);
  const held = Array.from({ length: 1_000 }, () => hold.holds(1_000, rng)).filter(Boolean).length;
  expect(held).toBeGreaterThan(250);
  expect(held).toBeLessThan(350);
  hold.begin({ percent: 0, durationMs: 500 }, now);
  expect(hold.holds(1_000, { next: () => 0 })).toBe(false);
});

test("a promotion ends it", () => {
  const hold = new LogHold();
  expect(hold.end()).toBe(false);
  hold.begin({ percent: 100, durationMs: 500 }, now);
  expect(hold.end()).toBe(true);
  expect([hold.holds(1_000, { next: () => 0 }), hold.takeEnded(9_000)]).toEqual([false, false]);
});
