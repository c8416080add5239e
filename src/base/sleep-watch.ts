/** Coarser than the clock that is read, and far shorter than any lease. */
const jumpMs = 50;

/**
 * Notices that the machine slept, from two clocks of which one stands still then. What was promised for some
 * milliseconds before is promised no more.
 */
export class SleepWatch {
  private aheadMs: number;

  constructor(nowMs: number, awakeOrAsleepMs: number) {
    this.aheadMs = awakeOrAsleepMs - nowMs;
  }

  /** True if it slept since the last look. */
  look(nowMs: number, awakeOrAsleepMs: number): boolean {
    const aheadMs = awakeOrAsleepMs - nowMs;
    const hasJumped = Math.abs(aheadMs - this.aheadMs) > jumpMs;
    // Otherwise kept: small steps must not add up unseen.
    if (hasJumped) this.aheadMs = aheadMs;
    return hasJumped;
  }
}
