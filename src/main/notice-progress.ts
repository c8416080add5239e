import { type Clock, sleep } from "../io/index.ts";
import type { ProgressTeller } from "./command-report.ts";
import { describeProgress, ProgressMeter } from "./progress-meter.ts";

const everyMs = 1_000;

/** Tells somebody else how a command is getting on, once a second at most, and only if there is something new. */
export class NoticeProgress implements ProgressTeller {
  private readonly clock: Clock;
  private readonly tell: (text: string) => void;
  private meter: ProgressMeter | undefined;
  private told = "";

  /** Until the signal aborts. */
  constructor(clock: Clock, tell: (text: string) => void, signal: AbortSignal) {
    this.clock = clock;
    this.tell = tell;
    void this.run(signal);
  }

  begin(step: string, totalBytes?: number): void {
    this.meter = new ProgressMeter(step, totalBytes, this.clock.nowMs());
  }

  at(doneBytes: number, totalBytes?: number): void {
    this.meter?.at(doneBytes, this.clock.nowMs(), totalBytes);
  }

  end(): void {
    this.meter = undefined;
  }

  private async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      await sleep(this.clock, everyMs, signal);
      if (signal.aborted) return;
      const facts = this.meter?.facts(this.clock.nowMs());
      if (!facts) continue;
      const hasBytes = facts.doneBytes > 0 || facts.totalBytes !== null;
      const text = hasBytes ? describeProgress(facts) : facts.step;
      if (text !== this.told) this.tell(text);
      this.told = text;
    }
  }
}
