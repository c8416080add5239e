import { describe, expect, it } from "vitest";
import { epoch, timeline, volumeId } from "../base/ids.ts";
import { bytesBetween, type Lsn, lsn } from "../base/lsn.ts";
import {
  ArchiveIndex,
  type ArchivedRange,
  inheritedRanges,
  leftBehind,
  type LogPath,
  planArchive,
  planMerge,
} from "./index.ts";

function at(offset: number): Lsn {
  return lsn(BigInt(offset));
}

function range(of: number, from: number, to: number, putAtMs = 0): ArchivedRange {
  return { epoch: epoch(of), from: at(from), to: at(to), sizeBytes: 1, putAtMs };
}

function pathOf(...entries: [epoch: number, start: number][]): LogPath {
  return entries.map(([of, start]) => ({
    epoch: epoch(of),
    timeline: timeline(of),
    start: at(start),
    kind: "branch" as const,
  }));
}

const dayMs = 86_400_000;
const nowMs = 100 * dayMs;

function dropped(ranges: ArchivedRange[], needs: Partial<Parameters<typeof planArchive>[1]>) {
  const plan = planArchive(new ArchiveIndex(ranges), {
    path: pathOf([1, 0], [2, 500]),
    left: [],
    logFrom: at(0),
    nowMs,
    windowMs: dayMs,
    ...needs,
  });
  return plan.drop.map((one) => [one.epoch, Number(one.from), Number(one.to)]);
}

describe("archived log that nobody needs", () => {
  it("lies before the oldest snapshot's segment", () => {
    const ranges = [range(1, 0, 100), range(1, 100, 300), range(1, 300, 500), range(2, 500, 600)];
    expect(dropped(ranges, { logFrom: at(0) })).toEqual([]);
    expect(dropped(ranges, { logFrom: at(200) })).toEqual([[1, 0, 100]]);
    expect(dropped(ranges, { logFrom: at(300) })).toEqual([
      [1, 0, 100],
      [1, 100, 300],
    ]);
    expect(dropped(ranges, { logFrom: at(550) })).toHaveLength(3);
    expect(dropped(ranges, { logFrom: undefined })).toEqual([]);
  });

  it("or is of a path that was left longer ago than the window", () => {
    const ranges = [range(1, 0, 500), range(1, 500, 800), range(2, 500, 600)];
    const history = pathOf([1, 0]);
    const left = [{ history, from: at(500), leftAtMs: nowMs - dayMs + 1 }];
    expect(dropped(ranges, { left })).toEqual([]);
    // Log before the oldest snapshot serves nobody, on whatever path.
    expect(dropped(ranges, { left, logFrom: at(500) })).toEqual([[1, 0, 500]]);
    const older = [{ history, from: at(500), leftAtMs: nowMs - dayMs }];
    expect(dropped(ranges, { left: older })).toEqual([[1, 500, 800]]);
    const index = new ArchiveIndex(ranges);
    const needs = { path: pathOf([1, 0], [2, 500]), logFrom: at(0), nowMs, windowMs: dayMs };
    expect(planArchive(index, { ...needs, left: older }).left).toEqual([]);
    expect(planArchive(index, { ...needs, left }).left).toEqual(left);
  });

  it("or of no path that is known, for as long; but never of an epoch to come", () => {
    const ranges = [range(1, 600, 800, nowMs - dayMs), range(1, 800, 900, nowMs - dayMs + 1)];
    expect(dropped(ranges, {})).toEqual([[1, 600, 800]]);
    expect(dropped([range(9, 0, 100, 0)], { logFrom: at(400) })).toEqual([]);
  });

  it("or is in a bigger object, too", () => {
    const ranges = [range(1, 0, 100), range(1, 0, 300), range(1, 100, 300), range(1, 200, 400)];
    expect(dropped(ranges, {})).toEqual([
      [1, 0, 100],
      [1, 100, 300],
    ]);
  });
});

describe("a path that is left", () => {
  const before = pathOf([1, 0], [2, 500]);
  const now = { nowMs };

  it("is one that has archived log which the new one has not", () => {
    const index = new ArchiveIndex([range(1, 0, 500), range(2, 500, 900)]);
    const after = pathOf([1, 0], [3, 400]);
    expect(leftBehind(before, after, { index, ...now })).toEqual({
      history: before,
      from: at(400),
      leftAtMs: nowMs,
    });
    const inTwo = pathOf([1, 0], [2, 500], [3, 700]);
    expect(leftBehind(before, inTwo, { index, ...now })?.from).toBe(at(700));
  });

  it("is none when it goes on, or nothing of it was archived", () => {
    const index = new ArchiveIndex([range(1, 0, 500), range(2, 500, 900)]);
    const on = pathOf([1, 0], [2, 500], [3, 900]);
    expect(leftBehind(before, on, { index, ...now })).toBeUndefined();
    expect(leftBehind(before, before, { index, ...now })).toBeUndefined();
    const little = new ArchiveIndex([range(1, 0, 400)]);
    expect(leftBehind(before, pathOf([1, 0], [3, 400]), { index: little, ...now })).toBeUndefined();
    // The epoch wrote nothing, so its entry went.
    expect(leftBehind(before, pathOf([1, 0], [3, 500]), { index: little, ...now })).toBeUndefined();
    expect(leftBehind([], before, { index, ...now })).toBeUndefined();
  });
});

describe("merging", () => {
  const mebi = 1024 * 1024;

  /** Archives so many bytes at a time and merges as the archiver does; gives all objects in the end, and bytes put. */
  function archive(times: number, bytes: number): { ranges: ArchivedRange[]; putBytes: number } {
    const index = new ArchiveIndex();
    let putBytes = 0;
    for (let i = 0; i < times; i++) {
      index.add(range(1, i * bytes, i * bytes + bytes));
      putBytes += bytes;
      const small = planMerge(index.ranges(epoch(1)), 4 * mebi);
      const [first, last] = [small?.[0], small?.at(-1)];
      if (!small || !first || !last) continue;
      index.add({ ...first, to: last.to });
      putBytes += bytesBetween(first.from, last.to);
      for (const one of small) index.remove(one);
    }
    return { ranges: [...index.ranges(epoch(1))], putBytes };
  }

  it("keeps the objects of a day few, whatever is written, and none too big", () => {
    for (const bytes of [60, 2_000, 30_000, 70_000, 200_000]) {
      const { ranges } = archive(20_000, bytes);
      const total = bytes * 20_000;
      expect(ranges.length, `${bytes}`).toBeLessThan(40 + total / (128 * 1024));
      for (const one of ranges)
        expect(bytesBetween(one.from, one.to)).toBeLessThanOrEqual(4 * mebi);
      for (const [i, one] of ranges.entries()) expect(one.from).toBe(ranges[i - 1]?.to ?? at(0));
    }
  });

  it("puts little again when much is written", () => {
    for (const bytes of [30_000, 200_000, 3 * mebi]) {
      const { putBytes } = archive(5_000, bytes);
      expect(putBytes / (bytes * 5_000), `${bytes}`).toBeLessThan(3.1);
    }
  });

  it("goes over no gap", () => {
    const apart = Array.from({ length: 40 }, (_, i) => range(1, i * 100, i * 100 + 99));
    expect(planMerge(apart, 4 * mebi)).toBeUndefined();
  });
});

describe("what a clone has of its parent's archive", () => {
  const parent = volumeId("11111111-2222-3333-4444-555555555555");
  const oldest = volumeId("99999999-2222-3333-4444-555555555555");
  const [first, second, own] = pathOf([1, 0], [2, 500], [4, 800]);
  const path = [{ ...first, volumeId: oldest }, { ...second, volumeId: parent }, own] as LogPath;
  const inherited = (ranges: ArchivedRange[], of: string) =>
    inheritedRanges(new ArchiveIndex(ranges), path, of).map((one) => [
      Number(one.from),
      Number(one.to),
    ]);

  it("is of the path and of nothing else", () => {
    const ranges = [
      range(2, 500, 600),
      range(2, 600, 800),
      // Beyond the branch, and over it.
      range(2, 700, 810),
      range(2, 800, 900),
      // The parent's own fourth epoch, and one that the path does not have.
      range(4, 800, 900),
      range(3, 600, 700),
    ];
    expect(inherited(ranges, parent)).toEqual([
      [500, 600],
      [600, 800],
    ]);
    expect(inherited([...ranges, range(1, 0, 500), range(1, 500, 600)], oldest)).toEqual([
      [0, 500],
    ]);
    expect(inherited(ranges, "11111111-0000-0000-0000-555555555555")).toEqual([]);
  });
});
