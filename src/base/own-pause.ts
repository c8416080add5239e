/**
 * Moments in which we did not run ourselves, which are nobody's silence. Pure: looked at again and again, on our own clock, in
 * milliseconds.
 */
export class OwnPause {
  private readonly stepMs: number;
  private lookedMs: number;

  /** `stepMs`: how often it is meant to be looked at. */
  constructor({ stepMs, nowMs }: { readonly stepMs: number; readonly nowMs: number }) {
    this.stepMs = stepMs;
    this.lookedMs = nowMs;
  }

  /** How long we did not run since the last look; a step more than is meant is none. */
  since(nowMs: number): number {
    const lateMs = nowMs - this.lookedMs - this.stepMs;
    this.lookedMs = nowMs;
    return lateMs > this.stepMs ? lateMs : 0;
  }
}
