import { describe, expect, it } from "vitest";
import type { Lsn } from "../base/lsn.ts";
import { LagHistory } from "./lag-history.ts";

const at = (n: number): Lsn => BigInt(n) as Lsn;

describe("how long a reader is behind", () => {
  it("is nothing while it is at VDL, however long that stands still", () => {
    const history = new LagHistory();
    expect(history.lagMs(at(5), 1_000)).toBe(0);
    history.note(at(5), 1_000);
    history.note(at(5), 50_000);
    expect(history.lagMs(at(5), 60_000)).toBe(0);
    expect(history.lagMs(at(4), 60_000)).toBe(59_000);
  });

  it("does not grow for one that is always a little behind while VDL moves on", () => {
    const history = new LagHistory();
    for (let s = 0; s < 100; s++) history.note(at(100 * s), 1_000 * s);
    expect(history.lagMs(at(9_850), 99_000)).toBe(0);
    expect(history.lagMs(at(9_790), 99_500)).toBe(1_500);
  });

  it("grows for one that stands still", () => {
    const history = new LagHistory();
    for (let s = 0; s < 100; s++) history.note(at(100 * s), 1_000 * s);
    expect(history.lagMs(at(2_000), 99_000)).toBe(78_000);
  });

  it("is at least what is said after hours of notes, of which it keeps few", () => {
    const history = new LagHistory();
    const hours = 7_200;
    for (let s = 0; s < hours; s++) history.note(at(s), 500 * s);
    const nowMs = 500 * hours;
    for (const replayed of [0, 100, 3_600, 7_000]) {
      const trueMs = nowMs - 500 * (replayed + 1);
      const saidMs = history.lagMs(at(replayed), nowMs);
      expect(saidMs).toBeLessThanOrEqual(trueMs);
      expect(saidMs).toBeGreaterThan(0.85 * trueMs);
    }
  });

  it("begins anew when a backtrack has set VDL back", () => {
    const history = new LagHistory();
    history.note(at(10), 1_000);
    history.note(at(20), 2_000);
    history.note(at(15), 9_000);
    expect(history.lagMs(at(12), 10_000)).toBe(1_000);
  });
});
