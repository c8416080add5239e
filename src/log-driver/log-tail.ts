import { advance, bytesBetween, formatLsn, type Lsn, lsnMin } from "../base/lsn.ts";
import { segmentBytes, WalWalker } from "../wal/index.ts";
import type { DriverMeter } from "./driver-meter.ts";
import { LogRing, type RingView } from "./ring.ts";

/**
 * The log that PostgreSQL has sent in this epoch, from the epoch's start on: its newest part by content, its record
 * ends, and the law of section 8: a stream that begins again repeats its last bytes identically, or the epoch is over.
 */
export class LogTail {
  readonly start: Lsn;
  /** Of memory, at most. */
  readonly limitBytes: number;
  private readonly ring: LogRing;
  private readonly walker: WalWalker;
  /** Relative to `start`: where the next bytes of the stream lie. Behind the end while a new stream repeats. */
  private streamAt = 0;
  private endAt = 0;

  /** `start` is a record end. `meter`: told of each commit in what is taken. */
  constructor(start: Lsn, ringBytes: number, meter?: Pick<DriverMeter, "commitSeen">) {
    this.start = start;
    this.limitBytes = ringBytes;
    this.ring = new LogRing(start, ringBytes);
    const isSegmentStart = start % BigInt(segmentBytes) === 0n;
    this.walker = new WalWalker(
      { at: start, kind: isSegmentStart ? "segmentStart" : "recordEnd" },
      meter ? { onCommitTime: (timeMs) => meter.commitSeen(timeMs) } : {},
    );
  }

  get end(): Lsn {
    return advance(this.start, this.endAt);
  }
  /** Of the whole log since `start`. */
  get receivedBytes(): number {
    return this.endAt;
  }
  /** End of the last complete record, or `start`. */
  get recordEnd(): Lsn {
    return this.walker.recordEnd;
  }
  /** First LSN that is still in memory. */
  get heldFrom(): Lsn {
    return this.ring.start;
  }
  get sizeBytes(): number {
    return this.ring.sizeBytes;
  }

  /** Log below `to` is on every node. Record ends that PostgreSQL may be asked to repeat from are the caller's to keep. */
  trim(to: Lsn): void {
    this.ring.trim(lsnMin(to, this.end));
  }

  view(from: Lsn, to: Lsn): RingView | undefined {
    return this.ring.view(from, to);
  }

  /** A new stream begins at `from`, which is still held. */
  repeatFrom(from: Lsn): void {
    this.streamAt = bytesBetween(this.start, from);
  }

  /** Takes what the stream brings. Undefined: fine; else why this epoch cannot go on with it. */
  take(start: Lsn, bytes: Buffer): string | undefined {
    const at = bytesBetween(this.start, start);
    if (at !== this.streamAt) {
      const expected = formatLsn(advance(this.start, this.streamAt));
      return `PostgreSQL sent ${formatLsn(start)} where ${expected} was expected`;
    }
    this.streamAt += bytes.length;
    const repeated = Math.min(bytes.length, Math.max(0, this.endAt - at));
    if (repeated > 0 && !this.isRepeated(start, bytes.subarray(0, repeated))) {
      return `PostgreSQL's log differs at ${formatLsn(start)} from what it sent before`;
    }
    return repeated === bytes.length ? undefined : this.extend(bytes.subarray(repeated));
  }

  private extend(bytes: Buffer): string | undefined {
    this.ring.append(bytes);
    this.endAt += bytes.length;
    this.walker.push(bytes);
    const { failure } = this.walker;
    if (failure) return `PostgreSQL's log is broken at ${formatLsn(failure.at)}: ${failure.reason}`;
    if (this.walker.isPastEnd) return `PostgreSQL sent zeros behind ${formatLsn(this.recordEnd)}`;
    return undefined;
  }

  private isRepeated(start: Lsn, bytes: Buffer): boolean {
    let at = start;
    let done = 0;
    while (done < bytes.length) {
      const held = this.ring.view(at, advance(start, bytes.length))?.bytes;
      if (!held || held.length === 0) return false;
      if (held.compare(bytes, done, done + held.length) !== 0) return false;
      done += held.length;
      at = advance(at, held.length);
    }
    return true;
  }
}
