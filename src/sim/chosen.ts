import type { Epoch, Timeline } from "../base/ids.ts";
import { type Lsn, lsnMin } from "../base/lsn.ts";
import type { Run } from "../quorum/index.ts";
import { ByteLog, origin } from "./spans.ts";

interface Removed {
  readonly log: ByteLog;
  /** The backtrack that removed what lies above its start. */
  readonly by: Epoch;
  readonly start: Lsn;
}

/** What was acknowledged at each LSN, in bytes; and what was, before backtracks removed it. */
export class Chosen {
  /** Grows with every removal: what was compared before must be compared again. */
  version = 0;
  private log = new ByteLog(origin);
  private readonly removed: Removed[] = [];

  /** First LSN that is not chosen. */
  get end(): Lsn {
    return this.log.end;
  }
  view(from: Lsn, to: Lsn): Buffer {
    return this.log.view(from, to);
  }
  extend(piece: {
    readonly epoch: Epoch;
    readonly timeline: Timeline;
    readonly bytes: Uint8Array;
  }): void {
    this.log.append(piece);
  }

  /** A backtrack opened. */
  shrink(to: Lsn, by: Epoch): void {
    const before = this.log;
    const isKept = to >= this.end;
    // Also where nothing was chosen yet: what an older epoch acknowledges late beyond `to` is what was removed.
    this.removed.push({ log: before, by, start: to });
    this.log = copyOf(before, to);
    if (!isKept) this.version++;
  }

  /**
   * An older epoch's last acknowledgements may arrive when a backtrack has opened below them: what they are of has been
   * removed before anybody knew of it, and its readers may still be told.
   */
  noteLate(epoch: Epoch, to: Lsn, runsOf: (from: Lsn) => readonly Run[]): void {
    for (const { log, by, start } of this.removed) {
      if (by <= epoch || start >= to || log.end >= to) continue;
      for (const run of runsOf(log.end)) log.append(run);
    }
  }

  /** True if a backtrack that `epoch` has not met has removed something below `to`. */
  isRemoved(to: Lsn, epoch: Epoch): boolean {
    return this.removed.some(({ by, start }) => by > epoch && start < to);
  }

  /** True if these bytes from `from` on are chosen, or were before a backtrack that epoch `seen` has not met. */
  holds(from: Lsn, bytes: Buffer, seen: Epoch): boolean {
    const to = (from + BigInt(bytes.length)) as Lsn; // below 2^64: it is log
    if (to <= this.end && this.view(from, to).equals(bytes)) return true;
    return this.removed.some(
      ({ log, by }) => by > seen && to <= log.end && log.view(from, to).equals(bytes),
    );
  }

  /** How far `log` agrees with what is chosen, in epochs and bytes, looked at from `from` to `to`. */
  agreement(log: ByteLog, from: Lsn, to: Lsn): Lsn {
    const limit = lsnMin(to, this.end);
    if (limit <= from) return from;
    const end = this.sameEpochs(log, from, limit);
    const ours = this.view(from, end);
    const theirs = log.view(from, end);
    if (ours.equals(theirs)) return end;
    let at = 0;
    while (ours[at] === theirs[at]) at++;
    return (from + BigInt(at)) as Lsn; // between two LSNs
  }

  private sameEpochs(log: ByteLog, from: Lsn, limit: Lsn): Lsn {
    let at = from;
    while (at < limit) {
      const ours = this.log.spanAt(at);
      const theirs = log.spanAt(at);
      if (!ours || !theirs || ours.epoch !== theirs.epoch) return at;
      at = lsnMin(ours.to, theirs.to);
    }
    return limit;
  }
}

function copyOf(log: ByteLog, to: Lsn): ByteLog {
  const copy = new ByteLog(origin);
  let at = origin;
  for (const span of log.spans) {
    const end = lsnMin(span.to, to);
    if (end <= at) break;
    copy.append({ ...span, bytes: log.view(at, end) });
    at = end;
  }
  return copy;
}
