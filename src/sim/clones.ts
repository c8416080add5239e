import { formatLsn, lsn } from "../base/lsn.ts";
import { compareConfigurationIds, isReadQuorum, type Pin } from "../quorum/index.ts";
import type { Dice } from "./dice.ts";
import { SimFailure } from "./failure.ts";
import type { SimInstance } from "./sim-instance.ts";
import type { SimNode } from "./sim-node.ts";
import type { SimWorld } from "./world.ts";

export interface Clone {
  readonly pin: Pin;
  /** What it was created with. */
  readonly bytes: Buffer;
  /** Who keeps the whole prefix beside its log; compared with `bytes` when it came to be. */
  readonly holders: Set<SimNode>;
  /**
   * `asked`: some driver was told to pin. `live`: created, a write quorum has said so. `released`: given up, or dropped,
   * and no write quorum has said so yet: a later driver takes the pin over again, and is told again.
   */
  stage: "asked" | "live" | "released" | "gone";
}

/** So that pins stay few in a state of a simulated node. */
const clonesMax = 4;

/** The control plane's list of clones, and the law about them: I11. */
export class Clones {
  private readonly world: SimWorld;
  private readonly clones = new Map<string, Clone>();
  private mustCheck = false;
  private made = 0;

  constructor(world: SimWorld) {
    this.world = world;
  }

  get live(): Clone[] {
    return this.inStage("live");
  }
  private inStage(...stages: Clone["stage"][]): Clone[] {
    return [...this.clones.values()].filter((clone) => stages.includes(clone.stage));
  }

  // Orders.

  /** A clone at a record end at or below VDL. */
  create(instance: SimInstance, dice: Dice): void {
    const { driver } = instance;
    if (!driver || !instance.wal || this.inStage("asked", "live", "released").length >= clonesMax)
      return;
    const { low: from, vdl, history: path } = driver;
    const ends = this.world.book.endsOn(path, lsn(from + 1n), lsn(vdl + 1n));
    const to = dice.oneIn(3) ? dice.pick(ends) : ends.at(-1);
    if (to === undefined) return;
    const pinId = `99999999-0000-4000-8000-${String(++this.made).padStart(12, "0")}`;
    this.ask(instance, { pinId, path, from, to });
  }

  ask(instance: SimInstance, pin: Pin): void {
    const { wal, clock } = instance;
    if (!wal) return;
    const bytes = Buffer.from(wal.view(pin.from, pin.to));
    this.clones.set(pin.pinId, { pin, bytes, holders: new Set(), stage: "asked" });
    this.world.counters.note("pins asked for");
    instance.step({ kind: "pin", pin, nowMs: clock.nowMs });
  }

  /** Drops a clone, or gives up one that is not created yet, or says again what nobody has confirmed. */
  drop(instance: SimInstance, dice: Dice): void {
    const clone = dice.pick(this.inStage("asked", "live", "released"));
    if (!clone) return;
    clone.stage = "released";
    unpin(instance, clone.pin.pinId);
  }

  /** Nobody waits any longer for what was not created until now. */
  giveUpAsked(): void {
    for (const clone of this.inStage("asked")) clone.stage = "released";
  }

  /** Of the pins that this driver has found, those that no clone needs go. */
  releaseUnknown(instance: SimInstance): void {
    for (const { pinId } of instance.driver?.pins ?? []) {
      if (this.clones.get(pinId)?.stage !== "live") unpin(instance, pinId);
    }
  }

  // What drivers say.

  notePinned(pinId: string): void {
    const clone = this.clones.get(pinId);
    // Also by a later driver, which has taken it over; and once more when it is given up already.
    if (clone?.stage !== "asked") return;
    clone.stage = "live";
    this.mustCheck = true;
    this.world.counters.note("pins complete");
  }
  noteUnpinned(pinId: string): void {
    const clone = this.clones.get(pinId);
    if (clone?.stage !== "released") return;
    clone.stage = "gone";
    this.world.counters.note("pins released");
  }

  // What nodes have on their disks.

  noteKept(node: SimNode, pin: Pin, bytes: Buffer): void {
    const clone = this.clones.get(pin.pinId);
    if (!clone) return;
    if (!clone.bytes.equals(bytes))
      throw new SimFailure("I11", `${node.name} keeps other bytes for ${nameOf(clone)}`);
    clone.holders.add(node);
  }
  noteNotKept(node: SimNode, pinId: string): void {
    this.clones.get(pinId)?.holders.delete(node);
    this.mustCheck = true;
  }
  /** The pins or the members in the node's state are others than before. */
  noteState(): void {
    this.mustCheck = true;
  }

  isHeldBy(node: SimNode, { pin, holders }: Clone): boolean {
    // What its promises do not show no claimant takes over.
    const { pins } = node.files.newest().acceptor;
    return holders.has(node) && pins.some(({ pinId }) => pinId === pin.pinId);
  }

  /** I11: whatever read quorum answers (of the highest configuration in it), one of it keeps the whole prefix. */
  check(): void {
    if (!this.mustCheck) return;
    this.mustCheck = false;
    for (const clone of this.live) this.checkHeld(clone);
  }

  private checkHeld(clone: Clone): void {
    const without = this.world.nodes
      .filter((node) => node.fate !== "lost" && !this.isHeldBy(node, clone))
      .map((node) => ({ node, configuration: node.files.newest().acceptor.configuration }));
    for (const { configuration } of without) {
      if (configuration.sets.length === 0) continue;
      const among = without.filter(
        (other) => compareConfigurationIds(other.configuration.id, configuration.id) <= 0,
      );
      const ids = new Set(among.map(({ node }) => node.nodeId));
      if (!isReadQuorum(configuration, (node) => ids.has(node))) continue;
      const names = among.map(({ node }) => node.name).join(",");
      throw new SimFailure("I11", `read quorum {${names}} does not hold ${nameOf(clone)}`);
    }
  }
}

function unpin(instance: SimInstance, pinId: string): void {
  instance.step({ kind: "unpin", pinId, nowMs: instance.clock.nowMs });
}

function nameOf({ pin }: Clone): string {
  const { pinId, from, to } = pin;
  return `the prefix [${formatLsn(from)}, ${formatLsn(to)}) of clone ${pinId.slice(-2)}`;
}
