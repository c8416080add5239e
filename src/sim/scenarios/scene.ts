import { present } from "../../base/assert.ts";
import type { Lsn } from "../../base/lsn.ts";
import { encodeMessage, membersOf, type QuorumMessage } from "../../quorum/index.ts";
import { segmentBytes, WalWalker } from "../../wal/index.ts";
import { Dice } from "../dice.ts";
import { SimFailure } from "../failure.ts";
import { noNetworkFaults } from "../network.ts";
import type { Profile } from "../profiles.ts";
import type { SimInstance } from "../sim-instance.ts";
import type { SimNode } from "../sim-node.ts";
import { SimWorld } from "../world.ts";

export interface SceneOptions {
  readonly spares?: number;
  readonly gate?: "lease" | "round";
  /** False: every node writes by itself, none through a second thread. */
  readonly lends?: boolean;
  /** Of i1, i2, i3 and the nodes, instead of rates that differ by little. */
  readonly rateOf?: (name: string) => number;
}

/** Nothing happens by itself: neither faults nor transactions. */
function quiet(spares: number): Profile {
  return {
    name: "scene",
    chaosMs: [1, 1],
    weights: {},
    network: noNetworkFaults,
    syncFails: 0,
    spares,
    readers: 1,
    workMs: [1e9, 1e9],
    sometimes: [],
  };
}

const seedsMax = 1_000;

/** The first seed whose dice give six members, and what else the scene asks for. */
function worldFor({ spares = 0, gate, lends }: SceneOptions): SimWorld {
  for (let seed = 1; seed < seedsMax; seed++) {
    const world = new SimWorld({ seed, profile: quiet(spares) });
    if (world.nodes.length !== 6 + spares || (gate && world.gateMode !== gate)) continue;
    if (lends !== undefined && world.nodes.some((one) => one.options.lendsAppends !== lends))
      continue;
    return world;
  }
  throw new SimFailure("script", "no seed makes such a world");
}

/** A SimWorld of six members under a script instead of chaos; every law is looked at after every event. */
export class Scene {
  readonly world: SimWorld;
  /** Messages whose "from>to kind" matches are lost. */
  lost: RegExp | undefined;
  /** "from>to kind" of every message, in order. */
  readonly sent: string[] = [];
  private readonly dice: Dice;
  private requestId = 1_000_000n;

  constructor(options: SceneOptions = {}) {
    this.world = worldFor(options);
    const { network, seed, nodes, instances } = this.world;
    this.dice = new Dice(seed, "script");
    const send = network.send.bind(network);
    network.send = (from, to, kind, bytes) => {
      const label = `${from}>${to} ${kind}`;
      this.sent.push(label);
      if (!this.lost?.test(label)) send(from, to, kind, bytes);
    };
    const { rateOf } = options;
    const clocks = [...instances, ...nodes.map(({ options: one }) => one)];
    // Before time begins, so that no clock jumps.
    if (rateOf) for (const { name, clock } of clocks) Object.assign(clock, { rate: rateOf(name) });
    this.world.start();
  }

  node(n: number): SimNode {
    return present(this.world.nodes[n - 1], "the node is there");
  }
  instance(n: number): SimInstance {
    return present(this.world.instances[n - 1], "the instance is there");
  }
  get counted() {
    return this.world.counters;
  }

  private next(): void {
    const { queue, observer } = this.world;
    const event = present(queue.pop(), "there is always a tick to come");
    event.run(queue.diceAt(event));
    observer.check();
  }

  pass(ms: number): void {
    let isOver = false;
    this.world.queue.after(ms, "scene", () => (isOver = true));
    while (!isOver) this.next();
  }
  until(what: string, isSo: () => boolean): void {
    let isOver = false;
    this.world.queue.after(30_000, "scene", () => (isOver = true));
    while (!isSo()) {
      if (isOver) throw new SimFailure("script", `never: ${what}`);
      this.next();
    }
  }
  expect(what: string, isSo: boolean): void {
    if (!isSo) throw new SimFailure("script", `not so: ${what}`);
  }

  /** Claims, opens, promotes. */
  opens(n: number): SimInstance {
    const instance = this.instance(n);
    if (!instance.driver) this.claims(n);
    this.until(`${instance.name} opens`, () => instance.isOpen && instance.wal !== undefined);
    return instance;
  }
  claims(n: number, isBacktrack = false): SimInstance {
    const instance = this.instance(n);
    instance.claim(this.world.configuration, { isBacktrack });
    return instance;
  }

  /** Transactions, streamed whole; gives where they end. */
  write(instance: SimInstance): Lsn {
    const wal = present(instance.wal, "the instance is promoted");
    const before = wal.end;
    for (let n = 0; n < 6 || instance.streamed !== wal.end || wal.end === before; n++)
      instance.write(this.dice);
    return wal.end;
  }
  writeDurably(instance: SimInstance): Lsn {
    const end = this.write(instance);
    this.until("it is durable", () => instance.driver?.vdl === end);
    return end;
  }

  changeMembers(instance: SimInstance, ...nodes: number[]): void {
    const set = this.world.setOf(nodes.map((n) => this.node(n)));
    instance.step({ kind: "changeMembers", set, nowMs: instance.clock.nowMs });
  }
  /** As the driver counts: "123456", or "123456/123457" while both do. */
  membersOf(instance: SimInstance): string {
    const sets = instance.driver?.configuration.sets ?? [];
    return sets
      .map((set) =>
        set.members
          .map(({ nodeId }) => nodeId.slice(-1))
          .sort()
          .join(""),
      )
      .join("/");
  }
  /** One set only when a write quorum knows of it: then the next change may begin. */
  untilMembers(instance: SimInstance, members: string): void {
    const { world } = this;
    this.until(`the members are ${members}`, () => {
      const id = instance.driver?.configuration.id;
      const isSettled = members.includes("/") || world.configuration.id.version === id?.version;
      return isSettled && this.membersOf(instance) === members;
    });
  }

  /** Asks a node, as i3, which owns nothing. */
  ask(node: SimNode, message: QuorumMessage): QuorumMessage {
    const { network, volumeId } = this.world;
    const requestId = this.requestId++;
    let answer: QuorumMessage | undefined;
    network.attach("i3", (_, received) => {
      if (received.envelope.requestId === requestId) answer = received.message;
    });
    const envelope = { volumeId, sender: "i3", target: node.nodeId, requestId };
    network.send("i3", node.name, message.kind, encodeMessage(envelope, message));
    this.until(`${node.name} answers`, () => answer !== undefined);
    return present(answer, "it was waited for");
  }

  /** Every transaction that was answered committed is in this node's log below `to`. */
  checkCommitted(node: SimNode, to: Lsn): void {
    const found = new Set<number>();
    const { base } = node.log;
    const kind = base % BigInt(segmentBytes) === 0n ? "segmentStart" : "recordEnd";
    const walker = new WalWalker({ at: base, kind }, { onCommit: ({ xid }) => found.add(xid) });
    walker.push(node.log.view(base, to));
    this.expect("the log is whole", walker.failure === undefined && walker.recordEnd === to);
    const { committed } = this.world.observer;
    this.expect("something was committed", committed.length > 0);
    for (const { xid, end } of committed)
      this.expect(`transaction ${xid} is there`, end <= base || found.has(xid));
  }
  /** The same, once the instance's members all hold what it has made durable. */
  checkAllHold(instance: SimInstance): void {
    const driver = present(instance.driver, "the instance has an epoch");
    const members = membersOf(driver.configuration).map(({ nodeId }) =>
      present(this.world.nodeOf(nodeId), "the member is there"),
    );
    const up = members.filter((node) => node.isUp);
    this.until("all hold it", () => up.every((node) => node.files.durableEnd >= driver.vdl));
    for (const node of up) this.checkCommitted(node, driver.vdl);
  }
}
