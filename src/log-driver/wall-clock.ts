/** So many looks make one window; the last two are believed. */
const looksPerWindow = 64;
/** The wall clock was set back: what was known is of another time. */
const setBackMs = 2;

/**
 * The wall clock to some hundredths of a millisecond, from looks at one that tells whole milliseconds and at a fine one that
 * counts from some other moment: each look says that the distance of the two is its own or up to a millisecond more, so the
 * largest of many is nearly right.
 */
export class WallClock {
  private distanceMs = Number.NEGATIVE_INFINITY;
  private windowMs = Number.NEGATIVE_INFINITY;
  private looks = 0;

  note(nowMs: number, wallMs: number): void {
    const distanceMs = wallMs - nowMs;
    if (distanceMs < this.distanceMs - setBackMs) {
      this.distanceMs = distanceMs;
      this.windowMs = distanceMs;
      this.looks = 0;
      return;
    }
    this.windowMs = Math.max(this.windowMs, distanceMs);
    this.distanceMs = Math.max(this.distanceMs, distanceMs);
    if (++this.looks < looksPerWindow) return;
    // What the window before last has said is forgotten: the clocks may drift.
    this.distanceMs = this.windowMs;
    this.windowMs = Number.NEGATIVE_INFINITY;
    this.looks = 0;
  }

  /** Milliseconds since 1970 at this moment of the fine clock, which is not long from the last look. */
  at(nowMs: number): number {
    return nowMs + this.distanceMs;
  }
}
