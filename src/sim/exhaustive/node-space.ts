import { InvariantBroken, present } from "../../base/assert.ts";
import { epochAt, type Promised, type State } from "../../quorum/index.ts";
import type { Claim } from "../../quorum/index.ts";
import type { Elects } from "./elects.ts";
import { type Backtrack, type Ground, lsnOf, unitOf } from "./ground.ts";
import { ModelNode, type NodeEvent, type Spoken } from "./model-node.ts";
import { type PackedLog, prefixOf, tagAt } from "./packed-log.ts";

/** A node's protocol state, whatever was said and heard: what the shipped Acceptor does next depends on it alone. */
export interface Core {
  readonly id: number;
  readonly log: PackedLog;
  readonly end: number;
  readonly synced: number;
  readonly promised: number;
  readonly acceptedEpoch: number;
  /** The accepted Elect; 0: none. */
  readonly accepted: number;
  /** What it shows of its log now, as a Promise would. */
  readonly position: Promised;
  /** What readers are served, in units. */
  readonly feedLimit: number;
  readonly backtracks: readonly Backtrack[];
  /** What it tells its epoch's driver whenever that asks. */
  readonly speaks: readonly Spoken[];
  /** How it was first reached. */
  readonly from: { readonly core: Core; readonly event: NodeEvent } | undefined;
}

interface CoreStep {
  readonly core: Core;
  readonly spoken: readonly Spoken[];
  readonly promise: number;
  /** The law that broke, if one did. */
  readonly law: string | undefined;
}

/** What a claimant has in hand of one node. */
export interface Snapshot {
  readonly id: number;
  readonly promised: Promised;
  readonly log: PackedLog;
}

/** A core with the facts that its words have made: what was said may be heard at any time from then on. */
export interface NodeState {
  readonly id: number;
  readonly core: Core;
  /** Per claim, four bits: the highest SCL its driver was told, plus one; 0: it was told nothing. */
  readonly told: number;
  /** Per claim: the promise in hand; 0: none. */
  readonly promises: readonly number[];
  readonly law: string | undefined;
}

export function toldTo(node: NodeState, claim: number): number {
  return (node.told >>> (4 * claim)) & 0xf;
}

/** Events as small numbers, so that a step is looked up and not computed: kind, then its argument in 12 bits. */
export const eventKinds = ["claim", "elect", "append", "fill", "hint", "sync", "crash"] as const;
/** A claim whose driver has decided: the promise is of no use any more. */
const lateClaim = 7;
const decided = 8;

export const code = {
  claim: (claim: number, isDecided: boolean) => ((isDecided ? lateClaim : 0) << 12) | claim,
  elect: (id: number) => (1 << 12) | id,
  append: (claim: number) => (2 << 12) | claim,
  fill: (claim: number) => (3 << 12) | claim,
  hint: (claim: number, vdl: number) => (4 << 12) | (claim << 4) | vdl,
  sync: 5 << 12,
  crash: (kept: number) => (6 << 12) | kept,
  decided: (claim: number) => (decided << 12) | claim,
};

export function eventOf(number: number): NodeEvent {
  const arg = number & 0xfff;
  switch (number >>> 12) {
    case 1:
      return { kind: "elect", elect: arg };
    case 2:
      return { kind: "append", claim: arg };
    case 3:
      return { kind: "fill", claim: arg };
    case 4:
      return { kind: "hint", claim: arg >>> 4, vdl: arg & 0xf };
    case 5:
      return { kind: "sync" };
    case 6:
      return { kind: "crash", kept: arg };
    default:
      return { kind: "claim", claim: arg };
  }
}

/**
 * Every state of a node that was met, each once, and what the shipped Acceptor made of each event in it: it is run once
 * for each pair, from its birth along the shortest way to that state, and the outcome is remembered.
 */
export class NodeSpace {
  private readonly ground: Ground;
  private readonly elects: Elects;
  private readonly claims: readonly Claim[];
  private readonly cores = new Map<string, Core>();
  private readonly coreSteps = new Map<number, CoreStep>();
  private readonly snapshots: Snapshot[] = [];
  private readonly snapshotIds = new Map<string, number>();
  private readonly nodes: NodeState[] = [];
  private readonly nodeIds = new Map<string, number>();
  private readonly steps: Map<number, number>[] = [];
  readonly first: number;

  constructor(ground: Ground, elects: Elects, claims: readonly Claim[]) {
    this.ground = ground;
    this.elects = elects;
    this.claims = claims;
    const core = this.internCore(this.newNode(), undefined);
    this.first = this.intern(
      core,
      0,
      ground.epochs.map(() => 0),
      undefined,
    );
  }

  at(id: number): NodeState {
    return present(this.nodes[id], "a node state is made before it is named");
  }
  snapshot(id: number): Snapshot {
    return present(this.snapshots[id - 1], "a promise is given before it is used");
  }
  get counts(): { readonly cores: number; readonly nodes: number; readonly runs: number } {
    return { cores: this.cores.size, nodes: this.nodes.length, runs: this.coreSteps.size };
  }

  /** The state after the event with this code; the same number if nothing changed. */
  step(id: number, event: number): number {
    const known = this.steps[id]?.get(event);
    if (known !== undefined) return known;
    const after = this.computeStep(this.at(id), event);
    this.steps[id]?.set(event, after);
    return after;
  }

  private computeStep(node: NodeState, event: number): number {
    const kind = event >>> 12;
    const claim = event & 0xfff;
    const promises = [...node.promises];
    if (kind === decided) {
      promises[claim] = 0;
      return this.intern(node.core, node.told, promises, undefined);
    }
    const { core, spoken, promise, law } = this.stepCore(node.core, event);
    if (promise !== 0 && kind !== lateClaim) promises[claim] = promise;
    let { told } = node;
    for (const word of [...spoken, ...core.speaks]) {
      const shift = 4 * word.claim;
      if (word.scl + 1 > ((told >>> shift) & 0xf))
        told = (told & ~(0xf << shift)) | ((word.scl + 1) << shift);
    }
    return this.intern(core, told >>> 0, promises, law);
  }

  private intern(core: Core, told: number, promises: number[], law: string | undefined): number {
    const key = `${core.id} ${told} ${promises.join(" ")} ${law ?? ""}`;
    const known = this.nodeIds.get(key);
    if (known !== undefined) return known;
    const id = this.nodes.length;
    this.nodeIds.set(key, id);
    this.nodes.push({ id, core, told, promises, law: law ?? this.brokenLaw(core, told) });
    this.steps.push(new Map());
    return id;
  }

  private newNode(): ModelNode {
    return new ModelNode(this.ground, this.elects, this.claims);
  }

  private stepCore(core: Core, number: number): CoreStep {
    const key = core.id * 0x10000 + number;
    const known = this.coreSteps.get(key);
    if (known) return known;
    const step = this.runCore(core, eventOf(number));
    this.coreSteps.set(key, step);
    return step;
  }

  private runCore(core: Core, event: NodeEvent): CoreStep {
    const node = this.newNode();
    for (const earlier of wayTo(core)) node.apply(earlier);
    node.spoken = [];
    node.promise = undefined;
    try {
      node.apply(event);
      const { spoken, promise: promised } = node;
      const after = this.internCore(node, { core, event });
      const promise = promised === undefined ? 0 : this.internSnapshot(promised, after);
      const hasFallen = after.promised < core.promised;
      const law = hasFallen ? "I6 promises: promised falls" : undefined;
      return { core: after, spoken, promise, law };
    } catch (error) {
      if (!(error instanceof InvariantBroken)) throw error;
      return { core, spoken: [], promise: 0, law: error.message };
    }
  }

  private internCore(node: ModelNode, from: Core["from"]): Core {
    const { state, vdl, vdlEpoch } = node.acceptor;
    const { log, synced, retired, end } = node;
    const accepted = state.electRecord ? this.elects.of(state.electRecord).id : 0;
    const who = this.claims.findIndex((claim) => claim.claimId === state.promisedTo);
    const key = [state.promised, who, accepted, log, synced, retired, vdl, vdlEpoch];
    const text = `${key.join(" ")} ${node.disk.promised}`;
    const known = this.cores.get(text);
    if (known) return known;
    node.spoken = [];
    const feedLimit = node.acceptor.feedLimit;
    const position = asPromised(node.probe());
    const core: Core = {
      id: this.cores.size,
      log,
      end,
      synced,
      promised: state.promised,
      acceptedEpoch: state.accepted,
      accepted,
      position,
      feedLimit: feedLimit < lsnOf(0) ? 0 : unitOf(feedLimit),
      backtracks: accepted === 0 ? [] : this.elects.at(accepted).backtracks,
      speaks: node.spoken,
      from,
    };
    this.cores.set(text, core);
    return core;
  }

  private internSnapshot(promised: Promised, core: Core): number {
    const log = prefixOf(core.log, core.synced);
    const path = promised.history.map(
      (one) => `${one.epoch}.${one.timeline}@${one.start}${one.kind}`,
    );
    const { claimId, vdl, vdlEpoch } = promised;
    const key = `${claimId} ${log} ${vdl} ${vdlEpoch} ${path.join(" ")}`;
    const known = this.snapshotIds.get(key);
    if (known !== undefined) return known;
    const id = this.snapshots.length + 1;
    this.snapshots.push({ id, promised, log });
    this.snapshotIds.set(key, id);
    return id;
  }

  /** The laws that one node's state shows: I7 and I15. */
  private brokenLaw(core: Core, told: number): string | undefined {
    if (core.accepted === 0)
      return core.log === 0 ? undefined : "I7 paths: a node that is in no epoch holds log";
    const { claim, message } = this.elects.at(core.accepted);
    for (let unit = 0; unit < core.end; unit++) {
      const expected = epochAt(message.history, lsnOf(unit));
      const found = this.ground.epochOfTag(tagAt(core.log, unit));
      if (found !== expected)
        return `I7 paths: unit ${unit} is of epoch ${found}, the node's path says ${expected}`;
    }
    const scl = ((told >>> (4 * claim)) & 0xf) - 1;
    if (scl < 0) return undefined;
    if (scl > core.synced)
      return `I15 kept word: ${scl} units were acknowledged, ${core.synced} are synced`;
    const driverLog = this.elects.logOf(this.elects.at(core.accepted), scl);
    return driverLog === prefixOf(core.log, scl)
      ? undefined
      : "I4 durability: a node acknowledged log that is not its driver's";
  }
}

function wayTo(core: Core): NodeEvent[] {
  const way: NodeEvent[] = [];
  for (let at: Core | undefined = core; at?.from; at = at.from.core) way.push(at.from.event);
  return way.toReversed();
}

function asPromised(state: State): Promised {
  const { history, scl, base, floor, vdl, vdlEpoch, configuration, suspectTail } = state;
  const position = { history, scl, base, floor, vdl, vdlEpoch, configuration, suspectTail };
  return { kind: "promise", epoch: state.promised, claimId: "", pins: [], ...position };
}
