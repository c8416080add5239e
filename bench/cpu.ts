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
  /** That ran. */
  readonly pids: ReadonlySet<number>;
}

export function cpuTimeOf(roots: readonly number[]): CpuTime {
  const byProcess = new Map<string, number>();
  const pids = new Set<number>();
  let totalMs = 0;
  for (const { pid, label, ms } of processesOf(roots)) {
    totalMs += ms;
    byProcess.set(label, (byProcess.get(label) ?? 0) + ms);
    pids.add(pid);
  }
  return { totalMs, byProcess, pids };
}

interface Process {
  readonly pid: number;
  /** "postgres", "borealis node az1-full". */
  readonly label: string;
  /** CPU so far. */
  readonly ms: number;
}

/** Some processes that run, and all that descend from them. */
export function processesOf(roots: readonly number[]): Process[] {
  const all = new Map<number, Usage>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const usage = readUsage(Number(name));
    if (usage) all.set(Number(name), usage);
  }
  const wanted = new Set(roots);
  return [...all]
    .filter(([pid]) => isBelow(pid, wanted, all))
    .map(([pid, { ms }]) => ({ pid, label: labelOf(pid), ms }));
}

/** What was used between two readings. */
export function cpuBetween(before: CpuTime, after: CpuTime): CpuTime {
  const byProcess = new Map<string, number>();
  for (const [label, ms] of after.byProcess) {
    const used = ms - (before.byProcess.get(label) ?? 0);
    if (used > 0) byProcess.set(label, used);
  }
  return { totalMs: after.totalMs - before.totalMs, byProcess, pids: after.pids };
}

/**
 * A reading in which everybody counts once. Who ends while /proc is read may count for nothing, since its parent was read before,
 * or twice; a reading between two others of the same processes has none of these.
 */
export async function settledCpuTime(
  read: () => CpuTime,
  rest: () => Promise<unknown>,
): Promise<CpuTime> {
  let [first, middle] = [read(), read()];
  for (let tries = 0; tries < 100; tries++) {
    await rest();
    const last = read();
    if (isSame(first.pids, middle.pids) && isSame(middle.pids, last.pids)) return middle;
    [first, middle] = [middle, last];
  }
  throw new Error("processes end and begin all the time: what they cost cannot be told");
}

function isSame(a: ReadonlySet<number>, b: ReadonlySet<number>): boolean {
  return a.size === b.size && [...a].every((pid) => b.has(pid));
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
