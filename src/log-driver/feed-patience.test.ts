import { describe, expect, it } from "vitest";
import { FeedPatience } from "./feed-patience.ts";

const log = { hasLog: true, isBehind: false };

describe("a feed's patience", () => {
  it("begins anew with each piece of log", () => {
    const patience = new FeedPatience(1_000);
    expect(patience.dueMs).toBe(1_025);
    patience.hear(1_020, log);
    expect(patience.dueMs).toBe(1_045);
  });

  it("is short with a node that knows of more than it has, and does not begin anew when that is said again", () => {
    const patience = new FeedPatience(0);
    patience.hear(5, { hasLog: true, isBehind: true });
    expect(patience.dueMs).toBe(15);
    patience.hear(14, { hasLog: false, isBehind: true });
    expect(patience.dueMs).toBe(15);
    // Nor once others were asked: each VDL that it hears of would have it ask again.
    patience.asked(15);
    patience.hear(16, { hasLog: false, isBehind: true });
    expect(patience.dueMs).toBe(35);
    patience.hear(40, log);
    patience.hear(41, { hasLog: false, isBehind: true });
    expect(patience.dueMs - 41).toBeLessThan(20);
  });

  it("grows while nobody has more, up to half a second, whatever signs of life come, and is short again with log", () => {
    const patience = new FeedPatience(0);
    const waits: number[] = [];
    for (let nowMs = patience.dueMs; waits.length < 7; nowMs = patience.dueMs) {
      patience.asked(nowMs);
      patience.hear(nowMs + 1, { hasLog: false, isBehind: false });
      waits.push(patience.dueMs - nowMs);
    }
    expect(waits).toEqual([50, 100, 200, 400, 500, 500, 500]);
    patience.hear(10_000, log);
    expect(patience.dueMs).toBe(10_025);
  });

  it("is longer where pieces are far apart, and takes a pause for one of a tenth of a second", () => {
    const patience = new FeedPatience(0);
    let nowMs = 0;
    for (let k = 0; k < 200; k++) patience.hear((nowMs += 20), log);
    expect(patience.dueMs - nowMs).toBeCloseTo(80, 0);
    patience.hear((nowMs += 20), { hasLog: true, isBehind: true });
    expect(patience.dueMs - nowMs).toBeCloseTo(40, 0);
    patience.hear((nowMs += 60_000), log);
    expect(patience.dueMs - nowMs).toBeCloseTo(4 * (20 + 80 / 8), 0);
    for (let k = 0; k < 200; k++) patience.hear((nowMs += 3), log);
    expect(patience.dueMs - nowMs).toBe(25);
  });
});
