import { expect, test } from "vitest";
import { epoch, timeline } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import type { History } from "../quorum/index.ts";
import { type Backtrack, hasBegun, placesToLook, planBacktrack } from "./backtrack.ts";

type Entry = [epoch: number, timeline: number, start: number, kind?: "branch" | "backtrack"];
function pathOf(...entries: Entry[]): History {
  return entries.map(([of, line, start, kind = "branch"]) => {
    return { epoch: epoch(of), timeline: timeline(line), start: lsn(BigInt(start)), kind };
  });
}
const at = (value: number) => lsn(BigInt(value));
const found = (history: History, start: number, low = 0) => {
  return { history, start: at(start), low: at(low), floor: at(low) };
};
const wanted = (to: number, more: Partial<Backtrack> = {}): Backtrack => {
  return { to: at(to), refill: undefined, sinceEpoch: 2, ...more };
};

test("a backtrack is one epoch that starts at the moment", () => {
  const plan = planBacktrack(found(pathOf([1, 1, 0], [2, 2, 80]), 100), wanted(40));
  expect(plan).toEqual({
    kind: "leave",
    opening: { start: at(40), timeline: 2, kind: "backtrack" },
  });
  const late = planBacktrack(found(pathOf([1, 1, 0], [2, 2, 80]), 100), wanted(90));
  expect(late).toMatchObject({ opening: { start: at(90), timeline: 3 } });
});

test("one whose entry is on the path is done, whoever opened it and whatever was written since", () => {
  const path = pathOf([1, 1, 0], [3, 9, 40, "backtrack"]);
  expect(planBacktrack(found(path, 40), wanted(40)).kind).toBe("done");
  expect(planBacktrack(found([...path, ...pathOf([4, 10, 70])], 90), wanted(40)).kind).toBe("done");
  // An earlier one, to the same place, is another.
  const earlier = pathOf([1, 1, 0], [2, 9, 40, "backtrack"]);
  expect(planBacktrack(found(earlier, 90), wanted(40)).kind).toBe("leave");
});

test("what is below the low-water, or above the end, cannot be; at the end there is nothing to do", () => {
  const path = pathOf([1, 1, 0]);
  expect(planBacktrack(found(path, 100, 50), wanted(40)).kind).toBe("impossible");
  expect(planBacktrack(found(path, 100), wanted(140)).kind).toBe("impossible");
  expect(planBacktrack(found(path, 100), wanted(100)).kind).toBe("done");
});

test("a return takes the kept log back in one epoch for each of its timelines", () => {
  const left = pathOf([1, 1, 0], [2, 1, 50], [3, 2, 60], [5, 3, 90]);
  const present = pathOf([1, 1, 0], [7, 4, 40, "backtrack"]);
  const refill = { path: left, to: at(80) };
  const back = wanted(40, { refill, sinceEpoch: 7 });
  const openings = [
    { start: at(40), timeline: 1, kind: "backtrack", refill: { path: left, to: at(60) } },
    { start: at(60), timeline: 2, kind: "branch", refill: { path: left, to: at(80) } },
  ];
  const plan = { kind: "refill", openings, promoteAt: at(80) };
  expect(planBacktrack(found(present, 70), back)).toEqual(plan);
  // Cut short in the middle: all of it again. Nothing was written since: it removes nothing, and takes back all the same.
  const half = pathOf([1, 1, 0], [8, 1, 40, "backtrack"]);
  expect(planBacktrack(found(half, 55), back)).toEqual(plan);
  expect(planBacktrack(found(present, 40), back)).toEqual(plan);
  const whole = [...half, ...pathOf([9, 2, 60])];
  expect(planBacktrack(found(whole, 80), back).kind).toBe("done");
});

test("where an epoch has gone on without it, it is over: nobody would find what was committed in that", () => {
  const since = pathOf([1, 1, 0], [2, 2, 80], [3, 3, 90]);
  expect(planBacktrack(found(since, 100), wanted(40))).toEqual({
    kind: "impossible",
    reason: "epoch 3 has gone on without it",
  });
  const refill = { path: pathOf([1, 1, 0]), to: at(80) };
  expect(planBacktrack(found(since, 100), wanted(40, { refill })).kind).toBe("impossible");
});

test("one that has its entry on the path is carried on, also in the middle of what it brings back", () => {
  const refill = { path: pathOf([1, 1, 0]), to: at(80) };
  const back = wanted(40, { refill });
  const half = pathOf([1, 1, 0], [3, 1, 40, "backtrack"]);
  expect(hasBegun(found(half, 55), back)).toBe(true);
  expect(planBacktrack(found(half, 55), back).kind).toBe("refill");
  expect(hasBegun(found(pathOf([1, 1, 0], [2, 2, 40, "backtrack"]), 55), back)).toBe(false);
});

test("whether the kept log is there is looked at in each stretch, and at its end, on its path", () => {
  const path = pathOf([1, 1, 0]);
  const of = (start: number, to: number) => {
    const kind = "branch" as const;
    return { start: at(start), timeline: timeline(1), kind, refill: { path, to: at(to) } };
  };
  const openings = [of(40, 61), of(61, 70)] as const;
  expect(placesToLook(openings, 10)).toEqual(
    [40, 50, 60, 60, 61, 69].map((place) => ({ path, at: at(place) })),
  );
});
