/** CPU time of processes and all that they started, from /proc. */
import { readdirSync, readFileSync } from "node:fs";

const tickMs = 10; // USER_HZ is 100 on every Linux that Node runs on

interface Usage {
  readonly parent: number;
  /** Its own time and that of its children that ended: these drop out of /proc, but not out of the sum. */
  readonly ms: number;
}

/** User and system time so far, in milliseconds, of some processes with all their descendants. */
export interface CpuTime {
  readonly totalMs: number;
  /** By what the process is, longest first when printed: "postgres", "borealis node az1-full". */
  readonly byProcess: ReadonlyMap<string, number>;
}

export function cpuTimeOf(roots: readonly number[]): CpuTime {
  const all = new Map<number, Usage>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const usage = readUsage(Number(name));
    if (usage) all.set(Number(name), usage);
  }
  const wanted = new Set(roots);
  const byProcess = new Map<string, number>();
  let totalMs = 0;
  for (const [pid, usage] of all) {
    if (!isBelow(pid, wanted, all)) continue;
    totalMs += usage.ms;
    const label = labelOf(pid);
    byProcess.set(label, (byProcess.get(label) ?? 0) + usage.ms);
  }
  return { totalMs, byProcess };
}

/** What was used between two readings. */
export function cpuBetween(before: CpuTime, after: CpuTime): CpuTime {
  const byProcess = new Map<string, number>();
  for (const [label, ms] of after.byProcess) {
    const used = ms - (before.byProcess.get(label) ?? 0);
    if (used > 0) byProcess.set(label, used);
  }
  return { totalMs: after.totalMs - before.totalMs, byProcess };
}

function isBelow(pid: number, roots: Set<number>, all: Map<number, Usage>): boolean {
  for (let at = pid; at > 0; at = all.get(at)?.parent ?? 0) if (roots.has(at)) return true;
  return false;
}

/** The process's title, or its program; all of one PostgreSQL are one. */
function labelOf(pid: number): string {
  const line = readOrEmpty(`/proc/${pid}/cmdline`);
  if (/^(\S*\/)?postgres(\0|:)/.test(line)) return "postgres";
  const [program = ""] = line.split("\0");
  return program.slice(program.lastIndexOf("/") + 1) || "ended";
}

function readUsage(pid: number): Usage | undefined {
  const stat = readOrEmpty(`/proc/${pid}/stat`);
  if (stat === "") return undefined;
  // The name may hold blanks and parentheses; what follows it does not. Field 3 (state) is fields[0].
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = [11, 12, 13, 14].reduce((sum, field) => sum + Number(fields[field]), 0);
  return { parent: Number(fields[1]), ms: ticks * tickMs };
}

/** Empty if the process ended since its directory was listed. */
function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
