import type { Epoch } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import { type NodeEpochs, type Rules, trueRules } from "../quorum/index.ts";

/** What the append path knows of its node; under a grant, promised = accepted = the grant's epoch. */
export interface AppendView extends NodeEpochs {
  /** First LSN that the accepted epoch may write. */
  readonly start: Lsn;
  /** End of the contiguous log, synced or not. */
  readonly end: Lsn;
}

/**
 * Section 6, Append: the one rule that the worker thread, the event-loop path and the simulator share. `take`: write
 * what lies beyond `end` (there may be nothing; overlapBytes says how much to skip), sync, then acknowledge. `gap`:
 * answer Gap with `end`. `refuse`: not this epoch. Allocates nothing.
 */
export function judgeAppend(
  node: AppendView,
  append: { readonly epoch: Epoch; readonly lsn: Lsn },
  rules: Rules = trueRules,
): "take" | "gap" | "refuse" {
  if (!rules.mayAppend(node, append.epoch)) return "refuse";
  if (append.lsn > node.end) return "gap";
  // Bytes below the epoch's start belong to older epochs: they come by Pull, which names their epoch.
  if (append.lsn < node.start) return "gap";
  return "take";
}

/** How many of the `length` bytes at `lsn` the log already has. */
export function overlapBytes(end: Lsn, lsn: Lsn, length: number): number {
  if (lsn >= end) return 0;
  const held = end - lsn;
  return held >= BigInt(length) ? length : Number(held);
}
