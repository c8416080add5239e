import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CommitForm, LogBuilder } from "../../test/helpers/log-builder.ts";
import { lsn, type Lsn, parseLsn } from "../base/lsn.ts";
import { type Moment, MomentFinder, type MomentTarget, pageBytes, WalWalker } from "./index.ts";

const origin = 0x1000000n;
const time = (timeUs: bigint): MomentTarget => ({ kind: "time", timeUs });
const place = (at: bigint): MomentTarget => ({ kind: "lsn", at: lsn(at) });

function find(log: LogBuilder, target: MomentTarget, stepBytes = 100_000): Moment | undefined {
  const finder = new MomentFinder({ at: lsn(log.start), kind: "segmentStart" }, target);
  for (let i = 0; i < log.written.length; i += stepBytes) {
    finder.push(log.written.subarray(i, i + stepBytes));
  }
  expect(finder.failure).toBeUndefined();
  return finder.moment;
}

describe("a time", () => {
  const log = new LogBuilder(origin, 3);
  log.record(200);
  const a = log.commit(1_000_000n);
  log.record(8200);
  const b = log.commit(2_000_000n, { isPrepared: true });
  const beforeC = log.record(60);
  const c = log.commit(3_000_000n, { moreBytes: 400 });
  const d = log.commit(2_000_000n);
  const end = log.record(100);

  test("ends behind the record before the first commit that is later, and undoes all behind it", () => {
    expect(find(log, time(2_500_000n))).toEqual({
      endLsn: beforeC,
      isSettled: true,
      lastCommit: expect.objectContaining({ end: b, timeUs: 2_000_000n }),
      after: { commits: 2, earliestUs: 2_000_000n, latestUs: 3_000_000n },
    });
  });

  test("has a commit of that very microsecond", () => {
    expect(find(log, time(2_999_999n))?.endLsn).toBe(beforeC);
    const at = find(log, time(3_000_000n));
    expect(at).toMatchObject({ endLsn: end, isSettled: false, lastCommit: { end: d } });
    expect(find(log, time(1_999_999n))).toMatchObject({
      lastCommit: { end: a },
      after: { commits: 3 },
    });
    expect(c).toBeLessThan(d);
  });

  test("before the first commit ends before it", () => {
    const moment = find(log, time(0n));
    expect(moment).toMatchObject({ isSettled: true, lastCommit: undefined });
    expect(moment?.after?.commits).toBe(4);
  });

  test("behind the last commit is not settled: more log may come", () => {
    expect(find(log, time(9_000_000n))).toMatchObject({
      endLsn: end,
      isSettled: false,
      after: undefined,
    });
  });
});

test("the commit that a page cuts anywhere, in every form, is seen with its time", () => {
  const forms: CommitForm[] = [
    {},
    { hasOrigin: true },
    { hasTopLevel: true },
    { hasOrigin: true, hasTopLevel: true, moreBytes: 200 },
    { isPrepared: true, hasOrigin: true, moreBytes: 9000 },
  ];
  for (const form of forms) {
    for (let gap = 0; gap <= 72; gap += 8) {
      const log = new LogBuilder(origin, 4);
      log.commit(1_000_000n);
      const before = log.record(pageBytes - 40 - 40 - gap);
      log.commit(5_000_000n, form);
      log.commit(2_000_000n);
      for (const step of [7, 100_000]) {
        const moment = find(log, time(4_999_999n), step);
        expect(moment).toMatchObject({ endLsn: before, after: { commits: 2 } });
        expect(find(log, time(5_000_000n), step)?.isSettled).toBe(false);
      }
    }
  }
});

test("an LSN is the last record end that is not above it", () => {
  const log = new LogBuilder(origin, 3);
  const a = log.commit(1_000_000n);
  const b = log.record(120);
  const c = log.commit(2_000_000n);
  const end = log.record(9000);
  for (const step of [1, 7, 100_000]) {
    const at = (value: bigint): Moment | undefined => find(log, place(value), step);
    expect(at(b)).toMatchObject({ endLsn: b, isSettled: true, lastCommit: { end: a } });
    expect(at(c - 1n)).toMatchObject({ endLsn: b, after: { commits: 1 } });
    expect(at(c)).toMatchObject({ endLsn: c, lastCommit: { end: c }, after: undefined });
    expect(at(c + 8n)).toMatchObject({ endLsn: c, isSettled: true });
    expect(at(end)).toMatchObject({ endLsn: end, isSettled: true });
    expect(at(end + 8n)).toMatchObject({ endLsn: end, isSettled: false });
    expect(at(origin - 8n)).toBeUndefined();
  }
});

test("log that begins inside a record has no moment before that record's end", () => {
  const log = new LogBuilder(origin, 3);
  log.page(0, 1, 2000);
  log.at = 40 + 2000;
  const first = log.end;
  const end = log.commit(1_000_000n);
  expect(find(log, place(first - 8n))).toBeUndefined();
  expect(find(log, place(first))).toMatchObject({ endLsn: first, after: { commits: 1 } });
  expect(find(log, time(0n))).toMatchObject({ endLsn: first, lastCommit: undefined });
  expect(find(log, place(end), 1)).toMatchObject({ endLsn: end });
});

test("in PostgreSQL's own log every commit's time parts it where pg_walinspect sees a record end", () => {
  const bytes = readFileSync(new URL("./fixtures/pg18-pages.wal", import.meta.url));
  const text = readFileSync(new URL("./fixtures/pg18-pages.lsns", import.meta.url), "utf8");
  const starts = text.trim().split("\n").map(parseLsn);
  const first = starts[0] ?? lsn(0n);
  const body = bytes.subarray(Number(first - parseLsn("0/70C4000")));
  const commits: { end: Lsn; previousEnd: Lsn; timeUs: bigint }[] = [];
  const start = { at: first, kind: "recordEnd" } as const;
  new WalWalker(start, { onCommit: (commit) => void commits.push(commit) }).push(body);
  expect(commits.length).toBeGreaterThan(0);
  fc.assert(
    fc.property(fc.nat(commits.length - 1), fc.integer({ min: -1, max: 1 }), (i, off) => {
      const timeUs = (commits[i]?.timeUs ?? 0n) + BigInt(off);
      const finder = new MomentFinder(start, time(timeUs));
      finder.push(body);
      const later = commits.findIndex((commit) => commit.timeUs > timeUs);
      const { moment } = finder;
      expect(moment?.isSettled).toBe(later >= 0);
      if (later >= 0) expect(moment?.endLsn).toBe(commits[later]?.previousEnd);
      expect(moment?.after?.commits ?? 0).toBe(later < 0 ? 0 : commits.length - later);
    }),
  );
});
