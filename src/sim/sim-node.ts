import type { NodeId, VolumeId } from "../base/ids.ts";
import { type Lsn, lsnMaxOf, lsnZero } from "../base/lsn.ts";
import {
  Acceptor,
  type AcceptorAction,
  type AcceptorEvent,
  type AcceptorState,
  formattedState,
} from "../acceptor/index.ts";
import { encodeMessage, type QuorumMessage, type ReceivedMessage } from "../quorum/index.ts";
import type { NewFrame } from "../storage-node/index.ts";
import { AppendWorker } from "./append-worker.ts";
import type { SimClock } from "./clock.ts";
import type { Dice } from "./dice.ts";
import { Feeds } from "./feeds.ts";
import { NodeKept } from "./node-kept.ts";
import { NodeFiles } from "./node-files.ts";
import { origin } from "./spans.ts";
import type { SimWorld } from "./world.ts";

type Health = "ok" | "damaged" | "full";

export interface SimNodeOptions {
  readonly name: string;
  readonly nodeId: NodeId;
  readonly volumeId: VolumeId;
  readonly az: string;
  readonly clock: SimClock;
  /** Appends go through a second thread, under grants (decisions.md D7). */
  readonly lendsAppends: boolean;
}

/** A storage node's process: the shipped Acceptor over the simulated disk and network. */
export class SimNode {
  readonly name: string;
  readonly nodeId: NodeId;
  readonly az: string;
  readonly options: SimNodeOptions;
  files: NodeFiles;
  readonly kept = new NodeKept(this);
  readonly worker: AppendWorker;
  readonly feeds: Feeds;
  readonly world: SimWorld;
  acceptor: Acceptor;
  /** `lost`: its disk is gone, or failed a sync: it never comes back. */
  fate: "up" | "down" | "lost" = "up";
  health: Health = "ok";
  /** Some frame has a flipped bit; nobody may have noticed. */
  hasRot = false;
  /** Its disk takes this much longer. */
  slowness = 1;
  /** False: what is appended finds no space. */
  hasSpace = true;
  /** A process that died hears nothing of what it had begun. */
  life = 0;
  private pending: NewFrame[] = [];
  private isWriting = false;
  private events: AcceptorEvent[] = [];
  private isStepping = false;

  constructor(world: SimWorld, options: SimNodeOptions) {
    this.world = world;
    this.options = options;
    this.name = options.name;
    this.nodeId = options.nodeId;
    this.az = options.az;
    this.files = new NodeFiles(this.blank());
    this.worker = new AppendWorker(this);
    this.feeds = new Feeds(this);
    this.acceptor = this.makeAcceptor(this.files.newest().acceptor, origin);
  }

  private blank(): AcceptorState {
    const { volumeId, nodeId } = this.options;
    return formattedState({ volumeId, nodeId, base: origin });
  }

  get nowMs(): number {
    return this.options.clock.nowMs;
  }
  get isUp(): boolean {
    return this.fate === "up";
  }
  get log() {
    return this.files.log.log;
  }
  get syncedEnd(): Lsn {
    return this.files.durableEnd;
  }

  private makeAcceptor(state: AcceptorState, scl: Lsn): Acceptor {
    const { lendsAppends } = this.options;
    const { nowMs } = this;
    const { rules } = this.world;
    const pinsKept = this.kept.found(state.pins);
    return new Acceptor({ state, scl, nowMs, lendsAppends, keepsRetired: true, pinsKept, rules });
  }

  /** Reads the disk and begins. */
  boot(): void {
    this.life++;
    this.fate = "up";
    this.pending = [];
    this.isWriting = false;
    this.events = [];
    const found = this.files.recover(this.world.rules);
    const { counters } = this.world;
    if (found.suspectTail) counters.note("torn tails");
    if (found.rotKnownEnd !== undefined) counters.note("rot found at start");
    const known = this.files.rotKnownEnd;
    this.health = known === undefined ? "ok" : "damaged";
    const { acceptor } = this.files.newest();
    if (acceptor.pendingCut === undefined) this.files.regain(acceptor.history);
    this.acceptor = this.makeAcceptor(acceptor, this.log.end);
    this.worker.reset();
    this.feeds.reset();
    this.world.observer.noteBooted(this);
    this.world.network.attach(this.name, (from, received) => this.receive(from, received));
    this.post({ kind: "healthChanged", health: this.health, suspectTail: found.suspectTail });
    this.post({ kind: "started", nowMs: this.nowMs });
    this.checkHealed();
    this.tick();
  }

  private stop(): void {
    this.life++;
    this.fate = "down";
    this.world.network.detach(this.name);
    this.files.abandonSync();
  }
  /** The process dies; what it wrote stays in the page cache. */
  kill(): void {
    if (this.isUp) this.stop();
  }
  powerOff(dice: Dice): void {
    if (this.isUp) this.stop();
    if (this.fate === "down") this.files.powerOff(dice);
  }
  /** The disk is gone, and with it the identity. */
  lose(): void {
    this.stop();
    this.fate = "lost";
  }
  /** By the true rules never: a new empty disk under an old name (M33). */
  wipe(): void {
    this.stop();
    this.files = new NodeFiles(this.blank());
  }

  private tick(): void {
    this.later(this.world.nodeTickMs, "tick", () => {
      this.post({ kind: "tick", nowMs: this.nowMs });
      this.feeds.pump();
      this.tick();
    });
  }

  /** As long as this process lives. A dropped timer starts again. */
  later(ms: number, what: string, run: (dice: Dice) => void): void {
    const { life } = this;
    const guarded = (dice: Dice): void => {
      if (this.life === life) run(dice);
    };
    const again = what === "tick" ? () => this.life === life && this.tick() : undefined;
    this.world.queue.after(ms, `${this.name} ${what}`, guarded, again as (() => void) | undefined);
  }

  // Messages.

  private receive(from: string, received: ReceivedMessage): void {
    const { message, envelope } = received;
    const link = this.world.linkOf(from);
    if (message.kind === "append" && this.worker.takes(link, envelope, message)) return;
    this.worker.report();
    this.post({ kind: "received", link, envelope, message, nowMs: this.nowMs });
  }

  send(link: number, requestId: bigint, message: QuorumMessage): void {
    const to = this.world.nameOf(link);
    if (to === undefined) return;
    const { volumeId } = this.options;
    const envelope = { volumeId, sender: this.name, target: this.nodeId, requestId };
    this.world.observer.noteSaid(this, message);
    this.world.network.send(this.name, to, message.kind, encodeMessage(envelope, message));
  }

  // Events in, actions out.

  post(event: AcceptorEvent): void {
    this.events.push(event);
    if (this.isStepping) return;
    this.isStepping = true;
    try {
      for (let next = this.events.shift(); next; next = this.events.shift()) {
        const actions = this.acceptor.step(next);
        this.acceptor.checkInvariants();
        for (const action of actions) this.perform(action);
      }
    } finally {
      this.isStepping = false;
    }
    this.world.observer.noteNode(this);
  }

  private perform(action: AcceptorAction): void {
    switch (action.kind) {
      case "persist":
        return this.persist(action.state);
      case "send":
        return this.send(action.reply.link, action.reply.requestId, action.message);
      case "grant":
        return this.worker.lend(action);
      case "revokeGrant":
        return this.worker.revoke();
      case "writeLog":
        this.pending.push({ ...action, payload: Buffer.from(action.bytes) });
        return this.writeNext();
      case "cutLog":
        return this.cut(action);
      case "dropLogBelow":
        this.kept.tails.drop(action.lsn, this.world.rules);
        return this.files.log.trim(action.lsn);
      case "readLog":
        return this.read(action);
      case "startFeed":
        return this.feeds.start(action.reply, action.from, action.history);
      case "historyChanged":
        return this.feeds.changeHistory(action.history);
      case "vdlAdvanced":
        return this.feeds.pump();
      case "pull":
        return this.pull(action);
      default:
        return this.kept.perform(action);
    }
  }

  diskMs(dice: Dice): number {
    return this.slowness * (dice.oneIn(12) ? dice.between(5, 200) : dice.between(0.1, 6));
  }

  private persist(state: AcceptorState): void {
    this.files.writeState(state);
    const channel = `${this.name} persisted`;
    const ms = this.diskMs(this.world.queue.diceFor(channel));
    this.later(ms, "persisted", () => {
      this.files.finishState();
      this.world.observer.noteDurable(this);
      this.post({ kind: "persisted", nowMs: this.nowMs });
      this.checkHealed();
    });
  }

  /** What waits goes into one write; the next begins when it is synced. */
  private writeNext(): void {
    if (this.isWriting || this.pending.length === 0) return;
    if (!this.hasSpace) return this.dropPending();
    const frames = this.pending;
    this.pending = [];
    this.isWriting = true;
    this.files.log.write(frames);
    this.world.observer.noteWritten(this);
    this.sync(() => {
      this.isWriting = false;
      const { history } = this.acceptor.state;
      const scl = this.pending.length > 0 ? this.files.log.end : this.files.regain(history);
      this.post({ kind: "synced", scl, nowMs: this.nowMs });
      this.checkHealed();
      this.writeNext();
    });
  }

  /** No space: nothing of it was said to anybody. */
  private dropPending(): void {
    this.pending = [];
    this.world.counters.note("writes without space");
    this.post({ kind: "logFull", scl: this.log.end, nowMs: this.nowMs });
  }
  makeSpace(): void {
    this.hasSpace = true;
    if (this.isUp) this.post({ kind: "healthChanged", health: this.health, suspectTail: false });
  }

  /** Syncs the log written so far; a failure ends the node. */
  sync(done: () => void): void {
    this.files.log.beginSync();
    const channel = `${this.name} synced`;
    const dice = this.world.queue.diceFor(channel);
    const { cutsMade } = this.files;
    this.later(this.diskMs(dice), "synced", (at) => {
      if (this.files.cutsMade !== cutsMade) return;
      if (this.world.mayFailSync(this) && at.isBelow(this.world.faults.syncFails))
        return this.failSync(done);
      this.files.finishLogSync();
      this.world.observer.noteDurable(this);
      done();
    });
  }

  private failSync(done: () => void): void {
    this.world.counters.note("syncs failed");
    this.files.log.failSync();
    // Retried, the next sync succeeds, and says nothing about the pages that were dropped (M32).
    if (!this.world.rules.isSyncFailureFinal()) return done();
    this.lose();
    this.world.observer.noteLost(this);
  }

  private cut(action: Extract<AcceptorAction, { kind: "cutLog" }>): void {
    const channel = `${this.name} cut`;
    const ms = this.diskMs(this.world.queue.diceFor(channel));
    this.later(ms, "cut", () => {
      const { cut, history } = action;
      this.world.observer.noteCut(this, cut, history);
      // What is under way is written first: it belongs to the log that is cut.
      if (this.pending.length > 0) this.files.log.write(this.pending);
      this.pending = [];
      this.isWriting = false;
      const taken = this.files.cut(cut, history, this.kept.tails);
      if (taken > 0) this.world.counters.note("tails taken back");
      this.world.counters.note(cut.isRebase ? "rebases" : "cuts");
      this.post({ kind: "logCut", scl: this.files.log.end, nowMs: this.nowMs });
    });
  }

  private read(action: Extract<AcceptorAction, { kind: "readLog" }>): void {
    const { reply, from, accepted } = action;
    const limit = from + BigInt(action.maxBytes);
    const to = (action.to < limit ? action.to : limit) as Lsn; // between two LSNs
    const end = lsnMaxOf(from, to);
    const { base } = this.log;
    const isHere = from >= base && end <= this.log.end;
    if (!isHere || !this.files.log.isReadable(from, end)) {
      const { scl, state } = this.acceptor;
      const said: QuorumMessage = { kind: "notHere", base: state.base, scl };
      this.send(reply.link, reply.requestId, said);
      if (isHere) this.restartDamaged();
      return;
    }
    const runs = this.log.runs(from, end);
    let message: QuorumMessage = { kind: "logData", lsn: from, runs };
    if (action.as === "pullData") message = { kind: "pullData", lsn: from, runs, accepted };
    const { pinId } = action;
    if (pinId !== undefined) message = { kind: "pinData", pinId, lsn: from, runs };
    this.send(reply.link, reply.requestId, message);
  }

  /** Rot was met while reading: the node starts anew, and finds out at start. */
  private restartDamaged(): void {
    this.world.counters.note("rot found by reading");
    const { life } = this;
    this.world.queue.after(0, `${this.name} restart`, () => {
      if (this.life !== life) return;
      this.kill();
      this.boot();
    });
  }

  /** Reads all its frames; so rot does not lie there for ever. */
  scrubIn(ms: number): void {
    this.world.queue.after(ms, `${this.name} scrub`, () => {
      if (!this.isUp || this.health === "damaged") return;
      const { log } = this.files;
      if (!log.isReadable(log.log.base, log.end)) this.restartDamaged();
      else this.hasRot = false;
    });
  }

  private checkHealed(scl: Lsn = this.files.log.end): void {
    const known = this.files.rotKnownEnd;
    if (known === undefined || scl < known || this.isWriting) return;
    this.files.rotKnownEnd = undefined;
    this.hasRot = false;
    this.health = "ok";
    this.world.counters.note("repaired");
    this.post({ kind: "healthChanged", health: "ok", suspectTail: false });
  }

  private pull(action: Extract<AcceptorAction, { kind: "pull" }>): void {
    const { peer, from, maxBytes, accepted } = action;
    const to = this.world.nameOfNode(peer);
    if (to === undefined) return this.post({ kind: "pullFailed", nowMs: this.nowMs });
    const envelope = {
      volumeId: this.options.volumeId,
      sender: this.name,
      target: peer,
      requestId: 1n,
    };
    const message: QuorumMessage = { kind: "pull", from, maxBytes, accepted };
    this.world.counters.note("pulls");
    this.world.network.send(this.name, to, "pull", encodeMessage(envelope, message));
  }

  /** Highest VDL that this node has heard of; 0: none. */
  get vdl(): Lsn {
    return this.acceptor.vdl ?? lsnZero;
  }
}
