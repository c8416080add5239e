/**
 * How a backtrack becomes epochs (quorum-protocol.md, 12; decisions.md D28), from what a claim found:
 *
 *     before    e1 ─────────┬───────── e2 ───── b          a backtrack to s: one epoch
 *                           s
 *     after     e1 ─────────┤ e3 (backtrack at s)
 *                           └ ─ ─ ─ kept aside ─ ─ ─
 *
 *     before    e1 ─────────┬──── e3 ──── b                a return to T: e4 takes the kept log as its own and opens
 *                           s ─ ─ ─ ─ ─ T (e1, e2)         at its end; where the kept log changes its timeline, another
 *     after     e1 ─────────┤ e4 ─┤ e5 ─┤ e6               epoch goes on; the last one is PostgreSQL's
 *                           s           T
 */
import { timeline } from "../base/ids.ts";
import { formatLsn, type Lsn, lsn, lsnMaxOf } from "../base/lsn.ts";
import type { Claimed, Opening } from "../log-driver/index.ts";
import { type History, timelineAt } from "../quorum/index.ts";

/** messages.ts' order, read. */
export interface Backtrack {
  readonly to: Lsn;
  readonly refill: { readonly path: History; readonly to: Lsn } | undefined;
  readonly sinceEpoch: number;
}

export type BacktrackPlan =
  /** An earlier attempt got so far: what is left is an ordinary start. */
  | { readonly kind: "done" }
  /** It cannot be: an ordinary start, in the path that is. */
  | { readonly kind: "impossible"; readonly reason: string }
  /** Open these one after the other, then promote PostgreSQL in one more at `promoteAt`. */
  | { readonly kind: "refill"; readonly openings: readonly Opening[]; readonly promoteAt: Lsn }
  /** Promote PostgreSQL in this one. */
  | { readonly kind: "leave"; readonly opening: Opening };

type Found = Pick<Claimed, "start" | "history" | "low" | "floor">;

export function planBacktrack(claimed: Found, backtrack: Backtrack): BacktrackPlan {
  const { to, refill } = backtrack;
  if (isDone(claimed, backtrack)) return { kind: "done" };
  const lowest = lsnMaxOf(claimed.low, claimed.floor);
  const at = formatLsn(to);
  if (to < lowest)
    return {
      kind: "impossible",
      reason: `log before ${formatLsn(lowest)} is gone; ${at} is asked`,
    };
  if (to > claimed.start) {
    const end = formatLsn(claimed.start);
    return { kind: "impossible", reason: `the log ends at ${end}, before ${at}` };
  }
  if (refill) return { kind: "refill", openings: refillOpenings(backtrack), promoteAt: refill.to };
  // Nothing lies behind it: an ordinary epoch leaves nothing.
  if (to === claimed.start) return { kind: "done" };
  // As PostgreSQL counts: from the history files that it has, which are those of the path below.
  const below = timelineAt(claimed.history, lsn(to - 1n));
  const opening = { start: to, timeline: timeline(below + 1), kind: "backtrack" } as const;
  return { kind: "leave", opening };
}

/** Whether the path has this backtrack's own entry already, and all of the log that it brings back. */
export function isDone(
  { start, history }: Pick<Found, "start" | "history">,
  { to, refill, sinceEpoch }: Pick<Backtrack, "to" | "refill" | "sinceEpoch">,
): boolean {
  const hasEntry = history.some(
    (entry) => entry.kind === "backtrack" && entry.start === to && entry.epoch > sinceEpoch,
  );
  return hasEntry && (!refill || start >= refill.to);
}

/** One epoch for each timeline of the kept log: PostgreSQL replays a byte under the timeline that it was written in. */
function refillOpenings({ to, refill }: Backtrack): Opening[] {
  if (!refill) return [];
  const { path } = refill;
  const openings: Opening[] = [];
  for (let start = to; start < refill.to;) {
    const here = timelineAt(path, start);
    const next = path.find((entry) => entry.start > start && entry.timeline !== here);
    const end = next && next.start < refill.to ? next.start : refill.to;
    const kind = openings.length === 0 ? "backtrack" : "branch";
    openings.push({ start, timeline: here, kind, refill: { path, to: end } });
    start = end;
  }
  return openings;
}
