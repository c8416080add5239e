/** Drivers and storage nodes of the quorum core on arrays and a network in memory; for scenarios as transcripts. */
import { present } from "../../src/base/assert.ts";
import { epoch, type NodeId, nodeId, timeline, volumeId } from "../../src/base/ids.ts";
import { type Lsn, lsn } from "../../src/base/lsn.ts";
import { type Rng, seededRng } from "../../src/base/rng.ts";
import {
  Acceptor,
  type AcceptorAction,
  type AcceptorState,
  decodeAcceptorState,
  encodeAcceptorState,
  formattedState,
} from "../../src/acceptor/index.ts";
import { Driver, type DriverAction, type FanOutMode } from "../../src/ownership/index.ts";
import {
  type Configuration,
  epochAt,
  type History,
  type MemberSet,
  memberSet,
  type QuorumMessage,
  type Run,
} from "../../src/quorum/index.ts";

export const volume = volumeId("11111111-2222-4333-8444-555555555555");
export const id = (n: number): NodeId => nodeId(`00000000-0000-4000-8000-00000000000${n}`);
/** Log begins here; records are ten bytes long. */
export const origin = 1000n;

/** A storage node with a disk that can be slow, made of arrays: one epoch per byte. */
export class FakeNode {
  readonly name: string;
  disk: AcceptorState;
  bytes: { epoch: number; timeline: number }[] = [];
  /** LSN of the first of them. */
  first = origin;
  synced = origin;
  isUp = true;
  holdsSync = false;
  acceptor: Acceptor;
  private readonly world: World;

  constructor(world: World, n: number) {
    this.world = world;
    this.name = `n${n}`;
    this.disk = formattedState({ volumeId: volume, nodeId: id(n), base: lsn(origin) });
    this.acceptor = this.boot();
  }

  get end(): bigint {
    return this.first + BigInt(this.bytes.length);
  }
  get log(): string {
    return this.bytes.map((byte) => byte.epoch).join("");
  }

  private boot(): Acceptor {
    const { nowMs } = this.world;
    const scl = lsn(this.synced);
    return new Acceptor({ state: this.disk, scl, nowMs, lendsAppends: false, keepsRetired: true });
  }

  /** Comes back with what was synced. */
  restart(): void {
    this.bytes.length = Number(this.synced - this.first);
    this.acceptor = this.boot();
    this.carry(this.acceptor.step({ kind: "started", nowMs: this.world.nowMs }));
  }

  receive(link: number, requestId: bigint, message: QuorumMessage, target: NodeId): void {
    const envelope = { volumeId: volume, sender: "test", target, requestId };
    const { nowMs } = this.world;
    this.carry(this.acceptor.step({ kind: "received", link, envelope, message, nowMs }));
  }

  carry(actions: readonly AcceptorAction[]): void {
    this.acceptor.checkInvariants();
    for (const action of actions) this.perform(action);
  }

  sync(): void {
    const { nowMs } = this.world;
    this.synced = this.end;
    this.carry(this.acceptor.step({ kind: "synced", scl: lsn(this.synced), nowMs }));
  }

  private perform(action: AcceptorAction): void {
    const { nowMs } = this.world;
    switch (action.kind) {
      case "persist":
        this.disk = decodeAcceptorState(encodeAcceptorState(action.state));
        return this.carry(this.acceptor.step({ kind: "persisted", nowMs }));
      case "writeLog":
        for (const _ of action.bytes)
          this.bytes.push({ epoch: action.epoch, timeline: action.timeline });
        return this.holdsSync ? undefined : this.sync();
      case "cutLog":
        if (action.cut.isRebase) this.first = action.cut.to;
        this.bytes.length = Number(action.cut.to - this.first);
        this.synced = action.cut.to;
        return this.carry(this.acceptor.step({ kind: "logCut", scl: action.cut.to, nowMs }));
      case "send":
        return this.world.answer(this, action.reply.link, action.reply.requestId, action.message);
      case "readLog":
        return this.world.answer(this, action.reply.link, action.reply.requestId, {
          kind: "pullData",
          lsn: action.from,
          runs: this.read(action.from, action.to),
          accepted: action.accepted,
        });
      case "dropLogBelow":
        this.bytes.splice(0, Number(action.lsn - this.first));
        this.first = action.lsn;
        return undefined;
      case "pull":
        return this.world.pull(this, action);
      default:
        return undefined;
    }
  }

  private read(from: Lsn, to: Lsn): Run[] {
    const { first } = this;
    return this.bytes.slice(Number(from - first), Number(to - first)).map((byte) => ({
      epoch: epoch(byte.epoch),
      timeline: timeline(byte.timeline),
      bytes: Buffer.alloc(1),
    }));
  }
}

export interface FakeDriverOptions {
  /** Where to start and what to refill, instead of a branch at b. */
  readonly backtrack?: { readonly start: bigint; readonly refillTo?: bigint };
  readonly purpose?: "own" | "salvage";
  readonly configuration?: Configuration;
  readonly leaseMs?: number;
  readonly seed?: number;
  readonly fanOut?: FanOutMode;
}

/** A driver with a shell that finds records of ten bytes. */
export class FakeDriver {
  readonly name: string;
  readonly driver: Driver;
  readonly durable: string[] = [];
  readonly seen: DriverAction[] = [];
  private readonly world: World;
  private readonly backtrack: FakeDriverOptions["backtrack"];

  constructor(world: World, name: string, options: FakeDriverOptions = {}) {
    this.world = world;
    this.name = name;
    this.backtrack = options.backtrack;
    this.driver = new Driver({
      claimant: name,
      configuration: options.configuration ?? world.configuration,
      purpose: options.purpose ?? "own",
      rng: seededRng(options.seed ?? name.charCodeAt(1)),
      leaseMs: options.leaseMs ?? 0,
      heartbeatMs: 500,
      fanOut: options.fanOut ?? "everyNode",
    });
    for (const node of world.nodes) this.step({ kind: "nodeConnected", node: node.disk.nodeId });
  }

  claim(): this {
    this.step({ kind: "claim" });
    return this;
  }

  write(bytes: number): this {
    const end = lsn(this.end + BigInt(bytes));
    this.end = end;
    this.step({ kind: "walReceived", end, recordEnd: lsn(end - (end % 10n)) });
    return this;
  }
  end: bigint = 0n;
  /** Its process was killed. */
  isDead = false;

  step(event: { kind: string } & Record<string, unknown>): void {
    if (this.isDead) return;
    // Every event in this file carries what its kind needs; the time is added here.
    const timed = { ...event, nowMs: this.world.nowMs } as Parameters<Driver["step"]>[0];
    const actions = this.driver.step(timed);
    this.driver.checkInvariants();
    for (const action of actions) this.perform(action);
  }

  private perform(action: DriverAction): void {
    this.seen.push(action);
    switch (action.kind) {
      case "send":
        return this.world.send(this, action.node, 2n, action.message);
      case "sendAppend": {
        const { epoch: own, timeline: line } = this.driver;
        const payload = Buffer.alloc(Number(action.to - action.from));
        const append = { kind: "append", epoch: own, timeline: line, lsn: action.from } as const;
        return this.world.send(this, action.node, 1n, { ...append, vdl: action.vdl, payload });
      }
      case "findRecordEnd":
        return this.step({ kind: "recordEndFound", b: lsn(action.to - (action.to % 10n)) });
      case "decideBranch":
        return this.step({
          kind: "branchDecided",
          timeline: action.nextTimeline,
          ...(this.backtrack ? { entryKind: "backtrack", ...this.backtrack } : { start: action.b }),
        });
      case "opened":
        this.end = action.vdl;
        return undefined;
      case "reportDurable":
        this.world.chosen.note(this.driver.history, action.vdl);
        this.durable.push(`${action.vdl}/${action.vcl}`);
        return undefined;
      default:
        return undefined;
    }
  }
}

/** A network in order, where messages can be held back or lost, by name: "d1>n3 append". */
export class World {
  nowMs = 10_000;
  readonly nodes: FakeNode[] = [];
  readonly drivers: FakeDriver[] = [];
  readonly configuration: Configuration;
  readonly transcript: string[] = [];
  readonly chosen = new Chosen();
  lost: RegExp | undefined;
  held: RegExp | undefined;
  private queue: { label: string; deliver: () => void }[] = [];
  private kept: { label: string; deliver: () => void }[] = [];

  /** `spares` nodes more are there, and no members. */
  constructor(count: number, spares = 0) {
    for (let n = 1; n <= count + spares; n++) this.nodes.push(new FakeNode(this, n));
    const members = Array.from({ length: count }, (_, index) => index + 1);
    this.configuration = { id: { epoch: epoch(0), version: 1 }, sets: [this.setOf(...members)] };
    for (const node of this.nodes) node.restart();
  }

  setOf(...names: number[]): MemberSet {
    return memberSet(
      names.map((n) => ({ nodeId: this.node(n).disk.nodeId, az: "a", kind: "full" as const })),
    );
  }

  node(n: number): FakeNode {
    return present(this.nodes[n - 1], "the node exists");
  }

  newDriver(options: FakeDriverOptions = {}): FakeDriver {
    const driver = new FakeDriver(this, `d${this.drivers.length + 1}`, options);
    this.drivers.push(driver);
    return driver;
  }

  send(from: FakeDriver, to: NodeId, requestId: bigint, message: QuorumMessage): void {
    const node = present(
      this.nodes.find((one) => one.disk.nodeId === to),
      "the node exists",
    );
    const link = this.drivers.indexOf(from);
    this.post(`${from.name}>${node.name} ${message.kind}`, () => {
      if (node.isUp) node.receive(link, requestId, message, to);
    });
  }

  answer(node: FakeNode, link: number, requestId: bigint, message: QuorumMessage): void {
    if (link >= 100) {
      const asker = this.node(link - 100);
      return this.post(`${node.name}>${asker.name} ${message.kind}`, () =>
        asker.receive(0, 0n, message, node.disk.nodeId),
      );
    }
    const driver = present(this.drivers[link], "the driver exists");
    const from = node.disk.nodeId;
    const kind = requestId === 1n ? "appendAnswered" : "received";
    this.post(`${node.name}>${driver.name} ${message.kind}`, () =>
      driver.step({ kind, node: from, message, answer: message }),
    );
  }

  pull(node: FakeNode, action: Extract<AcceptorAction, { kind: "pull" }>): void {
    const peer = present(
      this.nodes.find((one) => one.disk.nodeId === action.peer),
      "the peer exists",
    );
    const link = 100 + this.nodes.indexOf(node) + 1;
    const { accepted } = node.acceptor.state;
    const message = {
      kind: "pull",
      from: action.from,
      maxBytes: action.maxBytes,
      accepted,
    } as const;
    this.post(`${node.name}>${peer.name} pull`, () => {
      if (peer.isUp) peer.receive(link, 9n, message, action.peer);
    });
  }

  private post(label: string, deliver: () => void): void {
    this.queue.push({ label, deliver });
  }

  /** Delivers until nothing is under way but what is held. */
  settle(): this {
    for (let count = 0; count < 20_000; count++) {
      const next = this.queue.shift();
      if (!next) return this;
      if (this.lost?.test(next.label)) continue;
      if (this.held?.test(next.label)) this.kept.push(next);
      else {
        this.transcript.push(next.label);
        next.deliver();
      }
    }
    throw new Error("the network does not come to rest");
  }

  /** Delivers up to `count` messages in any order; some are lost, some come twice. */
  stir(rng: Rng, count: number): this {
    for (let n = 0; n < count && this.queue.length > 0; n++) {
      const [one] = this.queue.splice(rng.below(this.queue.length), 1);
      if (!one || rng.below(20) === 0) continue;
      if (rng.below(20) === 0) this.queue.push(one);
      one.deliver();
    }
    return this;
  }

  /** Delivers what was held. */
  unhold(): this {
    this.held = undefined;
    this.queue.push(...this.kept);
    this.kept = [];
    return this.settle();
  }

  pass(ms: number, stepMs = 100): this {
    for (let passed = 0; passed < ms; passed += stepMs) {
      this.tickAll(stepMs);
      this.settle();
    }
    return this;
  }

  tickAll(ms: number): void {
    this.nowMs += ms;
    for (const driver of this.drivers) driver.step({ kind: "tick" });
    for (const node of this.nodes)
      if (node.isUp) node.carry(node.acceptor.step({ kind: "tick", nowMs: this.nowMs }));
  }

  down(...names: number[]): void {
    for (const n of names) this.node(n).isUp = false;
  }
  up(...names: number[]): void {
    for (const n of names) {
      this.node(n).isUp = true;
      this.node(n).restart();
    }
  }
}

/** An open driver of six quiet nodes; the spares stand by. */
export function anOwnerOfSix(spares = 2): { world: World; driver: FakeDriver } {
  const world = new World(6, spares);
  const driver = world.newDriver().claim();
  world.pass(200);
  if (driver.driver.situation !== "open") throw new Error("six quiet nodes have an owner");
  return { world, driver };
}

/** The changes of membership that the driver spoke of: version, members, settled or not. */
export function changesOf(driver: FakeDriver): string[] {
  return driver.seen.flatMap((one) => {
    if (one.kind !== "membersChanged") return [];
    const sets = one.configuration.sets.map((set) =>
      set.members.map((member) => member.nodeId.slice(-1)).join(""),
    );
    return [`${one.configuration.id.version} ${sets.join("/")}${one.isSettled ? " settled" : ""}`];
  });
}

/** What was acknowledged at each LSN, as an observer sees it: I1, with I2's rule for starts. */
export class Chosen {
  private epochs: number[] = [];

  /** How many bytes are chosen. */
  get length(): number {
    return this.epochs.length;
  }

  /** A driver said that everything below `vdl` of its path is durable. */
  note(history: History, vdl: bigint): void {
    for (let p = origin; p < vdl; p++) {
      const index = Number(p - origin);
      const said = epochAt(history, lsn(p));
      const before = this.epochs[index];
      if (before !== undefined && before !== said)
        throw new Error(`I1: ${p} was chosen of epoch ${before}, now acknowledged of ${said}`);
      this.epochs[index] = said;
    }
  }

  /** A backtrack to `start` opened. */
  forgetFrom(start: bigint): void {
    this.epochs.length = Math.min(this.epochs.length, Number(start - origin));
  }

  /** Some six quiet nodes hold all of it. */
  isHeldBy(node: FakeNode): boolean {
    return this.epochs.every((one, index) => {
      const at = index - Number(node.first - origin);
      return at < 0 || node.bytes[at]?.epoch === one;
    });
  }
}
