import { assert } from "../base/assert.ts";
import { type Epoch, epochNone, type NodeId, type Timeline } from "../base/ids.ts";
import { advance, type Lsn, lsnMin, lsnZero } from "../base/lsn.ts";
import { membersOf } from "../quorum/index.ts";
import type { DriverAction } from "./driver-io.ts";
import {
  type AppendAnswer,
  type Elect,
  payloadBytesMax,
  type QuorumMessage,
  type Refuse,
} from "../quorum/index.ts";
import { FanOut, type FanOutMode } from "./fan-out.ts";
import { NodeBook } from "./node-book.ts";
import { RecordEnds } from "./record-ends.ts";
import { Rounds } from "./rounds.ts";
import type { Rules } from "../quorum/index.ts";

/** An Elect without an answer is sent again after this. */
const electAgainMs = 500;
/** A node that is full or damaged is left alone this long. */
const pauseMs = 1_000;

export interface ReignOptions {
  readonly elect: Elect;
  readonly timeline: Timeline;
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  readonly fanOut: FanOutMode;
  readonly rules: Rules;
  readonly connected: ReadonlySet<NodeId>;
  readonly act: (action: DriverAction) => void;
}

/**
 * An owned epoch: elects the members, opens when a write quorum holds everything up to its start, fans the log out,
 * counts acknowledgements, keeps the gates. Only acknowledgements of its own epoch count.
 */
export class Reign {
  readonly elect: Elect;
  readonly timeline: Timeline;
  readonly rounds: Rounds;
  vcl: Lsn = lsnZero;
  /** While electing: the low-water. Between the old VDL and start lies log that is not durable yet (M21). */
  vdl: Lsn;
  leaseUntilMs = 0;
  private stage: "electing" | "open" | "over" = "electing";
  /** Of the log received from PostgreSQL. */
  end: Lsn;
  private heldFrom: Lsn;
  private heartbeatAtMs = 0;
  private confirmedRound = 0;
  private nowMs: number;
  private readonly options: ReignOptions;
  private readonly rules: Rules;
  private readonly act: (action: DriverAction) => void;
  private readonly books = new Map<NodeId, NodeBook>();
  private readonly fanOut: FanOut;
  private wakeAtMs = Number.POSITIVE_INFINITY;
  private readonly recordEnds = new RecordEnds();
  private readonly sclOf = (node: NodeId): Lsn | undefined => this.books.get(node)?.scl;

  constructor(options: ReignOptions, nowMs: number) {
    this.options = options;
    this.elect = options.elect;
    this.timeline = options.timeline;
    this.rules = options.rules;
    this.act = options.act;
    this.nowMs = nowMs;
    this.rounds = new Rounds(options.rules);
    const { low, start, configuration } = options.elect;
    this.vdl = this.rules.hintWhileElecting({ low, start });
    this.end = start;
    this.heldFrom = start;
    for (const { nodeId } of membersOf(configuration)) {
      const book = new NodeBook(nodeId);
      book.isConnected = options.connected.has(nodeId);
      this.books.set(nodeId, book);
    }
    this.fanOut = new FanOut(options.fanOut, configuration, this.books);
    this.tick(nowMs);
  }

  get isOpen(): boolean {
    return this.stage === "open";
  }
  get isOver(): boolean {
    return this.stage === "over";
  }
  get epoch(): Epoch {
    return this.elect.epoch;
  }
  get start(): Lsn {
    return this.elect.start;
  }
  get acknowledged(): ReadonlyMap<NodeId, Lsn> {
    return new Map([...this.books.values()].map((book) => [book.node, book.scl]));
  }

  receive(node: NodeId, message: QuorumMessage, nowMs: number): void {
    this.nowMs = nowMs;
    switch (message.kind) {
      case "refuse":
        return this.onRefuse(node, message);
      case "electAck":
      case "appendAck":
        if (!this.rules.mayCount(message.epoch, this.epoch)) return undefined;
        return this.onAccepted(node, message.scl);
      case "heartbeatAck": {
        if (!this.rules.mayCount(message.epoch, this.epoch)) return undefined;
        this.rounds.noteAck(node, message);
        this.noteGates();
        const book = this.books.get(node);
        if (book) book.hasSubscribers = message.hasSubscribers;
        return message.scl > lsnZero ? this.onAccepted(node, message.scl) : undefined;
      }
      default:
        return undefined;
    }
  }

  appendAnswered(node: NodeId, answer: AppendAnswer, nowMs: number): void {
    this.nowMs = nowMs;
    const book = this.books.get(node);
    if (!book) return;
    if (answer.kind === "refuse") {
      book.noteAnswered(nowMs);
      return this.onRefuse(node, answer);
    }
    if (!this.rules.mayCount(answer.epoch, this.epoch)) return;
    book.noteAnswered(nowMs);
    // It knows less of its log than it told us: again, but not at full speed.
    if (answer.kind === "gap") return book.pause(nowMs + 1);
    book.hasSubscribers = answer.hasSubscribers;
    this.onAccepted(node, answer.scl);
  }

  walReceived(end: Lsn, recordEnd: Lsn, nowMs: number): void {
    if (this.stage !== "open") return;
    this.nowMs = nowMs;
    assert(end >= this.end && recordEnd <= end, "the stream only grows");
    this.end = end;
    if (recordEnd > this.vdl) this.recordEnds.push(recordEnd);
    this.pumpAll();
  }

  walDropped(heldFrom: Lsn): void {
    this.heldFrom = heldFrom;
  }

  connection(node: NodeId, isConnected: boolean, nowMs: number): void {
    this.nowMs = nowMs;
    const book = this.books.get(node);
    if (!book) return;
    book.noteConnection(isConnected);
    if (isConnected) this.sendElect(book);
    // One that is lost is not waited for: the others get what it would have had.
    this.pumpAll();
  }

  tick(nowMs: number): void {
    this.nowMs = nowMs;
    if (nowMs >= this.wakeAtMs) this.wakeAtMs = Number.POSITIVE_INFINITY;
    for (const book of this.books.values()) {
      book.tick(nowMs);
      this.sendElect(book);
    }
    this.pumpAll();
    if (nowMs >= this.heartbeatAtMs) this.beginRound(nowMs);
  }

  /** One heartbeat to every member: it brings the VDL, asks for a lease, and numbers a round. */
  beginRound(nowMs: number): void {
    this.heartbeatAtMs = nowMs + this.options.heartbeatMs;
    const round = this.rounds.begin(nowMs);
    const { epoch, vdl } = this;
    const leaseMs = this.stage === "open" ? this.options.leaseMs : 0;
    const message: QuorumMessage = { kind: "heartbeat", epoch, round, vdl, leaseMs };
    for (const node of this.books.keys()) this.act({ kind: "send", node, message });
  }

  release(): void {
    const { epoch } = this;
    const { last: round } = this.rounds;
    const message: QuorumMessage = { kind: "release", epoch, round };
    for (const node of this.books.keys()) this.act({ kind: "send", node, message });
    this.standDown(epochNone, "released");
  }

  private sendElect(book: NodeBook): void {
    if (!book.mustElect(this.nowMs, electAgainMs)) return;
    this.act({ kind: "send", node: book.node, message: this.elect });
  }

  private onAccepted(node: NodeId, scl: Lsn): void {
    const book = this.books.get(node);
    if (!book) return;
    book.isAccepted = true;
    if (book.noteScl(scl)) this.noteProgress();
    // Also for the readers who wait at some nodes for a new VDL.
    this.pumpAll();
  }

  /** Some node's SCL rose: VCL, opening, VDL. */
  private noteProgress(): void {
    const { configuration, start } = this.elect;
    const vcl = lsnMin(this.rules.vcl(configuration, this.sclOf), this.end);
    if (vcl <= this.vcl) return;
    this.vcl = vcl;
    if (this.stage === "electing") {
      if (!this.rules.mayOpen({ vcl, start })) return;
      this.open();
    }
    const vdl = this.recordEnds.takeUpTo(vcl);
    if (vdl !== undefined && vdl > this.vdl) this.vdl = vdl;
    this.act({ kind: "reportDurable", vdl: this.vdl, vcl });
  }

  private open(): void {
    const { epoch, start, history, low } = this.elect;
    this.stage = "open";
    this.vdl = start;
    this.act({ kind: "opened", epoch, timeline: this.timeline, start, history, low });
    this.beginRound(this.nowMs);
  }

  /** The next append to each node that is free and due. */
  private pumpAll(): void {
    if (this.stage !== "open") return;
    const { nowMs, fanOut } = this;
    const turn = fanOut.turn(nowMs, this);
    for (const book of this.books.values()) {
      if (book.isFree(nowMs) && fanOut.isDue(book, turn, nowMs, this)) this.pump(book);
    }
    const wakeAtMs = fanOut.wakeAtMs();
    if (wakeAtMs === undefined || wakeAtMs >= this.wakeAtMs) return;
    this.wakeAtMs = wakeAtMs;
    this.act({ kind: "wakeAt", atMs: wakeAtMs });
  }

  /** Log that this node lacks, or a VDL that its readers wait for. */
  private pump(book: NodeBook): void {
    const { scl, node } = book;
    const isLagging = scl < this.start || (scl < this.heldFrom && scl < this.end);
    if (isLagging !== book.isLagging) {
      book.isLagging = isLagging;
      this.act({ kind: isLagging ? "nodeLagging" : "nodeCaughtUp", node, scl });
    }
    if (isLagging) return;
    const to = lsnMin(this.end, advance(scl, payloadBytesMax));
    const mayTell = book.hasSubscribers && book.toldVdl < this.vdl;
    if (to <= scl && !mayTell) return;
    book.noteSent(this.nowMs, this.vdl);
    this.act({ kind: "sendAppend", node, from: scl, to, vdl: this.vdl });
  }

  private onRefuse(node: NodeId, refuse: Refuse): void {
    if (refuse.promised > this.epoch) {
      return this.standDown(refuse.promised, `epoch ${refuse.promised} owns the volume`);
    }
    const book = this.books.get(node);
    if (!book || refuse.epoch !== this.epoch) return;
    if (refuse.reason !== "notAccepted") return book.pause(this.nowMs + pauseMs);
    book.forgetAccepted();
    this.sendElect(book);
  }

  private standDown(fencedBy: Epoch, reason: string): void {
    this.stage = "over";
    this.leaseUntilMs = 0;
    this.act({ kind: "standDown", fencedBy, reason });
  }

  private noteGates(): void {
    if (this.stage !== "open") return;
    const { configuration } = this.elect;
    const confirmed = this.rounds.confirmed(configuration);
    if (confirmed > this.confirmedRound) {
      this.confirmedRound = confirmed;
      this.act({ kind: "roundConfirmed", round: confirmed });
    }
    const untilMs = this.rounds.leaseUntilMs(configuration);
    if (untilMs > this.leaseUntilMs) {
      this.leaseUntilMs = untilMs;
      this.act({ kind: "leaseExtended", untilMs });
    }
  }

  checkInvariants(): void {
    if (this.stage !== "open") return;
    assert(this.vcl <= this.end, "VCL is at most what was received");
    assert(this.vdl <= this.vcl, "VDL is at most VCL");
    assert(this.vdl >= this.start, "an open epoch's VDL is at least its start");
    const held = this.rules.vcl(this.elect.configuration, this.sclOf);
    assert(held >= this.vcl, "I4: a write quorum of every set acknowledged the VCL");
  }
}
