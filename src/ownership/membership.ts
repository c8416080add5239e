import { assert } from "../base/assert.ts";
import type { NodeId } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import {
  compareConfigurationIds,
  type Configuration,
  type ConfigurationId,
  isSameSet,
  isSoundSet,
  isWriteQuorum,
  type Member,
  type MemberSet,
  membersOf,
  type Rules,
} from "../quorum/index.ts";

/** A ConfigChange without an answer is sent again after this. */
const tellAgainMs = 500;

/**
 * Where a change stands. `settling`: counted, and not yet accepted by a write quorum in this epoch. `joint`: both sets
 * count; it will end in `target`.
 */
type Stage =
  | { readonly kind: "settling" }
  | { readonly kind: "settled" }
  | {
      readonly kind: "joint";
      readonly from: MemberSet;
      readonly to: MemberSet;
      readonly target: MemberSet;
    };

/** What the end of a change depends on, apart from the configuration. */
export interface ChangeView {
  /** Not VDL: a commit whose wait was cancelled is answered by VCL. */
  readonly vcl: Lsn;
  /** What a write quorum of this one set has acknowledged in this epoch. */
  heldBy(set: MemberSet): Lsn;
  /** Whether a write quorum of this set holds every pin. */
  arePinsHeldBy(set: MemberSet): boolean;
  /** Whether this set alone keeps newer claims waiting for as long as reads may rely on. */
  areLeasesKeptBy(set: MemberSet): boolean;
}

/** `begun`, or why not. */
export type ChangeAnswer = "begun" | "busy" | "unsound" | "same";

/**
 * The membership of an open epoch (section 10): one change at a time, through a configuration in which both sets count.
 *
 *     S ──▶ J = [S, S'] ──▶ S'      counted at once at each arrow; J must be in force, and S' hold everything below
 *                       └─▶ S       VCL and every pin, before it may count alone (M16, M17, M31)
 */
export class Membership {
  private readonly rules: Rules;
  private current: Configuration;
  private stage: Stage;
  /** The newest configuration that each node has acknowledged in this epoch. */
  private readonly accepted = new Map<NodeId, ConfigurationId>();
  private readonly tellAtMs = new Map<NodeId, number>();
  /**
   * New to the group, and no ConfigChange acknowledged yet: an ElectAck is not enough, since only a ConfigChange brings
   * one above the low-water. The change may long have ended without them.
   */
  private readonly joining = new Set<NodeId>();

  /** `configuration` is the one that this epoch's Elect carries; it may be one that an earlier driver left joint. */
  constructor(configuration: Configuration, rules: Rules) {
    this.rules = rules;
    this.current = configuration;
    const [from, to] = configuration.sets;
    this.stage = from && to ? { kind: "joint", from, to, target: to } : { kind: "settling" };
  }

  /** Quorums are counted in this one. */
  get configuration(): Configuration {
    return this.current;
  }
  /** One set counts, and a write quorum knows it: the next step may begin. */
  get isSettled(): boolean {
    return this.stage.kind === "settled";
  }
  get isJoint(): boolean {
    return this.stage.kind === "joint";
  }

  /** Begins the change to `set`, or turns one that is under way: forward again, or back to where it came from. */
  begin(set: MemberSet): ChangeAnswer {
    const { stage } = this;
    if (!isSoundSet(set)) return "unsound";
    if (stage.kind === "joint") {
      const target = [stage.from, stage.to].find((one) => isSameSet(one, set));
      if (!target) return "busy";
      this.stage = { ...stage, target };
      return "begun";
    }
    if (stage.kind === "settling") return "busy";
    const [from] = this.current.sets;
    assert(from !== undefined, "a settled configuration has one set");
    if (isSameSet(from, set)) return "same";
    const sets = this.rules.stepsTo(from, set);
    const known = new Set(from.members.map((member) => member.nodeId));
    const added = set.members.filter((member) => !known.has(member.nodeId));
    for (const { nodeId } of added) this.joining.add(nodeId);
    this.stage =
      sets.length > 1 ? { kind: "joint", from, to: set, target: set } : { kind: "settling" };
    this.count(sets);
    return "begun";
  }

  /** A node has acknowledged `id`, by an ElectAck or by a ConfigAck. */
  noteAcked(node: NodeId, id: ConfigurationId, by: "elect" | "change"): void {
    // A late answer to an older change says nothing of the low-water that this one brings.
    const isNewest = compareConfigurationIds(id, this.current.id) >= 0;
    if (by === "change" && isNewest) this.joining.delete(node);
    if (this.joining.has(node)) return;
    const before = this.accepted.get(node);
    if (!before || compareConfigurationIds(id, before) > 0) this.accepted.set(node, id);
    if (this.stage.kind === "settling" && this.isInForce) this.stage = { kind: "settled" };
  }

  /** Ends a joint configuration if that may be; gives the members that are out then. */
  finish(view: ChangeView): readonly Member[] | undefined {
    const { stage } = this;
    if (stage.kind !== "joint") return undefined;
    const { target, from, to } = stage;
    if (!this.isInForce && (target !== from || this.current.id.version === 1)) return undefined;
    // Who relies on a lease is told of no change: the nodes that keep it must not lose their say before it is over.
    if (!view.areLeasesKeptBy(target)) return undefined;
    const arePinsHeld = view.arePinsHeldBy(target);
    if (!this.rules.mayFinishChange({ held: view.heldBy(target), vcl: view.vcl, arePinsHeld }))
      return undefined;
    const stays = new Set(target.members.map((member) => member.nodeId));
    const dropped = [...from.members, ...to.members].filter(({ nodeId }) => !stays.has(nodeId));
    this.stage = { kind: "settling" };
    this.count([target]);
    return dropped;
  }

  /** True if this node is to be told of the configuration now; noted as told. */
  mustTell(node: NodeId, nowMs: number): boolean {
    if (this.hasAccepted(node) || nowMs < (this.tellAtMs.get(node) ?? 0)) return false;
    this.tellAtMs.set(node, nowMs + tellAgainMs);
    return true;
  }

  private get isInForce(): boolean {
    return isWriteQuorum(this.current, (node) => this.hasAccepted(node));
  }

  private hasAccepted(node: NodeId): boolean {
    const id = this.accepted.get(node);
    return id !== undefined && compareConfigurationIds(id, this.current.id) >= 0;
  }

  private count(sets: readonly MemberSet[]): void {
    const { epoch, version } = this.current.id;
    this.current = { id: { epoch, version: version + 1 }, sets };
    this.tellAtMs.clear();
    const members = new Set(membersOf(this.current).map((member) => member.nodeId));
    for (const node of this.accepted.keys()) if (!members.has(node)) this.accepted.delete(node);
    for (const node of this.joining) if (!members.has(node)) this.joining.delete(node);
  }
}
