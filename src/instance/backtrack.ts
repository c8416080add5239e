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
import { advance, formatLsn, type Lsn, lsn, lsnMaxOf } from "../base/lsn.ts";
import type { Claimed, Opening } from "../log-driver/index.ts";
import { type History, lastEpoch, timelineAt } from "../quorum/index.ts";

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
  const { to, refill, sinceEpoch } = backtrack;
  if (isDone(claimed, backtrack)) return { kind: "done" };
  const newest = lastEpoch(claimed.history);
  // Whoever ordered it knows the path that is left up to `sinceEpoch`: no return would find what was committed since.
  if (newest > sinceEpoch && !hasBegun(claimed, backtrack))
    return { kind: "impossible", reason: `epoch ${newest} has gone on without it` };
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
  found: Pick<Found, "start" | "history">,
  backtrack: Pick<Backtrack, "to" | "refill" | "sinceEpoch">,
): boolean {
  const { refill } = backtrack;
  return hasBegun(found, backtrack) && (!refill || found.start >= refill.to);
}

/**
 * Whether the path has this backtrack's own entry. From there on it is carried on, whatever stands in the way: what was the
 * volume's before is kept aside, and an ordinary epoch would go on without it, in the middle of the log that is brought back.
 */
export function hasBegun(
  { history }: Pick<Found, "history">,
  { to, sinceEpoch }: Pick<Backtrack, "to" | "sinceEpoch">,
): boolean {
  return history.some(
    (entry) => entry.kind === "backtrack" && entry.start === to && entry.epoch > sinceEpoch,
  );
}

/** Where to look whether the kept log is there: a byte of each stretch of a node's file, and the last one, on its path. */
export function placesToLook(
  openings: readonly Opening[],
  stretchBytes: number,
): { readonly path: History; readonly at: Lsn }[] {
  return openings.flatMap(({ start, refill }) => {
    if (!refill) return [];
    const { path, to } = refill;
    const places = [];
    for (let at = start; at < to; at = advance(at, stretchBytes)) places.push({ path, at });
    return [...places, { path, at: advance(to, -1) }];
  });
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
