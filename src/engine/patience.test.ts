import { expect, it } from "vitest";
import { Patience } from "./patience.ts";

it("ends without a sign, or without another one", () => {
  const patience = new Patience(60, 1_000);
  expect([1_060, 1_061].map((nowMs) => patience.isOver(nowMs, undefined))).toEqual([false, true]);
  const same = new Patience(60, 1_000);
  expect([1_030, 1_090, 1_091].map((nowMs) => same.isOver(nowMs, "A"))).toEqual([
    false,
    false,
    true,
  ]);
});

it("begins anew with each other sign", () => {
  const patience = new Patience(60, 0);
  for (let nowMs = 0; nowMs < 10_000; nowMs += 50)
    expect(patience.isOver(nowMs, `${nowMs}`)).toBe(false);
  // One that is not to be seen for a moment is no other.
  expect([10_000, 10_010].map((nowMs) => patience.isOver(nowMs, undefined))).toEqual([
    false,
    false,
  ]);
  expect(patience.isOver(10_011, undefined)).toBe(true);
});
