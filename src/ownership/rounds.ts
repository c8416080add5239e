import type { NodeId } from "../base/ids.ts";
import { type Configuration, type HeartbeatAck, membersOf, type Rules } from "../quorum/index.ts";

/** Two clocks may differ in rate by this much within one lease (section 14, ρ). */
const driftAllowed = 0.05;
/** Rounds whose sending time is remembered; an answer to an older one confirms it but extends no lease. */
const roundsKept = 256;

/** A driver's side of the read gates: which heartbeat rounds, and which leases, a blocking set has confirmed. */
export class Rounds {
  private readonly rules: Rules;
  private readonly sentAtMs = new Map<number, number>();
  private readonly ackedRound = new Map<NodeId, number>();
  private readonly heldUntilMs = new Map<NodeId, number>();
  private lastRound = 0;

  constructor(rules: Rules) {
    this.rules = rules;
  }

  /** The newest round begun; 0 before the first. */
  get last(): number {
    return this.lastRound;
  }

  begin(nowMs: number): number {
    this.lastRound++;
    this.sentAtMs.set(this.lastRound, nowMs);
    this.sentAtMs.delete(this.lastRound - roundsKept);
    return this.lastRound;
  }

  noteAck(node: NodeId, ack: HeartbeatAck): void {
    if (ack.round > this.lastRound) return;
    this.ackedRound.set(node, Math.max(this.ackedRound.get(node) ?? 0, ack.round));
    const sentAtMs = this.sentAtMs.get(ack.round);
    if (sentAtMs === undefined || ack.leaseMs === 0) return;
    // Counted from the sending: the node began to count later.
    const untilMs = sentAtMs + ack.leaseMs * (1 - driftAllowed);
    this.heldUntilMs.set(node, Math.max(this.heldUntilMs.get(node) ?? 0, untilMs));
  }

  /** The newest round that a blocking set has confirmed; 0 if none. */
  confirmed(configuration: Configuration): number {
    return this.highestHeld(configuration, this.ackedRound, (acked, asked) =>
      this.rules.confirmsRound(acked, asked),
    );
  }

  /** The moment up to which a blocking set keeps newer claims waiting; 0 if there is none. */
  leaseUntilMs(configuration: Configuration): number {
    return this.highestHeld(configuration, this.heldUntilMs, (held, asked) => held >= asked);
  }

  private highestHeld(
    configuration: Configuration,
    values: ReadonlyMap<NodeId, number>,
    covers: (value: number, asked: number) => boolean,
  ): number {
    let best = 0;
    for (const { nodeId } of membersOf(configuration)) {
      const asked = values.get(nodeId) ?? 0;
      if (asked <= best) continue;
      const has = (node: NodeId): boolean => covers(values.get(node) ?? 0, asked);
      if (this.rules.isGate(configuration, has)) best = asked;
    }
    return best;
  }
}
