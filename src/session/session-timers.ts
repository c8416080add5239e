import type { Clock, Timer } from "../io/index.ts";

/** What is asked of an idle session is not worth its while earlier. */
const readLaterMs = 50;

/** The timers of one session while it has a server. */
export class SessionTimers {
  private readonly clock: Clock;
  private commit: Timer | undefined;
  private reading: Timer | undefined;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** In a while, once. */
  readLater(read: () => void): void {
    this.reading ??= this.clock.after(readLaterMs, () => {
      this.reading = undefined;
      read();
    });
  }

  /** In place of the one before; 0: none. */
  setCommit(timeoutMs: number, onTimeout: () => void): void {
    this.commit?.cancel();
    this.commit = timeoutMs > 0 ? this.clock.after(timeoutMs, onTimeout) : undefined;
  }

  cancel(): void {
    this.commit?.cancel();
    this.reading?.cancel();
  }
}
