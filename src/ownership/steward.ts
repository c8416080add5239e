import { assert } from "../base/assert.ts";
import type { Epoch, NodeId } from "../base/ids.ts";
import { type Lsn, lsnMin, lsnZero } from "../base/lsn.ts";
import {
  type Configuration,
  type Elect,
  type Member,
  type MemberSet,
  membersOf,
  type Pin,
  type QuorumMessage,
  type Rules,
  vclOf,
} from "../quorum/index.ts";
import type { DriverAction } from "./driver-io.ts";
import { LowWater } from "./low-water.ts";
import { Membership } from "./membership.ts";
import { PinBook } from "./pin-book.ts";

/** What a steward sees of the reign that it serves. */
export interface Estate {
  readonly epoch: Epoch;
  readonly nowMs: number;
  readonly vdl: Lsn;
  readonly vcl: Lsn;
  /** Acknowledged in this epoch. */
  sclOf(node: NodeId): Lsn | undefined;
  /** Every lease that was ever told of is kept by a blocking set of this set alone, or over. */
  areLeasesKeptBy(set: MemberSet): boolean;
  /** Linked, and in this epoch: it can be told something. */
  isReachable(node: NodeId): boolean;
  act(action: DriverAction): void;
  /** The configuration that counts has changed; what follows from it does, too. */
  recount(): void;
}

/**
 * What an open epoch does beside the log: its members (section 10), its low-water (11), the pins of clones (13). Each
 * may be held up by nodes that are away; none holds up a commit.
 */
export class Steward {
  private readonly estate: Estate;
  private readonly membership: Membership;
  private readonly lowWater: LowWater;
  private readonly pinBook: PinBook;
  private nextSet: MemberSet | undefined;
  private toldSettled = false;

  constructor(
    start: { readonly elect: Elect; readonly pins: readonly Pin[]; readonly rules: Rules },
    estate: Estate,
  ) {
    const { elect, pins, rules } = start;
    this.estate = estate;
    this.membership = new Membership(elect.configuration, rules);
    this.lowWater = new LowWater({ low: elect.low, floor: elect.floor, rules });
    this.pinBook = new PinBook(pins);
  }

  get configuration(): Configuration {
    return this.membership.configuration;
  }
  get low(): Lsn {
    return this.lowWater.low;
  }
  get floor(): Lsn {
    return this.lowWater.floor;
  }
  /** A set counts that may not hold yet what was acknowledged before. */
  get isChanging(): boolean {
    return !this.membership.isSettled;
  }
  get pins(): readonly Pin[] {
    return this.pinBook.pins;
  }

  receive(node: NodeId, message: QuorumMessage): void {
    switch (message.kind) {
      case "electAck":
        return this.membership.noteAcked(node, message.configuration, "elect");
      case "configAck":
        return this.membership.noteAcked(node, message.configuration, "change");
      case "floorAck":
        return this.lowWater.noteFloorAck(node, message.lsn);
      case "pinAck":
        return this.pinBook.noteAck(node, message);
      default:
        return undefined;
    }
  }

  noteConnected(node: NodeId): void {
    this.pinBook.noteConnected(node);
  }

  changeMembers(set: MemberSet): void {
    const { act } = this.estate;
    // A new member below a low-water that is just being made could not be filled any more: first the one, then the other.
    if (this.lowWater.isBusy && !this.membership.isJoint) {
      if (this.nextSet) act({ kind: "changeAnswered", answer: "busy" });
      this.nextSet = set;
      return;
    }
    const before = this.configuration;
    const answer = this.membership.begin(set);
    act({ kind: "changeAnswered", answer });
    if (this.configuration === before) return;
    this.announce([]);
    for (const { nodeId } of membersOf(this.configuration)) this.tell(nodeId);
  }

  wantLow(lsn: Lsn): void {
    this.lowWater.want(lsn);
  }

  pin(pin: Pin): void {
    assert(pin.to <= this.estate.vdl, "a pin ends at or below VDL");
    this.pinBook.hold(pin);
  }

  unpin(pinId: string): void {
    if (!this.pinBook.release(pinId)) this.estate.act({ kind: "unpinned", pinId });
  }

  /** Whatever has become possible by an acknowledgement, or is due by the time. Only while the epoch is open. */
  step(): void {
    this.stepMembership();
    this.stepLowWater();
    for (const { nodeId } of membersOf(this.configuration)) this.tell(nodeId);
    for (const { pin, wish } of this.pinBook.takeDone(this.configuration.sets)) {
      const { pinId } = pin;
      this.estate.act({ kind: wish === "held" ? "pinned" : "unpinned", pinId });
    }
  }

  private stepMembership(): void {
    const { membership } = this;
    if (membership.isJoint) this.finishChange();
    if (membership.isSettled === this.toldSettled) return;
    this.toldSettled = membership.isSettled;
    if (this.toldSettled) this.report();
  }

  private finishChange(): void {
    const { membership, estate, pinBook } = this;
    const dropped = membership.finish({
      vcl: estate.vcl,
      heldBy: (set) => vclOf({ ...this.configuration, sets: [set] }, (node) => estate.sclOf(node)),
      arePinsHeldBy: (set) => pinBook.areHeldBy(set),
      areLeasesKeptBy: (set) => estate.areLeasesKeptBy(set),
    });
    if (dropped) this.announce(dropped);
  }

  private announce(dropped: readonly Member[]): void {
    const { estate } = this;
    this.toldSettled = false;
    for (const { nodeId } of dropped) {
      // Nothing depends on its answer: once, so that it knows.
      if (estate.isReachable(nodeId)) this.sendChange(nodeId);
    }
    estate.recount();
    this.report();
  }

  private report(): void {
    const { configuration, membership } = this;
    const { isSettled } = membership;
    this.estate.act({ kind: "membersChanged", configuration, isSettled });
  }

  private stepLowWater(): void {
    const { estate, membership, lowWater, configuration } = this;
    const { vdl, nowMs, epoch } = estate;
    const view = { vdl, lowestMember: this.lowestMember(), isSettled: membership.isSettled };
    const said = lowWater.step(view, { nowMs, configuration });
    if (said) {
      const message: QuorumMessage = { kind: said.send, epoch, lsn: said.lsn };
      for (const { nodeId: node } of membersOf(configuration))
        estate.act({ kind: "send", node, message });
      if (said.send === "advanceLow") estate.act({ kind: "lowAdvanced", low: said.lsn });
    }
    const { nextSet } = this;
    if (nextSet === undefined || lowWater.isBusy) return;
    this.nextSet = undefined;
    this.changeMembers(nextSet);
  }

  private lowestMember(): Lsn {
    let lowest: Lsn | undefined;
    for (const { nodeId } of membersOf(this.configuration)) {
      const scl = this.estate.sclOf(nodeId) ?? lsnZero;
      lowest = lowest === undefined ? scl : lsnMin(lowest, scl);
    }
    return lowest ?? lsnZero;
  }

  private tell(node: NodeId): void {
    const { estate, membership, pinBook } = this;
    const { epoch, nowMs } = estate;
    if (!estate.isReachable(node)) return;
    if (membership.mustTell(node, nowMs)) this.sendChange(node);
    for (const { pin, wish } of pinBook.ordersFor(node, nowMs)) {
      const message: QuorumMessage =
        wish === "held"
          ? { kind: "pin", epoch, ...pin }
          : { kind: "unpin", epoch, pinId: pin.pinId };
      estate.act({ kind: "send", node, message });
    }
  }

  private sendChange(node: NodeId): void {
    const { configuration, low, floor, estate } = this;
    const { epoch } = estate;
    const message: QuorumMessage = { kind: "configChange", epoch, configuration, low, floor };
    estate.act({ kind: "send", node, message });
  }
}
