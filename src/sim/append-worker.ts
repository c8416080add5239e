import type { Epoch } from "../base/ids.ts";
import { advance, type Lsn, lsnMaxOf, lsnMin, lsnZero } from "../base/lsn.ts";
import { type AcceptorAction, judgeAppend, overlapBytes } from "../acceptor/index.ts";
import type { Append, Envelope } from "../quorum/index.ts";
import type { SimNode } from "./sim-node.ts";

type Grant = Extract<AcceptorAction, { kind: "grant" }>;

/**
 * The second thread of a storage node (decisions.md D7): under a grant it takes appends, writes, syncs and acknowledges
 * without asking the acceptor. It lets go of the grant only between two appends, so a claim waits for it.
 */
export class AppendWorker {
  scl: Lsn = lsnZero;
  private readonly node: SimNode;
  private grant: Grant | undefined;
  private vdl: Lsn = lsnZero;
  private isWorking = false;
  private isRevoked = false;
  private reportedScl: Lsn = lsnZero;
  private reportedVdl: Lsn = lsnZero;
  private waiting: {
    readonly link: number;
    readonly envelope: Envelope;
    readonly append: Append;
  }[] = [];

  constructor(node: SimNode) {
    this.node = node;
  }

  get isLent(): boolean {
    return this.grant !== undefined;
  }

  reset(): void {
    this.grant = undefined;
    this.isWorking = false;
    this.isRevoked = false;
    this.waiting = [];
  }

  lend(grant: Grant): void {
    this.grant = grant;
    this.scl = grant.end;
    this.vdl = grant.vdl;
    this.reportedScl = grant.end;
    this.reportedVdl = grant.vdl;
    this.isRevoked = false;
    this.node.world.counters.note("grants");
  }

  revoke(): void {
    this.isRevoked = true;
    if (this.isWorking) this.node.world.counters.note("claims that waited for the worker");
    else this.giveBack();
  }

  private giveBack(): void {
    const { grant, scl, vdl } = this;
    if (!grant) return;
    this.grant = undefined;
    const left = this.waiting;
    this.waiting = [];
    this.node.post({ kind: "grantRevoked", epoch: grant.epoch, scl, vdl, nowMs: this.node.nowMs });
    // The links that were lent come back, with what they had not handled.
    for (const { link, envelope, append } of left)
      this.node.post({ kind: "received", link, envelope, message: append, nowMs: this.node.nowMs });
  }

  /** Tells the acceptor how far it got. */
  report(): void {
    const { grant, scl, vdl } = this;
    if (!grant || (scl === this.reportedScl && vdl === this.reportedVdl)) return;
    this.reportedScl = scl;
    this.reportedVdl = vdl;
    this.node.post({ kind: "progress", epoch: grant.epoch, scl, vdl, nowMs: this.node.nowMs });
  }

  /** False: not lent, so it is the acceptor's. */
  takes(link: number, envelope: Envelope, append: Append): boolean {
    if (!this.grant || this.isRevoked) return false;
    const { nodeId, volumeId } = this.node.options;
    if (envelope.target !== nodeId || envelope.volumeId !== volumeId) return true;
    if (this.isWorking) this.waiting.push({ link, envelope, append });
    else this.handle(link, envelope, append);
    return true;
  }

  private handle(link: number, envelope: Envelope, append: Append): void {
    const { grant, node, scl } = this;
    if (!grant) return;
    const { epoch } = grant;
    const view = { promised: epoch, accepted: epoch, start: grant.start, end: scl };
    const verdict = judgeAppend(view, append, node.world.rules);
    const reply = envelope.requestId;
    if (verdict === "refuse") {
      const { promised } = node.acceptor.state;
      const reason = append.epoch < promised ? "stale" : "notAccepted";
      return node.send(link, reply, { kind: "refuse", epoch: append.epoch, promised, reason });
    }
    if (verdict === "gap")
      return node.send(link, reply, { kind: "gap", epoch: append.epoch, end: scl });
    const skip = overlapBytes(scl, append.lsn, append.payload.length);
    this.vdl = lsnMaxOf(this.vdl, append.vdl);
    const payload = Buffer.from(append.payload.subarray(skip));
    if (payload.length === 0) return this.acknowledge(link, reply, append.epoch);
    if (!node.hasSpace) {
      node.world.counters.note("writes without space");
      const { promised } = node.acceptor.state;
      const reason = "full";
      return node.send(link, reply, { kind: "refuse", epoch: append.epoch, promised, reason });
    }
    this.isWorking = true;
    const { timeline } = append;
    node.files.log.write([{ epoch: append.epoch, timeline, payload }]);
    node.world.observer.noteWritten(node);
    node.sync(() => {
      this.isWorking = false;
      this.scl = advance(scl, payload.length);
      this.acknowledge(link, reply, append.epoch);
      node.world.observer.noteNode(node);
      if (this.isRevoked) return this.giveBack();
      const next = this.waiting.shift();
      if (next) this.handle(next.link, next.envelope, next.append);
    });
    const spoken = node.world.rules.acknowledgedEnd({ scl, end: advance(scl, payload.length) });
    // By the true rules nothing is spoken of before it is synced (M1).
    if (spoken > scl) this.say(link, reply, append.epoch, spoken);
  }

  private acknowledge(link: number, requestId: bigint, epoch: Epoch): void {
    this.say(link, requestId, epoch, lsnMin(this.scl, this.node.files.log.end));
  }
  private say(link: number, requestId: bigint, epoch: Epoch, scl: Lsn): void {
    const { hasSubscribers } = this.node.feeds;
    this.node.send(link, requestId, { kind: "appendAck", epoch, scl, hasSubscribers });
  }
}
