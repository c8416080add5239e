import { describe, expect, it } from "vitest";
import { LogBuilder } from "../../test/helpers/log-builder.ts";
import { advance, bytesBetween, lsn, type Lsn } from "../base/lsn.ts";
import { pageBytes, segmentBytes } from "../wal/index.ts";
import { findRecordEndIn } from "./record-end-shell.ts";

const start = lsn(BigInt(segmentBytes) * 3n);
const pieceBytes = 1024 * 1024;

/** The builder's bytes as a reader gives them, in pieces; and how many of them were asked for. */
class MemoryLog {
  readonly bytes: Buffer;
  readBytes = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  async forEach(
    { from, to }: { readonly from: Lsn; readonly to: Lsn },
    take: (bytes: Buffer, at: Lsn) => boolean,
  ): Promise<void> {
    const end = bytesBetween(start, to);
    for (let at = bytesBetween(start, from); at < end; at += pieceBytes) {
      const piece = this.bytes.subarray(at, Math.min(end, at + pieceBytes));
      this.readBytes += piece.length;
      if (!take(piece, advance(start, at))) return;
    }
  }
}

/** `segments` of log, records of `bytes` each until the last does not fit; and where they end. */
function logOf(segments: number, sizes: (n: number) => number): { log: MemoryLog; ends: Lsn[] } {
  const builder = new LogBuilder(start, (segments * segmentBytes) / pageBytes);
  const ends: Lsn[] = [];
  const room = segments * segmentBytes;
  for (let n = 0; ; n++) {
    const bytes = sizes(n);
    if (builder.at + bytes * 1.01 + pageBytes > room) break;
    ends.push(builder.record(bytes));
  }
  return { log: new MemoryLog(builder.bytes), ends };
}

const find = (log: MemoryLog, from: Lsn, to: Lsn): Promise<Lsn> =>
  findRecordEndIn(log, { path: "current", from, to });
const lastEndUpTo = (ends: readonly Lsn[], to: Lsn): Lsn | undefined =>
  ends.findLast((end) => end <= to);

describe("the end of the last record", () => {
  const { log, ends } = logOf(6, (n) => (n % 7 === 0 ? 60_000 : 900));

  it("is what a walk of all the log says, wherever the log was cut", async () => {
    for (const share of [0.09, 0.31, 0.5, 0.73, 0.97]) {
      const index = Math.floor(ends.length * share);
      const end = ends[index] ?? start;
      for (const more of [0, 8, 33, 500]) {
        const to = advance(end, more);
        const from = ends[2] ?? start;
        expect(await find(log, from, to), `${index} and ${more} bytes`).toBe(lastEndUpTo(ends, to));
      }
    }
  });

  it("is looked for in the last segment, however long ago the epoch began", async () => {
    log.readBytes = 0;
    await find(log, ends[2] ?? start, ends.at(-1) ?? start);
    expect(log.readBytes).toBeLessThanOrEqual(segmentBytes);
  });

  it("is looked for no further back than the epoch's start", async () => {
    const from = ends.at(-5) ?? start;
    log.readBytes = 0;
    expect(await find(log, from, advance(ends.at(-1) ?? start, 8))).toBe(ends.at(-1));
    expect(log.readBytes).toBeLessThan(pieceBytes);
  });
});

describe("a record that fills segments", () => {
  const big = 40 * 1024 * 1024;
  const { log, ends } = logOf(6, (n) => (n === 3000 ? big : 900));
  const [before, after] = [ends[2999] ?? start, ends[3000] ?? start];

  it("is none while its end is missing", async () => {
    for (const bytes of [100, segmentBytes, 2 * segmentBytes, big - 1000]) {
      const to = advance(before, bytes);
      expect(await find(log, ends[0] ?? start, to), `${bytes} bytes`).toBe(before);
    }
  });

  it("is one when it is whole", async () => {
    expect(await find(log, ends[0] ?? start, after)).toBe(after);
    expect(await find(log, ends[0] ?? start, advance(after, 16))).toBe(after);
  });
});

it("is not taken from a segment whose first record is damaged", async () => {
  const { log, ends } = logOf(3, () => 900);
  const second = advance(start, segmentBytes);
  const whole = ends.findIndex((end) => end > second);
  // The first record that lies whole in the second segment.
  const at = bytesBetween(start, ends[whole] ?? start);
  log.bytes[at + 100] = (log.bytes[at + 100] ?? 0) ^ 1;
  expect(await find(log, ends[1] ?? start, advance(second, pageBytes))).toBe(ends[whole]);
});
