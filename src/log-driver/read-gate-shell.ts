import { BorealisError, sqlState } from "../base/errors.ts";
import type { Clock } from "../io/index.ts";
import type { SharedProgress } from "./progress.ts";

interface Waiter {
  /** Undefined: it waits for a lease. */
  readonly round: number | undefined;
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * What the driver's machine says of the gates of reads on the writer (section 14), for those who wait for it. A lease
 * is published as a moment; whether it holds is for the reader of that moment to say.
 */
export class ReadGate {
  private readonly clock: Clock;
  private readonly progress: SharedProgress;
  /** Begins a round and gives its number; 0 when no epoch is held. */
  private readonly beginRound: () => number;
  private waiters: Waiter[] = [];
  private ended: BorealisError | undefined;

  constructor(clock: Clock, progress: SharedProgress, beginRound: () => number) {
    this.clock = clock;
    this.progress = progress;
    this.beginRound = beginRound;
    progress.leaseUntilMs = 0;
  }

  noteLease(untilMs: number): void {
    const isLonger = untilMs > this.progress.leaseUntilMs;
    this.progress.leaseUntilMs = untilMs;
    if (isLonger) this.settle((waiter) => waiter.round === undefined);
  }

  noteRound(round: number): void {
    this.settle((waiter) => waiter.round !== undefined && waiter.round <= round);
  }

  /** Resolves when a round that begins now, or a later one, is confirmed. Raises 57P03 when the epoch ends first. */
  untilRound(): Promise<void> {
    // Of an epoch that is not open yet no round is ever confirmed, and the first one is 1.
    return this.wait(Math.max(1, this.beginRound()));
  }

  /** Resolves at the next lease; at once if there is one. Raises 57P03 when the epoch ends first. */
  untilLeased(): Promise<void> {
    const hasLease = this.clock.nowMs() < this.progress.leaseUntilMs;
    return hasLease ? Promise.resolve() : this.wait(undefined);
  }

  /** The epoch is over: there is neither lease nor round any more. */
  end(reason: string): void {
    this.progress.leaseUntilMs = 0;
    this.ended = new BorealisError(sqlState.cannotConnectNow, `no reads any more: ${reason}`);
    const { waiters } = this;
    this.waiters = [];
    for (const waiter of waiters) waiter.reject(this.ended);
  }

  private wait(round: number | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.ended) reject(this.ended);
      else this.waiters.push({ round, resolve, reject });
    });
  }

  private settle(isServed: (waiter: Waiter) => boolean): void {
    const served = this.waiters.filter((waiter) => isServed(waiter));
    if (served.length === 0) return;
    this.waiters = this.waiters.filter((waiter) => !isServed(waiter));
    for (const waiter of served) waiter.resolve();
  }
}
