/**
 * How long things took, as Prometheus has it: for each bound how many took no longer than that and longer than the one
 * before. One set of bounds for all of them, so that their figures can be added and travel without them.
 */
export const durationBoundsMs: readonly number[] = [
  0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000,
  120_000,
];

export interface HistogramFigures {
  /** One for each bound, and a last one for what took longer than all of them. */
  readonly counts: readonly number[];
  readonly sumMs: number;
}

export const noDurations: HistogramFigures = {
  counts: Array.from({ length: durationBoundsMs.length + 1 }, () => 0),
  sumMs: 0,
};

/** Counts durations; nothing is kept of them. */
export class Histogram {
  private readonly counts = [...noDurations.counts];
  private sumMs = 0;

  /** Of a clock that does not go back. */
  observe(durationMs: number): void {
    let at = 0;
    while (durationMs > (durationBoundsMs[at] ?? Number.POSITIVE_INFINITY)) at++;
    this.counts[at] = (this.counts[at] ?? 0) + 1;
    this.sumMs += durationMs;
  }

  get figures(): HistogramFigures {
    return { counts: [...this.counts], sumMs: this.sumMs };
  }
}

export function addDurations(a: HistogramFigures, b: HistogramFigures): HistogramFigures {
  return {
    counts: a.counts.map((count, at) => count + (b.counts[at] ?? 0)),
    sumMs: a.sumMs + b.sumMs,
  };
}
