import type { Exchange } from "./exchange.ts";
import type { SessionCounters } from "./session-counters.ts";

/**
 * How long commits of one session on a writer take, of those that are alone under way: what a client pipelines waits for what it
 * sent before. It costs two looks at the clock for each statement.
 */
export class CommitStopwatch {
  private readonly clock: { nowMs(): number };
  private isAlone = false;
  private sentMs = Number.NaN;
  private heardMs = Number.NaN;

  constructor(clock: { nowMs(): number }) {
    this.clock = clock;
  }

  /** The client has said something, which is not looked at yet. */
  arrived({ cycles, openBatch }: Pick<Exchange, "cycles" | "openBatch">): void {
    this.isAlone = cycles.length === 0 || (cycles.length === 1 && openBatch !== undefined);
    this.sentMs = Number.NaN;
  }

  /** Something goes to the server now. */
  sent(): void {
    if (this.isAlone) this.sentMs = this.clock.nowMs();
  }

  /** The server has said something, which may have to wait yet. */
  heard(): void {
    this.heardMs = this.clock.nowMs();
  }

  /** What it said ends a commit, and goes to the client now. */
  told(counters: Pick<SessionCounters, "committed">): void {
    const { sentMs, heardMs } = this;
    if (heardMs >= sentMs) counters.committed({ sentMs, heardMs, nowMs: this.clock.nowMs() });
  }
}
