/** Which of several instances a new session goes to. Pure. */

/** What counts of an instance that might be chosen. */
export interface Burden {
  /** Sessions that it has, or is about to have. */
  readonly sessions: number;
  /** How far it is behind, in milliseconds; 0 for the writer. */
  readonly lagMs: number;
  /** Beyond the bound. */
  readonly isLagging: boolean;
  /** It let a session wait in vain lately. */
  readonly isSuspect: boolean;
}

/** A reader so far behind counts as if it had twice as many sessions: replay needs the processor, too. */
const lagDoublesMs = 5_000;

/**
 * The least busy one. Those that lag, or did not answer, only where there are no others; of those that lag, whichever lags
 * least. Equals take turns: `turn` counts the choices so far. Undefined: there is none.
 */
export function leastBusy<T>(
  candidates: readonly T[],
  burdenOf: (candidate: T) => Burden,
  turn: number,
): T | undefined {
  const first = candidates.length === 0 ? 0 : turn % candidates.length;
  const inTurn = [...candidates.slice(first), ...candidates.slice(0, first)];
  let best: { readonly candidate: T; readonly cost: readonly number[] } | undefined;
  for (const candidate of inTurn) {
    const cost = costOf(burdenOf(candidate));
    if (!best || isLess(cost, best.cost)) best = { candidate, cost };
  }
  return best?.candidate;
}

/** What matters more comes first. */
function costOf({ sessions, lagMs, isLagging, isSuspect }: Burden): readonly number[] {
  const load = (sessions + 1) * (1 + lagMs / lagDoublesMs);
  return [Number(isSuspect), isLagging ? lagMs + 1 : 0, load];
}

function isLess(a: readonly number[], b: readonly number[]): boolean {
  const differs = a.findIndex((value, k) => value !== b[k]);
  return differs >= 0 && (a[differs] ?? 0) < (b[differs] ?? 0);
}
