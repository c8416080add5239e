import { assert } from "../../base/assert.ts";
import { type Epoch, epoch, type NodeId, nodeId, timeline, volumeId } from "../../base/ids.ts";
import { type Lsn, lsn } from "../../base/lsn.ts";
import {
  type Configuration,
  type History,
  memberSet,
  type Rules,
  type Run,
} from "../../quorum/index.ts";
import { claimsMax, unitsMax } from "./packed-log.ts";

export interface GroundOptions {
  readonly nodes: number;
  /** Epochs 1 to `epochs`, each claimed once. */
  readonly epochs: number;
  /** Length of the log, in units. */
  readonly units: number;
  /** Units in a record; more than one: logs end inside records. */
  readonly unitsPerRecord: number;
  /** Further claims of the last epoch. */
  readonly rivals: number;
  /** Instead of both: the epoch of each claim. */
  readonly claims?: readonly number[];
  /** Sync apart from append, crashes that keep any part of what was not synced. */
  readonly withSync: boolean;
  readonly rules: Rules;
}

export const volume = volumeId("11111111-2222-4333-8444-555555555555");
const bytesPerUnit = 8;
/** The log begins at the start of a segment, as everywhere. */
const origin = 16n * 1024n * 1024n;

export function lsnOf(unit: number): Lsn {
  return lsn(origin + BigInt(unit * bytesPerUnit));
}

export function unitOf(at: Lsn): number {
  const bytes = Number(at - origin);
  assert(bytes % bytesPerUnit === 0, "the search knows positions between units only");
  return bytes / bytesPerUnit;
}

/** The small world that is searched: its nodes, its claims, its rules. */
export class Ground {
  readonly options: GroundOptions;
  readonly rules: Rules;
  readonly nodeIds: readonly NodeId[];
  readonly configuration: Configuration;
  /** Epoch of each claim. */
  readonly epochs: readonly Epoch[];

  constructor(options: GroundOptions) {
    const { nodes, epochs, rivals, units } = options;
    assert(units >= 1 && units <= unitsMax, "a log has 1 to 7 units");
    assert(nodes >= 1 && nodes <= 6, "there are 1 to 6 nodes");
    this.options = options;
    this.rules = options.rules;
    this.nodeIds = Array.from({ length: nodes }, (_, n) =>
      nodeId(`00000000-0000-4000-8000-00000000000${n}`),
    );
    const members = this.nodeIds.map((id) => ({ nodeId: id, az: "a", kind: "full" as const }));
    this.configuration = { id: { epoch: epoch(0), version: 1 }, sets: [memberSet(members)] };
    const usual = Array.from({ length: epochs + rivals }, (_, claim) =>
      Math.min(claim + 1, epochs),
    );
    this.epochs = (options.claims ?? usual).map(epoch);
    assert(this.epochs.length >= 1 && this.epochs.length <= claimsMax, "there are 1 to 4 claims");
  }

  get claims(): number {
    return this.epochs.length;
  }
  get writeQuorum(): number {
    return this.configuration.sets[0]?.writeQuorum ?? 0;
  }
  get readQuorum(): number {
    return this.configuration.sets[0]?.readQuorum ?? 0;
  }

  epochOf(claim: number): Epoch {
    return this.epochs[claim] ?? epoch(0);
  }
  epochOfTag(tag: number): Epoch {
    return this.epochOf(tag - 1);
  }

  /** The last record end at or below. */
  recordEnd(unit: number): number {
    return unit - (unit % this.options.unitsPerRecord);
  }

  /** One unit that a claim wrote: its bytes say who. */
  unitRun(claim: number): Run {
    const own = this.epochOf(claim);
    return { epoch: own, timeline: timeline(own), bytes: Buffer.alloc(bytesPerUnit, claim + 1) };
  }

  /** The tags in the bytes of whole units. */
  tagsIn(bytes: Uint8Array): number[] {
    const tags: number[] = [];
    for (let at = 0; at < bytes.length; at += bytesPerUnit) tags.push(bytes[at] ?? 0);
    return tags;
  }
}

/** Where a history has removed log on purpose. */
export interface Backtrack {
  readonly epoch: Epoch;
  readonly start: number;
}

export function backtracksOf(history: History): Backtrack[] {
  return history
    .filter((entry) => entry.kind === "backtrack")
    .map((entry) => ({ epoch: entry.epoch, start: unitOf(entry.start) }));
}
