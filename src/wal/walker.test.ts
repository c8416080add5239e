import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LogBuilder } from "../../test/helpers/log-builder.ts";
import { lsn, type Lsn, parseLsn } from "../base/lsn.ts";
import { findFirstBoundary, pageBytes, segmentBytes, type WalCommit, WalWalker } from "./index.ts";

const fixture = (name: string): Buffer =>
  readFileSync(new URL(`./fixtures/${name}`, import.meta.url));

/** Where pg_waldump (15) or pg_walinspect (18) say that records begin. */
function recordStarts(name: string): Lsn[] {
  return fixture(name).toString().trim().split("\n").map(parseLsn);
}

/** A record's start is the end of the one before, or behind the page header if that is a page's end. */
function startAfter(end: Lsn): Lsn {
  if (end % BigInt(pageBytes) !== 0n) return end;
  return lsn(end + (end % BigInt(segmentBytes) === 0n ? 40n : 24n));
}

/** Every record end that the walker meets, fed eight bytes at a time (an end is a multiple of eight). */
function endsOf(walker: WalWalker, bytes: Buffer, stepBytes = 8): Lsn[] {
  const ends: Lsn[] = [];
  for (let i = 0; i < bytes.length; i += stepBytes) {
    const before = walker.recordEnd;
    walker.push(bytes.subarray(i, i + stepBytes));
    if (walker.recordEnd !== before) ends.push(walker.recordEnd);
  }
  return ends;
}

const at = (value: bigint): Lsn => lsn(value);
const walkFrom = (value: bigint): WalWalker =>
  new WalWalker({ at: at(value), kind: "segmentStart" });

describe("on what PostgreSQL wrote", () => {
  const cases = [
    { name: "pg15-pages", start: "0/704E000" },
    { name: "pg18-pages", start: "0/70C4000" },
  ];
  for (const { name, start } of cases) {
    const bytes = fixture(`${name}.wal`);
    const starts = recordStarts(`${name}.lsns`);
    const first = starts[0] ?? at(0n);
    const skipped = Number(first - parseLsn(start));
    const body = bytes.subarray(skipped);
    const newWalker = (): WalWalker => new WalWalker({ at: first, kind: "recordEnd" });

    test(`${name}: every record is found where PostgreSQL's own tools see it`, () => {
      expect([first, ...endsOf(newWalker(), body).map(startAfter)]).toEqual(starts);
    });

    test(`${name}: any single cut gives the same end`, () => {
      for (let cut = 0; cut <= body.length; cut++) {
        const walker = newWalker();
        walker.push(body.subarray(0, cut));
        walker.push(body.subarray(cut));
        if (startAfter(walker.recordEnd) !== starts.at(-1) || walker.failure) {
          expect.fail(`cut at ${cut}: ${walker.recordEnd}, ${walker.failure?.reason}`);
        }
      }
    });

    test(`${name}: any cuts give the same end`, () => {
      const sizes = fc.array(fc.integer({ min: 1, max: 9000 }), { minLength: 1, maxLength: 40 });
      fc.assert(
        fc.property(sizes, (pieces) => {
          const walker = newWalker();
          for (let i = 0, n = 0; i < body.length; n++) {
            const size = pieces[n % pieces.length] ?? 1;
            walker.push(body.subarray(i, i + size));
            i += size;
          }
          expect(startAfter(walker.recordEnd)).toBe(starts.at(-1));
          expect(walker.position).toBe(first + BigInt(body.length));
        }),
        { numRuns: 100 },
      );
    });

    test(`${name}: no prefix ends beyond its last whole record`, () => {
      const ends = starts.slice(1);
      for (let cut = 0; cut <= body.length; cut += 3) {
        const walker = newWalker();
        walker.push(body.subarray(0, cut));
        const reached = first + BigInt(cut);
        const expected = ends.filter((end) => end <= reached).at(-1) ?? first;
        // An end at a page's end is met before the header that stands before the next start.
        expect(startAfter(walker.recordEnd)).toBe(expected);
      }
    });

    test(`${name}: a flipped bit stops the walk at its record, never behind it`, () => {
      const flip = fc.integer({ min: 0, max: body.length * 8 - 1 });
      fc.assert(
        fc.property(flip, (bit) => {
          const damaged = Buffer.from(body);
          damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
          const walker = newWalker();
          walker.push(damaged);
          const sound = newWalker();
          sound.push(body.subarray(0, bit >> 3));
          const isHarmless = walker.failure === undefined && !walker.isPastEnd;
          // Padding and a few flags of a page header are covered by no checksum.
          if (!isHarmless) expect(walker.recordEnd).toBe(sound.recordEnd);
        }),
        { numRuns: 300 },
      );
    });
  }

  test("a segment that begins inside a record is entered at that record's end", () => {
    const bytes = fixture("pg18-segment.wal");
    const starts = recordStarts("pg18-segment.lsns");
    expect(findFirstBoundary(bytes, parseLsn("0/7000000"))).toBe(starts[0]);
    expect(findFirstBoundary(bytes.subarray(0, 100), parseLsn("0/7000000"))).toBeUndefined();
    const walker = walkFrom(0x7000000n);
    expect(endsOf(walker, bytes).map(startAfter)).toEqual(starts);
  });
});

describe("at the places that are rare", () => {
  test("a record that ends with its page ends at the page boundary", () => {
    const log = new LogBuilder(0x1000000n, 2);
    const end = log.record(pageBytes - 40);
    expect(end).toBe(0x1002000n);
    const next = log.record(100);
    const walker = walkFrom(0x1000000n);
    expect(endsOf(walker, log.bytes.subarray(0, log.at))).toEqual([end, next]);
  });

  test("the padding of a record belongs to it", () => {
    const log = new LogBuilder(0x1000000n, 1);
    const end = log.record(101);
    const walker = walkFrom(0x1000000n);
    walker.push(log.bytes.subarray(0, log.at - 1));
    expect(walker.recordEnd).toBe(0x1000000n);
    walker.push(log.bytes.subarray(log.at - 1, log.at));
    expect(walker.recordEnd).toBe(end);
  });

  test("a header that a page's end cuts is put together", () => {
    const log = new LogBuilder(0x1000000n, 2);
    const first = log.record(pageBytes - 40 - 8);
    const second = log.record(64);
    for (const step of [1, 3, 8, 20_000]) {
      const walker = walkFrom(0x1000000n);
      walker.push(log.bytes.subarray(0, 8192));
      expect(walker.recordEnd).toBe(first);
      endsOf(walker, log.bytes.subarray(8192, log.at), step);
      expect(walker.recordEnd).toBe(second);
    }
  });

  test("a record over many pages is checked without being kept", () => {
    const log = new LogBuilder(0xfffffe000000n, 200);
    const end = log.record(199 * 8000);
    const walker = walkFrom(0xfffffe000000n);
    endsOf(walker, log.bytes.subarray(0, log.at), 131072);
    expect(walker.recordEnd).toBe(end);
    log.bytes[100_000] = 0;
    const damaged = walkFrom(0xfffffe000000n);
    endsOf(damaged, log.bytes.subarray(0, log.at), 131072);
    expect(damaged.failure?.reason).toMatch(/CRC/);
  });

  test("a switch record ends with its segment, and not before its padding is there", () => {
    const log = new LogBuilder(0x1000000n, segmentBytes / pageBytes);
    const before = log.record(100);
    log.record(24, 0x40, 0);
    log.bytes.fill(0, log.at);
    const walker = walkFrom(0x1000000n);
    endsOf(walker, log.bytes.subarray(0, segmentBytes - 8), 100_000);
    expect(walker.recordEnd).toBe(before);
    walker.push(log.bytes.subarray(segmentBytes - 8));
    expect(walker.recordEnd).toBe(0x2000000n);
    const next = new LogBuilder(0x2000000n, 1);
    next.previous = log.previous;
    const after = next.record(50);
    walker.push(next.bytes.subarray(0, next.at));
    expect([walker.recordEnd, walker.failure]).toEqual([after, undefined]);
  });

  test("a record that was lost in a crash and given up is passed over", () => {
    const log = new LogBuilder(0x1000000n, 6);
    const kept = log.record(100);
    const previous = log.previous;
    log.record(4 * pageBytes);
    // The crash lost everything from the fourth page on; PostgreSQL goes on there.
    log.at = 3 * pageBytes;
    log.previous = previous;
    const end = log.record(48, 0xd0, 0);
    log.page(3, 8);
    for (const step of [1, 8, 1000, 50_000]) {
      const walker = walkFrom(0x1000000n);
      endsOf(walker, log.bytes.subarray(0, 3 * pageBytes), step);
      expect(walker.recordEnd).toBe(kept);
      endsOf(walker, log.bytes.subarray(3 * pageBytes, log.at), step);
      expect([walker.recordEnd, walker.failure]).toEqual([end, undefined]);
    }
  });

  test("a segment that begins inside a record given up later is entered where the log goes on", () => {
    const log = new LogBuilder(0x1000000n, 3);
    log.page(0, 1, 3 * pageBytes);
    log.page(1, 8);
    log.at = pageBytes;
    const end = log.record(48, 0xd0, 0);
    const walker = walkFrom(0x1000000n);
    walker.push(log.bytes.subarray(0, pageBytes + 10));
    expect(walker.firstBoundary).toBeUndefined();
    walker.push(log.bytes.subarray(pageBytes + 10, log.at));
    expect([walker.firstBoundary, walker.recordEnd]).toEqual([0x1002000n, end]);
  });

  test("zeros behind the last record are the log's end, not damage", () => {
    const log = new LogBuilder(0x1000000n, 3);
    const end = log.record(5000);
    log.bytes.fill(0, log.at);
    const walker = walkFrom(0x1000000n);
    walker.push(log.bytes);
    expect([walker.recordEnd, walker.isPastEnd, walker.failure]).toEqual([end, true, undefined]);
  });

  test("stale bytes of a recycled segment are not taken for the log", () => {
    const log = new LogBuilder(0x1000000n, 2);
    const end = log.record(pageBytes - 40);
    const stale = new LogBuilder(0x5000000n, 2);
    stale.record(200);
    const walker = walkFrom(0x1000000n);
    walker.push(log.bytes.subarray(0, pageBytes));
    walker.push(stale.bytes.subarray(0, pageBytes));
    expect(walker.recordEnd).toBe(end);
    expect(walker.failure?.at).toBe(end);
  });

  test("an impossible length, a wrong predecessor and a wrong magic are damage", () => {
    const cases: [string, (log: LogBuilder, second: number) => void][] = [
      ["a record of 23 bytes", (log, second) => log.bytes.writeUInt32LE(23, second)],
      ["a record of 4294967295 bytes", (log, s) => log.bytes.writeUInt32LE(0xffffffff, s)],
      ["does not follow", (log, second) => log.bytes.writeUInt32LE(1, second + 8)],
      ["the CRC", (log, second) => log.bytes.writeUInt8(1, second + 30)],
      ["magic number d119", (log) => log.bytes.writeUInt16LE(0xd119, pageBytes)],
      ["do not go on", (log) => log.bytes.writeUInt32LE(5, pageBytes + 16)],
    ];
    for (const [reason, damage] of cases) {
      const log = new LogBuilder(0x1000000n, 3);
      const first = log.record(100);
      const second = log.at;
      log.record(100);
      const third = log.record(pageBytes);
      damage(log, second);
      const walker = walkFrom(0x1000000n);
      walker.push(log.bytes.subarray(0, log.at));
      expect(walker.failure?.reason).toContain(reason);
      expect(walker.recordEnd).toBeGreaterThanOrEqual(first);
      expect(walker.recordEnd).toBeLessThan(third);
    }
  });
});

test("every commit in real log is told with its end and its time, however it is cut", () => {
  const bytes = fixture("pg18-pages.wal");
  const first = recordStarts("pg18-pages.lsns")[0] ?? at(0n);
  const body = bytes.subarray(Number(first - parseLsn("0/70C4000")));
  const commitsOf = (stepBytes: number): WalCommit[] => {
    const commits: WalCommit[] = [];
    const timesMs: number[] = [];
    const walker = new WalWalker(
      { at: first, kind: "recordEnd" },
      {
        onCommit: (commit) => void commits.push(commit),
        onCommitTime: (timeMs) => void timesMs.push(timeMs),
      },
    );
    endsOf(walker, body, stepBytes);
    expect(timesMs.map((ms) => Math.round(ms * 1000))).toEqual(
      commits.map(({ timeUs }) => Number(timeUs)),
    );
    return commits;
  };
  const whole = commitsOf(body.length);
  expect(whole.length).toBeGreaterThan(0);
  for (const step of [1, 8, 100]) expect(commitsOf(step)).toEqual(whole);
  for (const { previousEnd, end, timeUs } of whole) {
    expect(end).toBeGreaterThan(previousEnd);
    expect(new Date(Number(timeUs / 1000n)).getUTCFullYear()).toBe(2026);
  }
});

test("a trusting walk meets the same ends, and does not look at CRCs", () => {
  const log = new LogBuilder(0x1000000n, 3);
  log.record(200);
  const flipAt = log.at - 60;
  log.commit(1_000_000n);
  log.record(9_000);
  log.commit(2_000_000n);
  const damaged = Buffer.from(log.written);
  damaged.writeUInt8(damaged.readUInt8(flipAt) ^ 1, flipAt);
  for (const stepBytes of [8, 4096, damaged.length]) {
    const commits: bigint[] = [];
    const onCommit = ({ timeUs }: WalCommit): void => void commits.push(timeUs);
    const start = { at: at(0x1000000n), kind: "segmentStart" } as const;
    const trusting = new WalWalker(start, { onCommit, isTrusted: true });
    const strict = new WalWalker(start);
    for (let i = 0; i < damaged.length; i += stepBytes) {
      trusting.push(damaged.subarray(i, i + stepBytes));
      strict.push(damaged.subarray(i, i + stepBytes));
    }
    expect(trusting.failure).toBeUndefined();
    expect(trusting.recordEnd).toBe(log.end);
    expect(commits).toHaveLength(2);
    expect(strict.failure?.reason).toMatch(/CRC/);
  }
});
