import type { Epoch } from "../base/ids.ts";
import { advance, type Lsn, lsnMin } from "../base/lsn.ts";
import type { Received, Reply } from "./acceptor-io.ts";
import { judgeAppend, overlapBytes } from "./append-rule.ts";
import { Filler } from "./filler.ts";
import { type Append, payloadBytesMax, type PullData } from "../quorum/index.ts";
import type { NodeCore } from "./node-core.ts";
import { piecesOnPath } from "./pieces.ts";

interface PendingAck {
  readonly reply: Reply;
  readonly epoch: Epoch;
  readonly end: Lsn;
}

/** How a node's log grows: by the driver's appends, through the worker or as messages, and by pulls from peers. */
export class NodeLog {
  private readonly core: NodeCore;
  private readonly filler: Filler;
  private unacknowledged: PendingAck[] = [];
  /** The link on which the accepted epoch's driver last spoke: fills are acknowledged to it. */
  private driverLink: number | undefined;

  constructor(core: NodeCore) {
    this.core = core;
    this.filler = new Filler(core.state.nodeId, core.nowMs);
  }

  onAppend(received: Received, append: Append): void {
    const { core } = this;
    if (core.isOut(received)) return;
    if (this.core.health === "full") return core.refuse(received, "full");
    const { promised, accepted } = this.core.state;
    const view = { promised, accepted, start: core.start, end: core.end };
    const verdict = judgeAppend(view, append, this.core.rules);
    if (verdict === "refuse") {
      return core.refuse(received, append.epoch < promised ? "stale" : "notAccepted");
    }
    if (!core.isExclusive(received)) return;
    this.driverLink = received.link;
    core.keepAppends();
    core.raiseVdl(append.vdl, append.epoch);
    const { epoch, timeline, payload } = append;
    if (verdict === "gap") return core.send(received, { kind: "gap", epoch, end: core.end });
    const skip = overlapBytes(core.end, append.lsn, payload.length);
    if (skip < payload.length) core.write({ epoch, timeline, bytes: payload.subarray(skip) });
    const end = lsnMin(core.end, advance(append.lsn, payload.length));
    const reply = { link: received.link, requestId: received.envelope.requestId };
    this.unacknowledged.push({ reply, epoch, end });
    this.acknowledge();
  }

  noteSynced(scl: Lsn): void {
    if (scl > this.core.scl) this.filler.noteProgress(this.core.nowMs);
    this.core.noteSynced(scl);
    this.acknowledge();
    if (!this.core.isFillSynced) return;
    // Before an Elect that waits behind the fill is handled: afterwards this SCL would speak for another epoch's log.
    this.acknowledgeFill();
    this.core.endFill();
  }

  /** Appends that had no space are refused as those that come later; a fill is asked for again when there is some. */
  noteLogFull(scl: Lsn): void {
    const { core } = this;
    core.dropUnsynced(scl);
    this.acknowledge();
    const { promised } = core.state;
    for (const { reply, epoch } of this.unacknowledged)
      core.sendTo(reply, { kind: "refuse", epoch, promised, reason: "full" });
    this.unacknowledged = [];
    this.filler.noteNoSpace(core.nowMs);
    core.abandonFill();
  }

  /** Says what is synced, to those who asked, if their epoch still may hear it (M1, M10). */
  private acknowledge(): void {
    const { scl, end } = this.core;
    const spoken = this.core.rules.acknowledgedEnd({ scl, end });
    const isReady = (one: PendingAck): boolean => one.end <= spoken;
    const ready = this.unacknowledged.filter(isReady);
    if (ready.length === 0) return;
    this.unacknowledged = this.unacknowledged.filter((one) => !isReady(one));
    const { hasSubscribers } = this.core;
    for (const { reply, epoch } of ready) {
      if (this.core.rules.mayAcknowledge(this.core.state, epoch)) {
        this.core.sendTo(reply, { kind: "appendAck", epoch, scl: spoken, hasSubscribers });
      } else {
        const { promised } = this.core.state;
        this.core.sendTo(reply, { kind: "refuse", epoch, promised, reason: "stale" });
      }
    }
  }

  noteWorker(event: { readonly epoch: Epoch; readonly scl: Lsn; readonly vdl: Lsn }): void {
    if (this.core.grantedEpoch !== event.epoch) return;
    if (this.core.noteWorker(event.scl)) this.filler.noteProgress(this.core.nowMs);
    this.core.raiseVdl(event.vdl, event.epoch);
  }

  /** What was not synced when the log was cut is gone or synced by the cut; its senders ask again. */
  forgetUnsynced(): void {
    this.unacknowledged = [];
  }

  /** The accepted epoch's driver speaks; a relaying peer is not the driver. */
  noteDriver(received: Received): void {
    this.driverLink = received.message.kind === "relayElect" ? undefined : received.link;
  }

  /** A new epoch: its driver is given time to append before peers are asked without need. */
  noteElected(received: Received): void {
    this.noteDriver(received);
    this.filler.noteProgress(this.core.nowMs);
  }

  noteLinkClosed(link: number): void {
    if (this.driverLink === link) this.driverLink = undefined;
    this.unacknowledged = this.unacknowledged.filter((one) => one.reply.link !== link);
  }

  notePullFailed(): void {
    this.filler.noteFailed();
    this.pullIfWanted();
  }

  onPullData(received: Received, data: PullData): void {
    const { rules, state, end } = this.core;
    const pieces = piecesOnPath(state.history, end, data, rules.mayFill);
    if (pieces.length === 0 || this.core.health === "full") return this.notePullFailed();
    if (!this.core.isExclusive(received)) return;
    const before = this.core.end;
    for (const { run, bytes } of pieces)
      this.core.write({ epoch: run.epoch, timeline: run.timeline, bytes });
    this.filler.noteFilled(this.core.nowMs, this.core.end - before >= BigInt(payloadBytesMax / 2));
    this.core.awaitFill();
  }

  /** After a fill is synced, the driver learns of it as of an Append. */
  private acknowledgeFill(): void {
    const { accepted } = this.core.state;
    if (this.driverLink === undefined || !this.core.rules.mayAcknowledge(this.core.state, accepted))
      return;
    const { hasSubscribers } = this.core;
    const reply = { link: this.driverLink, requestId: 0n };
    this.core.sendTo(reply, {
      kind: "appendAck",
      epoch: accepted,
      scl: this.core.scl,
      hasSubscribers,
    });
  }

  pullIfWanted(): void {
    const { core } = this;
    if (!core.isIdle || this.core.health === "full" || this.core.state.sealed !== undefined) return;
    const { configuration, accepted } = this.core.state;
    const isDamaged = core.health === "damaged";
    const view = { configuration, end: core.end, vdl: core.vdl, start: core.start, isDamaged };
    const peer = this.filler.peerToAsk(view, core.nowMs);
    if (peer === undefined) return;
    core.act({ kind: "pull", peer, from: core.end, maxBytes: payloadBytesMax, accepted });
  }
}
