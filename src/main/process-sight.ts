import { readMainThreadStat, ticksPerSecond } from "../io/index.ts";

/** What the system says of a process's main thread. */
export interface ProcessSight {
  /** So long it has been on a processor. */
  readonly ranMs: number;
  /** It waits for a disk, or a debugger holds it: it could not answer. */
  readonly isHeld: boolean;
}

/** Undefined where the system does not tell, or there is no such process. */
export function readProcessSight(pid: number): ProcessSight | undefined {
  const stat = readMainThreadStat(pid);
  if (!stat) return undefined;
  const isHeld = stat.state === "D" || stat.state === "t";
  return { ranMs: (stat.ticks / ticksPerSecond) * 1_000, isHeld };
}
