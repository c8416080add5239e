import type { StoreScrub } from "../keeper/index.ts";
import type { ScrubResult } from "../log-driver/index.ts";

/** What a scrub found in the objects of snapshots that a full node or the object store keeps. */
export type ObjectFigures = Pick<StoreScrub, "checked" | "checkedBytes" | "healed" | "unhealed">;

/** A line of `storage scrub`: bytes, healed and unhealed are of log and objects together. */
export interface ScrubRow extends ScrubResult {
  /** What of it is objects; null: there are none, or they were not looked at (then `problem` says why). */
  readonly objects: ObjectFigures | null;
}

/** What the keeper found in the stores; or why it did not look, as text. */
export type ObjectScrubs = readonly StoreScrub[] | string;

/** No storage node's name. */
const objectStoreName = "object-store";

/** The row of a full node. `nodeId`: the identity that was asked for. */
export function withObjects(
  log: ScrubResult,
  found: ObjectScrubs,
  nodeId: string | undefined,
): ScrubRow {
  if (typeof found === "string") return notLooked(log, found);
  const own = found.find((one) => one.nodeId !== null && one.nodeId === nodeId);
  // A node that is to take another's place and does not count yet.
  return own ? together(log, own) : notLooked(log, "it is no member of the volume yet");
}

export function objectStoreRow(found: ObjectScrubs): ScrubRow {
  const none = { checkedBytes: 0, compared: 0, healed: 0, unhealed: 0, problem: null };
  const row = { node: objectStoreName, ...none };
  if (typeof found === "string") return notLooked(row, found);
  const own = found.find((one) => one.nodeId === null);
  return own ? together(row, own) : notLooked(row, "the keeper did not look at it");
}

function together(log: ScrubResult, found: StoreScrub): ScrubRow {
  const { checked, checkedBytes, healed, unhealed, problem } = found;
  const objects = { checked, checkedBytes, healed, unhealed };
  return {
    ...log,
    checkedBytes: log.checkedBytes + objects.checkedBytes,
    healed: log.healed + objects.healed,
    unhealed: log.unhealed + objects.unhealed,
    problem: log.problem ?? problem,
    objects,
  };
}

function notLooked(log: ScrubResult, why: string): ScrubRow {
  const problem = log.problem ?? `objects were not read: ${why}`;
  return { ...log, problem, objects: null };
}
