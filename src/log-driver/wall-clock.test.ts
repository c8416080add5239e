import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WallClock } from "./wall-clock.ts";

const since1970Ms = 1_700_000_000_000.4321;

describe("the wall clock, from looks at whole milliseconds", () => {
  it("is right to a tenth of a millisecond after some dozens of looks at any moments", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0.01, max: 50, noNaN: true }), {
          minLength: 128,
          maxLength: 400,
        }),
        (gaps) => {
          const clock = new WallClock();
          let nowMs = 0;
          let bestMs = Number.POSITIVE_INFINITY;
          const last: number[] = [];
          for (const gap of gaps) {
            nowMs += gap;
            clock.note(nowMs, Math.floor(since1970Ms + nowMs));
            last.push((since1970Ms + nowMs) % 1);
          }
          bestMs = Math.min(...last.slice(-64));
          const errorMs = since1970Ms + nowMs - clock.at(nowMs);
          expect(errorMs).toBeGreaterThanOrEqual(-0.001);
          expect(errorMs).toBeLessThanOrEqual(bestMs + 0.001);
        },
      ),
    );
  });

  it("follows a clock that is set forward or back at once, and one that drifts within two windows", () => {
    const clock = new WallClock();
    clock.note(0, 1_000);
    clock.note(1, 5_001);
    expect(clock.at(1)).toBe(5_001);
    clock.note(2, 102);
    expect(clock.at(2)).toBe(102);
    for (let look = 0; look < 128; look++) clock.note(3 + look, 102 + look);
    expect(clock.at(131)).toBe(230);
  });
});
