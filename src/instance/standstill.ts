/** Whoever judges asks more often, unless one of both is stopped. */
const askedEveryMs = 3_000;

/**
 * How long a promotion has come no nearer to its end, where nothing but its own PostgreSQL is to blame: its startup process
 * may hang alone, while all else of it answers. What waits for others is not timed.
 */
export class Standstill {
  private movedMs: number | undefined;
  private askedMs = Number.NEGATIVE_INFINITY;

  /** It has come nearer, or only its PostgreSQL has anything to do from here on; before `nowMs` it may stand still. */
  moved(nowMs: number): void {
    this.movedMs = Math.max(this.movedMs ?? nowMs, nowMs);
  }

  /**
   * For who judges, and asks often: without a quorum nothing can move, and one that was not asked for long may have been
   * stopped itself.
   */
  asked(nowMs: number, { hasQuorum }: { readonly hasQuorum: boolean }): number {
    const wasAway = nowMs - this.askedMs > askedEveryMs;
    this.askedMs = nowMs;
    if (this.movedMs !== undefined && (wasAway || !hasQuorum)) this.moved(nowMs);
    return this.ms(nowMs);
  }

  /** It is over, or waits for somebody else. */
  end(): void {
    this.movedMs = undefined;
  }

  ms(nowMs: number): number {
    return this.movedMs === undefined ? 0 : Math.max(0, nowMs - this.movedMs);
  }
}
