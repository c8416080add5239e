/** What the system has given a thread so far: how long it ran, and how long it was ready to and had to wait. */
export interface CpuTime {
  readonly ranMs: number;
  readonly waitedMs: number;
}

/** An answer takes about so much of a processor: a new session of PostgreSQL and a statement, on a slow machine. */
const answerMs = 40;
/** Of any silence so much counts, whatever the machine is like. */
const leastShare = 1 / 3;
/** Less of a thread's time says nothing. */
const leastMs = 20;

/**
 * What a silence of `silentMs` counts for, given what became of a thread of ours meanwhile: where each millisecond that it ran was
 * preceded by many that it waited to, an answer of somebody else on this machine takes as many times as long.
 */
export function countedSilence(
  silentMs: number,
  before: CpuTime | undefined,
  after: CpuTime | undefined,
): number {
  if (!before || !after) return silentMs;
  const ranMs = after.ranMs - before.ranMs;
  const waitedMs = after.waitedMs - before.waitedMs;
  if (ranMs + waitedMs < leastMs) return silentMs;
  const extraMs = (answerMs * waitedMs) / Math.max(ranMs, 1);
  return Math.max(silentMs - extraMs, silentMs * leastShare);
}
