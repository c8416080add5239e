import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { epoch, timeline, volumeId } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import {
  automaticSnapshotId,
  isSnapshotDue,
  isSnapshotId,
  type LogPath,
  logOfSnapshot,
  type PlannedSnapshot,
  planMode,
  planRetention,
  reachOf,
  snapshotFor,
  type SnapshotManifest,
} from "./index.ts";

const hour = 3_600_000;
const mib16 = 1n << 24n;

function at(hours: number, changes: Partial<PlannedSnapshot> = {}): PlannedSnapshot {
  const startLsn = lsn(BigInt(hours) * 3n * mib16 + 1000n);
  return {
    id: `auto-${hours}`,
    kind: "automatic",
    startLsn,
    endLsn: lsn(startLsn + 500n),
    takenAtMs: hours * hour,
    ...changes,
  };
}

describe("retention", () => {
  const window = { nowMs: 40 * hour, windowMs: 24 * hour };

  it("keeps what lies in the window and the newest before it", () => {
    const genesis = at(0, { id: "genesis", kind: "genesis" });
    const plan = planRetention([genesis, at(10), at(15), at(20), at(39)], window);
    expect(plan).toEqual({
      keep: ["auto-15", "auto-20", "auto-39"],
      drop: ["genesis", "auto-10"],
      logFrom: BigInt(15) * 3n * mib16,
      earliestMs: 15 * hour,
    });
  });

  it("keeps the genesis image until another one reaches the window's beginning", () => {
    const genesis = at(0, { id: "genesis", kind: "genesis" });
    const plan = planRetention([genesis, at(17), at(30)], window);
    expect(plan.drop).toEqual([]);
    expect(plan.logFrom).toBe(0n);
    expect(planRetention([at(3)], window)).toMatchObject({ keep: ["auto-3"], drop: [] });
    expect(planRetention([], window)).toMatchObject({ logFrom: undefined, earliestMs: undefined });
  });

  it("keeps a user's for ever, without any log for it", () => {
    const mine = at(1, { id: "mine", kind: "manual" });
    const plan = planRetention([mine, at(15), at(20)], window);
    expect(plan.keep).toEqual(["mine", "auto-15", "auto-20"]);
    expect(plan.logFrom).toBe(BigInt(15) * 3n * mib16);
  });

  it("keeps everything of a clock that jumped back", () => {
    expect(planRetention([at(10), at(20)], { ...window, nowMs: hour }).drop).toEqual([]);
  });

  it("always leaves what reaches each moment of the window", () => {
    const hours = fc.uniqueArray(fc.nat(100), { minLength: 1, maxLength: 20 });
    const holds = fc.property(hours, fc.integer({ min: 1, max: 50 }), (taken, windowHours) => {
      const plan = planRetention(
        taken.map((one) => at(one)),
        { nowMs: 100 * hour, windowMs: windowHours * hour },
      );
      const oldest = Math.min(...taken);
      for (let moment = 100 - windowHours; moment <= 100; moment++) {
        if (moment < oldest) continue;
        const best = Math.max(...taken.filter((one) => one <= moment));
        expect(plan.keep).toContain(`auto-${best}`);
      }
      for (const id of plan.keep)
        expect(plan.logFrom).toBeLessThanOrEqual(at(Number(id.slice(5))).startLsn);
      expect(plan.keep.length + plan.drop.length).toBe(taken.length);
    });
    fc.assert(holds);
  });
});

describe("the next snapshot", () => {
  const schedule = { everyLogBytes: 1000, everyMs: 500, logBytesMin: 10, anyLogEveryMs: 24 * hour };
  const path: LogPath = [
    { epoch: epoch(1), timeline: timeline(1), start: lsn(0n), kind: "branch" },
  ];
  const last = at(0, { endLsn: lsn(5000n), takenAtMs: 100 });
  const due = (vdl: bigint, nowMs: number, others: readonly PlannedSnapshot[] = [last]): boolean =>
    isSnapshotDue(schedule, {
      snapshots: others.map((one) => ({ ...one, history: path })),
      path,
      vdl: lsn(vdl),
      nowMs,
    });

  it("is due by the log since the last one, or by its age if there is any log", () => {
    expect(due(0n, 0, [])).toBe(true);
    expect(due(5999n, 101)).toBe(false);
    expect(due(6000n, 101)).toBe(true);
    expect(due(5010n, 599)).toBe(false);
    expect(due(5010n, 600)).toBe(true);
    expect(due(5009n, 10_000)).toBe(false);
    expect(due(5001n, 100 + 24 * hour - 1)).toBe(false);
    expect(due(5001n, 100 + 24 * hour)).toBe(true);
    expect(due(5000n, 100 + 48 * hour)).toBe(false);
    expect(due(4000n, 101)).toBe(false);
  });

  it("is as due when users take theirs all the time, since log goes behind automatic ones only", () => {
    const mine = at(0, { id: "mine", kind: "manual", endLsn: lsn(5990n), takenAtMs: 590 });
    const [byLog, byAge] = [due(6000n, 101, [last, mine]), due(5999n, 600, [last, mine])];
    expect([byLog, byAge]).toEqual([true, true]);
    expect(due(5999n, 599, [last, mine])).toBe(false);
    const born = at(0, { id: "genesis", kind: "genesis", endLsn: lsn(1n), takenAtMs: 1 });
    const daily = Array.from({ length: 30 }, (_, day) =>
      at(day, { kind: "manual", takenAtMs: day * 24 * hour }),
    );
    const all = [born, ...daily].map((one) => ({ ...one, history: path }));
    const now = { path, vdl: lsn(at(29).endLsn + 5n), nowMs: 29 * 24 * hour + 1 };
    expect(planRetention(all, { ...now, windowMs: hour }).logFrom).toBe(0n);
    expect(isSnapshotDue(schedule, { ...now, snapshots: all })).toBe(true);
  });
  const before: SnapshotManifest = {
    ...at(1),
    volumeId: volumeId("11111111-2222-3333-4444-555555555555"),
    history: path,
    postgresMajor: 18,
    catalogVersion: 1,
    systemIdentifier: 1n,
    addressing: "a",
    directories: [],
    files: [],
    extents: new Map(),
    parts: new Map(),
    log: undefined,
  };

  it("is incremental over one of the same path and keys, on 17 and later", () => {
    const source = { postgresMajor: 18, addressing: "a", path };
    expect(planMode(before, source)).toEqual({ kind: "incremental" });
    const left: LogPath = [
      ...path,
      { epoch: epoch(2), timeline: timeline(2), start: before.startLsn, kind: "backtrack" },
    ];
    for (const [previous, changes, reason] of [
      [undefined, {}, /no snapshot before/],
      [before, { postgresMajor: 16 }, /16 has no/],
      [before, { addressing: "b" }, /another key/],
      [before, { path: left }, /history that was left/],
      [{ ...before, kind: "genesis" as const }, {}, /genesis/],
    ] as const)
      expect(planMode(previous, { ...source, ...changes })).toMatchObject({
        kind: "full",
        reason: expect.stringMatching(reason),
      });
  });

  it("is named so that names sort by time", () => {
    const id = automaticSnapshotId(Date.UTC(2026, 10, 28, 20, 15, 30, 999), lsn(0x14a2b78n));
    expect(id).toBe("auto-20261128t201530z-00000000014a2b78");
    expect(isSnapshotId(id)).toBe(true);
  });

  it("needs log from the start of the segment that redo starts in", () => {
    const needed = { startLsn: lsn(5n * mib16 + 77n), endLsn: lsn(6n * mib16 + 1n) };
    expect(logOfSnapshot(needed)).toEqual({ from: 5n * mib16, to: needed.endLsn });
  });

  it("lead on a path to where the lowest of them ends, by log that is kept from its segment on", () => {
    const left: LogPath = [
      ...path,
      { epoch: epoch(2), timeline: timeline(2), start: lsn(9n * mib16), kind: "backtrack" },
    ];
    const all = [at(4), at(2), at(1)].map((one) => ({ ...one, history: path }));
    const base = (hours: number) => lsn(BigInt(hours) * 3n * mib16);
    expect(reachOf(all, { path, base: base(0) })).toBe(at(1).endLsn);
    expect(reachOf(all, { path, base: base(1) })).toBe(at(1).endLsn);
    expect(reachOf(all, { path, base: lsn(base(1) + 1n) })).toBe(at(2).endLsn);
    // Of a history that was left one leads nowhere.
    const late = [at(4)].map((one) => ({ ...one, history: path }));
    expect(reachOf(late, { path: left, base: base(1) })).toBeUndefined();
    expect(reachOf(all, { path: left, base: base(2) })).toBe(at(2).endLsn);
    expect(reachOf(all, { path, base: base(5) })).toBeUndefined();
  });

  it("to restore from is the newest that is consistent by then, on the path", () => {
    const left: LogPath = [
      ...path,
      { epoch: epoch(2), timeline: timeline(2), start: lsn(9n * mib16), kind: "backtrack" },
    ];
    const all = [at(1), at(2), at(4)].map((one) => ({ ...one, history: path }));
    expect(snapshotFor(all, { at: lsn(1000n * mib16), path })?.id).toBe("auto-4");
    expect(snapshotFor(all, { at: lsn(1000n * mib16), path: left })?.id).toBe("auto-2");
    expect(snapshotFor(all, { at: at(2).startLsn, path })?.id).toBe("auto-1");
    expect(snapshotFor(all, { at: lsn(1n), path })).toBeUndefined();
  });
});
