import { describe, expect, it } from "vitest";
import { crc32c } from "../base/crc32c.ts";
import { advance, lsn, type Lsn } from "../base/lsn.ts";
import { LogTail } from "./log-tail.ts";

const start = lsn(0x100_0028n);
const mib = 1024 * 1024;

/** One valid WAL record of `bodyBytes`, which follows the one at `previous`. */
function record(previous: bigint, bodyBytes: number): Buffer {
  const bytes = Buffer.alloc((24 + bodyBytes + 7) & ~7);
  bytes.writeUInt32LE(24 + bodyBytes, 0);
  bytes.writeBigUInt64LE(previous, 8);
  bytes.fill(0x5a, 24, 24 + bodyBytes);
  const body = crc32c(bytes, 0, 24, 24 + bodyBytes);
  bytes.writeUInt32LE(crc32c(bytes, body, 0, 20), 20);
  return bytes;
}

/** Three records in a row, on one page. */
function threeRecords(): { wal: Buffer; ends: Lsn[] } {
  const pieces: Buffer[] = [];
  const ends: Lsn[] = [];
  let at: Lsn = start;
  let previous: bigint = start - 40n;
  for (const size of [10, 200, 33]) {
    const one = record(previous, size);
    previous = at;
    at = advance(at, one.length);
    pieces.push(one);
    ends.push(at);
  }
  return { wal: Buffer.concat(pieces), ends };
}

describe("the log of one epoch as PostgreSQL sends it", () => {
  it("tells the last record's end at every cut", () => {
    const { wal, ends } = threeRecords();
    for (let cut = 1; cut < wal.length; cut++) {
      const tail = new LogTail(start, mib);
      expect(tail.take(start, wal.subarray(0, cut))).toBeUndefined();
      const expected = ends.findLast((end) => end <= advance(start, cut)) ?? start;
      expect(tail.recordEnd).toBe(expected);
      expect(tail.end).toBe(advance(start, cut));
      expect(tail.take(advance(start, cut), wal.subarray(cut))).toBeUndefined();
      expect(tail.recordEnd).toBe(ends[2]);
    }
  });

  it("refuses a stream that leaves a hole", () => {
    const { wal } = threeRecords();
    const tail = new LogTail(start, mib);
    tail.take(start, wal.subarray(0, 40));
    expect(tail.take(advance(start, 48), wal.subarray(48))).toMatch(/was expected/);
  });

  it("refuses a record that is broken", () => {
    const { wal } = threeRecords();
    wal[60] = (wal[60] ?? 0) ^ 1;
    expect(new LogTail(start, mib).take(start, wal)).toMatch(/broken/);
  });

  it("goes on with a stream that repeats its last bytes identically", () => {
    const { wal, ends } = threeRecords();
    for (const cut of [41, 60, 100]) {
      const tail = new LogTail(start, mib);
      tail.take(start, wal.subarray(0, cut));
      const from = tail.recordEnd;
      tail.repeatFrom(from);
      expect(tail.take(from, wal.subarray(Number(from - start)))).toBeUndefined();
      expect(tail.recordEnd).toBe(ends[2]);
      expect(tail.view(start, tail.end)?.bytes.equals(wal)).toBe(true);
    }
  });

  it("ends the epoch when a new stream differs from what was sent before", () => {
    const { wal } = threeRecords();
    const tail = new LogTail(start, mib);
    tail.take(start, wal.subarray(0, 100));
    const from = tail.recordEnd;
    tail.repeatFrom(from);
    const other = Buffer.from(wal.subarray(Number(from - start)));
    other[20] = (other[20] ?? 0) ^ 1;
    expect(tail.take(from, other)).toMatch(/differs/);
  });
});
