import type { Feedback } from "./messages.ts";

/** A reader that has been silent this long no longer holds back vacuum on the writer. */
const silentAfterMs = 10_000;

/** What goes to the writer's walsender; xmin 0 clears it. */
export type Horizon = Omit<Feedback, "from">;

export const noHorizon: Horizon = { xmin: 0, xminEpoch: 0, catalogXmin: 0, catalogXminEpoch: 0 };

/** True if transaction a is older than b: by epoch, then by number (the numbers wrap at 2^32). */
function isOlder(a: { epoch: number; xid: number }, b: { epoch: number; xid: number }): boolean {
  return a.epoch === b.epoch ? a.xid < b.xid : a.epoch < b.epoch;
}

/** The oldest horizon of all readers that spoke lately. Pure: time comes in. */
export class FeedbackBook {
  private readonly entries = new Map<
    string,
    { readonly at: number; readonly feedback: Feedback }
  >();

  record(feedback: Feedback, nowMs: number): void {
    this.entries.set(feedback.from, { at: nowMs, feedback });
  }

  /** Readers that went silent are dropped here, so a forgotten one cannot stop vacuum for ever. */
  horizon(nowMs: number): Horizon {
    let oldest: Horizon = noHorizon;
    for (const [from, { at, feedback }] of this.entries) {
      if (nowMs - at > silentAfterMs) this.entries.delete(from);
      else oldest = mergeHorizons(oldest, feedback);
    }
    return oldest;
  }
}

function mergeHorizons(a: Horizon, b: Horizon): Horizon {
  const [xmin, xminEpoch] = olderOf([a.xmin, a.xminEpoch], [b.xmin, b.xminEpoch]);
  const [catalogXmin, catalogXminEpoch] = olderOf(
    [a.catalogXmin, a.catalogXminEpoch],
    [b.catalogXmin, b.catalogXminEpoch],
  );
  return { xmin, xminEpoch, catalogXmin, catalogXminEpoch };
}

/** Of two (number, epoch) pairs the older one; number 0 means "none". */
function olderOf(a: [number, number], b: [number, number]): [number, number] {
  if (a[0] === 0) return b;
  if (b[0] === 0) return a;
  return isOlder({ epoch: a[1], xid: a[0] }, { epoch: b[1], xid: b[0] }) ? a : b;
}
