import type { Lsn } from "../base/lsn.ts";
import type { DriverCounts } from "./driver-figures.ts";
import { WallClock } from "./wall-clock.ts";

/** Beyond so many reads that wait for the quorum no more are measured: it is away, and what waits is the same everywhere. */
const waitingMax = 4_096;

/**
 * How long commits wait, and for what (driver-figures.ts). A read from PostgreSQL's socket may bring many; they go on together:
 *
 *     arrived ─▶ commitSeen … ─▶ received ─▶ sent (to the first node) ─▶ durable (a write quorum has it)
 *
 * Reads are kept in columns of numbers, as a ring: nothing is allocated for a commit.
 */
export class DriverMeter {
  private readonly counts: DriverCounts;
  private readonly wall = new WallClock();
  private readonly ends = new Float64Array(waitingMax);
  private readonly arrivals = new Float64Array(waitingMax);
  private readonly sends = new Float64Array(waitingMax);
  private readonly commits = new Uint32Array(waitingMax);
  /** Reads by number, from the first one on: [first, unsent) were sent, [unsent, next) were not. */
  private first = 0;
  private unsent = 0;
  private next = 0;
  /** Of the read at hand. */
  private arrivedMs = 0;
  private isReading = false;
  private commitsSeen = 0;
  private lastEnd = 0;
  private lastBytes = 0;

  constructor(counts: DriverCounts) {
    this.counts = counts;
  }

  /** To know the wall clock as finely as commit records have it. */
  noteClocks(nowMs: number, wallMs: number): void {
    this.wall.note(nowMs, wallMs);
  }

  /** A read has come, and is looked at now. */
  arrived(nowMs: number, wallMs: number): void {
    this.wall.note(nowMs, wallMs);
    this.arrivedMs = nowMs;
    this.isReading = true;
  }

  /** It has a commit that PostgreSQL made at this time, milliseconds since 1970; NaN: it is not known when. */
  commitSeen(timeMs: number): void {
    // Log that a backtrack had left behind, and its undo brings back, is no news.
    if (!this.isReading) return;
    this.commitsSeen++;
    this.counts.addCommit();
    if (Number.isNaN(timeMs)) return;
    const waitedMs = this.wall.at(this.arrivedMs) - timeMs;
    this.counts.parts.postgresql.observe(Math.max(0, waitedMs));
  }

  /** It has brought log up to `recordEnd`, the end of the last whole record in it; all that came in this epoch is so many bytes. */
  received(recordEnd: Lsn, bytes: number): void {
    this.isReading = false;
    this.counts.addLog(bytes - this.lastBytes);
    this.lastBytes = bytes;
    const end = Number(recordEnd);
    const commits = this.commitsSeen;
    this.commitsSeen = 0;
    if (commits === 0 || end <= this.lastEnd || this.next - this.first >= waitingMax) return;
    this.lastEnd = end;
    const at = this.next++ % waitingMax;
    this.ends[at] = end;
    this.arrivals[at] = this.arrivedMs;
    this.commits[at] = commits;
  }

  /** A node is sent log up to here; the clock is looked at if it is the first one. */
  sent(to: Lsn, clock: { nowMs(): number }): void {
    if (this.unsent === this.next) return;
    const end = Number(to);
    if ((this.ends[this.unsent % waitingMax] ?? 0) > end) return;
    const nowMs = clock.nowMs();
    for (; this.unsent < this.next; this.unsent++) {
      const at = this.unsent % waitingMax;
      if ((this.ends[at] ?? 0) > end) return;
      this.sends[at] = nowMs;
    }
  }

  /** A write quorum has log up to `vdl`, and PostgreSQL was told. */
  durable(vdl: Lsn, nowMs: number): void {
    const end = Number(vdl);
    const { durable, parts } = this.counts;
    for (; this.first < this.next; this.first++) {
      const at = this.first % waitingMax;
      if ((this.ends[at] ?? 0) > end) break;
      const arrivedMs = this.arrivals[at] ?? nowMs;
      // A quorum may have got it from others.
      const sentMs = this.first < this.unsent ? (this.sends[at] ?? nowMs) : nowMs;
      const commits = this.commits[at] ?? 0;
      durable.observe(nowMs - arrivedMs, commits);
      parts.driver.observe(sentMs - arrivedMs, commits);
      parts.nodes.observe(nowMs - sentMs, commits);
    }
    this.unsent = Math.max(this.unsent, this.first);
  }

  /** Another PostgreSQL streams, or the same again, where so much of this epoch's log is here: what waited is not measured. */
  begin(bytes: number): void {
    this.first = this.unsent = this.next = 0;
    this.commitsSeen = 0;
    this.isReading = false;
    this.lastEnd = 0;
    this.lastBytes = bytes;
  }
}
