import { expect, test } from "vitest";
import { LogBuilder } from "../../test/helpers/log-builder.ts";
import { advance, bytesBetween, lsn, type Lsn } from "../base/lsn.ts";
import { pageBytes, segmentBytes } from "../wal/index.ts";
import { countCommits, findFirstCommit, findMoment, type LogSource } from "./index.ts";

const origin = lsn(0x5000000n);
const second = 1_000_000n;
const segments = 6;

/** Six segments: in each a commit every MiB, one a second, but none in segment 2, which one record fills. */
function buildLog(): { log: LogBuilder; ends: { timeUs: bigint; before: Lsn; end: Lsn }[] } {
  const log = new LogBuilder(origin, (segments * segmentBytes) / pageBytes);
  const ends: { timeUs: bigint; before: Lsn; end: Lsn }[] = [];
  let timeUs = 100n * second;
  while (log.at < segments * segmentBytes - 2 * 1024 * 1024) {
    const isLong = log.at > 2 * segmentBytes - 1024 * 1024 && log.at < 2 * segmentBytes;
    const before = log.record(isLong ? 17 * 1024 * 1024 : 1024 * 1024 - 200);
    timeUs += second;
    ends.push({ timeUs, before, end: log.commit(timeUs) });
  }
  return { log, ends };
}

const { log, ends } = buildLog();
const to = log.end;

function source(): LogSource & { readBytes: number } {
  return {
    readBytes: 0,
    read(from, end) {
      const at = bytesBetween(origin, from);
      // As a node answers: not always all that was asked for.
      const bytes = log.bytes.subarray(at, Math.min(bytesBetween(origin, end), at + 100_000));
      this.readBytes += bytes.length;
      return Promise.resolve(bytes);
    },
  };
}

test("every second of a long log is found, by reading little of it", async () => {
  for (const [i, { timeUs, end }] of ends.entries()) {
    if (i % 6 !== 0 && i < ends.length - 2) continue;
    const next = ends[i + 1];
    const from = source();
    const moment = await findMoment({
      log: from,
      from: origin,
      to,
      target: { kind: "time", timeUs: timeUs + second / 2n },
    });
    expect(moment?.endLsn).toBe(next?.before ?? to);
    expect(moment?.isSettled).toBe(next !== undefined);
    expect(moment?.lastCommit?.end).toBe(end);
    expect(from.readBytes).toBeLessThan(5 * segmentBytes);
  }
});

test("every LSN is found, also those inside a record longer than a segment", async () => {
  for (let at = advance(origin, 1_000_000); at < to; at = advance(at, 9_876_544)) {
    const search = { log: source(), from: origin, to, target: { kind: "lsn", at } } as const;
    const moment = await findMoment(search);
    const known = ends.flatMap(({ before, end }) => [before, end]);
    expect(moment?.endLsn).toBe(known.findLast((end) => end <= at) ?? origin);
  }
});

test("log that begins behind the LSN, or at a record end, is what it is", async () => {
  const from = ends[3]?.end ?? origin;
  const search = { log: source(), from, to };
  const lower = { kind: "lsn", at: advance(from, -8) } as const;
  expect(await findMoment({ ...search, target: lower })).toBeUndefined();
  const early = await findMoment({ ...search, target: { kind: "time", timeUs: 0n } });
  expect(early).toMatchObject({ isSettled: true, lastCommit: undefined });
  expect((await findFirstCommit(search))?.timeUs).toBe(ends[4]?.timeUs);
  expect(await findFirstCommit({ ...search, from: to })).toBeUndefined();
  const behind = ends[6]?.end ?? origin;
  expect((await findFirstCommit({ ...search, behind }))?.timeUs).toBe(ends[7]?.timeUs);
  const before = advance(behind, -1);
  expect((await findFirstCommit({ ...search, behind: before }))?.timeUs).toBe(ends[6]?.timeUs);
});

test("damaged log is said to be damaged", async () => {
  const damaged: LogSource = {
    read: async (from, end) => {
      const bytes = Buffer.from(await source().read(from, end));
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      return bytes;
    },
  };
  const target = { kind: "time", timeUs: 0n } as const;
  await expect(findMoment({ log: damaged, from: origin, to, target })).rejects.toMatchObject({
    code: "XX001",
  });
});

test("all commits of a stretch are counted, whatever the number of lanes, and in order", async () => {
  const spanOf = (some: typeof ends) =>
    some.length === 0
      ? undefined
      : {
          commits: some.length,
          earliestUs: some[0]?.timeUs,
          latestUs: some.at(-1)?.timeUs,
        };
  for (const lanes of [undefined, 1, 3]) {
    const from = source();
    // Answers come in another order than they were asked for.
    const late: LogSource = {
      ...(lanes === undefined ? {} : { lanes }),
      read: async (at, end) => {
        const bytes = await from.read(at, end);
        const ticks = Number((at / 1_000_000n) % 3n);
        for (let tick = 0; tick < ticks; tick++) await Promise.resolve();
        return bytes;
      },
    };
    for (const first of [0, 7, ends.length - 1]) {
      const start = ends[first]?.end ?? to;
      const counted = await countCommits({ log: late, from: start, to });
      expect(counted).toEqual(spanOf(ends.slice(first + 1)));
    }
  }
});

test("counting stops when it is told to, and says where log is damaged", async () => {
  const stopped = new AbortController();
  const range = { from: origin, to };
  const reading = countCommits({
    ...range,
    log: source(),
    signal: stopped.signal,
    onProgress: (bytes) => void (bytes > 1_000_000 && stopped.abort(new Error("enough"))),
  });
  await expect(reading).rejects.toThrow("enough");
  const damaged: LogSource = {
    read: async (at, end) => Buffer.alloc((await source().read(at, end)).length, 7),
  };
  await expect(countCommits({ ...range, log: damaged })).rejects.toThrow(/damaged at 0\/5000000/);
});
