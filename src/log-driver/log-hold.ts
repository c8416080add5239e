import type { Rng } from "../base/rng.ts";

/** Log is kept back from a reader, as somebody has asked for, to see what becomes of it. */
export interface Holding {
  /** Of the pieces of log that come for it, from 0 to 100. */
  readonly percent: number;
  /** Milliseconds since 1970. */
  readonly untilMs: number;
}

/** Whether log is kept back now. It outlives the feeds of an instance, and ends by the clock of its process. */
export class LogHold {
  private current: { readonly holding: Holding; readonly endMs: number } | undefined;

  /** `now`: monotonic and since 1970. */
  begin(
    { percent, durationMs }: { readonly percent: number; readonly durationMs: number },
    now: { readonly nowMs: number; readonly wallMs: number },
  ): Holding {
    const holding = { percent, untilMs: Math.round(now.wallMs + durationMs) };
    this.current = { holding, endMs: now.nowMs + durationMs };
    return holding;
  }

  /** True: there was one. */
  end(): boolean {
    const was = this.current !== undefined;
    this.current = undefined;
    return was;
  }

  get holding(): Holding | undefined {
    return this.current?.holding;
  }

  /** True: it has just ended by itself. */
  takeEnded(nowMs: number): boolean {
    return this.current !== undefined && nowMs >= this.current.endMs && this.end();
  }

  /** Whether the piece of log at hand is kept back. */
  holds(nowMs: number, rng: Pick<Rng, "next">): boolean {
    const { current } = this;
    if (!current || nowMs >= current.endMs) return false;
    return rng.next() * 100 < current.holding.percent;
  }
}
