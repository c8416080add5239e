import { describe, expect, it } from "vitest";
import { epoch, timeline } from "../base/ids.ts";
import { lsn, segmentStart } from "../base/lsn.ts";
import type { LogPath } from "../volume/index.ts";
import { type KnownSnapshot, planKeeping } from "./snapshot-retention.ts";

const mebi = 1n << 20n;
const path: LogPath = [{ epoch: epoch(1), timeline: timeline(1), start: lsn(0n), kind: "branch" }];
/** Back to 100 MiB. */
const afterBacktrack: LogPath = [
  ...path,
  { epoch: epoch(2), timeline: timeline(2), start: lsn(100n * mebi), kind: "backtrack" },
];

function snapshot(
  id: string,
  at: bigint,
  takenAtMs: number,
  more: Partial<KnownSnapshot> = {},
): KnownSnapshot {
  const startLsn = lsn(at * mebi);
  return { id, kind: "automatic", startLsn, endLsn: startLsn, takenAtMs, history: path, ...more };
}
function long(id: string, from: bigint, to: bigint, takenAtMs: number): KnownSnapshot {
  return snapshot(id, from, takenAtMs, { endLsn: lsn(to * mebi) });
}

describe("what is kept of snapshots", () => {
  it("is the window and the newest before it, with the log from there", () => {
    const all = [
      snapshot("genesis", 1n, 0, { kind: "genesis" }),
      snapshot("auto-1", 40n, 1_000),
      snapshot("auto-2", 80n, 2_000),
      snapshot("mine", 20n, 500, { kind: "manual" }),
    ];
    const kept = planKeeping(all, { path, nowMs: 11_500, windowMs: 10_000 });
    expect(kept).toEqual({
      drop: ["genesis"],
      logFrom: segmentStart(lsn(40n * mebi)),
      earliestMs: 1_000,
    });
  });

  it("with no window is the newest alone", () => {
    const all = [snapshot("auto-1", 40n, 1_000), snapshot("auto-2", 80n, 2_000)];
    const kept = planKeeping(all, { path, nowMs: 2_000, windowMs: 0 });
    expect(kept).toMatchObject({ drop: ["auto-1"], logFrom: segmentStart(lsn(80n * mebi)) });
  });

  it("after a backtrack never lets one of the left history stand in for an older one that is needed", () => {
    const all = [long("auto-1", 10n, 20n, 1_000), long("auto-2", 120n, 130n, 2_000)];
    const now = { path: afterBacktrack, nowMs: 12_500, windowMs: 10_000 };
    const kept = planKeeping(all, now);
    expect(kept).toEqual({
      drop: ["auto-2"],
      logFrom: segmentStart(lsn(10n * mebi)),
      earliestMs: 1_000,
    });
    // On the history as it was, the first one is what has had its time.
    expect(planKeeping(all, { ...now, path })).toMatchObject({ drop: ["auto-1"] });
  });

  it("keeps those of a left history, and their log, as long as the window", () => {
    const all = [long("auto-1", 96n, 99n, 1_000), long("left", 64n, 130n, 2_000)];
    const kept = planKeeping(all, { path: afterBacktrack, nowMs: 3_000, windowMs: 10_000 });
    expect(kept).toMatchObject({ drop: [], logFrom: lsn(64n * mebi) });
  });
});
