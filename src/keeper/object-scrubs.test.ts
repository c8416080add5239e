import { describe, expect, it } from "vitest";
import { MemoryStore } from "../../test/helpers/memory-store.ts";
import { passingClock } from "../../test/helpers/passing-clock.ts";
import { aSnapshot } from "../../test/helpers/snapshot-object.ts";
import { BorealisError } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import { type Clock, type Disk, openLogger, realClock } from "../io/index.ts";
import {
  Deletions,
  extentObject,
  ExtentSealer,
  type ObjectStore,
  snapshotObject,
} from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import { LossBook } from "./loss-book-shell.ts";
import { ObjectScrubs } from "./object-scrubs-shell.ts";

const sealer = new ExtentSealer({
  volumeId: volumeId("11111111-2222-3333-4444-555555555555"),
  keys: undefined,
});

/** Two full nodes and an object store that have one snapshot with one extent. */
async function aKeeper(clock: Clock = realClock) {
  const [first, second, objects] = ["n1", "n2", "objects"].map((label) => new MemoryStore(label));
  if (!first || !second || !objects) throw new Error("no stores");
  const stores = [first, second, objects];
  const extent = await aSnapshot(stores, "auto-1", sealer);
  const behind = new Set<ObjectStore>();
  const known = new Set(["auto-1"]);
  const world = { caughtUp: 0, changes: 0, healed: [] as string[], areNodesKnown: true };
  const logger = openLogger({ file: undefined, process: "test" });
  const losses = new LossBook({ file: "/losses.json", disk: {} as Disk, logger });
  const context = {
    clock,
    logger,
    config: { scrubIntervalMs: 3_600_000 },
    sealer: () => sealer,
    objects: () => objects,
    nodeStores: () => (world.areNodesKnown ? [first, second] : []),
    isBehind: (store: ObjectStore) => behind.has(store),
    noteHealed: (store: ObjectStore, name: string) =>
      void world.healed.push(`${store.label} ${name}`),
  } as unknown as KeeperContext;
  const scrubs = new ObjectScrubs({
    context,
    snapshots: {
      mayHave: (id) => known.has(id),
      inTurn: (work) => work(new Deletions()),
      catchUp: async () => void world.caughtUp++,
    },
    losses,
    archive: { damage: null, pass: async () => undefined },
    nodeIdOf: (store) => (store === objects ? undefined : store.label),
    onChange: () => void world.changes++,
  });
  const rot = (store: MemoryStore): void => void store.kept.set(extentObject(extent), Buffer.of(1));
  return { first, second, objects, stores, extent, behind, known, world, losses, scrubs, rot };
}

const everything = { nodeIds: ["n1", "n2"], objectStore: true };

describe("scrubs of objects", () => {
  it("that are asked for tell of each store that was asked for, and of no other", async () => {
    const { first, objects, extent, rot, scrubs, world } = await aKeeper();
    rot(first);
    rot(objects);
    const figures = { checked: 2, unhealed: 0, problem: null, checkedBytes: expect.any(Number) };
    expect(await scrubs.now({ nodeIds: ["n1", "a tail node"], objectStore: false })).toEqual([
      { nodeId: "n1", ...figures, healed: 1 },
    ]);
    expect(await scrubs.now({ nodeIds: [], objectStore: true })).toEqual([
      { nodeId: null, ...figures, healed: 1 },
    ]);
    expect(await scrubs.now(everything)).toMatchObject([
      { nodeId: "n1", healed: 0 },
      { nodeId: "n2", healed: 0 },
      { nodeId: null, healed: 0 },
    ]);
    expect(world.caughtUp).toBe(3);
    // For the events.
    expect(world.healed).toEqual(["n1", "objects"].map((one) => `${one} ${extentObject(extent)}`));
  });

  it("say how far they are while somebody waits for one, and then no more", async () => {
    const { objects, extent, scrubs } = await aKeeper();
    const reached: unknown[] = [];
    const { get } = objects;
    objects.get = (name) => {
      reached.push(scrubs.reach());
      return get.call(objects, name);
    };
    expect(scrubs.reach()).toBeNull();
    await scrubs.now({ nodeIds: [], objectStore: true });
    const bytesOf = (name: string): number => objects.kept.get(name)?.length ?? 0;
    const [manifest, rest] = [snapshotObject("auto-1"), extentObject(extent)].map(bytesOf);
    expect(reached).toEqual([
      { doneBytes: 0, totalBytes: null },
      { doneBytes: manifest, totalBytes: (manifest ?? 0) + (rest ?? 0) },
    ]);
    expect(scrubs.reach()).toBeNull();
  });

  it("say which store lacks snapshots still, and do not look at what else it has", async () => {
    const { second, behind, rot, scrubs } = await aKeeper();
    behind.add(second);
    rot(second);
    expect(await scrubs.now(everything)).toMatchObject([
      { nodeId: "n1", checked: 2, problem: null },
      { nodeId: "n2", checked: 0, problem: expect.stringContaining("snapshots that it lacks") },
      { nodeId: null, checked: 2, problem: null },
    ]);
  });

  it("remember what is good nowhere until it is good, or no snapshot is hurt by it any more", async () => {
    const { first, stores, extent, known, losses, rot, scrubs, world } = await aKeeper();
    const good = first.kept.get(extentObject(extent)) ?? Buffer.alloc(0);
    for (const store of stores) rot(store);
    expect(scrubs.damage).toBeNull();
    await scrubs.now({ nodeIds: ["n1"], objectStore: false });
    const told = `no store has a good copy of ${extentObject(extent)}: snapshot auto-1 is hurt`;
    expect([scrubs.damage, [...losses.hurt], losses.isUnmet]).toEqual([told, ["auto-1"], true]);
    expect(world.changes).toBeGreaterThan(0);
    known.delete("auto-1");
    expect(scrubs.damage).toBeNull();
    known.add("auto-1");
    await scrubs.now({ nodeIds: ["n2"], objectStore: false });
    expect(scrubs.damage).toBe(told);
    first.kept.set(extentObject(extent), good);
    // Of one store alone: it says nothing of what others have.
    await scrubs.now({ nodeIds: ["n1"], objectStore: false });
    expect(scrubs.damage).toBe(told);
    await scrubs.now(everything);
    expect(scrubs.damage).toBeNull();
    // Found twice, it is one: the next snapshot has to know of it once.
    expect([losses.mark, losses.hurt.size]).toEqual([1, 0]);
  });

  it("forget nothing that they have not looked at", async () => {
    const { objects, stores, extent, behind, losses, rot, scrubs, world } = await aKeeper();
    const name = extentObject(extent);
    const good = objects.kept.get(name) ?? Buffer.alloc(0);
    for (const store of stores) rot(store);
    await scrubs.now(everything);
    const lost = [{ name, snapshots: ["auto-1"] }];
    expect(losses.lost).toEqual(lost);
    // The next keeper has just begun, and some store is being filled.
    for (const store of stores) behind.add(store);
    await scrubs.now(everything);
    expect(losses.lost).toEqual(lost);
    // Only nodes show the snapshot, and nobody has told yet which nodes there are.
    behind.clear();
    world.areNodesKnown = false;
    const manifest = objects.kept.get(snapshotObject("auto-1")) ?? Buffer.alloc(0);
    objects.kept.delete(snapshotObject("auto-1"));
    await scrubs.now(everything);
    expect(losses.lost).toEqual(lost);
    world.areNodesKnown = true;
    objects.kept.set(snapshotObject("auto-1"), manifest);
    objects.kept.set(name, good);
    await scrubs.now(everything);
    expect(losses.lost).toEqual([]);
  });

  it("judge one object that somebody could not read: it is healed, or lost for sure, or nobody's", async () => {
    const { first, second, objects, stores, extent, losses, rot, scrubs, world } = await aKeeper();
    const { signal } = new AbortController();
    const name = extentObject(extent);
    const judge = () => scrubs.judge(name, signal);
    expect([await judge(), losses.lost]).toEqual([true, []]);
    rot(first);
    expect([await judge(), world.healed]).toEqual([true, [`n1 ${name}`]]);
    const good = first.kept.get(name) ?? Buffer.alloc(0);
    rot(first);
    rot(second);
    objects.failure = new BorealisError("58030", "it does not answer");
    expect([await judge(), losses.lost]).toEqual([false, []]);
    objects.failure = undefined;
    rot(objects);
    expect([await judge(), [...losses.hurt]]).toEqual([true, ["auto-1"]]);
    expect(scrubs.damage).toContain(`no store has a good copy of ${name}`);
    // Of extents that no snapshot names nothing is lost.
    const other = extentObject("0".repeat(64));
    expect([await scrubs.judge(other, signal), losses.lost.length]).toEqual([true, 1]);
    for (const store of stores) store.kept.set(name, good);
    const manifest = snapshotObject("auto-1");
    for (const store of stores) store.kept.set(manifest, Buffer.of(1));
    expect(await scrubs.judge(manifest, signal)).toBe(true);
    expect(losses.lost.map((one) => one.name)).toEqual([name, manifest]);
  });

  it("go on for ever by themselves, slowly", async () => {
    const clock = passingClock();
    const { first, second, rot, scrubs, world } = await aKeeper(clock);
    const stop = new AbortController();
    rot(first);
    const onPut = (store: MemoryStore, then: () => void): void => {
      const put = store.put.bind(store);
      store.put = async (name, bytes) => {
        await put(name, bytes);
        then();
      };
    };
    // It rots behind the first pass's back.
    onPut(first, () => rot(second));
    const healed = new Promise<void>((resolve) => onPut(second, resolve));
    const running = scrubs.forEver(stop.signal);
    await healed;
    stop.abort(new Error("enough"));
    await running;
    expect(world.caughtUp).toBe(2);
    // The rotten one had next to nothing to be rested for.
    expect(clock.nowMs()).toBeGreaterThan(3_600_000 / 2);
  });

  it("end with the keeper", async () => {
    const { scrubs } = await aKeeper();
    scrubs.close();
    await expect(scrubs.now(everything)).rejects.toThrow("the keeper stops");
  });
});
