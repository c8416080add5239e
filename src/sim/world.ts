import { epoch, type NodeId, nodeId, type VolumeId, volumeId } from "../base/ids.ts";
import type { FanOutMode } from "../ownership/index.ts";
import {
  type Configuration,
  isWriteQuorum,
  memberSet,
  type MemberSet,
  membersOf,
} from "../quorum/index.ts";
import { SimClock } from "./clock.ts";
import { Clones } from "./clones.ts";
import { Counters } from "./counters.ts";
import { Dice } from "./dice.ts";
import { EventQueue } from "./event-queue.ts";
import { Network, noNetworkFaults } from "./network.ts";
import { Observer } from "./observer.ts";
import type { Profile } from "./profiles.ts";
import { RecordBook } from "./record-book.ts";
import { type SimRules, trueSimRules } from "./shell-rules.ts";
import { SimInstance } from "./sim-instance.ts";
import { SimNode } from "./sim-node.ts";
import { SimReader } from "./sim-reader.ts";

export interface WorldOptions {
  readonly seed: number;
  readonly profile: Profile;
  readonly rules?: SimRules;
}

const zones = ["a", "b", "c"];

/** A volume with all its parties; everything in it follows from the seed. */
export class SimWorld {
  readonly seed: number;
  readonly profile: Profile;
  readonly rules: SimRules;
  readonly queue: EventQueue;
  readonly counters = new Counters();
  readonly network: Network;
  readonly observer: Observer;
  readonly book = new RecordBook();
  readonly clones: Clones;
  readonly volumeId: VolumeId = volumeId("11111111-2222-4333-8444-555555555555");
  readonly nodes: SimNode[] = [];
  readonly instances: SimInstance[] = [];
  readonly readers: SimReader[] = [];
  readonly faults: { syncFails: number };
  readonly gateMode: "round" | "lease";
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  readonly driverTickMs: number;
  readonly nodeTickMs: number;
  readonly fanOut: FanOutMode;
  readonly first: Configuration;
  /** What a control plane would call the members now. */
  configuration: Configuration;
  /** Faults are over: it shall become healthy. */
  isQuiet = false;
  private readonly links = new Map<string, number>();
  private readonly names: string[] = [];
  private readonly nodeNames = new Map<NodeId, string>();
  private xid = 1;

  constructor(options: WorldOptions) {
    const { seed, profile } = options;
    this.seed = seed;
    this.profile = profile;
    this.rules = options.rules ?? trueSimRules;
    this.queue = new EventQueue(seed);
    this.network = new Network(this.queue, this.counters);
    this.network.faults = profile.network;
    this.faults = { syncFails: profile.syncFails };
    this.observer = new Observer(this);
    this.clones = new Clones(this);
    const dice = new Dice(seed, "world");
    this.gateMode = dice.oneIn(2) ? "lease" : "round";
    this.leaseMs = this.gateMode === "lease" ? 400 : 0;
    this.heartbeatMs = dice.pick([150, 250, 400]) ?? 250;
    this.driverTickMs = dice.pick([60, 100, 160]) ?? 100;
    this.nodeTickMs = dice.pick([200, 350, 500]) ?? 350;
    this.fanOut = dice.oneIn(2) ? "quorumFirst" : "everyNode";
    const count = dice.pick([6, 6, 6, 6, 4, 3]) ?? 6;
    const lends = dice.oneIn(2);
    for (let n = 1; n <= count + profile.spares; n++) this.addNode(n, lends, dice);
    this.first = {
      id: { epoch: epoch(0), version: 1 },
      sets: [this.setOf(this.nodes.slice(0, count))],
    };
    this.configuration = this.first;
    for (let n = 1; n <= 3; n++) {
      const name = `i${n}`;
      this.enroll(name);
      this.instances.push(new SimInstance(this, name, this.newClock(dice)));
    }
    for (let n = 1; n <= profile.readers; n++) {
      const name = `r${n}`;
      this.enroll(name);
      this.readers.push(new SimReader(this, name));
    }
  }

  private addNode(n: number, lends: boolean, dice: Dice): void {
    const name = `n${n}`;
    const id = nodeId(`00000000-0000-4000-8000-${String(n).padStart(12, "0")}`);
    this.enroll(name);
    this.nodeNames.set(id, name);
    const az = zones[(n - 1) % zones.length] ?? "a";
    const clock = this.newClock(dice);
    // Most nodes of a run are alike; some differ.
    const lendsAppends = dice.oneIn(5) ? !lends : lends;
    this.nodes.push(
      new SimNode(this, { name, nodeId: id, volumeId: this.volumeId, az, clock, lendsAppends }),
    );
  }

  /** Any two clocks differ by less than the five per cent that leases allow for. */
  private newClock(dice: Dice): SimClock {
    return new SimClock(this.queue, dice.below(1_000_000), dice.between(0.98, 1.02));
  }

  private enroll(name: string): void {
    this.links.set(name, this.names.length);
    this.names.push(name);
  }
  linkOf(name: string): number {
    return this.links.get(name) ?? -1;
  }
  nameOf(link: number): string | undefined {
    return this.names[link];
  }
  nameOfNode(node: NodeId): string | undefined {
    return this.nodeNames.get(node);
  }
  nodeOf(id: NodeId): SimNode | undefined {
    return this.nodes.find((node) => node.nodeId === id);
  }
  nextXid(): number {
    return this.xid++;
  }

  setOf(nodes: readonly SimNode[]): MemberSet {
    return memberSet(
      nodes.map(({ nodeId: id, az }) => ({ nodeId: id, az, kind: "full" as const })),
    );
  }

  start(): void {
    for (const node of this.nodes) node.boot();
    for (const reader of this.readers) reader.start();
    this.instances[0]?.claim(this.first, { isBacktrack: false });
  }

  noteMembers(configuration: Configuration, isSettled: boolean): void {
    if (!isSettled) return;
    if (configuration.id.version > 1) this.counters.note("changes finished");
    this.configuration = configuration;
  }

  /** True if this node's copy may go: every configuration that is about can do without it, and what is lost already. */
  maySpare(node: SimNode): boolean {
    const isWhole = (one: SimNode | undefined): boolean =>
      one !== undefined &&
      one !== node &&
      one.fate !== "lost" &&
      one.health === "ok" &&
      !one.hasRot;
    const all = [this.configuration, ...this.nodes.map((one) => one.acceptor.state.configuration)];
    const isEnough = all.every(
      (configuration) =>
        configuration.sets.length === 0 ||
        isWriteQuorum(configuration, (id) => isWhole(this.nodeOf(id))),
    );
    // A copy that is not all there counts as none: who is behind must not be what is left.
    return isEnough && membersOf(this.configuration).some(({ nodeId: id }) => id === node.nodeId);
  }
  mayFailSync(node: SimNode): boolean {
    return !this.isQuiet && this.faults.syncFails > 0 && this.maySpare(node);
  }

  /** Faults end: who can come back does, and one driver is left in peace. */
  calm(): void {
    this.isQuiet = true;
    this.network.faults = noNetworkFaults;
    this.network.heal();
    this.faults.syncFails = 0;
    this.clones.giveUpAsked();
    for (const instance of this.instances) instance.forget();
    for (const node of this.nodes) {
      node.slowness = 1;
      if (!node.hasSpace) node.makeSpace();
      if (node.fate === "down") node.boot();
    }
  }
}
