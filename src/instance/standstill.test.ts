import { describe, expect, it } from "vitest";
import { Standstill } from "./standstill.ts";

const inSteps = (
  standstill: Standstill,
  fromMs: number,
  toMs: number,
  hasQuorum = true,
): number => {
  let ms = 0;
  for (let nowMs = fromMs; nowMs <= toMs; nowMs += 500) ms = standstill.asked(nowMs, { hasQuorum });
  return ms;
};

describe("a promotion that stands still", () => {
  it("does so from when it last came nearer", () => {
    const standstill = new Standstill();
    expect(inSteps(standstill, 0, 5_000)).toBe(0);
    standstill.moved(5_000);
    expect(inSteps(standstill, 5_500, 10_000)).toBe(5_000);
    standstill.end();
    expect(inSteps(standstill, 10_500, 20_000)).toBe(0);
  });

  it("does not while there is no quorum, nor for what that took afterwards", () => {
    const standstill = new Standstill();
    standstill.moved(0);
    expect(inSteps(standstill, 0, 60_000, false)).toBe(0);
    expect(inSteps(standstill, 60_500, 62_000)).toBe(2_000);
  });

  it("does not while it was stopped itself, or nobody asked", () => {
    const standstill = new Standstill();
    standstill.moved(0);
    inSteps(standstill, 0, 2_000);
    expect(standstill.asked(62_000, { hasQuorum: true })).toBe(0);
    expect(inSteps(standstill, 62_500, 64_000)).toBe(2_000);
  });

  it("may stand for as long as it was given", () => {
    const standstill = new Standstill();
    standstill.moved(15_000);
    expect(inSteps(standstill, 0, 15_000)).toBe(0);
    expect(inSteps(standstill, 15_500, 20_000)).toBe(5_000);
  });
});
