const againMs = 5_000;
const quickTries = 3;
const againMsMax = 300_000;

interface Failure {
  readonly count: number;
  readonly why: string;
  readonly againAtMs: number;
}

/**
 * What one writer has made so far, by name, and what it is to try again: soon at first, as a lock may be in the way, and then
 * less and less often, as what somebody has set up may stay.
 */
export class SurfaceBook {
  private readonly done = new Set<string>();
  private readonly failures = new Map<string, Failure>();

  /** `nowMs`: monotonic. */
  isDue(name: string, nowMs: number): boolean {
    return !this.done.has(name) && nowMs >= (this.failures.get(name)?.againAtMs ?? nowMs);
  }

  made(name: string): void {
    this.failures.delete(name);
    this.done.add(name);
  }

  /** Gives whether `why` is news. */
  failed(name: string, why: string, nowMs: number): boolean {
    const before = this.failures.get(name);
    const count = (before?.count ?? 0) + 1;
    const pauseMs = Math.min(againMs * 2 ** Math.max(0, count - quickTries), againMsMax);
    this.failures.set(name, { count, why, againAtMs: nowMs + pauseMs });
    return before?.why !== why;
  }
}
