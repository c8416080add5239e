import { describe, expect, it } from "vitest";
import { epoch, timeline } from "../base/ids.ts";
import { lsn, segmentStart } from "../base/lsn.ts";
import type { LogPath } from "../volume/index.ts";
import {
  type KeepingNow,
  type KeptFuture,
  type KnownSnapshot,
  planKeeping,
  requireNotNeeded,
} from "./snapshot-retention.ts";

const mebi = 1n << 20n;
const path: LogPath = [{ epoch: epoch(1), timeline: timeline(1), start: lsn(0n), kind: "branch" }];
/** Back to 100 MiB. */
const afterBacktrack: LogPath = [
  ...path,
  { epoch: epoch(2), timeline: timeline(2), start: lsn(100n * mebi), kind: "backtrack" },
];

const none: ReadonlySet<string> = new Set();

function snapshot(
  id: string,
  at: bigint,
  takenAtMs: number,
  more: Partial<KnownSnapshot> = {},
): KnownSnapshot {
  const startLsn = lsn(at * mebi);
  return { id, kind: "automatic", startLsn, endLsn: startLsn, takenAtMs, history: path, ...more };
}
function long(
  id: string,
  from: bigint,
  to: bigint,
  takenAtMs: number,
  history = path,
): KnownSnapshot {
  return snapshot(id, from, takenAtMs, { endLsn: lsn(to * mebi), history });
}

describe("what is kept of snapshots", () => {
  it("is the window and the newest before it, with the log from there", () => {
    const all = [
      snapshot("genesis", 1n, 0, { kind: "genesis" }),
      snapshot("auto-1", 40n, 1_000),
      snapshot("auto-2", 80n, 2_000),
      snapshot("mine", 20n, 500, { kind: "manual" }),
    ];
    const kept = planKeeping(all, {
      path,
      futures: [],
      nowMs: 11_500,
      windowMs: 10_000,
      hurt: none,
    });
    expect(kept).toEqual({
      drop: ["genesis"],
      logFrom: segmentStart(lsn(40n * mebi)),
      earliestMs: 1_000,
    });
  });

  it("with no window is the newest alone", () => {
    const all = [snapshot("auto-1", 40n, 1_000), snapshot("auto-2", 80n, 2_000)];
    const kept = planKeeping(all, { path, futures: [], nowMs: 2_000, windowMs: 0, hurt: none });
    expect(kept).toMatchObject({ drop: ["auto-1"], logFrom: segmentStart(lsn(80n * mebi)) });
  });

  it("after a backtrack never lets one of the left history stand in for an older one that is needed", () => {
    const all = [long("auto-1", 10n, 20n, 1_000), long("auto-2", 120n, 130n, 2_000)];
    const now = { path: afterBacktrack, futures: [], nowMs: 12_500, windowMs: 10_000, hurt: none };
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
    const kept = planKeeping(all, {
      path: afterBacktrack,
      futures: [],
      nowMs: 3_000,
      windowMs: 10_000,
      hurt: none,
    });
    expect(kept).toMatchObject({ drop: [], logFrom: lsn(64n * mebi) });
  });

  describe("that are hurt", () => {
    const all = [
      snapshot("genesis", 1n, 0, { kind: "genesis" }),
      snapshot("auto-1", 40n, 1_000),
      snapshot("auto-2", 80n, 2_000),
      snapshot("auto-3", 120n, 3_000),
      snapshot("mine", 130n, 3_500, { kind: "manual" }),
    ];
    const now: KeepingNow = { path, futures: [], nowMs: 3_000, windowMs: 0, hurt: none };
    const hurt = (...ids: string[]): KeepingNow => ({ ...now, hurt: new Set(ids) });

    it("stand in for no other: the newest sound one stays, with its log", () => {
      expect(planKeeping(all, now)).toMatchObject({ drop: ["genesis", "auto-1", "auto-2"] });
      expect(planKeeping(all, hurt("auto-3"))).toEqual({
        drop: ["genesis", "auto-1"],
        logFrom: segmentStart(lsn(80n * mebi)),
        earliestMs: 2_000,
      });
      expect(planKeeping(all, hurt("auto-2", "auto-3", "mine"))).toEqual({
        drop: ["genesis", "auto-2"],
        logFrom: segmentStart(lsn(40n * mebi)),
        earliestMs: 1_000,
      });
    });

    it("let nothing go while there is no sound one, neither snapshots nor log", () => {
      expect(planKeeping(all, hurt("genesis", "auto-1", "auto-2", "auto-3"))).toEqual({
        drop: [],
        logFrom: undefined,
        earliestMs: undefined,
      });
    });

    it("stay as long as others, since they may be made good, and go with them", () => {
      const later = [...all, snapshot("auto-4", 160n, 4_000)];
      const window = { ...hurt("auto-3"), nowMs: 4_500, windowMs: 2_000 };
      expect(planKeeping(later, window)).toMatchObject({ drop: ["genesis", "auto-1"] });
      expect(planKeeping(later, { ...window, windowMs: 0 })).toEqual({
        drop: ["genesis", "auto-1", "auto-2", "auto-3"],
        logFrom: lsn(160n * mebi),
        earliestMs: 4_000,
      });
    });

    it("are no way back to a future either: the sound one before the fork stays, too", () => {
      const future: KeptFuture = { path, fork: lsn(100n * mebi), end: lsn(200n * mebi) };
      const some = [...all.slice(0, 3), long("now", 150n, 160n, 4_000, afterBacktrack)];
      const left = { ...hurt("auto-2"), path: afterBacktrack, futures: [future], nowMs: 100_000 };
      expect(planKeeping(some, left)).toMatchObject({
        drop: ["genesis"],
        logFrom: segmentStart(lsn(40n * mebi)),
      });
    });
  });

  describe("for a future that was left and may be returned to", () => {
    const future: KeptFuture = { path, fork: lsn(100n * mebi), end: lsn(200n * mebi) };
    const all = [
      snapshot("genesis", 1n, 0, { kind: "genesis" }),
      long("base", 40n, 50n, 1_000),
      long("over", 90n, 110n, 2_000),
      long("later", 120n, 130n, 3_000),
      long("now", 150n, 160n, 4_000, afterBacktrack),
      snapshot("mine", 60n, 1_500, { kind: "manual" }),
    ];
    const now: KeepingNow = {
      path: afterBacktrack,
      futures: [],
      nowMs: 100_000,
      windowMs: 0,
      hurt: none,
    };

    it("is the newest that ends before the fork, with its log, whatever the window is", () => {
      const drop = ["genesis", "base", "over", "later"];
      expect(planKeeping(all, now)).toMatchObject({ drop, logFrom: lsn(144n * mebi) });
      expect(planKeeping(all, { ...now, futures: [future] })).toEqual({
        drop: drop.filter((id) => id !== "base"),
        logFrom: segmentStart(lsn(40n * mebi)),
        earliestMs: 4_000,
      });
    });

    it("is the lowest in it if none ends before the fork, since that reaches most of it", () => {
      const some = all.filter(({ id }) => id === "later" || id === "over" || id === "now");
      expect(planKeeping(some, { ...now, futures: [future] })).toMatchObject({
        drop: ["later"],
        logFrom: segmentStart(lsn(90n * mebi)),
      });
      const beyond = { ...future, end: lsn(100n * mebi) };
      expect(planKeeping(some, { ...now, futures: [beyond] })).toMatchObject({
        drop: ["over", "later"],
        logFrom: lsn(144n * mebi),
      });
    });

    it("is of that future, also when an earlier backtrack has left its history", () => {
      // Back to 30 MiB since: of what is on the path now nothing is on the second future, but "low".
      const third: LogPath = [
        ...path,
        { epoch: epoch(3), timeline: timeline(3), start: lsn(30n * mebi), kind: "backtrack" },
      ];
      const second = { path: afterBacktrack, fork: lsn(30n * mebi), end: lsn(170n * mebi) };
      const low = long("low", 10n, 20n, 500);
      const newest = long("newest", 35n, 36n, 5_000, third);
      const both = { ...now, path: third, futures: [future, second] };
      expect(planKeeping([low, newest, ...all], both)).toMatchObject({
        drop: expect.not.arrayContaining(["low", "base"]),
        logFrom: lsn(0n),
      });
      expect(planKeeping([newest, ...all.slice(1)], both)).toMatchObject({
        drop: ["over", "later", "now"],
        logFrom: segmentStart(lsn(32n * mebi)),
      });
    });
  });
});

describe("a snapshot that a user deletes", () => {
  const all = [
    snapshot("auto-1", 40n, 1_000),
    snapshot("auto-2", 80n, 2_000),
    snapshot("mine", 130n, 3_500, { kind: "manual" }),
  ];
  const may = (id: string, ...hurt: string[]): boolean => {
    try {
      requireNotNeeded(id, all, new Set(hurt));
      return true;
    } catch (error) {
      expect(error).toMatchObject({ code: "55000", hint: expect.stringContaining("newer one") });
      return false;
    }
  };

  it("is not the newest automatic one", () => {
    expect(["auto-1", "auto-2", "mine"].map((id) => may(id))).toEqual([true, false, true]);
  });

  it("may be hurt while a sound one is there, which then is needed", () => {
    expect(["auto-1", "auto-2", "mine"].map((id) => may(id, "auto-2"))).toEqual([
      false,
      true,
      true,
    ]);
    expect(may("auto-2", "auto-1", "auto-2")).toBe(false);
  });
});
