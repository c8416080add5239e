/**
 * Follows WAL from record to record, whatever the cuts between the pieces it is given, and says where the last
 * complete, CRC-valid record ends. Page headers lie inside records:
 *
 *   page                                  page
 *   | header | rec A | rec B | rec C ...  | header | ... rec C | pad | rec D
 *                            ^ boundary: a record end; at a page's end the boundary is the page's end itself
 *
 * A record may be larger than the memory budget, so nothing is collected: its CRC runs along (body first, then the
 * header, as PostgreSQL does it), and only the front of a record is kept when it is cut.
 * Positions are numbers relative to a segment's start: no bigint per record.
 */
import { assert } from "../base/assert.ts";
import { crc32c } from "../base/crc32c.ts";
import { bytesBetween, lsn, type Lsn, segmentStart } from "../base/lsn.ts";
import {
  findSizeFault,
  flagContinues,
  flagLongHeader,
  flagOverwrites,
  longHeaderBytes,
  pageBytes,
  type PageHeader,
  pageMagics,
  parsePageHeader,
  segmentBytes,
  shortHeaderBytes,
} from "./page.ts";
import {
  aligned,
  commitFrontBytes,
  commitTimeMs,
  crcOffset,
  findCommitTimeUs,
  isCommit,
  isSwitch,
  recordBytesMax,
  recordCrc,
  recordHeaderBytes,
  u32,
  u8,
} from "./record.ts";
import type { WalCommit, WalFailure, WalkerOptions, WalkStart } from "./walk.ts";

type Phase =
  // between records
  | "boundary"
  // inside a record that was cut by a page's end or a piece's end
  | "record"
  // inside a record whose beginning was never seen
  | "foreignRecord"
  // after XLOG_SWITCH, up to its segment's end
  | "switchPadding"
  // zeros where a record would begin: the log ends here
  | "ended"
  | "failed";

const word = 0x1_0000_0000;

export class WalWalker {
  private readonly origin: bigint;
  private readonly originLow: number;
  private readonly originHigh: number;
  private readonly onCommit: ((commit: WalCommit) => void) | undefined;
  private readonly onCommitTime: ((timeMs: number) => void) | undefined;
  private readonly isTrusted: boolean;
  private readonly pageHead = Buffer.alloc(longHeaderBytes);
  private readonly front = Buffer.alloc(commitFrontBytes);

  private phase: Phase = "boundary";
  private failed: WalFailure | undefined;
  private at: number;
  /** Bytes up to the page's end; 0: a page header comes next. */
  private pageLeft: number;
  private pageHeadBytes = 0;
  private magic = 0;
  private mayStartInside: boolean;
  /** The first record boundary that was met; -1: none yet. */
  private boundary: number;
  private lastEnd: number;
  /** Where the last valid record began, which the next one names; -1: unknown. */
  private previous = -1;

  // Of the record in phase "record" (and `left` of "foreignRecord"):
  private start = 0;
  private total = 0;
  private have = 0;
  private left = 0;
  private crc = 0;

  /** Raises InvariantBroken if `at` cannot be what `kind` says. */
  constructor(start: WalkStart, options: WalkerOptions = {}) {
    const origin = segmentStart(start.at, segmentBytes);
    this.origin = origin;
    this.originLow = Number(origin & 0xffff_ffffn);
    this.originHigh = Number(origin >> 32n);
    this.at = bytesBetween(origin, start.at);
    assert(this.at % 8 === 0, "records begin and end at multiples of 8");
    assert(start.kind === "recordEnd" || this.at === 0, "a segment start is at a segment's start");
    const inPage = this.at % pageBytes;
    const headerBytes = this.at < pageBytes ? longHeaderBytes : shortHeaderBytes;
    assert(inPage === 0 || inPage >= headerBytes, "no record ends inside a page header");
    this.pageLeft = inPage === 0 ? 0 : pageBytes - inPage;
    this.mayStartInside = start.kind === "segmentStart";
    this.boundary = start.kind === "recordEnd" ? this.at : -1;
    this.lastEnd = this.at;
    this.onCommit = options.onCommit;
    this.onCommitTime = options.onCommitTime;
    this.isTrusted = options.isTrusted ?? false;
  }

  /** End of the last complete, valid record, as PostgreSQL counts (its EndRecPtr). Before any: where the walk began. */
  get recordEnd(): Lsn {
    return this.lsnAt(this.lastEnd);
  }

  /**
   * The first record end that was met. Undefined only after a segment's start, while the record that an earlier
   * segment began has not ended; until then recordEnd is not a record end.
   */
  get firstBoundary(): Lsn | undefined {
    return this.boundary < 0 ? undefined : this.lsnAt(this.boundary);
  }

  /** End of the bytes given so far: where the next push has to start. */
  get position(): Lsn {
    return this.lsnAt(this.at);
  }

  /** What stopped the walk for good; bytes after it are ignored. */
  get failure(): WalFailure | undefined {
    return this.failed;
  }

  /** True after zeros where a record would begin, as in a local segment behind the log's end; the rest is ignored. */
  get isPastEnd(): boolean {
    return this.phase === "ended";
  }

  /** Takes the bytes that follow those of the push before. They are borrowed: nothing of them is kept. */
  push(bytes: Buffer): void {
    const end = bytes.length;
    let i = 0;
    while (i < end) {
      if (this.phase === "failed" || this.phase === "ended") {
        this.at += end - i;
        return;
      }
      if (this.phase === "switchPadding") i = this.skipSwitchPadding(i, end);
      else if (this.pageLeft === 0) i = this.takePageHeader(bytes, i, end);
      else i = this.takeFromPage(bytes, i, Math.min(end, i + this.pageLeft));
    }
  }

  /** Within one page and behind its header. Returns where it stopped. */
  private takeFromPage(bytes: Buffer, from: number, end: number): number {
    let i = from;
    switch (this.phase) {
      case "boundary":
        i = this.takeWholeRecords(bytes, from, end);
        break;
      case "record":
        i = this.takeCutRecord(bytes, from, end);
        break;
      default:
        i = Math.min(end, from + this.left);
        this.left -= i - from;
    }
    this.at += i - from;
    this.pageLeft -= i - from;
    if (this.phase === "foreignRecord" && this.left === 0) this.meetBoundary(this.at);
    else if (this.phase === "record" && this.total > 0 && this.have === aligned(this.total)) {
      this.finishCutRecord();
    }
    return i;
  }

  /** The fast way: records that lie whole in [from, end). Stops before the first that does not. */
  private takeWholeRecords(bytes: Buffer, from: number, end: number): number {
    const b = bytes as { readonly [index: number]: number };
    let i = from;
    while (end - i >= recordHeaderBytes) {
      const total = u32(b, i);
      if (total < recordHeaderBytes || total > end - i) break;
      const padded = aligned(total);
      if (padded > end - i) break;
      const start = this.at + (i - from);
      if (!this.checkHeader(b, i, start)) return i;
      if (!this.isTrusted && recordCrc(bytes, i, total) !== u32(b, i + crcOffset)) {
        this.failCrc(start, total);
        return i;
      }
      i += padded;
      const manager = u8(b, i - padded + 17);
      const info = u8(b, i - padded + 16);
      if (isCommit(manager, info)) {
        this.onCommitTime?.(commitTimeMs(b, i - padded));
        if (this.onCommit) this.reportCommit(bytes.subarray(i - padded, i), start + padded);
      }
      this.finish(start, start + padded, isSwitch(manager, info));
      // The padding of a switch is no record.
      if (this.phase !== "boundary") return i;
    }
    if (i < end) this.beginCutRecord(this.at + (i - from));
    return i;
  }

  private beginCutRecord(start: number): void {
    this.phase = "record";
    this.start = start;
    this.total = 0;
    this.have = 0;
    this.crc = 0;
  }

  /** A piece of a record that is cut by a page or by the caller: front kept, CRC taken along. */
  private takeCutRecord(bytes: Buffer, from: number, end: number): number {
    let i = from;
    while (i < end && this.have < recordHeaderBytes) {
      this.front[this.have++] = u8(bytes, i++);
      if (this.have === 4 && !this.startsWithLength(u32(this.front, 0))) return i;
      if (this.have === recordHeaderBytes && !this.checkHeader(this.front, 0, this.start)) return i;
    }
    if (i === end) return i;
    const stop = Math.min(end, i + Math.max(0, this.total - this.have));
    if (stop > i) {
      for (let k = 0; this.have + k < commitFrontBytes && i + k < stop; k++) {
        this.front[this.have + k] = u8(bytes, i + k);
      }
      if (!this.isTrusted) this.crc = crc32c(bytes, this.crc, i, stop);
      this.have += stop - i;
    }
    // Padding belongs to the record: an end is a multiple of 8.
    const padding = Math.min(end - stop, aligned(this.total) - this.have);
    this.have += padding;
    return stop + padding;
  }

  /** Judges a record's length word. False: there is no record. */
  private startsWithLength(total: number): boolean {
    this.total = total;
    if (total >= recordHeaderBytes && total <= recordBytesMax) return true;
    if (total === 0) this.phase = "ended";
    else this.fail(this.start, `a record of ${total} bytes`);
    return false;
  }

  private finishCutRecord(): void {
    const { front } = this;
    const isGood =
      this.isTrusted || crc32c(front, this.crc, 0, crcOffset) === u32(front, crcOffset);
    if (!isGood) {
      this.failCrc(this.start, this.total);
      return;
    }
    const manager = u8(front, 17);
    const info = u8(front, 16);
    if (isCommit(manager, info)) {
      this.onCommitTime?.(commitTimeMs(front, 0));
      if (this.onCommit)
        this.reportCommit(front.subarray(0, Math.min(this.total, commitFrontBytes)), this.at);
    }
    this.phase = "boundary";
    this.finish(this.start, this.at, isSwitch(manager, info));
  }

  private finish(start: number, end: number, endsSegment: boolean): void {
    this.previous = start;
    if (endsSegment && end % segmentBytes !== 0) this.phase = "switchPadding";
    else this.lastEnd = end;
  }

  private reportCommit(front: Buffer, end: number): void {
    const timeUs = findCommitTimeUs(front);
    if (timeUs === undefined) return;
    this.onCommit?.({
      previousEnd: this.recordEnd,
      end: this.lsnAt(end),
      timeUs,
      xid: front.readUInt32LE(4),
    });
  }

  /** A record names the one before it; stale bytes with a good CRC, as in a recycled segment, do not fit. */
  private checkHeader(b: { readonly [index: number]: number }, i: number, start: number): boolean {
    const low = u32(b, i + 8);
    const high = u32(b, i + 12);
    const isRight =
      this.previous >= 0
        ? this.isAt(this.previous, low, high)
        : high * word + low < this.originHigh * word + this.originLow + start;
    if (!isRight) this.fail(start, "a record that does not follow the one before it");
    return isRight;
  }

  private takePageHeader(bytes: Buffer, from: number, end: number): number {
    const size = this.at % segmentBytes < longHeaderBytes ? longHeaderBytes : shortHeaderBytes;
    const taken = Math.min(end - from, size - this.pageHeadBytes);
    bytes.copy(this.pageHead, this.pageHeadBytes, from, from + taken);
    this.pageHeadBytes += taken;
    this.at += taken;
    if (this.pageHeadBytes === size) {
      this.pageHeadBytes = 0;
      this.pageLeft = pageBytes - size;
      this.meetPage(parsePageHeader(this.pageHead), this.at - size);
    }
    return from + taken;
  }

  private meetPage(header: PageHeader, pageAt: number): void {
    if (header.magic === 0 && header.lsnLow === 0 && header.lsnHigh === 0) {
      this.phase = "ended";
      return;
    }
    const fault = this.findPageFault(header, pageAt);
    if (fault !== undefined) {
      this.fail(pageAt, fault);
      return;
    }
    this.magic = header.magic;
    if ((header.flags & flagOverwrites) !== 0) this.giveUpRecord(pageAt);
    else if ((header.flags & flagContinues) !== 0) this.goOnWithRecord(header, pageAt);
    else if (this.phase === "boundary") this.meetBoundary(pageAt);
    else this.fail(pageAt, "a page that does not go on with the record of the page before");
    this.mayStartInside = false;
  }

  private findPageFault(header: PageHeader, pageAt: number): string | undefined {
    const { magic } = header;
    if (!pageMagics.has(magic) || (this.magic !== 0 && magic !== this.magic)) {
      return `a page with the magic number ${magic.toString(16)}`;
    }
    if (!this.isAt(pageAt, header.lsnLow, header.lsnHigh)) return "a page with another page's LSN";
    const isLong = (header.flags & flagLongHeader) !== 0;
    const isFirst = pageAt % segmentBytes === 0;
    if (isLong !== isFirst) return "a page header of the wrong length";
    return isFirst ? findSizeFault(this.pageHead) : undefined;
  }

  private goOnWithRecord(header: PageHeader, pageAt: number): void {
    const { remainingBytes } = header;
    if (this.mayStartInside && remainingBytes <= recordBytesMax) {
      this.phase = "foreignRecord";
      this.left = aligned(remainingBytes);
      return;
    }
    let isRight = false;
    if (this.phase === "record") isRight = remainingBytes === this.total - this.have;
    else if (this.phase === "foreignRecord") isRight = aligned(remainingBytes) === this.left;
    if (!isRight) {
      this.fail(pageAt, `a page with ${remainingBytes} bytes that do not go on with its record`);
    }
  }

  /** Between records: at the end of one, or at a page's start, where one ended with the page before. */
  private meetBoundary(end: number): void {
    this.phase = "boundary";
    this.lastEnd = end;
    if (this.boundary < 0) this.boundary = end;
  }

  /** A record that was given up ends nowhere: the last end stays what it was, if there was one. */
  private giveUpRecord(pageAt: number): void {
    if (this.boundary < 0) this.meetBoundary(pageAt);
    else this.phase = "boundary";
  }

  private skipSwitchPadding(from: number, end: number): number {
    const left = segmentBytes - (this.at % segmentBytes);
    const taken = Math.min(left, end - from);
    this.at += taken;
    if (taken === left) {
      this.phase = "boundary";
      this.pageLeft = 0;
      this.lastEnd = this.at;
    }
    return from + taken;
  }

  private failCrc(at: number, total: number): void {
    this.fail(at, `the CRC of a record of ${total} bytes does not match`);
  }

  private fail(at: number, reason: string): void {
    this.phase = "failed";
    this.failed = { at: this.lsnAt(at), reason };
  }

  private isAt(relative: number, low: number, high: number): boolean {
    const sum = this.originLow + relative;
    return sum % word === low && this.originHigh + Math.floor(sum / word) === high;
  }

  private lsnAt(relative: number): Lsn {
    return lsn(this.origin + BigInt(relative));
  }
}
