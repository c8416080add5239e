import { describe, expect, it } from "vitest";
import { epoch, nodeId, type NodeId, timeline } from "../base/ids.ts";
import { type Lsn, lsn } from "../base/lsn.ts";
import { seededRng } from "../base/rng.ts";
import {
  commonPrefix,
  compareConfigurationIds,
  type Configuration,
  effectiveHistory,
  entryAt,
  epochAt,
  extendHistory,
  type History,
  isBlockingSet,
  isReadQuorum,
  isSoundSet,
  isWriteQuorum,
  lastEpoch,
  memberSet,
  newestBacktrack,
  noConfiguration,
  thresholdsFor,
  timelineSpans,
  vclOf,
} from "./index.ts";

const id = (n: number): NodeId => nodeId(`00000000-0000-4000-8000-0000000000${n + 10}`);
const setOf = (...names: number[]) =>
  memberSet(names.map((n) => ({ nodeId: id(n), az: "a", kind: "full" as const })));
const of = (...sets: ReturnType<typeof setOf>[]): Configuration => ({
  id: { epoch: epoch(1), version: 1 },
  sets,
});
const among =
  (...names: number[]) =>
  (node: NodeId): boolean =>
    names.some((n) => id(n) === node);

describe("quorums", () => {
  it.each([
    [6, 4, 3],
    [4, 3, 2],
    [3, 2, 2],
    [1, 1, 1],
  ])("of %i: W %i, R %i", (count, writeQuorum, readQuorum) => {
    expect(thresholdsFor(count)).toEqual({ writeQuorum, readQuorum });
    expect(isSoundSet(setOf(...Array.from({ length: count }, (_, n) => n)))).toBe(true);
  });

  it("any two write quorums meet, and any write quorum meets any read quorum", () => {
    for (let count = 1; count <= 16; count++) {
      const { writeQuorum: w, readQuorum: r } = thresholdsFor(count);
      expect(2 * w).toBeGreaterThan(count);
      expect(w + r).toBeGreaterThan(count);
    }
  });

  it("of two sets need a quorum of both", () => {
    const joint = of(setOf(1, 2, 3), setOf(1, 2, 4));
    expect(isWriteQuorum(joint, among(1, 2))).toBe(true);
    expect(isWriteQuorum(joint, among(1, 3))).toBe(false);
    expect(isWriteQuorum(joint, among(1, 3, 4))).toBe(true);
    expect(isReadQuorum(joint, among(3, 4))).toBe(false);
  });

  it("three of six block a claim, two do not", () => {
    const six = of(setOf(1, 2, 3, 4, 5, 6));
    expect(isBlockingSet(six, among(1, 2, 3))).toBe(true);
    expect(isBlockingSet(six, among(1, 2))).toBe(false);
  });

  it("a configuration without members is never a quorum, it is a bug", () => {
    expect(() => isWriteQuorum(noConfiguration, () => true)).toThrow("members");
  });

  it("ids compare as pairs", () => {
    expect(
      compareConfigurationIds({ epoch: epoch(2), version: 1 }, { epoch: epoch(1), version: 9 }) > 0,
    ).toBe(true);
  });
});

describe("VCL", () => {
  const scls = (values: readonly (number | undefined)[]) => {
    const map = new Map<NodeId, Lsn>();
    values.forEach((value, n) => {
      if (value !== undefined) map.set(id(n), lsn(BigInt(value)));
    });
    return (node: NodeId): Lsn | undefined => map.get(node);
  };
  it.each<[(number | undefined)[], bigint]>([
    [[10, 20, 30, 40, 50, 60], 30n],
    [[10, 10, 10, 10, 90, 90], 10n],
    [[undefined, undefined, undefined, 40, 50, 60], 0n],
    [[undefined, undefined, 30, 30, 30, 30], 30n],
    [[60, 50, 40, 30, 20, 10], 30n],
  ])("of six at %j is the fourth highest", (values, vcl) => {
    expect(vclOf(of(setOf(0, 1, 2, 3, 4, 5)), scls(values))).toBe(vcl);
  });

  it("of two sets is the lower one", () => {
    const joint = of(setOf(0, 1, 2), setOf(0, 1, 3));
    expect(vclOf(joint, scls([50, 20, 40, 10]))).toBe(20n);
  });
});

/** "1@0 2@100 3b@100": epoch, b for backtrack, @ start. */
function path(text: string): History {
  return text.split(" ").map((word) => {
    const [, number = "0", b, start = "0"] = /^(\d+)(b?)@(\d+)$/.exec(word) ?? [];
    const kind = b ? "backtrack" : "branch";
    return { epoch: epoch(+number), timeline: timeline(+number), start: lsn(BigInt(start)), kind };
  });
}
const show = (history: History): string =>
  history.map((e) => `${e.epoch}${e.kind === "backtrack" ? "b" : ""}@${e.start}`).join(" ");

describe("histories", () => {
  it("extending drops what starts above or wrote nothing, but keeps every backtrack", () => {
    const own = path("9@100")[0];
    if (!own) throw new Error("one entry");
    expect(show(extendHistory(path("1@0 2@100 3@150"), own))).toBe("1@0 9@100");
    expect(show(extendHistory(path("1@0 4b@100 5@100"), own))).toBe("1@0 4b@100 9@100");
    expect(show(extendHistory(path("1@100"), own))).toBe("9@100");
  });

  it("nobody can tell a path from the same without branches of zero length", () => {
    const rng = seededRng(7);
    const aPath = (): History[] => {
      let kept: History = [];
      let dropped: History = [];
      for (let e = 1; e < 12; e++) {
        const floor = Number(dropped.at(-1)?.start ?? 0n);
        const kind = rng.below(5) === 0 ? "backtrack" : "branch";
        const start = lsn(BigInt(Math.max(0, floor + rng.below(4) - 1)));
        const entry = { epoch: epoch(e), timeline: timeline(e), start, kind } as const;
        // Some epochs are of one path only, so that pairs of paths differ.
        if (rng.below(4) === 0) continue;
        kept = [...kept.filter((one) => one.start <= start), entry];
        dropped = extendHistory(dropped, entry);
      }
      return [kept, dropped];
    };
    let droppedCount = 0;
    for (let run = 0; run < 500; run++) {
      const [kept = [], dropped = []] = aPath();
      const [other = [], otherDropped = []] = aPath();
      droppedCount += kept.length - dropped.length;
      expect(newestBacktrack(dropped)).toEqual(newestBacktrack(kept));
      expect(timelineSpans(dropped)).toEqual(timelineSpans(kept));
      for (let p = 0n; p < 30n; p++) {
        const at = lsn(p);
        expect(entryAt(dropped, at)).toEqual(entryAt(kept, at));
        const reached = lastEpoch(effectiveHistory(kept, at));
        expect(lastEpoch(effectiveHistory(dropped, at))).toBe(reached);
        const range = { from: lsn(0n), limit: at };
        const common = commonPrefix(kept, other, range);
        for (const mixed of [kept, dropped]) {
          expect(commonPrefix(mixed, otherDropped, range)).toBe(common);
        }
      }
    }
    expect(droppedCount).toBeGreaterThan(300);
  });

  it("a log that has not reached an epoch's start is not in it", () => {
    expect(show(effectiveHistory(path("1@0 2@100 3@150"), lsn(100n)))).toBe("1@0 2@100");
  });

  it("the last entry at or below a byte is its epoch", () => {
    const history = path("1@10 2@100 3b@100 4@150");
    expect([5n, 10n, 99n, 100n, 150n].map((p) => epochAt(history, lsn(p)))).toEqual([
      0, 1, 1, 3, 4,
    ]);
  });

  it.each([
    ["1@0", "1@0 2@100", 80n, 80n],
    ["1@0", "1@0 2@100", 100n, 100n],
    ["1@0", "1@0 2@100", 130n, 100n],
    ["1@0 2@50", "1@0 3@70", 130n, 50n],
    ["1@0 2@100", "1@0 2@100 3@120", 120n, 120n],
    ["1@0 2@100", "1@0 3b@60", 130n, 60n],
    ["1@0 3b@60", "1@0 2@100 4@130", 90n, 60n],
    ["1@0 2@100 3@100", "1@0 3@100", 200n, 200n],
  ])("%s against %s, up to %i: common to %i", (a, b, limit, common) => {
    expect(commonPrefix(path(a), path(b), { from: lsn(0n), limit: lsn(limit) })).toBe(common);
  });

  it("history files show timelines: merged neighbours, no zero-length entries", () => {
    const spans = timelineSpans([
      { epoch: epoch(1), timeline: timeline(1), start: lsn(0n), kind: "branch" },
      { epoch: epoch(2), timeline: timeline(1), start: lsn(50n), kind: "branch" },
      { epoch: epoch(3), timeline: timeline(2), start: lsn(90n), kind: "branch" },
      { epoch: epoch(4), timeline: timeline(3), start: lsn(90n), kind: "branch" },
    ]);
    expect(spans).toEqual([
      { timeline: 1, start: 0n },
      { timeline: 3, start: 90n },
    ]);
  });
});
