import { describe, expect, it } from "vitest";
import { epoch, timeline } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import type { History } from "../quorum/index.ts";
import { branchTimelines, type Recovery } from "./recovery.ts";

/** [epoch, timeline, start] rows. */
function timelinesAt(b: number, ...rows: [number, number, number][]): object {
  const path: History = rows.map(([e, t, start]) => ({
    epoch: epoch(e),
    timeline: timeline(t),
    start: lsn(BigInt(start)),
    kind: "branch",
  }));
  // Only the path counts here.
  return branchTimelines({ path } as Recovery, lsn(BigInt(b)));
}

describe("the timelines of a new epoch at b", () => {
  it("are none and the first on a volume that was never written", () => {
    expect(timelinesAt(100)).toEqual({ timeline: 0, nextTimeline: 1 });
  });

  it("are that of the last byte below b, and the next number", () => {
    expect(timelinesAt(700, [1, 1, 100], [2, 2, 500])).toEqual({ timeline: 2, nextTimeline: 3 });
  });

  it("do not count epochs that opened at b and wrote nothing: PostgreSQL has never seen their numbers", () => {
    const empty: [number, number, number][] = [
      [2, 2, 500],
      [3, 2, 500],
    ];
    expect(timelinesAt(500, [1, 1, 100], ...empty)).toEqual({ timeline: 1, nextTimeline: 2 });
  });

  it("are those of the first epoch while nothing was written at all", () => {
    expect(timelinesAt(100, [1, 1, 100])).toEqual({ timeline: 1, nextTimeline: 2 });
  });
});
