import { expect, test } from "vitest";
import { epoch, timeline } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import { newState } from "../../test/helpers/cluster-state.ts";
import type { History } from "../quorum/index.ts";
import {
  forkOf,
  formatMicros,
  futuresOf,
  goneOf,
  isGone,
  leftFutures,
  type LeftPath,
  lostStage,
  pathOf,
  undoneOf,
  withExpired,
} from "./backtrack.ts";
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
  const many = Array.from({ length: 100 }, (_, n) => future(n));
  const { abandoned, expired } = withExpired(
    { ...later, abandoned: many },
    { nowMs: 1e6, windowMs },
  );
  expect([abandoned, expired?.length, expired?.at(-1)?.leftAtMs]).toEqual([[], 64, 99]);
});

test("what is meant and is kept no more is told as that, and is never another moment", () => {
  // The oldest one's window is over.
  const over = { fork: at(50), end: at(100), leftAtMs: 10_000, untilMs: 15_000 };
  const known = { left: futures.slice(1), gone: [over] };
  const meant = (
    target: Parameters<typeof goneOf>[0],
    found?: number,
    presentEnd = 60,
    committed = 40,
  ) => {
    const place = {
      presentEnd: at(presentEnd),
      found: found === undefined ? undefined : at(found),
      committed: at(committed),
    };
    return goneOf(target, place, known) !== undefined;
  };
  const time = (seconds: number) => {
    return { kind: "time", timeUs: BigInt(Math.round(seconds * 1e6)) } as const;
  };
  const lsnAt = (value: number) => ({ kind: "lsn", at: at(value) }) as const;
  // At second 9.9 the volume was on it; before its fork it was where the others were, too.
  expect([meant(time(9.9), 50), meant(time(9.9), 55), meant(time(5), 49)]).toEqual([
    true,
    true,
    false,
  ]);
  // A return has brought it back: there is a commit behind its fork that is no later than the moment.
  expect([meant(time(9.9), 60, 120, 50), meant(time(9.9), 60, 120, 51)]).toEqual([true, false]);
  // Log that begins later is told as that.
  expect([meant(time(9.9)), meant(time(10), 70), meant(time(300), 70)]).toEqual([
    false,
    false,
    false,
  ]);
  expect([
    meant(lsnAt(100), 100, 500),
    meant(lsnAt(95)),
    meant(lsnAt(90)),
    meant(lsnAt(20)),
  ]).toEqual([true, true, false, false]);
  const told = isGone(lsnAt(100), over, { from: "A", to: "B" });
  expect(told).toMatchObject({
    code: "22023",
    message:
      "0/64 is in a future that was left at 1970-01-01T00:00:10.000Z and could be returned to until 1970-01-01T00:00:15.000Z (backtrack.windowHours)",
    hint: "the backtrack window is from A to B; 0/32 is where that future began",
  });
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
