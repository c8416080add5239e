import { readFileSync } from "node:fs";
import type { CpuTime } from "../base/slowness.ts";

/**
 * Of this process's main thread; undefined where the system does not tell. Linux does: nanoseconds on a processor, and on a run
 * queue (Documentation/scheduler/sched-stats.rst, /proc/<pid>/schedstat).
 */
export function readCpuTime(): CpuTime | undefined {
  try {
    const [ran, waited] = readFileSync("/proc/self/schedstat", "utf8").split(" ").map(Number);
    if (ran === undefined || waited === undefined || !(ran + waited >= 0)) return undefined;
    return { ranMs: ran / 1e6, waitedMs: waited / 1e6 };
  } catch {
    return undefined;
  }
}
