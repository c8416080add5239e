import type { NodeId } from "../base/ids.ts";
import { type MemberSet, type Pin } from "../quorum/index.ts";

/** A Pin or Unpin without an answer is sent again after this. */
const sendAgainMs = 1_000;

interface PinEntry {
  readonly pin: Pin;
  /** `released`: the clone needs it no more; told to the members until a write quorum knows. */
  wish: "held" | "released";
  readonly acked: Set<NodeId>;
  readonly sendAtMs: Map<NodeId, number>;
  isReported: boolean;
}

/** What to send to a node. */
export interface PinOrder {
  readonly pin: Pin;
  readonly wish: "held" | "released";
}

/**
 * The clones' pins that this epoch keeps (section 13). Every pin that a promise showed is taken over: a created one is at
 * a write quorum, so every claimant sees it; a half-made one is completed, never dropped silently.
 */
export class PinBook {
  private readonly entries = new Map<string, PinEntry>();

  constructor(pins: readonly Pin[]) {
    for (const pin of pins) this.hold(pin);
  }

  get pins(): readonly Pin[] {
    return [...this.entries.values()].filter((one) => one.wish === "held").map((one) => one.pin);
  }

  hold(pin: Pin): void {
    if (this.entries.get(pin.pinId)?.wish === "held") return;
    this.entries.set(pin.pinId, newEntry(pin, "held"));
  }

  /** False: there is no such pin. */
  release(pinId: string): boolean {
    const entry = this.entries.get(pinId);
    if (!entry) return false;
    if (entry.wish === "held") this.entries.set(pinId, newEntry(entry.pin, "released"));
    return true;
  }

  noteAck(node: NodeId, ack: { readonly pinId: string; readonly isHeld: boolean }): void {
    const entry = this.entries.get(ack.pinId);
    // A late answer to a Pin says nothing of the Unpin behind it.
    if (entry && (entry.wish === "held") === ack.isHeld) entry.acked.add(node);
  }

  /** A link that was lost may have lost what was sent on it. */
  noteConnected(node: NodeId): void {
    for (const entry of this.entries.values()) entry.sendAtMs.delete(node);
  }

  /** What this node has not acknowledged, and is to be told (again) now. */
  ordersFor(node: NodeId, nowMs: number): PinOrder[] {
    const orders: PinOrder[] = [];
    for (const { pin, wish, acked, sendAtMs } of this.entries.values()) {
      if (acked.has(node) || nowMs < (sendAtMs.get(node) ?? 0)) continue;
      sendAtMs.set(node, nowMs + sendAgainMs);
      orders.push({ pin, wish });
    }
    return orders;
  }

  areHeldBy(set: MemberSet): boolean {
    for (const { wish, acked } of this.entries.values()) {
      if (wish === "held" && !isQuorumOf(set, acked)) return false;
    }
    return true;
  }

  /** The pins that a write quorum of every set has come to hold, or to drop, since the last call; dropped ones go. */
  takeDone(sets: readonly MemberSet[]): PinOrder[] {
    const done: PinOrder[] = [];
    const members = sets.flatMap((set) => set.members);
    for (const [pinId, entry] of this.entries) {
      if (!entry.isReported && sets.every((set) => isQuorumOf(set, entry.acked))) {
        entry.isReported = true;
        done.push({ pin: entry.pin, wish: entry.wish });
      }
      const isEverywhere = members.every((member) => entry.acked.has(member.nodeId));
      if (entry.wish === "released" && isEverywhere) this.entries.delete(pinId);
    }
    return done;
  }
}

function newEntry(pin: Pin, wish: PinEntry["wish"]): PinEntry {
  return { pin, wish, acked: new Set(), sendAtMs: new Map(), isReported: false };
}

function isQuorumOf(set: MemberSet, acked: ReadonlySet<NodeId>): boolean {
  return set.members.filter((member) => acked.has(member.nodeId)).length >= set.writeQuorum;
}
