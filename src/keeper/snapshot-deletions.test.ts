/** Snapshots that are deleted stay deleted: whatever is away, killed, lost or replaced meanwhile, and in any order. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MemoryStore } from "../../test/helpers/memory-store.ts";
import { BorealisError } from "../base/errors.ts";
import { epoch, timeline, volumeId } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import { openLogger, realClock } from "../io/index.ts";
import {
  collectExtents,
  type Compression,
  deleteSnapshot,
  extentObject,
  extentPrefix,
  ExtentSealer,
  learnDeletions,
  liveSnapshots,
  type ObjectStore,
  onlyStore,
  parseManifest,
  publishSnapshot,
  readSnapshot,
  snapshotIds,
  snapshotObject,
  type SnapshotManifest,
  tombstonePrefix,
} from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import { SnapshotCopies } from "./snapshot-copies-shell.ts";
import { isSafeIn, storesOf, takersOf } from "./stores-shell.ts";

class Killed extends Error {}

/** Counts what changes something, in all stores: at this one the keeper dies, before it is done or after. */
class Fate {
  steps = 0;
  killAt = Number.POSITIVE_INFINITY;
  async step(act: () => Promise<void>): Promise<void> {
    this.steps++;
    if (this.steps > this.killAt) throw new Killed();
    if (this.steps < this.killAt || this.steps % 2 === 0) await act();
    if (this.steps >= this.killAt) throw new Killed();
  }
}

class MortalStore extends MemoryStore {
  private readonly fate: Fate;
  constructor(label: string, fate: Fate) {
    super(label);
    this.fate = fate;
  }
  override put(name: string, bytes: Uint8Array): Promise<void> {
    return this.fate.step(() => super.put(name, bytes));
  }
  override delete(names: readonly string[]): Promise<void> {
    return this.fate.step(() => super.delete(names));
  }
}

const volume = volumeId("11111111-2222-3333-4444-555555555555");
/** None, and no thread: when the keeper is killed, all that it has begun ends at once. */
const compression: Compression = {
  codec: "deflate",
  pack: (plain) => Promise.resolve(Buffer.from(plain)),
  unpack: (_codec, body) => Promise.resolve(body),
};
const sealer = new ExtentSealer({ volumeId: volume, keys: undefined, compression });
const away = new BorealisError("58030", "it does not answer");
const { signal } = new AbortController();
const names = ["objects", "az1-full", "az2-full", "az3-full"] as const;

/** The n-th snapshot that was ever taken: extents of its own, and one that all share. */
async function manifestOf(id: string, n: number): Promise<[SnapshotManifest, [string, Buffer][]]> {
  const objects: [string, Buffer][] = [];
  const extents = new Map<string, { plainBytes: number; storedBytes: number }>();
  for (const plain of [Buffer.alloc(50, `${n}`), Buffer.alloc(60, "shared")]) {
    const extent = sealer.idOf(plain);
    objects.push([extentObject(extent), await sealer.sealExtent(extent, plain)]);
    extents.set(extent, { plainBytes: plain.length, storedBytes: 1 });
  }
  const files = [...extents].map(([extent, { plainBytes: sizeBytes }]) => {
    const pieces = [{ extent, at: 0, lengthBytes: sizeBytes }];
    return { name: extent, sizeBytes, crc: undefined, pieces };
  });
  const manifest: SnapshotManifest = {
    id,
    kind: "manual",
    volumeId: volume,
    history: [{ epoch: epoch(1), timeline: timeline(1), start: lsn(0n), kind: "branch" }],
    startLsn: lsn(1n),
    endLsn: lsn(2n),
    takenAtMs: n,
    postgresMajor: 18,
    catalogVersion: 1,
    systemIdentifier: 1n,
    addressing: sealer.addressing,
    directories: [],
    files,
    extents,
    parts: new Map(),
    log: undefined,
  };
  return [manifest, objects];
}

/** An object store, three full nodes and a keeper, which may be killed; and what it has promised to its users. */
class Volume {
  readonly fate = new Fate();
  readonly stores = names.map((name) => new MortalStore(name, this.fate));
  private nodes: readonly ObjectStore[] = this.stores.slice(1);
  private nowMs = 0;
  private taken = 0;
  private readonly context: KeeperContext;
  private copies: SnapshotCopies;
  /** Which snapshot has the id; of those whose taking or deletion came to nothing nobody knows. */
  readonly live = new Map<string, number>();
  readonly dead = new Set<number>();
  private readonly burnt = new Set<string>();
  /** One store may be lost, and the next one when what it alone had in common with another is in two again. */
  private mayLose = true;

  constructor() {
    const context: Omit<KeeperContext, "config" | "world"> = {
      clock: { ...realClock, wallMs: () => this.nowMs },
      logger: openLogger({ file: undefined, process: "test" }),
      sealer: () => sealer,
      objects: () => this.stores[0],
      relatives: () => [],
      nodeStores: () => this.nodes,
      isBehind: (store) => this.copies.isBehind(store),
      noteHealed: () => undefined,
    };
    this.context = context as KeeperContext;
    this.copies = new SnapshotCopies(this.context);
  }

  /** As the keeper's jobs do: one at a time. */
  async run(op: Op): Promise<void> {
    try {
      await this.act(op);
    } catch (error) {
      if (!(error instanceof Killed) && !(error instanceof BorealisError)) throw error;
    }
    // What was on its way arrives.
    await new Promise(setImmediate);
    if (this.fate.steps < this.fate.killAt) return;
    this.fate.killAt = Number.POSITIVE_INFINITY;
    this.copies = new SnapshotCopies(this.context);
  }

  private async act(op: Op): Promise<void> {
    const store = this.stores[op.at];
    if (!store) throw new Error("no such store");
    const id = `s${op.at % 2}`;
    if (op.what === "take") await this.take(id);
    else if (op.what === "delete") await this.delete(id);
    else if (op.what === "leave") store.failure = away;
    else if (op.what === "return") store.failure = undefined;
    else if (op.what === "wait") this.nowMs += 4_000_000;
    else if (op.what === "die") this.fate.killAt = this.fate.steps + 1 + ((op.at * 7) % 11);
    else if (op.what === "lose") await this.lose(op.at);
    else if (op.what === "copy") await this.copy();
    else await this.collect();
  }

  private async visible(): Promise<ReadonlySet<string>> {
    const stores = storesOf(this.context);
    await learnDeletions(stores, sealer, this.copies.deletions);
    return new Set((await liveSnapshots(stores, this.copies.deletions)).ids.keys());
  }

  private async take(id: string): Promise<void> {
    // While most stores are away, and one is lost, nobody may know.
    if (this.burnt.has(id) || this.live.has(id) || (await this.visible()).has(id)) return;
    const n = ++this.taken;
    const [manifest, objects] = await manifestOf(id, n);
    const stores = takersOf(this.context).filter((store) => !this.isAway(store));
    this.burnt.add(id);
    for (const store of stores) for (const [name, sealed] of objects) await store.put(name, sealed);
    await publishSnapshot({ manifest, sealer, stores, isSafe: isSafeIn(this.context), signal });
    this.burnt.delete(id);
    this.live.set(id, n);
  }

  private async delete(id: string): Promise<void> {
    if (!(await this.visible()).has(id)) return;
    const n = this.live.get(id);
    this.live.delete(id);
    this.burnt.add(id);
    const { deletions } = this.copies;
    const stores = storesOf(this.context);
    await deleteSnapshot({ id, stores, deletions, sealer, nowMs: this.nowMs });
    this.burnt.delete(id);
    if (n !== undefined) this.dead.add(n);
  }

  private isAway(store: ObjectStore): boolean {
    return (store as MortalStore).failure !== undefined;
  }

  /** Its disk, or its bucket; of a node another one takes the place. */
  private async lose(at: number): Promise<void> {
    const last = this.stores[at];
    if (!last || !this.mayLose) return;
    this.mayLose = false;
    // What an object store took while the nodes were away is safe as long as it is.
    for (const [id, n] of this.live) if (await this.isOnlyIn(last, id, n)) this.live.delete(id);
    const next = new MortalStore(last.label, this.fate);
    if (at === 0) last.kept.clear();
    else this.stores[at] = next;
    this.nodes = this.stores.slice(1);
  }

  private async isOnlyIn(only: MortalStore, id: string, n: number): Promise<boolean> {
    for (const store of this.stores) {
      const sealed = store === only ? undefined : store.kept.get(snapshotObject(id));
      if (!sealed) continue;
      const { takenAtMs } = parseManifest(id, await sealer.openManifest(id, sealed));
      if (takenAtMs === n) return false;
    }
    return true;
  }

  private holders(name: string): number {
    return this.stores.filter((store) => store.kept.has(name)).length;
  }

  private async copy(): Promise<void> {
    this.copies.lookAgain();
    await this.copies.goOn(signal);
    const isDone = this.stores.every((store) => this.isAway(store) || !this.copies.isBehind(store));
    const told = this.stores.flatMap((store) => [...store.kept.keys()]);
    const tombstones = told.filter((name) => name.startsWith(tombstonePrefix));
    this.mayLose ||= isDone && tombstones.every((name) => this.holders(name) > 1);
  }

  private async collect(): Promise<void> {
    for (const store of this.stores) {
      if (this.copies.isBehind(store) || this.isAway(store)) continue;
      await collectExtents(store, { sealer, nowMs: this.nowMs + 1, graceMs: 0, signal });
    }
  }

  /** All are back, and there is time. */
  async rest(): Promise<void> {
    this.fate.killAt = Number.POSITIVE_INFINITY;
    for (const at of names.keys()) await this.run({ what: "return", at });
    this.nowMs += 10_000_000;
    for (const what of ["copy", "copy", "copy", "collect"] as const)
      await this.run({ what, at: 0 });
  }

  /** What each store has, by id: which snapshot. */
  async shown(store: ObjectStore): Promise<Record<string, number>> {
    const found: Record<string, number> = {};
    for (const id of await snapshotIds(store)) {
      const { takenAtMs, extents } = await readSnapshot(onlyStore(store), id, sealer);
      found[id] = takenAtMs;
      const objects = [...extents.keys()].map(extentObject);
      expect([...(await store.has(objects))].toSorted()).toEqual(objects.toSorted());
    }
    return found;
  }
}

const kinds = "take delete leave return wait die lose copy collect".split(" ") as readonly Kind[];
type Kind = "take" | "delete" | "leave" | "return" | "wait" | "die" | "lose" | "copy" | "collect";
interface Op {
  readonly what: Kind;
  /** Of which store, or snapshot. */
  readonly at: number;
}
const op: fc.Arbitrary<Op> = fc.record({
  what: fc.constantFrom(...kinds, "take", "delete", "delete", "copy", "copy"),
  at: fc.nat({ max: names.length - 1 }),
});

async function expectSound(volumeOf: Volume): Promise<void> {
  await volumeOf.rest();
  const [objects, ...nodes] = volumeOf.stores;
  if (!objects) throw new Error("no store");
  const shown = await volumeOf.shown(objects);
  for (const node of nodes) expect(await volumeOf.shown(node)).toEqual(shown);
  expect(shown).toMatchObject(Object.fromEntries(volumeOf.live));
  for (const n of Object.values(shown)) expect([...volumeOf.dead]).not.toContain(n);
  for (const store of volumeOf.stores) {
    const kept = [...store.kept.keys()];
    expect(kept.filter((name) => name.startsWith(tombstonePrefix))).toEqual([]);
    const named = new Set<string>();
    for (const id of Object.keys(shown))
      for (const extent of (await readSnapshot(onlyStore(store), id, sealer)).extents.keys())
        named.add(extentObject(extent));
    expect(kept.filter((name) => name.startsWith(extentPrefix)).toSorted()).toEqual(
      [...named].toSorted(),
    );
  }
}

describe("snapshots that were deleted", () => {
  it("never come back, and nothing is left of them, in whatever order things happen", async () => {
    const isThorough = process.env["BOREALIS_TEST"] === "thorough";
    await fc.assert(
      fc.asyncProperty(fc.array(op, { minLength: 1, maxLength: 60, size: "max" }), async (ops) => {
        const made = new Volume();
        for (const one of ops) await made.run(one);
        await expectSound(made);
      }),
      { numRuns: isThorough ? 20_000 : 300 },
    );
  }, 600_000);
});
