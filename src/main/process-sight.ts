import { readFileSync } from "node:fs";

/** What the system says of a process's main thread. */
export interface ProcessSight {
  /** So long it has been on a processor. */
  readonly ranMs: number;
  /** It waits for a disk, or a debugger holds it: it could not answer. */
  readonly isHeld: boolean;
}

/** Of one tick of /proc/<pid>/stat on Linux (USER_HZ). */
const tickMs = 10;

/** Undefined where the system does not tell, or there is no such process. Linux does: proc_pid_stat(5). */
export function readProcessSight(pid: number): ProcessSight | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/stat`, "utf8");
    // Behind the name, which may have blanks and brackets in it: the state, then eleven fields up to the two of its time.
    const [state = "", ...fields] = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const ticks = Number(fields[10]) + Number(fields[11]);
    return ticks >= 0 ? { ranMs: ticks * tickMs, isHeld: "Dt".includes(state) } : undefined;
  } catch {
    return undefined;
  }
}
