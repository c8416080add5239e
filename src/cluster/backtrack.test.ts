import { expect, test } from "vitest";
import { epoch, timeline } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import { newState } from "../../test/helpers/cluster-state.ts";
import type { History } from "../quorum/index.ts";
import {
  expiredMax,
  forkOf,
  formatMicros,
  futuresOf,
  goneOf,
  isGone,
  leftFutures,
  type LeftPath,
  lostStage,
  mergedNews,
  pathIn,
  pathOf,
  pathsOf,
  undoneOf,
  withExpired,
} from "./backtrack.ts";
import type { LeftFuture } from "../volume/index.ts";
import { BacktrackJobs } from "./backtrack-jobs.ts";

const at = (value: number) => lsn(BigInt(value));
const path = (...entries: [epoch: number, timeline: number, start: number][]): History =>
  entries.map(([of, line, start]) => {
    return { epoch: epoch(of), timeline: timeline(line), start: at(start), kind: "branch" };
  });
const left = (of: History, fork: number, end: number, leftAtMs: number): LeftPath => {
  return { path: of, fork: at(fork), end: at(end), leftAtMs };
};

const oldest = path([1, 1, 0]);
const middle = path([1, 1, 0], [2, 2, 50]);
const present = path([1, 1, 0], [3, 3, 30]);
// Left at second 10 (it had reached 100) and at second 20 (it had reached 90).
const futures = [left(oldest, 50, 100, 10_000), left(middle, 30, 90, 20_000)];

function nameOf(of: History): string {
  return of === oldest ? "oldest" : of === middle ? "middle" : "present";
}

test("a time is on the path that the cluster had then", () => {
  for (const [seconds, name] of [
    [3, "oldest"],
    [9.9, "oldest"],
    [10, "middle"],
    [19.9, "middle"],
    [20, "present"],
    [300, "present"],
  ] as const) {
    const target = { kind: "time", timeUs: BigInt(Math.round(seconds * 1e6)) } as const;
    const found = pathOf(target, { path: present, end: at(60) }, futures);
    expect([seconds, nameOf(found.path)]).toEqual([seconds, name]);
  }
});

test("an LSN is on the present path, unless it is where a future ended or the present one has not come to it", () => {
  for (const [value, name] of [
    [20, "present"],
    [59, "present"],
    [60, "middle"],
    [89, "middle"],
    [90, "middle"],
    [95, "oldest"],
    [100, "oldest"],
    [101, "present"],
  ] as const) {
    const found = pathOf({ kind: "lsn", at: at(value) }, { path: present, end: at(60) }, futures);
    expect([value, nameOf(found.path)]).toEqual([value, name]);
  }
  const far = pathOf({ kind: "lsn", at: at(90) }, { path: present, end: at(500) }, futures);
  expect(far).toEqual({ path: middle, end: at(90), leftAtMs: 20_000 });
});

test("paths part where an epoch does", () => {
  expect(forkOf(present, middle, { from: at(0), at: at(80) })).toBe(30n);
  expect(forkOf(present, middle, { from: at(0), at: at(20) })).toBe(20n);
});

test("a future is left behind when its window is over, and remembered", () => {
  const path = [{ epoch: 1, timeline: 1, start: "0/0", kind: "branch" as const }];
  const future = (leftAtMs: number) => ({ path, fork: "0/30", end: "0/90", leftAtMs });
  const state = { ...newState(), abandoned: [future(1_000), future(2_000)] };
  const windowMs = 10_000;
  expect(withExpired(state, { nowMs: 10_999, windowMs })).toBe(state);
  const later = withExpired(state, { nowMs: 11_000, windowMs });
  expect(later).toMatchObject({
    abandoned: [future(2_000)],
    expired: [{ fork: "0/30", end: "0/90", leftAtMs: 1_000, untilMs: 11_000 }],
  });
  expect(later.abandoned).toHaveLength(1);
});

test("of futures that are too many to remember each, all moments are refused that may be theirs, and it is told", () => {
  const path = [{ epoch: 1, timeline: 1, start: "0/0", kind: "branch" as const }];
  const future = (n: number) => {
    const [fork, end] = [0x1000 + n, 0x9000 - n].map((value) => `0/${value.toString(16)}`);
    return { path, fork: fork ?? "", end: end ?? "", leftAtMs: 1_000 * (n + 1) };
  };
  const abandoned = Array.from({ length: expiredMax }, (_, n) => future(n));
  const now = { nowMs: 1e9, windowMs: 10_000 };
  const full = withExpired({ ...newState(), abandoned }, now);
  expect(full.expired).toHaveLength(expiredMax);
  expect(mergedNews(newState(), full)).toEqual([]);
  // Whatever was left later, and wherever it went.
  const more = [future(expiredMax), { ...future(expiredMax + 1), fork: "0/2000" }];
  const over = withExpired({ ...full, abandoned: more }, now);
  expect(over.expired).toHaveLength(expiredMax);
  expect(over.expired?.[0]).toEqual({
    fork: "0/1000",
    end: "0/9000",
    leftAtMs: 3_000,
    untilMs: 13_000,
    merged: 3,
  });
  expect(over.expired?.[1]).toMatchObject({ leftAtMs: 4_000 });
  expect(mergedNews(full, over)).toEqual([
    {
      sourceType: "cluster",
      source: newState().clusterId,
      category: "backtrack",
      message:
        "Of 3 futures that backtracks left up to 1970-01-01T00:00:03.000Z none is remembered for itself any more: restores, clones and backtracks refuse earlier times and LSNs up to 0/9000, except what is below 0/1000.",
    },
  ]);
  expect(mergedNews(over, { ...over, abandoned: more })).toEqual([]);
  const yetOne = withExpired({ ...over, abandoned: [future(expiredMax + 2)] }, now);
  expect(yetOne.expired?.[0]).toMatchObject({ merged: 4, leftAtMs: 4_000, fork: "0/1000" });
  const known = leftFutures(over, 0);
  const place = { presentEnd: at(0x20000), on: undefined };
  const time = (seconds: number) => ({ kind: "time", timeUs: BigInt(seconds * 1e6) }) as const;
  const told = (target: Parameters<typeof goneOf>[0], found: number) =>
    goneOf(target, { ...place, found: at(found) }, known)?.merged;
  expect([told(time(2), 0x1000), told(time(2), 0xfff)]).toEqual([3, undefined]);
  // The fourth is remembered for itself.
  expect(goneOf(time(3), { ...place, found: at(0x2000) }, known)).toMatchObject({
    leftAtMs: 4_000,
  });
  const lsns = [0x1000, 0x1001, 0x9000, 0x9001].map((value) => {
    return told({ kind: "lsn", at: at(value) }, value);
  });
  expect(lsns).toEqual([undefined, 3, 3, undefined]);
  const gone = goneOf(time(2), { ...place, found: at(0x1000) }, known);
  expect(gone && isGone(time(2), gone, here)).toMatchObject({
    message:
      "1970-01-01T00:00:02.000000Z may be in one of 3 futures that were left up to 1970-01-01T00:00:03.000Z, of which none is remembered for itself",
    hint: "the backtrack window is from A to B; name a later time, or an LSN up to 0/1000",
  });
});

const here = { window: { from: "A", to: "B" }, lowest: at(10) };

test("what is meant and is kept no more is told as that, and is never another moment", () => {
  // Of a path to 100 that was left at second 10 for 50, and then one to 90 for 30: the first one's window is over.
  const more = { firstUs: undefined, returned: undefined };
  const over = { fork: at(50), end: at(100), leftAtMs: 10_000, untilMs: 15_000, ...more };
  const kept = { fork: at(30), end: at(90), leftAtMs: 20_000, untilMs: undefined, ...more };
  const meant = (
    target: Parameters<typeof goneOf>[0],
    found?: number,
    place: { presentEnd?: number; on?: number; futures?: readonly LeftFuture[] } = {},
  ) => {
    const { presentEnd = 60, on, futures: known = [over, kept] } = place;
    const there = found === undefined ? undefined : at(found);
    return goneOf(target, { presentEnd: at(presentEnd), found: there, on }, known) !== undefined;
  };
  const time = (seconds: number) => {
    return { kind: "time", timeUs: BigInt(Math.round(seconds * 1e6)) } as const;
  };
  const lsnAt = (value: number) => ({ kind: "lsn", at: at(value) }) as const;
  // At second 9.9 the volume was on it; before its fork it was where the second was, which is kept, too.
  const onKept = { on: 20_000 };
  expect([
    meant(time(9.9), 50, onKept),
    meant(time(9.9), 55, onKept),
    meant(time(5), 49, onKept),
  ]).toEqual([true, true, false]);
  // When that is over as well, the present path has nothing of it behind where the second backtrack went.
  const both = { futures: [over, { ...kept, untilMs: 25_000 }] };
  expect([meant(time(5), 40, both), meant(time(5), 30, both), meant(time(5), 29, both)]).toEqual([
    true,
    true,
    false,
  ]);
  // Unless nothing had been committed by then behind that in either of them.
  const told = both.futures.map((one) => ({ ...one, firstUs: 6_000_000n }));
  expect([meant(time(5.9), 40, { futures: told }), meant(time(6), 40, { futures: told })]).toEqual([
    false,
    true,
  ]);
  // A return has brought it back up to 80.
  const returned = { leftAtMs: 10_000, to: at(80), nextUs: undefined };
  const back = { futures: [over, { ...kept, fork: at(50), returned }] };
  expect([meant(time(9.9), 79, back), meant(time(9.9), 80, back)]).toEqual([false, true]);
  const whole = {
    futures: [over, { ...kept, fork: at(50), returned: { ...returned, to: at(100) } }],
  };
  expect([
    meant(lsnAt(100), 100, { ...back, presentEnd: 500 }),
    meant(lsnAt(100), 100, { ...whole, presentEnd: 500 }),
  ]).toEqual([true, false]);
  // Log that begins later is told as that.
  expect([meant(time(9.9)), meant(time(10), 70), meant(time(300), 70)]).toEqual([
    false,
    false,
    false,
  ]);
  expect([
    meant(lsnAt(100), 100, { presentEnd: 500 }),
    meant(lsnAt(95)),
    meant(lsnAt(90)),
    meant(lsnAt(20)),
  ]).toEqual([true, true, false, false]);
  expect(isGone(lsnAt(100), over, here)).toMatchObject({
    code: "22023",
    message:
      "0/64 is in a future that was left at 1970-01-01T00:00:10.000Z and could be returned to until 1970-01-01T00:00:15.000Z (backtrack.windowHours)",
    hint: "the backtrack window is from A to B; 0/32 is where that future began",
  });
  // Where nobody goes back to is no way out, and of its parent's a clone goes back to nothing.
  expect(isGone(lsnAt(100), over, { ...here, lowest: at(50) }).hint).toBe(
    "the backtrack window is from A to B",
  );
  expect(isGone(lsnAt(100), { ...over, isParents: true }, here)).toMatchObject({
    message:
      "0/64 is in a future that was left at 1970-01-01T00:00:10.000Z, before this cluster was cloned",
    hint: "a clone goes back to nothing that was left before it was made; the cluster that left it may still have it; the backtrack window is from A to B",
  });
});

test("a time that an expired future shares with another path is looked for on that", () => {
  // P0 was left at second 10, where it had reached 100, for 50: P1. That was left at second 20 for P0's return, which is P2.
  const expired = {
    fork: at(50),
    end: at(100),
    leftAtMs: 10_000,
    firstUs: undefined,
    returned: undefined,
    untilMs: 15_000,
  };
  const returned = { leftAtMs: 10_000, to: at(100), nextUs: undefined };
  const kept = { ...expired, end: at(90), leftAtMs: 20_000, returned, untilMs: undefined };
  const known = { left: [left(middle, 50, 90, 20_000)], futures: [expired, kept] };
  const of = { path: present, end: at(120) };
  const time = (seconds: number) => {
    return { kind: "time", timeUs: BigInt(Math.round(seconds * 1e6)) } as const;
  };
  const on = (target: Parameters<typeof pathsOf>[0], futures: readonly LeftFuture[]) =>
    pathsOf(target, of, { ...known, futures }).map(({ path, leftAtMs }) => [
      nameOf(path),
      leftAtMs,
    ]);
  expect(on(time(9), known.futures)).toEqual([
    ["present", undefined],
    ["middle", 20_000],
  ]);
  // The first of them has it, which is what is asked of each.
  const place = { presentEnd: at(120), found: at(80) };
  const gone = (leftAtMs: number | undefined) =>
    goneOf(time(9), { ...place, on: leftAtMs }, known.futures) !== undefined;
  expect([gone(undefined), gone(20_000)]).toEqual([false, true]);
  // What is kept itself, or was never left, is on one path.
  expect(on(time(15), known.futures)).toEqual([["middle", 20_000]]);
  expect(on(time(25), known.futures)).toEqual([["present", undefined]]);
  expect(on({ kind: "lsn", at: at(90) }, known.futures)).toEqual([["middle", 20_000]]);
});

test("times are printed to the microsecond", () => {
  expect(formatMicros(0n)).toBe("1970-01-01T00:00:00.000000Z");
  expect(formatMicros(1_769_860_798_123_456n)).toBe("2026-01-31T11:59:58.123456Z");
});

test("snapshots are kept for the futures that were left, and for the one that is about to be", () => {
  const path = [{ epoch: 1, timeline: 1, start: "0/0", kind: "branch" as const }];
  const abandoned = [{ path, fork: "0/30", end: "0/90", leftAtMs: 10_000 }];
  const backtrack = {
    order: { to: "0/20", refill: null, sinceEpoch: 4 },
    left: path,
    leftEnd: "0/60",
    lastCommitUs: "0",
    askedAtMs: 20_000,
  };
  expect(futuresOf({})).toEqual([]);
  expect(futuresOf({ abandoned, backtrack })).toEqual([
    { path, fork: "0/30", end: "0/90" },
    { path, fork: "0/20", end: "0/60" },
  ]);
});

test("what is remembered of futures says where each ends, and what came back of it", () => {
  const path = [{ epoch: 1, timeline: 1, start: "0/0", kind: "branch" as const }];
  const first = { fork: "0/30", end: "0/90", leftAtMs: 1_000, firstUs: "700" };
  const returned = { leftAtMs: 1_000, to: "0/50", nextUs: "800" };
  const second = { fork: "0/30", end: "0/60", leftAtMs: 2_000, returned };
  const abandoned = [
    { path, ...first },
    { path, ...second },
  ];
  const state = withExpired({ ...newState(), abandoned }, { nowMs: 11_500, windowMs: 10_000 });
  const read = { end: at(0x90), firstUs: 700n, fork: at(0x30), leftAtMs: 1_000, untilMs: 11_000 };
  const known = [
    { ...read, returned: undefined },
    {
      fork: at(0x30),
      end: at(0x60),
      leftAtMs: 2_000,
      firstUs: undefined,
      returned: { leftAtMs: 1_000, to: at(0x50), nextUs: 800n },
      untilMs: undefined,
    },
  ];
  expect(leftFutures(state, 20_000)).toEqual(known);
  const refill = { path, to: "0/90" };
  const backtrack = {
    order: { to: "0/30", refill, sinceEpoch: 1 },
    left: path,
    leftEnd: "0/70",
    lastCommitUs: "0",
    askedAtMs: 5,
    returnsTo: 1_000,
  };
  // One that is under way has left it already, for whoever looks for a moment.
  expect(leftFutures({ ...state, backtrack }, 20_000)).toEqual([
    ...known,
    {
      fork: at(0x30),
      end: at(0x70),
      leftAtMs: 20_000,
      firstUs: undefined,
      returned: { leftAtMs: 1_000, to: at(0x90), nextUs: undefined },
      untilMs: undefined,
    },
  ]);
});

test("a target without room is told as that", () => {
  const full = lostStage("instance-2", "PANIC: could not write: No space left on device");
  expect(full.hint).toBe("make room on the disk of instance-2, and ask again");
  expect(lostStage("instance-2", undefined)).toMatchObject({
    message: "instance-2 could not be made ready; nothing was undone",
    hint: "ask again",
  });
});

test("how each backtrack went is kept for whoever asks, of the last twenty", () => {
  const jobs = new BacktrackJobs();
  const first = jobs.newId(1_000);
  jobs.begin(first);
  jobs.enter(first, "counting");
  jobs.progressOf(first)(5, 9);
  expect(jobs.get(first)).toMatchObject({ phase: "counting", doneBytes: 5 });
  const second = jobs.newId(1_000);
  expect(second).toBeGreaterThan(first);
  jobs.begin(second);
  jobs.failed(second, new Error("no"));
  expect(jobs.get(first)).toMatchObject({ phase: "counting" });
  expect(jobs.get(second)).toMatchObject({ phase: "failed", error: { message: "no" } });
  for (let n = 0; n < 19; n++) jobs.begin(jobs.newId(2_000 + n));
  expect(jobs.get(first)).toBeUndefined();
  expect(jobs.get(second)).toBeDefined();
});

test("what was undone is a number and a span", () => {
  expect(undoneOf(undefined)).toEqual({ transactions: 0, from: null, to: null });
  expect(undoneOf({ commits: 2, earliestUs: 1n, latestUs: 2_000_001n })).toEqual({
    transactions: 2,
    from: "1970-01-01T00:00:00.000001Z",
    to: "1970-01-01T00:00:02.000001Z",
  });
});

test("the volume's path is that of a node which has it whole: one that lags has accepted the epoch, too", () => {
  const lagging = { accepted: epoch(3), history: path([1, 1, 0]) };
  const whole = { accepted: epoch(3), history: present };
  expect(pathIn([lagging, whole], 3)).toBe(present);
  expect(pathIn([lagging], 3)).toBeUndefined();
  expect(pathIn([{ accepted: epoch(4), history: present }], 3)).toBeUndefined();
});
