import type { Outcome } from "./action.ts";

const none: Readonly<Record<Outcome, number>> = {
  continued: 0,
  rerun: 0,
  replayed: 0,
  answered: 0,
  refused: 0,
  unknown: 0,
  ended: 0,
  expired: 0,
  disconnected: 0,
};

export const outcomeNames = Object.keys(none) as readonly Outcome[]; // its own keys

/** The same counts with one more; most sessions have none at all. */
export function oneMore(
  counts: ReadonlyMap<Outcome, number> | undefined,
  outcome: Outcome,
): ReadonlyMap<Outcome, number> {
  return new Map(counts).set(outcome, (counts?.get(outcome) ?? 0) + 1);
}

/** How the losses of servers ended for the sessions of a process, so far. */
export class Outcomes {
  private readonly counts: Record<Outcome, number> = { ...none };

  count(outcome: Outcome): void {
    this.counts[outcome]++;
  }

  get all(): Readonly<Record<Outcome, number>> {
    return { ...this.counts };
  }
}
