import { assert, unreachable } from "../base/assert.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { type Epoch, epochNone, type NodeId } from "../base/ids.ts";
import { bytesBetween, type Lsn, lsnMin } from "../base/lsn.ts";
import type { Timer } from "../io/index.ts";
import type { Driver, DriverAction, DriverEvent as CoreEvent } from "../ownership/index.ts";
import { ChangeOfMembers } from "./change-shell.ts";
import { claimedOf, type Decision, openingOf } from "./claimed.ts";
import type {
  Claimed,
  DriverSettings,
  DriverStatus,
  Opened,
  Refill,
  TimelineChoice,
  VolumeNode,
} from "./driver-messages.ts";
import { Fleet } from "./fleet-shell.ts";
import { LogTail } from "./log-tail.ts";
import { newDriver } from "./new-driver.ts";
import { PinKeeper } from "./pins-shell.ts";
import type { SharedProgress } from "./progress.ts";
import { QuorumWatch } from "./quorum-watch-shell.ts";
import { ReadGate } from "./read-gate-shell.ts";
import { tryRecordEnd } from "./record-end-shell.ts";
import { refillTail } from "./refill-shell.ts";
import type { DriverMeasures, DriverWorld, ReignListener, ReignOutlet } from "./reign-ports.ts";

interface Step<T> {
  resolve(value: T): void;
  reject(error: unknown): void;
}

const tickMs = 50;

/**
 * One claim and what becomes of it: carries out what quorum's Driver decides. A machine for one epoch; whoever wants
 * the next one makes a new one.
 */
export class Reign {
  private readonly settings: DriverSettings;
  private readonly world: DriverWorld & DriverMeasures;
  private readonly progress: SharedProgress;
  private readonly listener: ReignListener;
  private readonly controller = new AbortController();
  private readonly core: Driver;
  private readonly fleet: Fleet;
  readonly change: ChangeOfMembers;
  readonly pins: PinKeeper;
  private claiming: Step<Claimed> | undefined;
  private opening: Step<Opened> | undefined;
  private decision: Decision | undefined;
  private recoveryEnd: Lsn | undefined;
  private opened: Opened | undefined;
  private outlet: ReignOutlet | undefined;
  private timer: Timer | undefined;
  private wakeTimer: Timer | undefined;
  private readonly quorum: QuorumWatch;
  private isOver = false;
  /** The end was asked for: it is no event. */
  private isAsked = false;
  private tail: LogTail | undefined;
  private toldHeldFrom: Lsn | undefined;
  private reports = 0;
  readonly readGate: ReadGate;

  constructor(
    settings: DriverSettings,
    world: DriverWorld & DriverMeasures,
    progress: SharedProgress,
    listener: ReignListener,
  ) {
    this.settings = settings;
    this.world = world;
    this.progress = progress;
    this.listener = listener;
    this.quorum = new QuorumWatch(progress, world.logger, listener);
    this.readGate = new ReadGate(world.clock, progress, () => {
      this.step({ kind: "roundAsked", nowMs: this.nowMs() });
      return this.core.round;
    });
    this.core = newDriver(settings, world.rng);
    this.change = new ChangeOfMembers(world.logger, (set) =>
      this.step({ kind: "changeMembers", set, nowMs: this.nowMs() }),
    );
    this.pins = new PinKeeper(this.core, (event) => this.step({ ...event, nowMs: this.nowMs() }));
    const linkWorld = { ...world, owner: settings.owner };
    this.fleet = new Fleet(settings.nodes, linkWorld, {
      onConnected: (node) => this.step({ kind: "nodeConnected", node, nowMs: this.nowMs() }),
      onDisconnected: (node) => this.step({ kind: "nodeDisconnected", node, nowMs: this.nowMs() }),
      onMessage: (node, message) =>
        this.step({ kind: "received", node, message, nowMs: this.nowMs() }),
      onAnswer: (node, answer) =>
        this.step({ kind: "appendAnswered", node, answer, nowMs: this.nowMs() }),
    });
  }

  /** The open epoch; undefined before and after. */
  get open(): Opened | undefined {
    return this.isOver ? undefined : this.opened;
  }
  get vdl(): Lsn {
    return this.core.vdl;
  }
  get vcl(): Lsn {
    return this.core.vcl;
  }
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** The log received in this epoch. Only while it is open. */
  requireTail(): LogTail {
    assert(this.tail !== undefined, "an open epoch has a log");
    return this.tail;
  }

  /** Makes the links that a claim needs, ahead of it. */
  standBy(): void {
    this.fleet.standBy(this.core.configuration);
  }

  claim(timeoutMs: number): Promise<Claimed> {
    this.fleet.begin();
    const claimed = new Promise<Claimed>((resolve, reject) => {
      this.claiming = { resolve, reject };
    });
    this.world.clock.after(timeoutMs, () => {
      if (!this.claiming) return;
      const why = `no write quorum promised within ${timeoutMs} ms`;
      this.end(why, epochNone, sqlState.quorumMissing);
    });
    this.step({ kind: "claim", nowMs: this.nowMs() });
    this.tick();
    return claimed;
  }

  /** Raises 55000 if nothing is claimed. */
  elect(choice: TimelineChoice): Promise<Opened> {
    const { decision } = this;
    if (!decision || this.isOver || this.opening) {
      throw new BorealisError(sqlState.notInPrerequisiteState, "there is no claim to open");
    }
    const opened = new Promise<Opened>((resolve, reject) => {
      this.opening = { resolve, reject };
    });
    const { start, timeline, kind: entryKind, refill } = openingOf(decision, choice);
    const decided = { start, timeline, entryKind, ...(refill ? { refillTo: refill.to } : {}) };
    this.step({ kind: "branchDecided", ...decided, nowMs: this.nowMs() });
    if (refill && !this.isOver) void this.refill(start, refill);
    return opened;
  }

  /** Undo of a backtrack: the log that was kept aside becomes this epoch's. */
  private refill(start: Lsn, refill: Refill): Promise<void> {
    const tail = (this.tail = new LogTail(start, this.settings.ringBytes, this.world.meter));
    this.toldHeldFrom = start;
    return refillTail(tail, {
      ...refill,
      ...this.reading(this.fleet.nodes),
      vcl: () => this.core.vcl,
      onGrown: () => {
        this.noteDropped(tail);
        this.onWal(tail);
      },
      onFailed: (why) => this.end(why, epochNone),
    });
  }

  /** PostgreSQL's stream goes through here. */
  setOutlet(outlet: ReignOutlet | undefined): void {
    this.outlet = outlet;
  }

  /** The log grew: tell the core, which sends it to whoever is free. */
  onWal(tail: LogTail): void {
    const { end, recordEnd } = tail;
    this.progress.received = end;
    this.step({ kind: "walReceived", end, recordEnd, nowMs: this.nowMs() });
  }

  /** Ends the lease (D6) and this reign. */
  release(): void {
    if (this.isOver) return;
    this.isAsked = true;
    this.step({ kind: "release" });
  }

  /** Every node that may be a member, from now on. */
  setNodes(nodes: readonly VolumeNode[]): void {
    this.fleet.setNodes(nodes);
    if (!this.isOver) this.fleet.follow(this.core.configuration);
  }

  /** Nothing needs log below `low` any more: a record end. */
  wantLow(low: Lsn): void {
    this.step({ kind: "lowWanted", lsn: low, nowMs: this.nowMs() });
  }

  /** As the agent asked: nothing is acknowledged any more. */
  resign(): void {
    this.isAsked = true;
    this.end("the agent gave the epoch up", epochNone);
  }

  /** Nothing is acknowledged any more. */
  end(reason: string, fencedBy: Epoch, code: string = sqlState.cannotConnectNow): void {
    if (this.isOver) return;
    this.isOver = true;
    const { outlet, claiming, opening } = this;
    this.outlet = undefined;
    this.timer?.cancel();
    this.wakeTimer?.cancel();
    this.progress.setFlag("open", false);
    this.progress.setFlag("quorum", false);
    this.readGate.end(reason);
    outlet?.onEnded();
    this.controller.abort(new Error(reason));
    this.fleet.close(reason);
    const error = new BorealisError(code, reason);
    this.claiming = undefined;
    this.opening = undefined;
    claiming?.reject(error);
    opening?.reject(error);
    this.change.end(error);
    this.pins.end(error);
    this.world.logger.warn({ event: "driver.stoodDown", fencedBy, reason }, "driver stood down");
    if (!this.isAsked && !claiming && !opening) {
      const by = fencedBy === epochNone ? undefined : fencedBy;
      this.listener.emit({ kind: "standDown", fencedBy: by, reason });
    }
  }

  status(): DriverStatus {
    return {
      phase: this.isOver ? "over" : this.core.situation,
      nodes: this.fleet.status(this.core.acknowledged),
      ringBytes: this.tail?.sizeBytes ?? 0,
      walBytes: this.tail ? bytesBetween(this.tail.start, this.tail.end) : 0,
      reports: this.reports,
      low: this.core.low,
      pins: this.core.pins,
    };
  }

  private nowMs(): number {
    return this.world.clock.nowMs();
  }

  private step(event: CoreEvent): void {
    if (this.isOver) return;
    const actions = this.core.step(event);
    for (const action of actions) this.carryOut(action);
    // After the actions: what is to be said to who leaves has been said.
    if (!this.isOver) this.fleet.follow(this.core.configuration);
  }

  private carryOut(action: DriverAction): void {
    switch (action.kind) {
      case "sendAppend":
        return this.sendAppend(action.node, action.from, action.to, action.vdl);
      case "reportDurable":
        return this.onDurable(action.vdl, action.vcl);
      case "wakeAt":
        return this.wakeAt(action.atMs);
      case "send":
        return this.fleet.send(action.node, action.message);
      case "findRecordEnd":
        this.recoveryEnd = action.to;
        void this.walk(action);
        return undefined;
      case "decideBranch":
        return this.onDecision(action);
      case "opened":
        return this.onOpened(action);
      case "nodeLagging":
      case "nodeCaughtUp":
        return this.fleet.noteLagging(action.node, action.kind === "nodeLagging");
      case "standDown":
        return this.end(action.reason, action.fencedBy);
      case "alarm": {
        const { vdl, b, reason } = action;
        this.world.logger.error({ event: "volume.logLost", vdl, b }, reason);
        return undefined;
      }
      case "roundConfirmed":
        return this.readGate.noteRound(action.round);
      case "leaseExtended":
        return this.readGate.noteLease(action.untilMs);
      case "membersChanged":
        return this.change.onChanged(action.configuration, action.isSettled);
      case "changeAnswered":
        return this.change.onAnswer(action.answer);
      case "lowAdvanced":
        this.world.logger.info({ event: "low.advanced", low: action.low }, "low-water advanced");
        return undefined;
      case "pinned":
      case "unpinned":
        return this.pins.note(action);
      // Links follow the configuration after each step.
      case "membersSeen":
      case "decideSalvage":
      case "salvaged":
        return undefined;
      default:
        return unreachable(action);
    }
  }

  private sendAppend(node: NodeId, from: Lsn, to: Lsn, vdl: Lsn): void {
    const view = this.tail?.view(from, to);
    const { epoch, timeline } = this.core;
    if (view) this.fleet.append(node, { epoch, timeline, lsn: from, vdl }, view);
    this.world.meter.sent(to, this.world.clock);
  }

  private onDurable(vdl: Lsn, vcl: Lsn): void {
    this.reports++;
    this.progress.vcl = vcl;
    this.progress.vdl = vdl;
    // Section 7 allows VCL here. VDL releases the same commits, and keeps the slot at a record end.
    this.outlet?.onDurable(vdl);
    if ((this.progress.awaited ?? vcl + 1n) <= vcl) this.listener.onAwaited();
  }

  private reading(nodes: readonly VolumeNode[]) {
    const { settings, world, signal } = this;
    return { nodes, owner: settings.owner, clock: world.clock, signal };
  }

  private async walk(action: Extract<DriverAction, { kind: "findRecordEnd" }>): Promise<void> {
    const { logger } = this.world;
    const b = await tryRecordEnd(this.reading(this.fleet.nodes), action, logger);
    const nowMs = this.nowMs();
    if (b === undefined) this.step({ kind: "recordEndNotFound", nowMs });
    else this.step({ kind: "recordEndFound", b, nowMs });
  }

  private onDecision(decision: Decision): void {
    this.decision = decision;
    const { epoch, b, node } = decision;
    this.world.logger.info({ event: "epoch.claimed", epoch, start: b, node }, "epoch claimed");
    this.claiming?.resolve(claimedOf(decision, this.recoveryEnd ?? b));
    this.claiming = undefined;
  }

  private onOpened(action: Extract<DriverAction, { kind: "opened" }>): void {
    const { epoch, start, history } = action;
    this.opened = { epoch, start, timeline: action.timeline, history };
    // An epoch that was refilled has a log already.
    this.tail ??= new LogTail(start, this.settings.ringBytes, this.world.meter);
    this.progress.open(epoch, action.vdl);
    this.world.logger.info({ event: "epoch.opened", epoch, start }, "epoch opened");
    this.opening?.resolve(this.opened);
    this.opening = undefined;
  }

  private tick(): void {
    this.timer = this.world.clock.after(tickMs, () => {
      if (this.isOver) return;
      this.step({ kind: "tick", nowMs: this.nowMs() });
      this.change.tick();
      this.trim();
      const hasQuorum = this.fleet.hasQuorum(this.core.configuration, this.nowMs());
      if (this.opened) this.quorum.note(hasQuorum, this.core.vdl);
      // Only an open epoch asks its nodes all the time; before that, silence means nothing.
      if (this.core.situation === "open") this.fleet.dropSilent(this.nowMs());
      this.outlet?.onTick();
      if (!this.isOver) this.tick();
    });
  }

  private wakeAt(atMs: number): void {
    this.wakeTimer?.cancel();
    const delayMs = Math.max(1, Math.ceil(atMs - this.nowMs()));
    this.wakeTimer = this.world.clock.after(delayMs, () =>
      this.step({ kind: "tick", nowMs: this.nowMs() }),
    );
  }

  /** What every node has acknowledged is needed no more, but for what PostgreSQL may be asked to repeat. */
  private trim(): void {
    const { tail } = this;
    if (!tail) return;
    let lowest = this.core.vdl;
    for (const scl of this.core.acknowledged.values()) lowest = lsnMin(lowest, scl);
    if (lowest > tail.heldFrom) tail.trim(lowest);
    this.noteDropped(tail);
  }

  /** Tells the core what is no longer in memory, after each change. */
  noteDropped(tail: LogTail): void {
    const { heldFrom } = tail;
    if (heldFrom === this.toldHeldFrom) return;
    assert(heldFrom <= this.core.vcl, "log that no write quorum holds stays in memory");
    this.toldHeldFrom = heldFrom;
    this.step({ kind: "walDropped", heldFrom });
  }
}
