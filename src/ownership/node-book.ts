import type { NodeId } from "../base/ids.ts";
import { type Lsn, lsnZero } from "../base/lsn.ts";

/** An append without an answer on a living link is sent again after this; nodes skip what they have. */
const answerPatienceMs = 5_000;
/** What one answer may add to the smoothed latency, so that one long silence is soon forgotten. */
const latencyMaxMs = 50;
/** Weight of the newest answer in the smoothed latency. */
const latencyGain = 1 / 8;

/** What a driver knows of one node in its epoch. Changed in place: it is touched for every acknowledgement. */
export class NodeBook {
  readonly node: NodeId;
  isConnected = false;
  /** The node has accepted this epoch. */
  isAccepted = false;
  /** Highest SCL acknowledged in this epoch. */
  scl: Lsn = lsnZero;
  hasSubscribers = false;
  /** Highest VDL told to it. */
  toldVdl: Lsn = lsnZero;
  isLagging = false;
  /** Chosen by FanOut as one of those that a commit waits for. */
  isEager = false;
  /** Smoothed time from an append to its answer. */
  latencyMs = 0;
  /** When the append under way was sent; undefined: none is. */
  sentAtMs: number | undefined;
  /** Since when there has been log for it that was held back. */
  waitingSinceMs: number | undefined;
  private pausedUntilMs = 0;
  private electAtMs = 0;

  constructor(node: NodeId) {
    this.node = node;
  }

  /** True if an append may be sent now: one at a time. */
  isFree(nowMs: number): boolean {
    return this.sentAtMs === undefined && this.mayReceive(nowMs);
  }
  /** True if it takes appends in this epoch, perhaps one right now. */
  mayReceive(nowMs: number): boolean {
    return this.isConnected && this.isAccepted && nowMs >= this.pausedUntilMs;
  }

  noteSent(nowMs: number, vdl: Lsn): void {
    this.sentAtMs = nowMs;
    this.waitingSinceMs = undefined;
    this.toldVdl = vdl;
  }
  noteAnswered(nowMs: number): void {
    if (this.sentAtMs !== undefined) this.noteLatency(nowMs - this.sentAtMs);
    this.sentAtMs = undefined;
  }
  /** Log is held back for it; since when. */
  noteWaiting(nowMs: number): number {
    this.waitingSinceMs ??= nowMs;
    return this.waitingSinceMs;
  }
  noteScl(scl: Lsn): boolean {
    if (scl <= this.scl) return false;
    this.scl = scl;
    return true;
  }
  noteConnection(isConnected: boolean): void {
    this.isConnected = isConnected;
    this.sentAtMs = undefined;
    this.waitingSinceMs = undefined;
    this.electAtMs = 0;
    this.toldVdl = lsnZero;
  }

  /** Leaves the node alone for a while: it is full, or repairing itself. */
  pause(untilMs: number): void {
    this.pausedUntilMs = untilMs;
  }

  /** True if the Elect is due (again); noted as sent. */
  mustElect(nowMs: number, againMs: number): boolean {
    if (this.isAccepted || nowMs < this.electAtMs) return false;
    this.electAtMs = nowMs + againMs;
    return true;
  }

  /** The node said that it is not in this epoch: the Elect goes out at the next occasion. */
  forgetAccepted(): void {
    this.isAccepted = false;
    this.electAtMs = 0;
  }

  tick(nowMs: number): void {
    if (this.sentAtMs === undefined || nowMs - this.sentAtMs <= answerPatienceMs) return;
    this.sentAtMs = undefined;
    this.latencyMs = latencyMaxMs;
  }

  private noteLatency(ms: number): void {
    this.latencyMs += (Math.min(ms, latencyMaxMs) - this.latencyMs) * latencyGain;
  }
}
