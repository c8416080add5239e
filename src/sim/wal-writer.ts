import { crc32c } from "../base/crc32c.ts";
import type { Epoch, Timeline } from "../base/ids.ts";
import { type Lsn, lsnZero } from "../base/lsn.ts";
import { pageBytes, segmentBytes } from "../wal/index.ts";
import type { RecordBook } from "./record-book.ts";
import { lsnAt, offsetOf, origin } from "./spans.ts";

const longHeaderBytes = 40;
const shortHeaderBytes = 24;
const recordHeaderBytes = 24;
const magic = 0xd118;
const managerTransaction = 1;
const managerHeap = 10;
const dataShort = 255;

/** PostgreSQL as far as its log goes: page headers, records with CRCs and back links, commits with their time. */
export class WalWriter {
  private bytes: Buffer;
  private at: number;
  private previous: Lsn;
  private readonly epoch: Epoch;
  private readonly timeline: Timeline;
  private readonly book: RecordBook;

  /** `log`: what recovery replayed, [base, start). `previous`: where its last record begins. */
  constructor(options: {
    readonly log: Buffer;
    readonly base: Lsn;
    readonly start: Lsn;
    readonly previous: Lsn | undefined;
    readonly epoch: Epoch;
    readonly timeline: Timeline;
    readonly book: RecordBook;
  }) {
    const { log, base, start } = options;
    this.at = offsetOf(start);
    this.bytes = Buffer.alloc(this.at + 32 * 1024);
    log.copy(this.bytes, offsetOf(base));
    this.previous = options.previous ?? lsnZero;
    this.epoch = options.epoch;
    this.timeline = options.timeline;
    this.book = options.book;
  }

  get end(): Lsn {
    return lsnAt(this.at);
  }
  /** A borrowed view. */
  view(from: Lsn, to: Lsn): Buffer {
    return this.bytes.subarray(offsetOf(from), offsetOf(to));
  }

  /** Any record but a commit, of `length` bytes at least 24. */
  record(length: number, xid: number): Lsn {
    return this.write(Buffer.alloc(length, xid & 0xff), managerHeap, xid);
  }
  commit(xid: number, timeMs: number): Lsn {
    const record = Buffer.alloc(recordHeaderBytes + 2 + 8 + 16);
    record[recordHeaderBytes] = dataShort;
    record[recordHeaderBytes + 1] = 24;
    record.writeBigInt64LE(BigInt(Math.round(timeMs * 1000)), recordHeaderBytes + 2);
    return this.write(record, managerTransaction, xid);
  }

  private write(record: Buffer, manager: number, xid: number): Lsn {
    this.reserve(record.length);
    if (this.at % pageBytes === 0) this.pageHeader(0);
    const start = this.end;
    record.writeUInt32LE(record.length, 0);
    record.writeUInt32LE(xid, 4);
    record.writeBigUInt64LE(this.previous, 8);
    record.writeUInt16LE(0, 18);
    record[16] = 0;
    record[17] = manager;
    const body = crc32c(record, 0, recordHeaderBytes);
    record.writeUInt32LE(crc32c(record, body, 0, 20), 20);
    this.previous = start;
    for (let done = 0; done < record.length;) {
      if (this.at % pageBytes === 0) this.pageHeader(record.length - done);
      const room = pageBytes - (this.at % pageBytes);
      const taken = record.copy(this.bytes, this.at, done, Math.min(record.length, done + room));
      this.at += taken;
      done += taken;
    }
    this.at = (this.at + 7) & ~7;
    this.book.note(this.epoch, start, this.end);
    return this.end;
  }

  private pageHeader(remaining: number): void {
    const { bytes, at } = this;
    const isLong = (origin + BigInt(at)) % BigInt(segmentBytes) === 0n;
    const continues = remaining > 0 ? 1 : 0;
    bytes.writeUInt16LE(magic, at);
    bytes.writeUInt16LE(continues | (isLong ? 2 : 0), at + 2);
    bytes.writeUInt32LE(this.timeline, at + 4);
    bytes.writeBigUInt64LE(origin + BigInt(at), at + 8);
    bytes.writeUInt32LE(remaining, at + 16);
    if (isLong) {
      bytes.writeUInt32LE(segmentBytes, at + 32);
      bytes.writeUInt32LE(pageBytes, at + 36);
    }
    this.at += isLong ? longHeaderBytes : shortHeaderBytes;
  }

  private reserve(length: number): void {
    const needed = this.at + 2 * length + 8 * longHeaderBytes;
    if (needed <= this.bytes.length) return;
    const grown = Buffer.alloc(2 * needed);
    this.bytes.copy(grown);
    this.bytes = grown;
  }
}
