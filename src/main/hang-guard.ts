import { readCpuTime } from "../io/index.ts";
import { pingMethod } from "./child-line.ts";
import { HangWatch } from "./hang-watch.ts";
import type { ManagedProcess } from "./managed-process.ts";
import { readProcessSight } from "./process-sight.ts";

/** How often each is asked. */
const stepMs = 1_000;

/** Asks children of the supervisor whether they answer, and kills one that hangs: it is started again as one that died. */
export class HangGuard {
  private readonly limitOf: (process: ManagedProcess) => number;
  private readonly processes: () => readonly ManagedProcess[];
  private readonly watches = new Map<number, HangWatch>();
  private timer: NodeJS.Timeout | undefined;

  /** `processes`: those of the moment. `limitOf`: how long each may answer nothing, in milliseconds; 0: as long as it likes. */
  constructor(
    processes: () => readonly ManagedProcess[],
    limitOf: (process: ManagedProcess) => number,
  ) {
    this.processes = processes;
    this.limitOf = limitOf;
  }

  start(): void {
    this.timer = setInterval(() => this.look(), stepMs);
  }

  close(): void {
    clearInterval(this.timer);
  }

  private look(): void {
    const nowMs = performance.now();
    const processes = this.processes();
    const pids = new Set(processes.map(({ pid }) => pid));
    for (const pid of this.watches.keys()) if (!pids.has(pid)) this.watches.delete(pid);
    const ours = readCpuTime();
    for (const process of processes) {
      const { pid } = process;
      const limitMs = this.limitOf(process);
      if (pid === undefined || limitMs === 0) continue;
      const watch = this.watches.get(pid) ?? new HangWatch({ limitMs, stepMs, nowMs });
      this.watches.set(pid, watch);
      const verdict = watch.look({ nowMs, ours, its: readProcessSight(pid) });
      if (verdict === "ask") this.ask(process, watch);
      // What is said of it is written: who comes after it is looked at anew, lest that took long.
      if (verdict === "hung") return process.kill(pid);
    }
  }

  /** Whatever becomes of the question: what comes late is an answer, too. */
  private ask(process: ManagedProcess, watch: HangWatch): void {
    process.ask(pingMethod, {}, maxTimerMs).then(
      () => watch.answered(),
      () => undefined,
    );
  }
}

/** The longest that a timer takes. */
const maxTimerMs = 2 ** 31 - 1;
