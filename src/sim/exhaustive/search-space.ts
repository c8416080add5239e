import { present } from "../../base/assert.ts";
import { Elects, type KnownElect } from "./elects.ts";
import { Ground, type GroundOptions } from "./ground.ts";
import { ModelDrivers } from "./model-driver.ts";
import { code, eventKinds, type NodeState, NodeSpace, toldTo } from "./node-space.ts";
import { Observer, type Overview } from "./observer.ts";
import { Recoverable } from "./recoverable.ts";

export interface SpaceOptions extends GroundOptions {
  readonly backtracks: number;
  readonly withPull: boolean;
  readonly withHints: boolean;
  readonly isSymmetric: boolean;
}

/** Borrowed: valid until the callback returns. */
export interface Successor {
  /** Node event code (or one of driverEvents) and its argument above, position or set of positions in the low 6 bits. */
  event: number;
  overview: number;
  /** By position, as before the step. */
  nodes: Int32Array;
  law: string | undefined;
}

type Visit = (successor: Successor) => void;

/** Beyond the nodes' events (eventKinds, and 7 for a late claim). */
export const driverEvents = { decide: 9, open: 10, acknowledge: 11 } as const;

/**
 * The state is [overview, node, node, ...], each a number that stands for a value met before. Which steps there are:
 * every request that can have been sent, at every node; every decision with every set of promises that just makes an
 * owner; every advance that what was told allows.
 */
export class SearchSpace {
  readonly ground: Ground;
  readonly elects = new Elects();
  readonly drivers: ModelDrivers;
  readonly nodes: NodeSpace;
  readonly observer: Observer;
  private readonly recoverable: Recoverable;
  private readonly options: SpaceOptions;
  private readonly successor: Successor;
  private readonly states: NodeState[] = [];
  private readonly order: number[];

  constructor(options: SpaceOptions) {
    this.options = options;
    this.ground = new Ground(options);
    this.drivers = new ModelDrivers(this.ground, this.elects);
    this.nodes = new NodeSpace(this.ground, this.elects, this.drivers.claims);
    this.observer = new Observer(this.ground, this.elects);
    this.recoverable = new Recoverable(this.ground);
    const nodes = new Int32Array(options.nodes);
    this.successor = { event: 0, overview: 0, nodes, law: undefined };
    this.order = Array.from(nodes, (_, position) => position);
  }

  get machineRuns(): number {
    return this.nodes.counts.runs + this.drivers.runs;
  }

  kindName(kind: number): string {
    const beyond = Object.entries(driverEvents).find(([, number]) => number === kind);
    return beyond?.[0] ?? eventKinds[kind] ?? "lateClaim";
  }

  readFirst(into: Int32Array): void {
    into.fill(this.nodes.first);
    into[0] = this.observer.first.id;
  }

  /** As a row of the table; for each place in it the position that stands there now. */
  readCanonical(
    { nodes, overview }: Pick<Successor, "nodes" | "overview">,
    into: Int32Array,
  ): readonly number[] {
    const { order } = this;
    for (let i = 0; i < order.length; i++) order[i] = i;
    if (this.options.isSymmetric) sortByValue(order, nodes);
    into[0] = overview;
    for (let i = 0; i < order.length; i++) into[i + 1] = nodes[order[i] ?? 0] ?? 0;
    return order;
  }

  /** The same for a row that is not in order yet. */
  canonize(row: Int32Array): readonly number[] {
    const [overview = 0, ...nodes] = row;
    return this.readCanonical({ overview, nodes: Int32Array.from(nodes) }, row);
  }

  /** The laws on whole states: I3, I5, I7. */
  brokenLaw(row: Int32Array): string | undefined {
    const overview = this.observer.at(row[0] ?? 0);
    const cores = [];
    for (let i = 1; i < row.length; i++) {
      const node = this.nodes.at(row[i] ?? 0);
      const law = this.options.withHints ? this.observer.serves(overview, node) : undefined;
      if (law !== undefined) return law;
      cores.push(node.core);
    }
    return this.recoverable.brokenLaw(overview, cores);
  }

  expand(row: Int32Array, visit: Visit): void {
    this.visitAll(row, this.options.isSymmetric, visit);
  }
  /** Without leaving out what differs in names only. */
  expandAll(row: Int32Array, visit: Visit): void {
    this.visitAll(row, false, visit);
  }

  private visitAll(row: Int32Array, skipsTwins: boolean, visit: Visit): void {
    const overview = this.observer.at(row[0] ?? 0);
    const { states, successor } = this;
    states.length = 0;
    for (let i = 1; i < row.length; i++) {
      states.push(this.nodes.at(row[i] ?? 0));
      successor.nodes[i - 1] = row[i] ?? 0;
    }
    for (let position = 0; position < states.length; position++) {
      // A node like the one before it: what happens to it leads to the same states.
      if (skipsTwins && position > 0 && row[position + 1] === row[position]) continue;
      this.expandNode(overview, position, visit);
    }
    for (let claim = 0; claim < this.ground.claims; claim++) {
      const elect = overview.elects[claim] ?? 0;
      if (elect === 0) this.decide(overview, claim, visit);
      else this.advance(overview, this.elects.at(elect), visit);
    }
  }

  private expandNode(overview: Overview, position: number, visit: Visit): void {
    const { withPull, withSync, units } = this.options;
    const node = present(this.states[position], "the position is one of a node");
    const { end, synced } = node.core;
    for (let claim = 0; claim < this.ground.claims; claim++) {
      const elect = overview.elects[claim] ?? 0;
      this.deliver(overview, position, code.claim(claim, elect !== 0), visit);
      if (elect === 0) continue;
      this.deliver(overview, position, code.elect(elect), visit);
      if (this.options.withHints) this.hint(overview, position, this.elects.at(elect), visit);
      if ((overview.vdls[claim] ?? 0) === 0) continue;
      if (end < units) this.deliver(overview, position, code.append(claim), visit);
      const { start } = this.elects.at(elect);
      const hasWritten = end >= start && end < (overview.ends[claim] ?? 0);
      if (withPull && hasWritten && this.mayBePulled(claim, end)) {
        this.deliver(overview, position, code.fill(claim), visit);
      }
    }
    if (!withSync) return;
    if (synced < end) this.deliver(overview, position, code.sync, visit);
    for (let kept = synced; kept <= end; kept++)
      this.deliver(overview, position, code.crash(kept), visit);
  }

  /**
   * Where append and sync are one, what was written was synced at some node, and a PullData with it may be under way
   * ever since. Where they are two, a peer must have it synced now.
   */
  private mayBePulled(claim: number, unit: number): boolean {
    if (!this.options.withSync) return true;
    return this.states.some(({ core }) => {
      const isSynced = core.synced > unit;
      return isSynced && ((core.log >>> (4 * unit)) & 0xf) === claim + 1;
    });
  }

  private hint(overview: Overview, position: number, elect: KnownElect, visit: Visit): void {
    const { claim } = elect;
    const early = this.drivers.hintWhileElecting(elect);
    if (early > 0) this.deliver(overview, position, code.hint(claim, early), visit);
    const vdl = (overview.vdls[claim] ?? 0) - 1;
    for (let at = elect.start; at <= vdl; at++) {
      const isKnown = at === 0 || at === early || this.ground.recordEnd(at) !== at;
      if (!isKnown) this.deliver(overview, position, code.hint(claim, at), visit);
    }
  }

  private deliver(overview: Overview, position: number, event: number, visit: Visit): void {
    const { nodes } = this.successor;
    const before = nodes[position] ?? 0;
    const after = this.nodes.step(before, event);
    if (after === before) return;
    const state = this.nodes.at(after);
    const old = this.nodes.at(before);
    let { law } = state;
    let next = overview;
    const kind = event >>> 12;
    if (kind === 1 && law === undefined) law = this.observer.cut(overview, old, state);
    if (kind === 2) next = this.observer.wrote(overview, event & 0xfff, state.core.end);
    nodes[position] = after;
    this.emit({ event: (event << 6) | position, overview: next.id, law }, visit);
    nodes[position] = before;
  }

  private emit(step: Omit<Successor, "nodes">, visit: Visit): void {
    const { successor } = this;
    successor.event = step.event;
    successor.overview = step.overview;
    successor.law = step.law;
    visit(successor);
  }

  private decide(overview: Overview, claim: number, visit: Visit): void {
    const { states, successor } = this;
    const all = (1 << states.length) - 1;
    const mayBacktrack = overview.backtracks < this.options.backtracks;
    for (let mask = 1; mask <= all; mask++) {
      const isInHand = states.every(
        (node, position) => ((mask >>> position) & 1) === 0 || node.promises[claim] !== 0,
      );
      if (!isInHand) continue;
      const given = states.map((node, position) =>
        ((mask >>> position) & 1) === 1 ? (node.promises[claim] ?? 0) : 0,
      );
      const { elects, law } = this.drivers.decide(this.nodes, claim, given);
      if (law !== undefined) {
        const event = (driverEvents.decide << 18) | mask;
        this.emit({ event, overview: overview.id, law }, visit);
        continue;
      }
      const before = Int32Array.from(successor.nodes);
      for (const elect of elects) {
        if (elect.isAskedBacktrack && !mayBacktrack) continue;
        const outcome = this.observer.decided(overview, elect);
        for (let i = 0; i < before.length; i++)
          successor.nodes[i] = this.nodes.step(before[i] ?? 0, code.decided(claim));
        const event = (driverEvents.decide << 18) | (elect.id << 6) | mask;
        this.emit({ event, overview: outcome.after.id, law: outcome.law }, visit);
      }
      successor.nodes.set(before);
    }
  }

  /** What the driver can do that has heard all that was told; one that has heard less does less. */
  private advance(overview: Overview, elect: KnownElect, visit: Visit): void {
    const { claim } = elect;
    const { states } = this;
    const told = states.map((node) => toldTo(node, claim));
    const end = Math.max(elect.start, overview.ends[claim] ?? 0);
    const { vdl, law } = this.drivers.lead(this.nodes, elect, told, end);
    const isOpen = (overview.vdls[claim] ?? 0) !== 0;
    const kind = isOpen ? driverEvents.acknowledge : driverEvents.open;
    const event = (kind << 18) | (claim << 6);
    if (law !== undefined) return this.emit({ event, overview: overview.id, law }, visit);
    if (vdl === undefined) return;
    const before = (overview.vdls[claim] ?? 0) - 1;
    const next = isOpen ? before + this.options.unitsPerRecord : elect.start;
    if (next > vdl) return;
    const outcome = this.observer.acknowledged(overview, claim, next, states);
    this.emit({ event, overview: outcome.after.id, law: outcome.law }, visit);
  }
}

function sortByValue(order: number[], values: Int32Array): void {
  for (let i = 1; i < order.length; i++) {
    const one = order[i] ?? 0;
    const value = values[one] ?? 0;
    let at = i;
    for (; at > 0 && (values[order[at - 1] ?? 0] ?? 0) > value; at--)
      order[at] = order[at - 1] ?? 0;
    order[at] = one;
  }
}
