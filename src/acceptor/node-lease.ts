import { everyRound } from "../quorum/index.ts";
import type { Epoch } from "../base/ids.ts";

/** How many lease lengths a waiting claim keeps older epochs from new leases (decisions.md D40). */
const claimPatience = 5;

/**
 * A node's side of the lease gate (section 14): after it answered a heartbeat, claims above that epoch wait until the
 * lease has passed on this node's monotonic clock; after a restart they wait the longest lease that may be out.
 */
export class NodeLease {
  private epoch: Epoch;
  private round: number;
  private untilMs: number;
  private waiting: { readonly epoch: Epoch; readonly untilMs: number } | undefined;

  /** `leaseMs` is what the state says may be out, granted to `epoch` or an older one. */
  constructor(start: { readonly nowMs: number; readonly leaseMs: number; readonly epoch: Epoch }) {
    this.epoch = start.epoch;
    // Which rounds were granted before the restart is forgotten, so only a Release of every round ends the wait.
    this.round = start.leaseMs > 0 ? everyRound : 0;
    this.untilMs = start.nowMs + start.leaseMs;
  }

  /** Milliseconds that a claim for `epoch` has to wait; 0: none. */
  waitMs(epoch: Epoch, nowMs: number): number {
    if (epoch <= this.epoch || nowMs >= this.untilMs) return 0;
    return Math.ceil(this.untilMs - nowMs);
  }

  /** A claim for `epoch` was told to wait. */
  noteWaiting(epoch: Epoch, nowMs: number, leaseMs: number): void {
    if (this.waiting && nowMs < this.waiting.untilMs && this.waiting.epoch >= epoch) return;
    this.waiting = { epoch, untilMs: nowMs + claimPatience * leaseMs };
  }

  /** The claim was made, or a higher one. */
  notePromised(epoch: Epoch): void {
    if (this.waiting && this.waiting.epoch <= epoch) this.waiting = undefined;
  }

  /** The lease that a heartbeat may have: what it asks for, or 0 while a newer claim waits. */
  grantable(heartbeat: { readonly epoch: Epoch; readonly leaseMs: number }, nowMs: number): number {
    const waits = this.waiting;
    return waits && nowMs < waits.untilMs && heartbeat.epoch < waits.epoch ? 0 : heartbeat.leaseMs;
  }

  grant(
    heartbeat: { readonly epoch: Epoch; readonly round: number; readonly leaseMs: number },
    nowMs: number,
  ): void {
    const untilMs = nowMs + heartbeat.leaseMs;
    if (heartbeat.epoch < this.epoch || heartbeat.leaseMs === 0) return;
    // Rounds are counted from the start in each epoch; an older epoch's say nothing of this one's.
    const isFirst = heartbeat.epoch > this.epoch || this.round === everyRound;
    this.epoch = heartbeat.epoch;
    this.round = isFirst ? heartbeat.round : Math.max(this.round, heartbeat.round);
    this.untilMs = Math.max(this.untilMs, untilMs);
  }

  /** True if the grants of `epoch` up to `round` were all there were, so that nothing waits any more. */
  release(epoch: Epoch, round: number): boolean {
    if (epoch < this.epoch || (epoch === this.epoch && round < this.round)) return false;
    this.untilMs = 0;
    return true;
  }
}
