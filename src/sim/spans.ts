import type { Epoch, Timeline } from "../base/ids.ts";
import { type Lsn, lsn, lsnMin } from "../base/lsn.ts";
import type { Run } from "../quorum/index.ts";

/** First LSN of every simulated volume: the start of a WAL segment. */
export const origin = lsn(0x100_0000n);

export function offsetOf(at: Lsn): number {
  return Number(at - origin);
}
export function lsnAt(offset: number): Lsn {
  return lsn(origin + BigInt(offset));
}

export interface Span {
  readonly to: Lsn;
  readonly epoch: Epoch;
  readonly timeline: Timeline;
}

/** Log in memory: bytes by LSN, and which epoch wrote them. */
export class ByteLog {
  private bytes = Buffer.alloc(32 * 1024);
  private spanList: Span[] = [];
  private baseLsn: Lsn;

  constructor(base: Lsn) {
    this.baseLsn = base;
  }

  get base(): Lsn {
    return this.baseLsn;
  }
  get end(): Lsn {
    return this.spanList.at(-1)?.to ?? this.baseLsn;
  }
  get spans(): readonly Span[] {
    return this.spanList;
  }

  append(piece: {
    readonly epoch: Epoch;
    readonly timeline: Timeline;
    readonly bytes: Uint8Array;
  }): void {
    const { epoch, timeline, bytes } = piece;
    if (bytes.length === 0) return;
    const at = offsetOf(this.end);
    if (at + bytes.length > this.bytes.length) {
      const grown = Buffer.alloc(2 * (at + bytes.length));
      this.bytes.copy(grown);
      this.bytes = grown;
    }
    this.bytes.set(bytes, at);
    const to = lsnAt(at + bytes.length);
    const last = this.spanList.at(-1);
    if (last && last.epoch === epoch && last.timeline === timeline) this.spanList.pop();
    this.spanList.push({ to, epoch, timeline });
  }

  /** A borrowed view. */
  view(from: Lsn, to: Lsn): Buffer {
    return this.bytes.subarray(offsetOf(from), offsetOf(to));
  }

  spanAt(at: Lsn): Span | undefined {
    return this.spanList.find((span) => at < span.to);
  }

  /** Copies: what a message carries must not change when the log is cut. */
  runs(from: Lsn, to: Lsn): Run[] {
    const runs: Run[] = [];
    let at = from;
    for (const span of this.spanList) {
      if (span.to <= at) continue;
      if (at >= to) break;
      const end = lsnMin(span.to, to);
      const { epoch, timeline } = span;
      runs.push({ epoch, timeline, bytes: Buffer.from(this.view(at, end)) });
      at = end;
    }
    return runs;
  }

  cut(to: Lsn): void {
    const kept: Span[] = [];
    let from = this.baseLsn;
    for (const span of this.spanList) {
      if (from >= to) break;
      kept.push({ ...span, to: lsnMin(span.to, to) });
      from = span.to;
    }
    this.spanList = kept;
  }

  trim(base: Lsn): void {
    if (base <= this.baseLsn) return;
    this.baseLsn = base;
    this.spanList = this.spanList.filter((span) => span.to > base);
  }

  rebase(base: Lsn): void {
    this.baseLsn = base;
    this.spanList = [];
  }
}
