import type { Clock, Timer } from "../../src/io/index.ts";

interface Due {
  readonly atMs: number;
  readonly fn: () => void;
}

/** A clock that stands still while anybody has something to do, and then goes on to the next timer at once. */
export class VirtualClock implements Clock {
  private readonly due = new Set<Due>();
  private now = 0;

  nowMs(): number {
    return this.now;
  }

  awakeOrAsleepMs(): number {
    return this.now;
  }

  wallMs(): number {
    return this.now;
  }

  after(delayMs: number, fn: () => void): Timer {
    const timer = { atMs: this.now + delayMs, fn };
    this.due.add(timer);
    return { cancel: () => this.due.delete(timer) };
  }

  /** Nobody runs for so long: what was due meanwhile comes late. */
  standStill(ms: number): void {
    this.now += ms;
  }

  /** Time goes by, whatever anybody does, and what is due is called in its order. */
  passBy(ms: number): void {
    const endMs = this.now + ms;
    for (;;) {
      const next = [...this.due].toSorted((a, b) => a.atMs - b.atMs)[0];
      if (!next || next.atMs > endMs) break;
      this.due.delete(next);
      this.now = Math.max(this.now, next.atMs);
      next.fn();
    }
    this.now = endMs;
  }

  /** Time goes by until `work` has come to its end; gives or raises what that is. Raises after `withinMs`. */
  async during<T>(work: Promise<T>, withinMs = 600_000): Promise<T> {
    const endMs = this.now + withinMs;
    let isOver = false;
    void work.then(
      () => (isOver = true),
      () => (isOver = true),
    );
    for (;;) {
      // All that is ready runs before this does.
      await new Promise((resolve) => setImmediate(resolve));
      if (isOver) return work;
      const next = [...this.due].toSorted((a, b) => a.atMs - b.atMs)[0];
      if (!next || next.atMs > endMs) throw new Error(`nothing comes of it within ${withinMs} ms`);
      this.due.delete(next);
      this.now = Math.max(this.now, next.atMs);
      next.fn();
    }
  }
}
