import { Deque } from "../base/deque.ts";
import { Histogram, type HistogramFigures } from "../base/histogram.ts";
import type { Lsn } from "../base/lsn.ts";

/** Beyond so many that wait for the quorum no more are measured: it is away, and what waits is the same everywhere. */
const waitingMax = 4_096;

/** How long log takes from PostgreSQL's socket until a write quorum holds it, measured once for what one read brought. */
export class DriverMeter {
  private readonly durations = new Histogram();
  private readonly waiting = new Deque<{ readonly end: Lsn; readonly atMs: number }>();

  /** One read has brought log up to `recordEnd`, the end of the last whole record in it. */
  received(recordEnd: Lsn, nowMs: number): void {
    const last = this.waiting.back();
    if (last && last.end >= recordEnd) return;
    if (this.waiting.length < waitingMax) this.waiting.pushBack({ end: recordEnd, atMs: nowMs });
  }

  durable(vdl: Lsn, nowMs: number): void {
    for (
      let first = this.waiting.front();
      first && first.end <= vdl;
      first = this.waiting.front()
    ) {
      this.waiting.popFront();
      this.durations.observe(nowMs - first.atMs);
    }
  }

  /** Another PostgreSQL streams, or the same again: what waited is not measured. */
  begin(): void {
    this.waiting.clear();
  }

  get figures(): HistogramFigures {
    return this.durations.figures;
  }
}
