import { Histogram, type HistogramFigures } from "../base/histogram.ts";

/** `failover`: a writer that was lost is replaced; `switchover`: somebody has asked for another. */
export type FailoverKind = "failover" | "switchover";

/**
 * `preparation`: what is done ahead, while writes go on. `release`: until the old writer is gone, and has given its epoch back.
 * `succession`: from there until the successor takes sessions.
 */
export type FailoverPhase = "preparation" | "release" | "succession";

export const failoverKinds: readonly FailoverKind[] = ["failover", "switchover"];
export const failoverPhases: readonly FailoverPhase[] = ["preparation", "release", "succession"];

/** What failovers came to, since this control plane began. */
export class FailoverMeter {
  private readonly held = perKind(() => new Histogram());
  private readonly failures = perKind(() => ({ count: 0 }));
  private readonly phases = perKind(() => ({
    preparation: new Histogram(),
    release: new Histogram(),
    succession: new Histogram(),
  }));

  phase(kind: FailoverKind, phase: FailoverPhase, durationMs: number): void {
    this.phases[kind][phase].observe(durationMs);
  }

  /** Somebody writes again, after `heldMs` in which nobody could. */
  done(kind: FailoverKind, heldMs: number): void {
    this.held[kind].observe(heldMs);
  }

  /** It was given up: for another one, or since nobody could. */
  failed(kind: FailoverKind): void {
    this.failures[kind].count++;
  }

  get figures(): readonly FailoverFigures[] {
    return failoverKinds.map((kind) => ({
      kind,
      held: this.held[kind].figures,
      failed: this.failures[kind].count,
      phases: failoverPhases.map((phase) => ({
        phase,
        durations: this.phases[kind][phase].figures,
      })),
    }));
  }
}

export interface FailoverFigures {
  readonly kind: FailoverKind;
  /** Of those that came to their end: how long nobody could write. */
  readonly held: HistogramFigures;
  readonly failed: number;
  readonly phases: readonly {
    readonly phase: FailoverPhase;
    readonly durations: HistogramFigures;
  }[];
}

function perKind<Value>(make: () => Value): Record<FailoverKind, Value> {
  return { failover: make(), switchover: make() };
}
