import { describe, expect, it } from "vitest";
import { epoch, timeline } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import { type HistoryEntry, newestBacktrack } from "../quorum/index.ts";
import { futureOfTime } from "../volume/index.ts";
import { leftFutures } from "./backtrack.ts";
import { type Branch, inheritedFutures } from "./inherited-futures.ts";
import type { ClusterState } from "./state.ts";

type Parent = Pick<ClusterState, "abandoned" | "expired" | "backtrack">;

const at = (value: number) => lsn(BigInt(value));
const entry = (of: number, start: number, kind: HistoryEntry["kind"] = "branch"): HistoryEntry => {
  return { epoch: epoch(of), timeline: timeline(of), start: at(start), kind };
};
const first = entry(1, 0);
const firstText = { epoch: 1, timeline: 1, start: "0/0", kind: "branch" as const };
/** Left at second 10, when it had come to 0x100, for what it was at 0x50, which it had been at second 5. */
const left = {
  path: [firstText],
  fork: "0/50",
  end: "0/100",
  leftAtMs: 10_000,
  firstUs: "6000000",
};
const present = [first, entry(2, 0x50, "backtrack")];
const branch = (value: number, path = present): Branch => {
  return { path: path.filter(({ start }) => start <= at(value)), at: at(value), madeAtMs: 30_000 };
};

/** When the future was left that a second is in; `found`: where the clone's path has its moment. */
function leftOf(parent: Parent, of: Branch, second: number, found: number): number | undefined {
  const futures = leftFutures({ expired: inheritedFutures(parent, of) }, 40_000);
  return futureOfTime(futures, BigInt(second * 1e6), at(found))?.leftAtMs;
}

describe("what a clone remembers of its parent's backtracks", () => {
  it("is what they left, of which it can return to none", () => {
    const expired = { fork: "0/20", end: "0/40", leftAtMs: 1_000, untilMs: 2_000 };
    expect(inheritedFutures({ abandoned: [left], expired: [expired] }, branch(0x200))).toEqual([
      { ...expired, isParents: true },
      {
        fork: "0/50",
        end: "0/100",
        leftAtMs: 10_000,
        firstUs: "6000000",
        untilMs: 30_000,
        isParents: true,
      },
    ]);
    const parent = { abandoned: [left] };
    expect(leftOf(parent, branch(0x200), 7, 0x60)).toBe(10_000);
    expect(leftOf(parent, branch(0x200), 5, 0x60)).toBeUndefined();
    expect(leftOf(parent, branch(0x200), 10, 0x60)).toBeUndefined();
    expect(inheritedFutures({}, branch(0x200))).toEqual([]);
  });

  it("ends where the clone does, if that has less than what both paths have", () => {
    const parent = { abandoned: [left] };
    const early = branch(0x30);
    // No backtrack is on so short a path.
    expect(newestBacktrack(early.path)).toBeUndefined();
    expect(leftOf(parent, early, 4, 0x30)).toBe(10_000);
    expect(leftOf(parent, early, 4, 0x2f)).toBeUndefined();
    const returned = { leftAtMs: 10_000, to: "0/90", nextUs: "8000000" };
    const second = { path: [firstText], fork: "0/50", end: "0/70", leftAtMs: 20_000, returned };
    const twice = { abandoned: [left, second] };
    const path = [...present, entry(3, 0x90, "backtrack")];
    expect(leftOf(twice, branch(0x200, path), 7, 0x90)).toBeUndefined();
    expect(leftOf(twice, branch(0x60), 7, 0x90)).toBe(10_000);
  });

  it("is nothing of a backtrack that came later than the clone", () => {
    const stillThere = branch(0x80, [first]);
    expect(inheritedFutures({ abandoned: [left] }, stillThere)).toEqual([]);
    const order = { to: "0/50", refill: null, sinceEpoch: 1 };
    const times = { lastCommitUs: "0", askedAtMs: 9_000 };
    const parent = { backtrack: { order, left: [firstText], leftEnd: "0/100", ...times } };
    expect(inheritedFutures(parent, stillThere)).toEqual([]);
    expect(inheritedFutures(parent, branch(0x80))).toEqual([
      { fork: "0/50", end: "0/100", leftAtMs: 30_000, untilMs: 30_000, isParents: true },
    ]);
  });
});
