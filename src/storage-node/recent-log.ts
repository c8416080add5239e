import type { Epoch, Timeline } from "../base/ids.ts";
import { advance, bytesBetween, type Lsn, lsnMin } from "../base/lsn.ts";
import type { Run } from "../quorum/index.ts";
import type { SharedLog } from "./shared-log.ts";

/** Log that was just written and synced, in memory: one piece of one epoch. */
export interface RecentPiece {
  readonly lsn: Lsn;
  readonly epoch: Epoch;
  readonly timeline: Timeline;
  /** Nobody writes to it. */
  readonly bytes: Uint8Array;
}

/** So much of it waits for the main thread at most, and as much is kept there. */
export const recentBytesMax = 1024 * 1024;

/**
 * The end of the log as it came, for who follows it: whoever reads it from the files has it read and decrypted again, for
 * each frame, by another thread. Contiguous; what does not follow what is here begins anew.
 */
export class RecentLog {
  private pieces: RecentPiece[] = [];
  private bytes = 0;
  private readonly shared: SharedLog;

  constructor(shared: SharedLog) {
    this.shared = shared;
  }

  /** Synced log that a worker has told of; `cuts` is what SharedLog had for it while the worker had the grant. */
  add(pieces: readonly RecentPiece[], cuts: number): void {
    this.shared.addRecent(-bytesOf(pieces));
    // Else it may be what was cut off, and told of late.
    if (cuts === this.shared.cuts) for (const piece of pieces) this.addPiece(piece);
  }

  private addPiece(piece: RecentPiece): void {
    const { bytes } = piece;
    if (bytes.length === 0) return;
    const isLog = endOf(piece) <= this.shared.scl;
    if (!isLog || this.end !== piece.lsn) this.clear();
    if (!isLog) return;
    this.pieces.push(piece);
    this.bytes += bytes.length;
    while (this.bytes > recentBytesMax && this.pieces.length > 1)
      this.bytes -= this.pieces.shift()?.bytes.length ?? 0;
  }

  /** The log is cut: by the holder of the grant. */
  cut(): void {
    this.shared.cuts++;
    this.clear();
  }

  private clear(): void {
    this.pieces = [];
    this.bytes = 0;
  }

  /**
   * Log from `from` on, as far as it is here, up to `to` and `limitBytes`; runs are contiguous, of one epoch each, views that nobody
   * writes to. None: that it begins with is not here.
   */
  read({ from, to, limitBytes }: { from: Lsn; to: Lsn; limitBytes: number }): Run[] {
    // Who keeps up reads the last one, of thousands.
    const first = this.pieces.findLastIndex((piece) => piece.lsn <= from);
    const begin = this.pieces[first];
    if (!begin || endOf(begin) <= from) return [];
    const groups: { epoch: Epoch; timeline: Timeline; parts: Uint8Array[] }[] = [];
    let at = from;
    let left = limitBytes;
    for (let index = first; index < this.pieces.length; index++) {
      const piece = this.pieces[index] ?? begin;
      const until = lsnMin(endOf(piece), to);
      if (until <= at || left <= 0) break;
      const skip = bytesBetween(piece.lsn, at);
      const count = Math.min(bytesBetween(at, until), left);
      const { epoch, timeline } = piece;
      const last = groups.at(-1);
      const part = piece.bytes.subarray(skip, skip + count);
      if (last?.epoch === epoch && last.timeline === timeline) last.parts.push(part);
      else groups.push({ epoch, timeline, parts: [part] });
      at = advance(at, count);
      left -= count;
    }
    return groups.map(({ epoch, timeline, parts }) => {
      return { epoch, timeline, bytes: joined(parts) };
    });
  }

  /** True: log from `from` on is synced and on its way here; somebody is told when it comes. */
  awaits(from: Lsn): boolean {
    const { end } = this;
    return end !== undefined && from >= end && this.shared.recentBytes > 0;
  }

  private get end(): Lsn | undefined {
    const last = this.pieces.at(-1);
    return last && endOf(last);
  }
}

export function bytesOf(pieces: readonly RecentPiece[]): number {
  return pieces.reduce((sum, { bytes }) => sum + bytes.length, 0);
}

function endOf({ lsn, bytes }: RecentPiece): Lsn {
  return advance(lsn, bytes.length);
}

function joined(parts: readonly Uint8Array[]): Buffer {
  const [first] = parts;
  if (parts.length !== 1 || !first) return Buffer.concat(parts);
  return Buffer.from(first.buffer, first.byteOffset, first.length);
}
