import { expect, test } from "vitest";
import { epoch, timeline } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import type { History } from "../quorum/index.ts";
import {
  forkOf,
  formatMicros,
  futuresOf,
  type LeftPath,
  lostStage,
  pathOf,
  undoneOf,
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
  expect(far).toEqual({ path: middle, end: at(90), isAbandoned: true });
});

test("paths part where an epoch does", () => {
  expect(forkOf(present, middle, { from: at(0), at: at(80) })).toBe(30n);
  expect(forkOf(present, middle, { from: at(0), at: at(20) })).toBe(20n);
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
