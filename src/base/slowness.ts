/** What the system has given a thread so far: how long it ran, and how long it was ready to and had to wait. */
export interface CpuTime {
  readonly ranMs: number;
  readonly waitedMs: number;
}

/** What takes no longer than twice its time is what a busy machine is like, and bounds have room for it. */
const usual = 2;
const most = 3;
/** Less says nothing. */
const leastMs = 20;

/**
 * How much longer than usual anything takes on this machine, 1 to 3, by what became of a thread of ours between two moments: where
 * that had to wait for most of the time that it wanted, others of this machine had to, too, and their silence says the less.
 */
export function slownessBetween(before: CpuTime | undefined, after: CpuTime | undefined): number {
  if (!before || !after) return 1;
  const ranMs = after.ranMs - before.ranMs;
  const wantedMs = ranMs + after.waitedMs - before.waitedMs;
  if (wantedMs < leastMs) return 1;
  return Math.min(Math.max(wantedMs / Math.max(ranMs, 1) / usual, 1), most);
}
