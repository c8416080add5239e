/** Log made by hand. */
import { crc32c } from "../../src/base/crc32c.ts";
import { lsn, type Lsn } from "../../src/base/lsn.ts";
import { pageBytes, segmentBytes } from "../../src/wal/index.ts";

export interface CommitForm {
  readonly isPrepared?: boolean;
  readonly hasOrigin?: boolean;
  readonly hasTopLevel?: boolean;
  /** Of subtransactions, dropped files and the like, behind the time. */
  readonly moreBytes?: number;
}

/** Writes pages and records as PostgreSQL does, to build what real logs hold too rarely. */
export class LogBuilder {
  readonly bytes: Buffer;
  readonly start: bigint;
  at: number;
  previous = 0n;

  constructor(start: bigint, pages: number, inPage = 0) {
    this.start = start;
    this.bytes = Buffer.alloc(pages * pageBytes);
    for (let p = 0; p < pages; p++) this.page(p, 0);
    this.at = inPage;
  }

  page(number: number, flags: number, remaining = 0): void {
    const at = number * pageBytes;
    const isLong = (this.start + BigInt(at)) % BigInt(segmentBytes) === 0n;
    this.bytes.writeUInt16LE(0xd118, at);
    this.bytes.writeUInt16LE(flags | (isLong ? 2 : 0), at + 2);
    this.bytes.writeUInt32LE(1, at + 4);
    this.bytes.writeBigUInt64LE(this.start + BigInt(at), at + 8);
    this.bytes.writeUInt32LE(remaining, at + 16);
    if (isLong) {
      this.bytes.writeUInt32LE(segmentBytes, at + 32);
      this.bytes.writeUInt32LE(pageBytes, at + 36);
    }
  }

  private skipHeader(): void {
    if (this.at % pageBytes !== 0) return;
    this.at += (this.start + BigInt(this.at)) % BigInt(segmentBytes) === 0n ? 40 : 24;
  }

  /** Appends a record of `length` bytes, of which `data` are the first after its header; returns its end. */
  record(length: number, info = 0, manager = 9, data: Buffer = Buffer.alloc(0)): Lsn {
    this.skipHeader();
    const record = Buffer.alloc(length, 0x5a);
    record.writeUInt32LE(length, 0);
    record.writeUInt32LE(7, 4);
    record.writeBigUInt64LE(this.previous, 8);
    record.writeUInt8(info, 16);
    record.writeUInt8(manager, 17);
    record.writeUInt16LE(0, 18);
    data.copy(record, 24);
    record.writeUInt32LE(crc32c(record, crc32c(record, 0, 24), 0, 20), 20);
    this.previous = this.start + BigInt(this.at);
    for (let done = 0; done < length;) {
      if (this.at % pageBytes === 0) {
        this.page(this.at / pageBytes, 1, length - done);
        this.skipHeader();
      }
      const room = pageBytes - (this.at % pageBytes);
      const taken = record.copy(this.bytes, this.at, done, done + Math.min(room, length - done));
      this.at += taken;
      done += taken;
    }
    this.at = (this.at + 7) & ~7;
    return this.end;
  }

  /** Appends a commit as XactLogCommitRecord makes it; `timeUs` since 1970. Returns its end. */
  commit(timeUs: bigint, form: CommitForm = {}): Lsn {
    const { isPrepared = false, hasOrigin = false, hasTopLevel = false, moreBytes = 0 } = form;
    const data: number[] = [];
    if (hasOrigin) data.push(253, 1, 0);
    if (hasTopLevel) data.push(252, 9, 0, 0, 0);
    const main = 8 + moreBytes;
    if (main <= 255) data.push(255, main);
    else data.push(254, main & 255, (main >> 8) & 255, main >> 16, 0);
    const time = Buffer.alloc(8);
    time.writeBigInt64LE(timeUs - 946_684_800_000_000n);
    const front = Buffer.concat([Buffer.from(data), time]);
    // 0x80: more follows the time (xinfo).
    const info = (isPrepared ? 0x30 : 0) | (moreBytes > 0 ? 0x80 : 0);
    return this.record(24 + front.length + moreBytes, info, 1, front);
  }

  /** Everything written so far. */
  get written(): Buffer {
    return this.bytes.subarray(0, this.at);
  }

  get end(): Lsn {
    return lsn(this.start + BigInt(this.at));
  }
}
