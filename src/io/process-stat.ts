import { readFileSync } from "node:fs";

/** What Linux says of a process, or of one thread, in /proc (proc_pid_stat(5)). */
export interface ProcessStat {
  /** One letter: D waits for a disk, t is held by a debugger. */
  readonly state: string;
  /** Of ticksPerSecond: time on a processor, user's and system's. */
  readonly ticks: number;
  /** Of its children that have ended, and were waited for. */
  readonly childTicks: number;
}

/** Of the kernel's clock in /proc (sysconf(_SC_CLK_TCK)); the same on every Linux that Node runs on. */
export const ticksPerSecond = 100;

/** Undefined: it has ended, or this is no Linux. */
export function readProcessStat(pid: number): ProcessStat | undefined {
  return statIn(`/proc/${pid}/stat`);
}

/** Of the main thread alone. */
export function readMainThreadStat(pid: number): ProcessStat | undefined {
  return statIn(`/proc/${pid}/task/${pid}/stat`);
}

/** Pids of the children that a process's main thread has started. Undefined: it has ended, or this is no Linux. */
export function readChildren(pid: number): readonly number[] | undefined {
  const text = readText(`/proc/${pid}/task/${pid}/children`);
  return text
    ?.trim()
    .split(/\s+/)
    .map(Number)
    .filter((child) => child > 0);
}

function statIn(path: string): ProcessStat | undefined {
  const text = readText(path);
  if (text === undefined) return undefined;
  // Behind the name, which may have blanks and brackets in it: state is field 3, the times are 14 to 17.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [user = 0, system = 0, ofUser = 0, ofSystem = 0] = fields.slice(11, 15).map(Number);
  if (!(user + system >= 0)) return undefined;
  return { state: fields[0] ?? "", ticks: user + system, childTicks: ofUser + ofSystem };
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
