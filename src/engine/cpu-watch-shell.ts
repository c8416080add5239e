import { readFileSync } from "node:fs";

/** Of the kernel's clock in /proc (sysconf(_SC_CLK_TCK)); the same on every Linux that Node runs on. */
const ticksPerSecond = 100;

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
  const children = readText(`/proc/${postmaster}/task/${postmaster}/children`);
  if (children === undefined) return undefined;
  const pids = [postmaster, ...children.trim().split(/\s+/).map(Number)].filter((pid) => pid > 0);
  const ticks = new Map<number, number>();
  for (const pid of pids) {
    const used = ticksOf(pid, pid === postmaster);
    if (used !== undefined) ticks.set(pid, used);
  }
  return { pid: postmaster, atMs, ticks };
}

/** utime and stime, and with them cutime and cstime of a parent (proc(5): fields 14 to 17). */
function ticksOf(pid: number, isParent: boolean): number | undefined {
  const text = readText(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [own, all] = [fields.slice(11, 13), fields.slice(11, 15)];
  return (isParent ? all : own).reduce((sum, field) => sum + Number(field), 0);
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // it has ended, or this is no Linux
  }
}
