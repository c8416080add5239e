import { assert } from "../base/assert.ts";
import { type Epoch, epochNone, type NodeId, type Timeline } from "../base/ids.ts";
import { advance, type Lsn, lsnMin, lsnZero } from "../base/lsn.ts";
import {
  type AppendAnswer,
  type Configuration,
  type Elect,
  type MemberSet,
  membersOf,
  payloadBytesMax,
  type Pin,
  type QuorumMessage,
  type Refuse,
  type Rules,
} from "../quorum/index.ts";
import type { DriverAction } from "./driver-io.ts";
import { FanOut, type FanOutMode } from "./fan-out.ts";
import { NodeBook } from "./node-book.ts";
import { RecordEnds } from "./record-ends.ts";
import { Rounds } from "./rounds.ts";
import { type Estate, Steward } from "./steward.ts";

/** An Elect without an answer is sent again after this. */
const electAgainMs = 500;
/** A node that is full or damaged is left alone this long. */
const pauseMs = 1_000;

export interface ReignOptions {
  readonly elect: Elect;
  readonly timeline: Timeline;
  /** Taken over from the promises. */
  readonly pins: readonly Pin[];
  /** Undo of a backtrack: the epoch opens when a write quorum holds its bytes up to here; else at the Elect's start. */
  readonly refillTo: Lsn | undefined;
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
export class Reign implements Estate {
  readonly timeline: Timeline;
  readonly rounds: Rounds;
  readonly act: (action: DriverAction) => void;
  nowMs: number;
  vcl: Lsn = lsnZero;
  /** While electing: the low-water. Between the old VDL and start lies log that is not durable yet (M21). */
  vdl: Lsn;
  leaseUntilMs = 0;
  /** The latest that was ever told: taking it back does not reach those who have it. */
  private leaseToldMs = 0;
  private stage: "electing" | "open" | "over" = "electing";
  /** Of the log received from PostgreSQL. */
  end: Lsn;
  private heldFrom: Lsn;
  private heartbeatAtMs = 0;
  private confirmedRound = 0;
  private readonly options: ReignOptions;
  private readonly rules: Rules;
  private readonly books = new Map<NodeId, NodeBook>();
  private readonly steward: Steward;
  private currentElect: Elect;
  private fanOut: FanOut;
  private wakeAtMs = Number.POSITIVE_INFINITY;
  private readonly recordEnds = new RecordEnds();
  readonly sclOf = (node: NodeId): Lsn | undefined => this.books.get(node)?.scl;

  constructor(options: ReignOptions, nowMs: number) {
    this.options = options;
    this.currentElect = options.elect;
    this.timeline = options.timeline;
    this.rules = options.rules;
    this.act = options.act;
    this.nowMs = nowMs;
    this.rounds = new Rounds(options.rules);
    const { low, start } = options.elect;
    this.vdl = this.rules.hintWhileElecting({ low, start });
    this.end = start;
    this.heldFrom = start;
    this.steward = new Steward(options, this);
    this.fanOut = this.bookMembers();
    this.tick(nowMs);
  }

  /** A book for every member; kept ones keep what they know. */
  private bookMembers(): FanOut {
    const { books, configuration, options } = this;
    for (const { nodeId } of membersOf(configuration)) {
      if (books.has(nodeId)) continue;
      const book = new NodeBook(nodeId);
      book.isConnected = options.connected.has(nodeId);
      books.set(nodeId, book);
    }
    return new FanOut(options.fanOut, configuration, books);
  }

  /** As it is sent from now on: to whoever joins, and to whoever has not accepted the epoch yet. */
  get elect(): Elect {
    return this.currentElect;
  }
  get configuration(): Configuration {
    return this.steward.configuration;
  }
  get low(): Lsn {
    return this.steward.low;
  }
  get pins(): readonly Pin[] {
    return this.steward.pins;
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
  private get opensAt(): Lsn {
    return this.options.refillTo ?? this.start;
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
        this.steward.receive(node, message);
        return this.onAccepted(node, message.scl);
      case "configAck":
      case "floorAck":
      case "pinAck":
        if (!this.rules.mayCount(message.epoch, this.epoch)) return undefined;
        this.steward.receive(node, message);
        return this.steward.step();
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
    if (!this.takesLog) return;
    this.nowMs = nowMs;
    assert(end >= this.end && recordEnd <= end, "the stream only grows");
    assert(this.isOpen || end <= this.opensAt, "before it is open, an epoch is only refilled");
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
    if (isConnected) {
      this.steward.noteConnected(node);
      this.sendElect(book);
    }
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
    if (this.stage === "open") this.steward.step();
    if (nowMs >= this.heartbeatAtMs) this.beginRound(nowMs);
  }

  changeMembers(set: MemberSet, nowMs: number): void {
    this.nowMs = nowMs;
    if (this.stage !== "open") return this.act({ kind: "changeAnswered", answer: "busy" });
    this.steward.changeMembers(set);
  }

  wantLow(lsn: Lsn): void {
    this.steward.wantLow(lsn);
  }

  pin(pin: Pin): void {
    if (this.stage === "open") this.steward.pin(pin);
  }

  unpin(pinId: string): void {
    if (this.stage === "open") this.steward.unpin(pinId);
  }

  areLeasesKeptBy(set: MemberSet): boolean {
    if (this.nowMs >= this.leaseToldMs) return true;
    return this.rounds.leaseUntilMs({ ...this.configuration, sets: [set] }) >= this.leaseToldMs;
  }

  isReachable(node: NodeId): boolean {
    const book = this.books.get(node);
    return book !== undefined && book.isConnected && book.isAccepted;
  }

  /** Another configuration counts from this moment on: quorums, gates and whom log goes to. */
  recount(): void {
    const { configuration, books } = this;
    // Its low-water stays the one at the start, and at or below it: who joins is raised by the ConfigChange.
    this.currentElect = { ...this.currentElect, configuration };
    this.fanOut = this.bookMembers();
    const members = new Set(membersOf(configuration).map((member) => member.nodeId));
    for (const node of books.keys()) if (!members.has(node)) books.delete(node);
    this.act({ kind: "membersSeen", configuration });
    this.noteLease(this.rounds.leaseUntilMs(configuration));
    this.noteProgress();
    for (const book of books.values()) this.sendElect(book);
    this.pumpAll();
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
    const held = this.rules.vcl(this.configuration, this.sclOf);
    const vcl = lsnMin(held, this.end);
    if (vcl <= this.vcl) return;
    this.vcl = vcl;
    if (this.stage === "electing") {
      if (!this.rules.mayOpen({ vcl, start: this.opensAt })) return;
      this.open();
    }
    const vdl = this.recordEnds.takeUpTo(vcl);
    if (vdl !== undefined && vdl > this.vdl) this.vdl = vdl;
    this.act({ kind: "reportDurable", vdl: this.vdl, vcl });
  }

  private open(): void {
    const { epoch, start, history, low } = this.elect;
    this.stage = "open";
    this.vdl = this.opensAt;
    const { timeline, vdl } = this;
    this.act({ kind: "opened", epoch, timeline, start, history, low, vdl });
    this.beginRound(this.nowMs);
  }

  private get takesLog(): boolean {
    const isRefilled = this.stage === "electing" && this.options.refillTo !== undefined;
    return this.stage === "open" || isRefilled;
  }

  /** The next append to each node that is free and due. */
  private pumpAll(): void {
    if (!this.takesLog) return;
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
    if (refuse.reason === "outgrown" || refuse.reason === "notSupported") return;
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
    const { configuration } = this;
    const confirmed = this.rounds.confirmed(configuration);
    if (confirmed > this.confirmedRound) {
      this.confirmedRound = confirmed;
      this.act({ kind: "roundConfirmed", round: confirmed });
    }
    this.noteLease(this.rounds.leaseUntilMs(configuration));
  }

  private noteLease(untilMs: number): void {
    if (untilMs === this.leaseUntilMs) return;
    this.leaseUntilMs = untilMs;
    this.leaseToldMs = Math.max(this.leaseToldMs, untilMs);
    this.act({ kind: "leaseExtended", untilMs });
  }

  checkInvariants(): void {
    if (this.stage !== "open") return;
    assert(this.vcl <= this.end, "VCL is at most what was received");
    assert(this.vdl <= this.vcl, "VDL is at most VCL");
    assert(this.vdl >= this.start, "an open epoch's VDL is at least its start");
    const held = this.rules.vcl(this.configuration, this.sclOf);
    // Under a set that has just begun to count, new members do not hold what was acknowledged before it did.
    const isCounted = !this.steward.isChanging;
    assert(!isCounted || held >= this.vdl, "I4: a write quorum of every set acknowledged the VDL");
  }
}
