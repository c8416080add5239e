import type { EventQueue } from "./event-queue.ts";

/** A process's monotonic clock: begins anywhere, and runs at its own rate. */
export class SimClock {
  private readonly queue: EventQueue;
  private readonly offsetMs: number;
  /** 1.02: two per cent fast. */
  readonly rate: number;

  constructor(queue: EventQueue, offsetMs: number, rate: number) {
    this.queue = queue;
    this.offsetMs = offsetMs;
    this.rate = rate;
  }

  get nowMs(): number {
    return this.offsetMs + this.queue.nowMs * this.rate;
  }

  /** Milliseconds of the world until this clock shows `atMs`. */
  until(atMs: number): number {
    return Math.max(0, (atMs - this.nowMs) / this.rate);
  }
}
