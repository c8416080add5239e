import { describe, expect, it } from "vitest";
import { addDurations, durationBoundsMs, Histogram, noDurations } from "./histogram.ts";

describe("a histogram", () => {
  it("counts a duration at the first bound that is not below it", () => {
    const histogram = new Histogram();
    for (const ms of [0, 0.1, 0.11, 1, 120_000, 120_001, 1e9]) histogram.observe(ms);
    const { counts, sumMs } = histogram.figures;
    const told = counts.flatMap((count, at) =>
      count === 0 ? [] : [[durationBoundsMs[at] ?? "more", count]],
    );
    expect(told).toEqual([
      [0.1, 2],
      [0.25, 1],
      [1, 1],
      [120_000, 1],
      ["more", 2],
    ]);
    expect(sumMs).toBeCloseTo(0.1 + 0.11 + 1 + 120_000 + 120_001 + 1e9);
  });

  it("gives figures that do not change with it", () => {
    const histogram = new Histogram();
    const before = histogram.figures;
    histogram.observe(3);
    expect(before).toEqual(noDurations);
  });

  it("is added to another bound by bound", () => {
    const [one, other] = [new Histogram(), new Histogram()];
    one.observe(3);
    other.observe(3);
    other.observe(700);
    const both = new Histogram();
    for (const ms of [3, 3, 700]) both.observe(ms);
    expect(addDurations(one.figures, other.figures)).toEqual(both.figures);
  });
});
