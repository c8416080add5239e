import type { Lsn } from "../base/lsn.ts";

interface Sample {
  readonly vdl: Lsn;
  readonly atMs: number;
}

/** More than thinning leaves of weeks; it is done when there are so many. */
const samplesMax = 256;
/** Thinned out, samples lie this part of their age from one another, or twice that. */
const agePerGap = 16;

/**
 * When VDL came to be where it is, so that a replay position can be said to be so long behind. The difference of two
 * positions cannot: a reader that is always a few records behind under load is not getting older.
 */
export class LagHistory {
  private samples: Sample[] = [];

  /** VDL is at `vdl` now. `nowMs`: monotonic. */
  note(vdl: Lsn, nowMs: number): void {
    const newest = this.samples.at(-1);
    // A backtrack set it back: what was before is of another path.
    if (newest && vdl < newest.vdl) this.samples = [];
    else if (newest?.vdl === vdl) return;
    this.samples.push({ vdl, atMs: nowMs });
    if (this.samples.length > samplesMax) this.thinOut(nowMs);
  }

  /**
   * For how many milliseconds, at least, there has been log beyond `replayed`; exact to the time between two notes. What
   * was thinned out makes it less, by an eighth.
   */
  lagMs(replayed: Lsn, nowMs: number): number {
    const beyond = this.samples.find(({ vdl }) => vdl > replayed);
    return beyond ? Math.max(0, nowMs - beyond.atMs) : 0;
  }

  private thinOut(nowMs: number): void {
    let keptMs = Number.NEGATIVE_INFINITY;
    this.samples = this.samples.filter(({ atMs }) => {
      const isNeeded = atMs - keptMs >= (nowMs - atMs) / agePerGap;
      if (isNeeded) keptMs = atMs;
      return isNeeded;
    });
  }
}
