import { addressKey, FailureBook, type FailureLimits, type Ticket } from "../access/index.ts";
import type { Clock, Timer } from "../io/index.ts";

/** Whose turn it is to have a password checked; who guesses waits for it, and for the answer. */
export class PasswordTurns {
  private readonly clock: Clock;
  private readonly book: FailureBook;
  private readonly waiting = new Map<Ticket, () => void>();
  private timer: Timer | undefined;
  /** Wrong passwords whose answer was delayed. */
  slowedCount = 0;

  constructor(clock: Clock, limits: FailureLimits) {
    this.clock = clock;
    this.book = new FailureBook(limits);
  }

  /** For whoever is at `address`. `mayGo` comes true with its turn; `end` is to be called in any case. */
  ask(address: string): PasswordTurn {
    const ticket: Ticket = { address: addressKey(address) };
    const { book, clock } = this;
    const mayGo = book.ask(ticket, clock.nowMs())
      ? Promise.resolve()
      : new Promise<void>((resolve) => this.waiting.set(ticket, resolve));
    this.settle();
    let isOver = false;
    const end = (how: "right" | "wrong" | "left"): number => {
      if (isOver) return 0;
      isOver = true;
      this.waiting.delete(ticket);
      const delayMs = book.end(ticket, how, clock.nowMs());
      if (delayMs > 0) this.slowedCount++;
      this.settle();
      return delayMs;
    };
    return { mayGo, end };
  }

  close(): void {
    this.timer?.cancel();
  }

  private settle(): void {
    if (this.waiting.size === 0) return;
    const nowMs = this.clock.nowMs();
    const { go, wakeAtMs } = this.book.settle(nowMs);
    for (const ticket of go) {
      this.waiting.get(ticket)?.();
      this.waiting.delete(ticket);
    }
    this.timer?.cancel();
    this.timer =
      wakeAtMs === undefined
        ? undefined
        : this.clock.after(Math.max(1, wakeAtMs - nowMs), () => this.settle());
  }
}

export interface PasswordTurn {
  readonly mayGo: Promise<void>;
  /** How it went; after how many milliseconds the client is to be told. Only the first call counts. */
  readonly end: (how: "right" | "wrong" | "left") => number;
}
