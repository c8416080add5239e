import { readChildren, readProcessStat, ticksPerSecond } from "../io/index.ts";

interface Sample {
  readonly pid: number;
  readonly atMs: number;
  /** Ticks that each live process has used, the postmaster with what its ended children have. */
  readonly ticks: ReadonlyMap<number, number>;
}

/** How much of a processor a PostgreSQL takes. Linux alone tells without a program being run. */
export class CpuWatch {
  private last: Sample | undefined;
  private percent = 0;

  /**
   * Percent of one processor since the call before, as `top` shows it, whole. While that is not known it is the figure of
   * before, and 0 at first; 0, too, while nothing runs. `pid`: the postmaster's. `nowMs`: monotonic. Takes some 20
   * microseconds a process.
   */
  look(pid: number | undefined, nowMs: number): number {
    this.percent = pid === undefined ? 0 : (this.measure(sample(pid, nowMs)) ?? this.percent);
    if (pid === undefined) this.last = undefined;
    return this.percent;
  }

  private measure(now: Sample | undefined): number | undefined {
    const before = this.last;
    this.last = now;
    if (!now || !before || now.pid !== before.pid || now.atMs <= before.atMs) return undefined;
    let used = 0;
    for (const [process, ticks] of now.ticks) used += ticks - (before.ticks.get(process) ?? 0);
    // One that ended is counted by its parent from then on, with what it had used before.
    for (const [process, ticks] of before.ticks) if (!now.ticks.has(process)) used -= ticks;
    const seconds = (now.atMs - before.atMs) / 1_000;
    return Math.max(0, Math.round((used / ticksPerSecond / seconds) * 100));
  }
}

function sample(postmaster: number, atMs: number): Sample | undefined {
  const children = readChildren(postmaster);
  if (!children) return undefined;
  const ticks = new Map<number, number>();
  for (const pid of [postmaster, ...children]) {
    const stat = readProcessStat(pid);
    if (stat) ticks.set(pid, stat.ticks + (pid === postmaster ? stat.childTicks : 0));
  }
  return { pid: postmaster, atMs, ticks };
}
