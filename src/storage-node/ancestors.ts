import { createHash } from "node:crypto";
import { isUuid, nodeId, type NodeId, volumeId, type VolumeId } from "../base/ids.ts";
import { findLsn, formatLsn, type Lsn, lsnMin } from "../base/lsn.ts";

/**
 * Whose log files a clone's node has beside its own. They are links of its parent's files, which may be links of its
 * grandparent's; each file's header names the node that wrote it, and its frames are encrypted for that header.
 *
 *     files 1..7 of the grandparent ─ 8..9 of the parent ─ 10.. its own
 *
 * The newest of an ancestor's files may be one that it still writes to: what lies in it from `to` on is the ancestor's own
 * future, whatever epoch it has, and no log of this node.
 */
export interface Ancestor {
  readonly volumeId: VolumeId;
  readonly nodeId: NodeId;
  /** Sequence of the last of its files. */
  readonly lastSequence: number;
  /** Of its files only what lies below is log of this node. */
  readonly to: Lsn;
}

/** Oldest first, so with rising sequences. */
export type Ancestors = readonly Ancestor[];

const format = 1;

export function encodeAncestors(ancestors: Ancestors): string {
  const rows = ancestors.map((one) => ({ ...one, to: formatLsn(one.to) }));
  const text = JSON.stringify(rows);
  return `${JSON.stringify({ format, sha256: digest(text), ancestors: rows }, null, 2)}\n`;
}

/** Undefined: not a list of ancestors, or a damaged one. By hand, since storage nodes load no zod. */
export function parseAncestors(text: string): Ancestors | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const outer = fieldsOf(value);
  const rows = outer["ancestors"];
  if (outer["format"] !== format || !Array.isArray(rows)) return undefined;
  if (outer["sha256"] !== digest(JSON.stringify(rows))) return undefined;
  const parsed = rows.map(parseAncestor);
  const whole = parsed.filter((one) => one !== undefined);
  return whole.length === rows.length ? whole : undefined;
}

function parseAncestor(raw: unknown): Ancestor | undefined {
  const { volumeId: volume, nodeId: node, lastSequence, to } = fieldsOf(raw);
  const end = typeof to === "string" ? findLsn(to) : undefined;
  if (typeof volume !== "string" || !isUuid(volume) || end === undefined) return undefined;
  if (typeof node !== "string" || !isUuid(node)) return undefined;
  if (typeof lastSequence !== "number" || !Number.isSafeInteger(lastSequence)) return undefined;
  return { volumeId: volumeId(volume), nodeId: nodeId(node), lastSequence, to: end };
}

/** The ancestor that wrote the file of this sequence in the node's log; undefined: the node itself. */
export function ancestorOf(ancestors: Ancestors, sequence: number): Ancestor | undefined {
  return ancestors.find((one) => sequence <= one.lastSequence);
}

/** The ancestors of a clone's node: those of its parent's node, and that itself, each up to the branch at most. */
export function ancestorsOfClone(
  parent: {
    readonly ancestors: Ancestors;
    readonly volumeId: VolumeId;
    readonly nodeId: NodeId;
    /** Of the newest file that is taken over. */
    readonly lastSequence: number;
  },
  branch: Lsn,
): Ancestors {
  const { volumeId: volume, nodeId: node, lastSequence } = parent;
  // A branch far back may leave out files of the younger ones.
  const older = parent.ancestors.map((one) => ({
    ...one,
    to: lsnMin(one.to, branch),
    lastSequence: Math.min(one.lastSequence, lastSequence),
  }));
  const all = [...older, { volumeId: volume, nodeId: node, lastSequence, to: branch }];
  return all.filter((one, index) => one.lastSequence > (all[index - 1]?.lastSequence ?? 0));
}

function fieldsOf(raw: unknown): Record<string, unknown> {
  return typeof raw === "object" && raw !== null ? { ...raw } : {};
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
