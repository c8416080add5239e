/** Signals to processes that may end by themselves at any moment, as PostgreSQL's backends and workers do. */

/** Sends it to those that are there still; who has gone is left out. Raises what `kill` raises but ESRCH. */
export function signalAll(pids: Iterable<number>, signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}
