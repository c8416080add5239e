import type { Clock } from "../io/index.ts";
import type { SnapshotJob } from "./messages.ts";

const tellEveryMs = 250;

/** What is under way, for who asks; whoever is to hear of it is told, though not of each step. */
export class JobTelling {
  private readonly clock: Clock;
  private readonly onChange: () => void;
  private toldMs = 0;
  private current: SnapshotJob | null = null;

  constructor(clock: Clock, onChange: () => void) {
    this.clock = clock;
    this.onChange = onChange;
  }

  get job(): SnapshotJob | null {
    return this.current;
  }

  async during<Result>(job: SnapshotJob, work: () => Promise<Result>): Promise<Result> {
    this.say(job);
    try {
      return await work();
    } finally {
      this.say(null);
    }
  }

  say(job: SnapshotJob | null): void {
    const nowMs = this.clock.nowMs();
    const isSame = this.current !== null && job !== null && this.current.what === job.what;
    this.current = job;
    if (isSame && nowMs - this.toldMs < tellEveryMs) return;
    this.toldMs = nowMs;
    this.onChange();
  }
}
