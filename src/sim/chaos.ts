import { lsnMin } from "../base/lsn.ts";
import { type Configuration, membersOf } from "../quorum/index.ts";
import type { Dice } from "./dice.ts";
import type { ChaosKind } from "./profiles.ts";
import type { SimInstance } from "./sim-instance.ts";
import type { SimNode } from "./sim-node.ts";
import type { SimWorld } from "./world.ts";

/** Faults and orders, by the profile's weights; two control planes that do not know of each other. */
export class Chaos {
  private readonly world: SimWorld;
  private readonly kinds: readonly (readonly [ChaosKind, number])[];
  private readonly total: number;
  /** What each control plane believes the members to be. */
  private readonly hints: [Configuration, Configuration];

  constructor(world: SimWorld) {
    this.world = world;
    const { weights } = world.profile;
    // The table's own order: the same in every run.
    this.kinds = Object.entries(weights) as [ChaosKind, number][];
    this.total = this.kinds.reduce((sum, [, weight]) => sum + weight, 0);
    this.hints = [world.first, world.first];
  }

  start(): void {
    const [low, high] = this.world.profile.chaosMs;
    const ms = this.world.queue.diceFor("chaos").between(low, high);
    const next = (): void => {
      if (!this.world.isQuiet) this.start();
    };
    this.world.queue.after(
      ms,
      "chaos",
      (dice) => {
        if (this.world.isQuiet) return;
        this.perform(this.pick(dice), dice);
        next();
      },
      next,
    );
  }

  private pick(dice: Dice): ChaosKind {
    let left = dice.next() * this.total;
    for (const [kind, weight] of this.kinds) {
      left -= weight;
      if (left < 0) return kind;
    }
    return "nothing";
  }

  private perform(kind: ChaosKind, dice: Dice): void {
    const { world } = this;
    const node = dice.pick(world.nodes);
    const instance = dice.pick(world.instances);
    if (!node || !instance) return;
    switch (kind) {
      case "claim":
        return this.claim(instance, dice, false);
      case "backtrack":
        return this.claim(instance, dice, true);
      case "killInstance":
        return instance.forget();
      case "killNode":
        return this.stop(node, (one) => one.kill());
      case "powerOff":
        return this.stop(node, (one) => one.powerOff(dice));
      case "bootNode":
        return this.bootOne(dice);
      case "bootAll":
        for (const one of world.nodes) if (one.fate === "down") one.boot();
        return undefined;
      case "partition":
        return this.partition(instance, node, dice);
      case "isolateInstance":
        for (const one of world.nodes) if (!dice.oneIn(3)) this.partition(instance, one, dice);
        return undefined;
      case "split":
        return this.split(dice);
      case "heal":
        return world.network.heal();
      case "slowDisk":
        node.slowness = dice.oneIn(2) ? 1 : 10;
        return undefined;
      case "fullDisk":
        return this.fullDisk(dice);
      case "rot":
        return this.rot(node, dice);
      case "loseDisk":
        return this.loseDisk(node);
      case "read":
        for (const one of world.instances) if (one.isOpen) one.gate.read(dice.between(1, 80));
        return undefined;
      case "changeMembers":
        return this.changeMembers(dice);
      case "lowWater":
        return this.lowWater(dice);
      case "clone":
        for (const one of world.instances) if (one.isOpen) world.clones.create(one, dice);
        return undefined;
      case "dropClone": {
        const open = dice.pick(world.instances.filter((one) => one.isOpen));
        if (open) world.clones.drop(open, dice);
        return undefined;
      }
      default:
        return undefined;
    }
  }

  private claim(instance: SimInstance, dice: Dice, isBacktrack: boolean): void {
    if (instance.isOpen && dice.oneIn(2)) return;
    const plane = dice.below(2) as 0 | 1;
    // A control plane hears of a change late, or never.
    if (dice.oneIn(3)) this.hints[plane] = this.world.configuration;
    instance.claim(this.hints[plane], { isBacktrack });
  }

  private stop(node: SimNode, how: (node: SimNode) => void): void {
    if (node.fate !== "lost") how(node);
  }
  private bootOne(dice: Dice): void {
    const down = this.world.nodes.filter((node) => node.fate === "down");
    dice.pick(down)?.boot();
  }

  private partition(instance: SimInstance, node: SimNode, dice: Dice): void {
    const way = dice.below(3);
    const { network } = this.world;
    if (way !== 0) network.partition(instance.name, node.name);
    if (way !== 1) network.partition(node.name, instance.name);
    const peer = dice.pick(this.world.nodes);
    if (peer && dice.oneIn(2)) network.partition(node.name, peer.name);
  }

  /** The writer keeps fewer nodes than could keep a rival out; the rivals have all the others, and only those. */
  private split(dice: Dice): void {
    const { world } = this;
    const writer = world.instances.find((one) => one.isOpen);
    const [set] = writer?.driver?.configuration.sets ?? [];
    if (!writer || !set) return;
    const kept = new Set<SimNode>();
    while (kept.size < set.members.length - set.writeQuorum) {
      const member = dice.pick(set.members);
      const node = member && world.nodeOf(member.nodeId);
      if (node) kept.add(node);
    }
    world.counters.note("splits");
    for (const node of world.nodes) {
      for (const instance of world.instances) {
        if (kept.has(node) === (instance === writer)) continue;
        world.network.partition(instance.name, node.name);
        world.network.partition(node.name, instance.name);
      }
    }
  }

  /** One to three nodes have no space for a while. */
  private fullDisk(dice: Dice): void {
    const { world } = this;
    const ms = dice.between(100, 2_500);
    const count = 1 + dice.below(3);
    for (let n = 0; n < count; n++) {
      const node = dice.pick(world.nodes);
      if (!node?.hasSpace) continue;
      node.hasSpace = false;
      world.queue.after(ms, `${node.name} space`, () => node.makeSpace());
    }
  }

  private rot(node: SimNode, dice: Dice): void {
    if (node.fate === "lost" || !this.world.maySpare(node)) return;
    // Rot of the very last batch, before its mark, together with a crash cannot be told from a torn tail (section 15).
    const { durableEnd, markedEnd } = node.files;
    const at = node.files.log.rot(dice, lsnMin(durableEnd, markedEnd));
    if (at === undefined) return;
    node.hasRot = true;
    this.world.counters.note("frames rotted");
    node.scrubIn(dice.between(50, 1500));
  }

  private loseDisk(node: SimNode): void {
    const { world } = this;
    if (node.fate === "lost" || !world.maySpare(node)) return;
    world.counters.note("disks lost");
    if (!world.rules.hasNewIdentity()) {
      node.wipe();
      return node.boot();
    }
    node.lose();
    world.observer.noteLost(node);
  }

  /** Replace a member (one that is lost first), give a zone up, or take it back. */
  private changeMembers(dice: Dice): void {
    const { world } = this;
    const instance = world.instances.find((one) => one.isOpen);
    if (!instance?.driver) return;
    const members = membersOf(instance.driver.configuration).map(({ nodeId }) =>
      world.nodeOf(nodeId),
    );
    const inside = members.filter((node) => node !== undefined);
    const outside = world.nodes.filter((node) => !inside.includes(node) && node.fate !== "lost");
    const lost = inside.find((node) => node.fate === "lost");
    const leaves = lost ?? dice.pick(inside);
    const joins = dice.pick(outside);
    if (!leaves) return;
    const stays = inside.filter((node) => node !== leaves);
    const isShrink = dice.oneIn(4) && inside.length === 6;
    const next = isShrink
      ? inside.filter((node) => node.az !== leaves.az)
      : joins
        ? [...stays, joins]
        : stays;
    const isBack = dice.oneIn(5) && inside.length < 6;
    const wanted = isBack ? world.nodes.filter((node) => node.fate !== "lost").slice(0, 6) : next;
    if (wanted.length < 3) return;
    instance.step({ kind: "changeMembers", set: world.setOf(wanted), nowMs: instance.clock.nowMs });
  }

  private lowWater(dice: Dice): void {
    const { world } = this;
    const instance = dice.pick(world.instances.filter((one) => one.isOpen));
    if (!instance?.driver) return;
    const { driver } = instance;
    // Also beyond VDL: what snapshots need bounds nothing; the driver has to.
    const end = instance.wal?.end ?? driver.vdl;
    const ends = world.book.endsOn(driver.history, driver.low, end);
    const lsn = ends[Math.floor(ends.length * dice.between(0.3, 1))];
    if (lsn !== undefined) instance.step({ kind: "lowWanted", lsn, nowMs: instance.clock.nowMs });
  }
}
