import { InvariantBroken } from "../base/assert.ts";
import { WalWalker } from "../wal/index.ts";
import { segmentBytes } from "../wal/index.ts";
import { membersOf, noConfiguration } from "../quorum/index.ts";
import { Chaos } from "./chaos.ts";
import type { Clone } from "./clones.ts";
import { nameOf, type SimEvent } from "./event-queue.ts";
import { SimFailure } from "./failure.ts";
import { profileOf, type Profile } from "./profiles.ts";
import { present } from "../base/assert.ts";
import type { SimRules } from "./shell-rules.ts";
import type { SimInstance } from "./sim-instance.ts";
import { SimWorld } from "./world.ts";

export interface RunOptions {
  readonly seed: number;
  readonly profile: string;
  readonly steps: number;
  readonly rules?: SimRules;
  /** Only these events happen; the others are lost, or skipped. For shrinking. */
  readonly keep?: ReadonlySet<string>;
  /** Names of what happens, in order. */
  readonly onEvent?: (name: string, atMs: number) => void;
}

export interface RunFailure {
  readonly law: string;
  readonly message: string;
  readonly step: number;
}

export interface RunReport {
  readonly seed: number;
  readonly profile: string;
  readonly steps: number;
  /** Of the names and times of all that happened. */
  readonly traceHash: number;
  readonly counters: Readonly<Record<string, number>>;
  readonly failure: RunFailure | undefined;
}

/** Virtual time in which a volume without faults must become healthy. */
const healingMs = 30_000;

/** One run from one seed: chaos, then peace in which everything must become well. */
export function runSeed(options: RunOptions): RunReport {
  const profile: Profile = present(profileOf(options.profile), "the profile exists");
  const { seed } = options;
  const world = new SimWorld({ seed, profile, ...(options.rules ? { rules: options.rules } : {}) });
  const run = new Run(world, options);
  let failure: RunFailure | undefined;
  try {
    run.chaos();
    run.heal();
  } catch (error) {
    failure = failureOf(error, run.step);
  }
  const { step: steps, traceHash } = run;
  const { name } = profile;
  return { seed, profile: name, steps, traceHash, counters: world.counters.toRecord(), failure };
}

function failureOf(error: unknown, step: number): RunFailure {
  if (error instanceof SimFailure) return { law: error.law, message: error.message, step };
  // A law that a core asserts by itself; its sentence may begin with the law's number.
  if (error instanceof InvariantBroken) {
    const law = /^I\d+/.exec(error.message)?.[0] ?? "assert";
    return { law, message: error.message, step };
  }
  throw error;
}

class Run {
  step = 0;
  traceHash = 0;
  private readonly world: SimWorld;
  private readonly options: RunOptions;

  constructor(world: SimWorld, options: RunOptions) {
    this.world = world;
    this.options = options;
  }

  chaos(): void {
    const { world, options } = this;
    world.start();
    new Chaos(world).start();
    while (this.step < options.steps && this.next());
  }

  /** One event, and the laws after it. */
  private next(): boolean {
    const { world } = this;
    const event = world.queue.pop();
    if (!event) return false;
    this.step++;
    this.happen(event);
    world.observer.check();
    return true;
  }

  private happen(event: SimEvent): void {
    const { keep, onEvent } = this.options;
    const { queue } = this.world;
    this.traceHash =
      Math.imul(this.traceHash ^ event.hash, 0x01000193) +
      event.count +
      Math.round(event.dueMs * 1000);
    if (keep || onEvent) {
      const name = nameOf(event);
      if (keep && !keep.has(name)) return event.drop?.();
      onEvent?.(name, queue.nowMs);
    }
    event.run(queue.diceAt(event));
  }

  /** Without faults, with one claimant: it opens, everybody reaches VDL, and nothing acknowledged is missing. */
  heal(): void {
    const { world } = this;
    world.calm();
    const instance = present(world.instances[0], "there is an instance");
    const untilMs = world.queue.nowMs + healingMs;
    const claim = (): void => instance.claim(world.configuration, { isBacktrack: false });
    claim();
    while (!this.isHealthy(instance)) {
      // A claim of before that comes late fences this one too, and the control plane orders another.
      if (!instance.driver) claim();
      if (world.queue.nowMs > untilMs || !this.next()) this.failLiveness(instance);
    }
    this.checkHistory(instance);
    for (const clone of world.clones.live) this.readClone(instance, clone);
  }

  private isHealthy(instance: SimInstance): boolean {
    const { driver, wal } = instance;
    if (!driver || !wal || driver.situation !== "open" || driver.vdl <= driver.start) return false;
    if (driver.configuration.sets.length > 1) return false;
    const { clones } = this.world;
    return membersOf(driver.configuration).every(({ nodeId }) => {
      const node = this.world.nodeOf(nodeId);
      if (!node || node.fate === "lost") return true;
      if (!clones.live.every((clone) => clones.isHeldBy(node, clone))) return false;
      return node.health === "ok" && node.files.durableEnd >= driver.start;
    });
  }

  private failLiveness(instance: SimInstance): never {
    const { driver } = instance;
    const behind = this.world.nodes
      .filter((node) => node.fate !== "lost" && node.files.durableEnd < (driver?.vdl ?? 0n))
      .map((node) => `${node.name} ${node.health} at ${node.files.durableEnd}`);
    throw new SimFailure(
      "liveness",
      `not healthy after ${healingMs} ms without faults: driver ${driver?.situation ?? "gone"}, ` +
        `vdl ${driver?.vdl ?? 0}, wal ${instance.wal?.end ?? 0}, behind: ${behind.join("; ")}`,
    );
  }

  /** What a clone gets of its prefix from its parent's nodes, whatever became of the parent. */
  private readClone(instance: SimInstance, { pin, bytes }: Clone): void {
    const nodes = membersOf(instance.driver?.configuration ?? noConfiguration).map(
      ({ nodeId }) => nodeId,
    );
    let isOver = false;
    let found: Buffer | undefined;
    instance.fetchLog({ nodes, ...pin, tries: 60 }, (read) => {
      isOver = true;
      found = read;
    });
    const untilMs = this.world.queue.nowMs + healingMs;
    while (!isOver && this.world.queue.nowMs < untilMs) this.next();
    this.world.counters.note("clones read");
    if (found?.equals(bytes)) return;
    const what = found ? "other bytes than it was created with" : "not all of its prefix";
    throw new SimFailure("I11", `clone ${pin.pinId.slice(-2)} reads ${what}`);
  }

  /** Every transaction that was answered committed is in the log that storage gives. */
  private checkHistory(instance: SimInstance): void {
    const { observer, nodes } = this.world;
    const { driver } = instance;
    if (!driver) return;
    const { vdl } = driver;
    // One of this epoch, who has cut its log for it: others may have a longer one that was abandoned.
    const holder = nodes.find(({ fate, files }) => {
      const { accepted, pendingCut } = files.newest().acceptor;
      const isIn = accepted === driver.epoch && pendingCut === undefined;
      return fate !== "lost" && isIn && files.durableEnd >= vdl;
    });
    if (!holder) throw new SimFailure("history", "no node holds the log to VDL");
    const { base } = holder.log;
    const found = new Set<number>();
    const kind = base % BigInt(segmentBytes) === 0n ? "segmentStart" : "recordEnd";
    const walker = new WalWalker({ at: base, kind }, { onCommit: ({ xid }) => found.add(xid) });
    walker.push(holder.log.view(base, vdl));
    if (walker.failure)
      throw new SimFailure("history", `the final log is broken: ${walker.failure.reason}`);
    if (walker.recordEnd !== vdl) throw new SimFailure("I13", "the final VDL is no record end");
    for (const { xid, end } of observer.committed) {
      if (end > base && !found.has(xid))
        throw new SimFailure("history", `transaction ${xid} was answered committed and is missing`);
    }
  }
}
