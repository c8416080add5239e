/** Of a total that some process counts since it began. */
export interface Counted {
  /** Another one of the same name has another; it counts from 0. */
  readonly process: string;
  readonly total: number;
}

/** Longer than who counts is asked anew. */
const quietMs = 15_000;
const longestMs = 3_600_000;

/** What comes in bursts is told once: when nothing more has come for a while, or after an hour. */
export class Gathered {
  private seen: Counted | undefined;
  private waiting: { count: number; readonly sinceMs: number; grewMs: number } | undefined;

  /** How many are to be told now; mostly 0. Undefined: nobody says. */
  look(counted: Counted | undefined, nowMs: number): number {
    if (counted) {
      const added = this.seen ? increase(this.seen, counted) : 0;
      this.seen = counted;
      if (added > 0) {
        this.waiting ??= { count: 0, sinceMs: nowMs, grewMs: nowMs };
        this.waiting.count += added;
        this.waiting.grewMs = nowMs;
      }
    }
    const { waiting } = this;
    if (!waiting) return 0;
    if (nowMs - waiting.grewMs < quietMs && nowMs - waiting.sinceMs < longestMs) return 0;
    this.waiting = undefined;
    return waiting.count;
  }
}

function increase(before: Counted, { process, total }: Counted): number {
  // Fewer than before: what was made whole there has been removed.
  return process === before.process ? Math.max(total - before.total, 0) : total;
}
