import { Histogram, type HistogramFigures } from "../base/histogram.ts";
import type { Clock } from "../io/index.ts";

/**
 * What the start of a writer is made of, in this order. `claim`: the volume is taken. `recovery`: PostgreSQL has come to where the
 * epoch begins, that is open, and a reader is promoted. `attachment`: the log driver streams, and what PostgreSQL wrote on
 * its way is durable.
 */
export const startPhases = ["claim", "recovery", "attachment"] as const;
export type StartPhase = (typeof startPhases)[number];

/** How long the phases of this agent's starts as the writer took, since it began. */
export class StartMeter {
  private readonly histograms: Record<StartPhase, Histogram> = {
    claim: new Histogram(),
    recovery: new Histogram(),
    attachment: new Histogram(),
  };

  observe(phase: StartPhase, durationMs: number): void {
    this.histograms[phase].observe(durationMs);
  }

  get figures(): Readonly<Record<StartPhase, HistogramFigures>> {
    const { claim, recovery, attachment } = this.histograms;
    return { claim: claim.figures, recovery: recovery.figures, attachment: attachment.figures };
  }
}

/** One start: each phase begins where the one before it ended. */
export class StartWatch {
  private readonly world: StartWorld;
  private sinceMs: number;

  constructor(world: StartWorld) {
    this.world = world;
    this.sinceMs = world.clock.nowMs();
  }

  passed(phase: StartPhase): void {
    const nowMs = this.world.clock.nowMs();
    this.world.starts?.observe(phase, nowMs - this.sinceMs);
    this.sinceMs = nowMs;
  }
}

interface StartWorld {
  readonly clock: Pick<Clock, "nowMs">;
  readonly starts?: StartMeter;
}
