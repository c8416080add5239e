import type { Outcome } from "./action.ts";

/** How the losses of servers ended for the sessions of a process, so far. */
export class Outcomes {
  private readonly counts: Record<Outcome, number> = {
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

  count(outcome: Outcome): void {
    this.counts[outcome]++;
  }

  get all(): Readonly<Record<Outcome, number>> {
    return { ...this.counts };
  }
}
