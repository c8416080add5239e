import { assert } from "../base/assert.ts";
import { type Epoch, epoch, type NodeId } from "../base/ids.ts";
import { type Lsn, lsnMin, lsnZero } from "../base/lsn.ts";

/** Ids compare as pairs: epoch first. (0, 0) is "none yet". */
export interface ConfigurationId {
  readonly epoch: Epoch;
  readonly version: number;
}

export interface Member {
  readonly nodeId: NodeId;
  readonly az: string;
  readonly kind: "full" | "tail";
}

/** One set of nodes with its thresholds; W + R > N and 2W > N (rule Q1). */
export interface MemberSet {
  readonly members: readonly Member[];
  readonly writeQuorum: number;
  readonly readQuorum: number;
}

/** One set, or two while the membership changes: a quorum is then a quorum of both. */
export interface Configuration {
  readonly id: ConfigurationId;
  readonly sets: readonly MemberSet[];
}

/** What a freshly formatted node has. It counts as no quorum at all. */
export const noConfiguration: Configuration = { id: { epoch: epoch(0), version: 0 }, sets: [] };

/** Nodes in one set, at most. */
export const membersMax = 16;

/** Below zero if a is older than b, zero if they are one. */
export function compareConfigurationIds(a: ConfigurationId, b: ConfigurationId): number {
  return a.epoch - b.epoch || a.version - b.version;
}

/** The newer of two configurations. */
export function newerConfiguration(a: Configuration, b: Configuration): Configuration {
  return compareConfigurationIds(b.id, a.id) > 0 ? b : a;
}

/** W and R for a number of nodes: six 4/3, four 3/2, three 2/2, one 1/1. */
export function thresholdsFor(count: number): { writeQuorum: number; readQuorum: number } {
  const writeQuorum = Math.floor(count / 2) + 1;
  // Three nodes read with two although Q1 asks for two at least anyway: N - W + 1.
  return { writeQuorum, readQuorum: count - writeQuorum + 1 };
}

/** A set with the thresholds of its size. */
export function memberSet(members: readonly Member[]): MemberSet {
  return { members, ...thresholdsFor(members.length) };
}

/** True if the thresholds obey rule Q1 and no node is named twice. */
export function isSoundSet(set: MemberSet): boolean {
  const count = set.members.length;
  return (
    count >= 1 &&
    count <= membersMax &&
    set.writeQuorum <= count &&
    set.readQuorum >= 1 &&
    set.readQuorum <= count &&
    set.writeQuorum + set.readQuorum > count &&
    2 * set.writeQuorum > count &&
    new Set(set.members.map((member) => member.nodeId)).size === count
  );
}

/** True if the same nodes count by the same thresholds. */
export function isSameSet(a: MemberSet, b: MemberSet): boolean {
  const ids = new Set(a.members.map((member) => member.nodeId));
  return (
    a.writeQuorum === b.writeQuorum &&
    ids.size === b.members.length &&
    b.members.every((member) => ids.has(member.nodeId))
  );
}

/** Every member of any set, each once, in the order of the sets. */
export function membersOf(configuration: Configuration): Member[] {
  const seen = new Map<NodeId, Member>();
  for (const set of configuration.sets) {
    for (const member of set.members) {
      if (!seen.has(member.nodeId)) seen.set(member.nodeId, member);
    }
  }
  return [...seen.values()];
}

type Has = (node: NodeId) => boolean;

function everySetHas(configuration: Configuration, needs: (set: MemberSet) => number, has: Has) {
  assert(configuration.sets.length > 0, "quorums are counted in a configuration with members");
  for (const set of configuration.sets) {
    let count = 0;
    for (const member of set.members) if (has(member.nodeId)) count++;
    if (count < needs(set)) return false;
  }
  return true;
}

/** W of every set. */
export function isWriteQuorum(configuration: Configuration, has: Has): boolean {
  return everySetHas(configuration, (set) => set.writeQuorum, has);
}

/** R of every set. */
export function isReadQuorum(configuration: Configuration, has: Has): boolean {
  return everySetHas(configuration, (set) => set.readQuorum, has);
}

/** N - W + 1 of every set: while these have not promised above an epoch, no claim above it can succeed. */
export function isBlockingSet(configuration: Configuration, has: Has): boolean {
  return everySetHas(configuration, (set) => set.members.length - set.writeQuorum + 1, has);
}

/**
 * The highest LSN that a write quorum of every set has acknowledged: the minimum over the sets of the W-th highest
 * SCL. A member without an acknowledgement counts as zero. Allocates nothing: it runs for every acknowledgement.
 */
export function vclOf(configuration: Configuration, sclOf: (node: NodeId) => Lsn | undefined): Lsn {
  assert(configuration.sets.length > 0, "quorums are counted in a configuration with members");
  let vcl: Lsn | undefined;
  for (const set of configuration.sets) {
    const held = heldByQuorum(set, sclOf);
    vcl = vcl === undefined ? held : lsnMin(vcl, held);
  }
  return vcl ?? lsnZero;
}

function heldByQuorum(set: MemberSet, sclOf: (node: NodeId) => Lsn | undefined): Lsn {
  let best = lsnZero;
  for (const candidate of set.members) {
    const scl = sclOf(candidate.nodeId);
    if (scl === undefined || scl <= best) continue;
    let count = 0;
    for (const member of set.members) {
      const other = sclOf(member.nodeId);
      if (other !== undefined && other >= scl) count++;
    }
    if (count >= set.writeQuorum) best = scl;
  }
  return best;
}
