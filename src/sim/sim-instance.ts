import { unreachable } from "../base/assert.ts";
import type { NodeId, Timeline } from "../base/ids.ts";
import { advance, type Lsn, lsnMaxOf, lsnMin } from "../base/lsn.ts";
import { Driver, type DriverAction, type DriverEvent } from "../ownership/index.ts";
import {
  type Configuration,
  encodeMessage,
  type History,
  type QuorumMessage,
  type ReceivedMessage,
} from "../quorum/index.ts";
import { WalWalker } from "../wal/index.ts";
import { segmentBytes } from "../wal/index.ts";
import type { SimClock } from "./clock.ts";
import type { Dice } from "./dice.ts";
import { type FetchRange, LogFetch } from "./log-fetch.ts";
import { ReadGate } from "./read-gate.ts";
import type { SimWorld } from "./world.ts";
import { WalWriter } from "./wal-writer.ts";

type ActionOf<K extends DriverAction["kind"]> = Extract<DriverAction, { kind: K }>;

/** Of how much log the driver keeps for nodes that lag; beyond it they pull. */
const ringBytes = 12 * 1024;
const appendPatienceMs = 400;

export interface Plan {
  /** Remove history, down to a record end of the world's choice. */
  readonly isBacktrack: boolean;
}

interface OpenEpoch {
  readonly start: Lsn;
  readonly history: History;
  readonly low: Lsn;
}

/** An instance's process: the shipped Driver, a stub of PostgreSQL that writes real WAL, and the endpoint's gate. */
export class SimInstance {
  readonly name: string;
  readonly clock: SimClock;
  readonly world: SimWorld;
  readonly gate: ReadGate;
  driver: Driver | undefined;
  /** Grows when the process dies, or its driver is replaced. */
  life = 0;
  wal: WalWriter | undefined;
  open: OpenEpoch | undefined;
  streamed: Lsn | undefined;
  private plan: Plan = { isBacktrack: false };
  private walker: WalWalker | undefined;
  /** Log that nodes may still get from here. */
  heldFrom: Lsn | undefined;
  private fetch: LogFetch | undefined;
  private requestId = 1n;
  private readonly appends = new Map<NodeId, { readonly id: bigint; readonly atMs: number }>();
  private commits: { readonly xid: number; readonly end: Lsn }[] = [];
  private wakes = 0;

  constructor(world: SimWorld, name: string, clock: SimClock) {
    this.world = world;
    this.name = name;
    this.clock = clock;
    this.gate = new ReadGate(this);
  }

  get isOpen(): boolean {
    return this.driver?.situation === "open";
  }

  /** Claims with a fresh machine: whatever this process had is over. */
  claim(configuration: Configuration, plan: Plan): void {
    this.forget();
    this.plan = plan;
    const { world } = this;
    const rng = world.queue.diceFor(`${this.name} claim`);
    const { leaseMs, heartbeatMs, rules, fanOut } = world;
    this.driver = new Driver({
      claimant: this.name,
      configuration,
      rng,
      leaseMs,
      heartbeatMs,
      fanOut,
      rules,
    });
    world.network.attach(this.name, (_, received) => this.receive(received));
    for (const node of world.nodes)
      this.step({ kind: "nodeConnected", node: node.nodeId, nowMs: this.clock.nowMs });
    this.step({ kind: "claim", nowMs: this.clock.nowMs });
    this.tick();
  }

  /** The process dies, or stands down. */
  forget(): void {
    this.life++;
    for (const { xid } of this.commits) this.world.observer.noteUnknown(xid);
    this.commits = [];
    this.driver = undefined;
    this.wal = undefined;
    this.open = undefined;
    this.walker = undefined;
    this.streamed = undefined;
    this.heldFrom = undefined;
    this.fetch = undefined;
    this.appends.clear();
    this.gate.close();
  }

  later(ms: number, what: string, run: (dice: Dice) => void, again?: () => void): void {
    const { life } = this;
    const guard = (act: (dice: Dice) => void) => (dice: Dice) => {
      if (this.life === life) act(dice);
    };
    const dropped = again ? () => this.life === life && again() : undefined;
    this.world.queue.after(
      ms,
      `${this.name} ${what}`,
      guard(run),
      dropped as (() => void) | undefined,
    );
  }

  private tick(): void {
    this.later(
      this.world.driverTickMs,
      "tick",
      () => {
        const { nowMs } = this.clock;
        for (const [node, { atMs }] of this.appends) {
          if (nowMs - atMs > appendPatienceMs) this.relink(node);
        }
        this.step({ kind: "tick", nowMs });
        this.fetch?.tick(nowMs);
        this.trim();
        this.gate.look();
        if (this.driver) this.tick();
      },
      () => this.tick(),
    );
  }

  /** The link is given up and made anew: an append under way may or may not have arrived. */
  private relink(node: NodeId): void {
    this.appends.delete(node);
    this.step({ kind: "nodeDisconnected", node, nowMs: this.clock.nowMs });
    this.step({ kind: "nodeConnected", node, nowMs: this.clock.nowMs });
  }

  private trim(): void {
    const { driver, wal } = this;
    if (!driver || !wal || !this.isOpen || this.heldFrom === undefined) return;
    const oldest = advance(wal.end, -ringBytes);
    const heldFrom = lsnMin(oldest, driver.vcl);
    if (heldFrom <= this.heldFrom) return;
    this.heldFrom = heldFrom;
    this.step({ kind: "walDropped", heldFrom });
  }

  // Messages.

  sendTo(node: NodeId, message: QuorumMessage): bigint {
    const requestId = this.requestId++;
    const to = this.world.nameOfNode(node);
    if (to === undefined) return requestId;
    const { volumeId } = this.world;
    const envelope = { volumeId, sender: this.name, target: node, requestId };
    this.world.network.send(this.name, to, message.kind, encodeMessage(envelope, message));
    return requestId;
  }

  private receive(received: ReceivedMessage): void {
    const { envelope, message } = received;
    const node = envelope.target;
    const { nowMs } = this.clock;
    if (message.kind === "logData" || message.kind === "notHere") {
      return this.fetch?.receive(envelope.requestId, message, nowMs);
    }
    const append = this.appends.get(node);
    const isAnswer =
      message.kind === "appendAck" || message.kind === "gap" || message.kind === "refuse";
    if (isAnswer && append?.id === envelope.requestId) {
      this.appends.delete(node);
      return this.step({ kind: "appendAnswered", node, answer: message, nowMs });
    }
    // What comes late, or twice, is heard all the same: nothing may depend on order.
    this.step({ kind: "received", node, message, nowMs });
  }

  step(event: DriverEvent): void {
    const { driver } = this;
    if (!driver) return;
    const actions = driver.step(event);
    driver.checkInvariants();
    for (const action of actions) {
      if (this.driver !== driver) return;
      this.perform(driver, action);
    }
  }

  private perform(driver: Driver, action: DriverAction): void {
    const { world } = this;
    switch (action.kind) {
      case "send":
        if (action.message.kind === "elect") world.observer.noteElect(action.message);
        this.sendTo(action.node, action.message);
        return undefined;
      case "sendAppend":
        return this.sendAppend(driver, action);
      case "findRecordEnd":
        return this.walk(action);
      case "decideBranch":
        return this.decide(action);
      case "opened":
        return this.onOpened(driver, action);
      case "reportDurable":
        return this.onDurable(driver, action.vdl);
      case "roundConfirmed":
        return this.gate.noteRound(action.round);
      case "leaseExtended":
        return this.gate.look();
      case "wakeAt":
        return this.wake(action.atMs);
      case "standDown":
        world.counters.note("stood down");
        return this.forget();
      case "alarm":
        return world.observer.noteAlarm(this.name, action.reason);
      case "nodeLagging":
        return world.counters.note("nodes lagging");
      case "changeAnswered":
        if (action.answer === "begun") world.counters.note("changes begun");
        return undefined;
      case "membersChanged":
        return world.noteMembers(action.configuration, action.isSettled);
      case "lowAdvanced":
        return world.counters.note("low-waters advanced");
      case "pinned":
        return world.clones.notePinned(action.pinId);
      case "unpinned":
        return world.clones.noteUnpinned(action.pinId);
      case "membersSeen":
      case "nodeCaughtUp":
      case "decideSalvage":
      case "salvaged":
        return undefined;
      default:
        return unreachable(action);
    }
  }

  /** Only the newest wake-up counts. */
  private wake(atMs: number): void {
    const wake = ++this.wakes;
    this.later(Math.max(0.5, this.clock.until(atMs)), "wake", () => {
      if (wake === this.wakes) this.step({ kind: "tick", nowMs: this.clock.nowMs });
    });
  }

  private sendAppend(driver: Driver, action: ActionOf<"sendAppend">): void {
    const { from, to, vdl, node } = action;
    const { wal } = this;
    if (!wal && from < to) return;
    const payload = wal && from < to ? wal.view(from, to) : Buffer.alloc(0);
    const { epoch, timeline } = driver;
    const message: QuorumMessage = { kind: "append", epoch, timeline, lsn: from, vdl, payload };
    const id = this.sendTo(node, message);
    this.appends.set(node, { id, atMs: this.clock.nowMs });
  }

  /** One at a time; what another was reading is given up. */
  fetchLog(range: FetchRange, done: (bytes: Buffer | undefined) => void): void {
    this.fetch = new LogFetch(this, range, (bytes) => {
      this.fetch = undefined;
      done(bytes);
    });
  }

  // Recovery.

  /** b, from the bytes that the best node holds, by the real walker. */
  private walk(action: ActionOf<"findRecordEnd">): void {
    const { node, path, from, to } = action;
    this.fetchLog({ nodes: [node], path, from, to, tries: 6 }, (bytes) => {
      const { nowMs } = this.clock;
      if (!bytes) return this.step({ kind: "recordEndNotFound", nowMs });
      const walker = walkerAt(from);
      walker.push(bytes);
      if (walker.recordEnd !== to) this.world.counters.note("record-splitting recoveries");
      this.step({ kind: "recordEndFound", b: walker.recordEnd, nowMs });
    });
  }

  private decide(action: ActionOf<"decideBranch">): void {
    const { plan, world } = this;
    this.later(world.queue.diceFor(`${this.name} decide`).between(1, 60), "decide", (dice) => {
      const keep = action.timeline > 0 && dice.oneIn(3);
      const timeline: Timeline = keep ? action.timeline : action.nextTimeline;
      const { nowMs } = this.clock;
      const { path, b, low, floor } = action;
      const lowest = lsnMaxOf(low, floor);
      const targets = plan.isBacktrack ? world.book.endsOn(path, lowest, b) : [];
      const target = dice.pick(targets.slice(-12));
      if (target === undefined) {
        return this.step({ kind: "branchDecided", start: b, timeline, nowMs });
      }
      world.counters.note("backtracks begun");
      world.observer.noteBacktrack(action.epoch);
      const entryKind = "backtrack";
      const { nextTimeline } = action;
      this.step({ kind: "branchDecided", start: target, timeline: nextTimeline, entryKind, nowMs });
    });
  }

  private onOpened(driver: Driver, action: ActionOf<"opened">): void {
    const { world } = this;
    const { start, history, low } = action;
    world.observer.noteOpened(driver, action);
    const nodes = world.nodes.map((node) => node.nodeId);
    this.open = { start, history, low };
    this.fetchLog({ nodes, path: history, from: low, to: start, tries: 400 }, (bytes) => {
      if (bytes) this.promote(driver, bytes);
    });
  }

  /** Fed to exactly b, promoted: PostgreSQL goes on with its last complete record. */
  private promote(driver: Driver, log: Buffer): void {
    const { open, world } = this;
    if (!open) return;
    const { start, history, low } = open;
    const { book } = world;
    const previous = book.startOf(history, start);
    const { epoch, timeline } = driver;
    this.wal = new WalWriter({ log, base: low, start, previous, epoch, timeline, book });
    this.walker = walkerAt(start);
    this.streamed = start;
    this.heldFrom = start;
    world.counters.note("promotions");
    if (world.isQuiet) world.clones.releaseUnknown(this);
    this.work();
  }

  /** Transactions, as long as the epoch lasts; the stream is cut anywhere. */
  private work(): void {
    this.later(
      this.world.queue.diceFor(`${this.name} work`).between(...this.world.profile.workMs),
      "work",
      (dice) => {
        this.write(dice);
        this.work();
      },
      () => this.work(),
    );
  }

  write(dice: Dice): void {
    const { wal, walker, world } = this;
    if (!wal || !walker || this.streamed === undefined || !this.isOpen) return;
    if (world.isQuiet && wal.end === this.streamed && !dice.oneIn(4)) return;
    const count = dice.below(3);
    for (let n = 0; n < count; n++) {
      const isLarge = dice.oneIn(30);
      wal.record(24 + dice.below(isLarge ? 20_000 : 300), world.nextXid());
    }
    if (dice.oneIn(2)) {
      const xid = world.nextXid();
      this.commits.push({ xid, end: wal.commit(xid, world.queue.nowMs) });
    }
    const left = Number(wal.end - this.streamed);
    const taken = dice.oneIn(3) ? dice.below(left + 1) : left;
    if (taken === 0) return;
    const end = advance(this.streamed, taken);
    walker.push(wal.view(this.streamed, end));
    this.streamed = end;
    this.step({ kind: "walReceived", end, recordEnd: walker.recordEnd, nowMs: this.clock.nowMs });
  }

  private onDurable(driver: Driver, vdl: Lsn): void {
    const { world } = this;
    world.observer.noteDurableAt(this, driver, vdl);
    while (this.commits[0] && this.commits[0].end <= vdl) {
      const commit = this.commits.shift();
      if (commit) world.observer.noteCommitted(commit.xid, commit.end, driver.epoch);
    }
  }
}

/** A base is the start of a WAL segment; everything else that a walk begins at is a record end. */
function walkerAt(at: Lsn): WalWalker {
  const isSegmentStart = at % BigInt(segmentBytes) === 0n;
  return new WalWalker({ at, kind: isSegmentStart ? "segmentStart" : "recordEnd" });
}
