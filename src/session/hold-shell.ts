import type { Clock } from "../io/index.ts";
import type { SessionCounters } from "./session-counters.ts";

/** The waiting of somebody who comes in and finds no instance, counted from the first time that there is none. */
export class Hold {
  private readonly counters: SessionCounters;
  private readonly clock: Clock;
  private sinceMs: number | undefined;

  constructor({ counters, clock }: { readonly counters: SessionCounters; readonly clock: Clock }) {
    this.counters = counters;
    this.clock = clock;
  }

  begin(): void {
    if (this.sinceMs !== undefined) return;
    this.sinceMs = this.clock.nowMs();
    this.counters.holdBegun();
  }

  end(): void {
    if (this.sinceMs === undefined) return;
    this.counters.holdEnded(this.clock.nowMs() - this.sinceMs);
    this.sinceMs = undefined;
  }
}
