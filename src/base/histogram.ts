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

const countCells = durationBoundsMs.length + 1;
/** What a histogram is kept in: its counts, then the sum. */
export const histogramCells = countCells + 1;

export const noDurations: HistogramFigures = {
  counts: Array.from({ length: countCells }, () => 0),
  sumMs: 0,
};

/** Counts durations; nothing is kept of them, and nothing allocated. */
export class Histogram {
  private readonly cells: Float64Array;

  /** `cells`: so many as histogramCells says, of a memory that others read. */
  constructor(cells: Float64Array = new Float64Array(histogramCells)) {
    this.cells = cells;
  }

  /** `times` things that took so long, by a clock that does not go back. */
  observe(durationMs: number, times = 1): void {
    const { cells } = this;
    let at = 0;
    while (durationMs > (durationBoundsMs[at] ?? Number.POSITIVE_INFINITY)) at++;
    cells[at] = (cells[at] ?? 0) + times;
    cells[countCells] = (cells[countCells] ?? 0) + durationMs * times;
  }

  get figures(): HistogramFigures {
    const { cells } = this;
    return { counts: [...cells.subarray(0, countCells)], sumMs: cells[countCells] ?? 0 };
  }
}

/** How many durations they are of. */
export function countOf({ counts }: HistogramFigures): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

export function addDurations(a: HistogramFigures, b: HistogramFigures): HistogramFigures {
  return {
    counts: a.counts.map((count, at) => count + (b.counts[at] ?? 0)),
    sumMs: a.sumMs + b.sumMs,
  };
}
