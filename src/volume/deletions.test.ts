import { describe, expect, it } from "vitest";
import { MemoryStore } from "../../test/helpers/memory-store.ts";
import { BorealisError } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import {
  deleteSnapshot,
  Deletions,
  ExtentSealer,
  findTombstoneName,
  incarnationOf,
  isObjectName,
  liveSnapshots,
  objectNameBytesMax,
  readDeletions,
  snapshotIds,
  snapshotObject,
  type Sweep,
  sweepDeletions,
  tombstoneObject,
  tombstonePrefix,
} from "./index.ts";

const volume = volumeId("11111111-2222-3333-4444-555555555555");
const sealer = new ExtentSealer({ volumeId: volume, keys: undefined });
const away = new BorealisError("58030", "it does not answer");
const graceMs = 1_000;

/** Three stores that have the same manifest of one snapshot. */
async function threeStores() {
  const stores = [new MemoryStore("a"), new MemoryStore("b"), new MemoryStore("c")] as const;
  const sealed = await sealer.sealManifest("one", Buffer.from("the first of that name"));
  for (const store of stores) store.kept.set(snapshotObject("one"), sealed);
  const tombstone = tombstoneObject({ id: "one", incarnation: incarnationOf(sealed) });
  const told = (): string[] =>
    stores.filter((store) => store.kept.has(tombstone)).map(({ label }) => label);
  return { stores, sealed, tombstone, told };
}

function sweep(stores: readonly MemoryStore[], changes: Partial<Sweep> = {}) {
  const { signal } = new AbortController();
  const deletions = new Deletions();
  const times = { nowMs: 10_000, graceMs, areAll: true, signal };
  return sweepDeletions({ stores, deletions, sealer, ...times, ...changes });
}

function remove(stores: readonly MemoryStore[], deletions = new Deletions()) {
  return deleteSnapshot({ id: "one", stores, deletions, sealer, nowMs: 0 });
}

describe("a tombstone's name", () => {
  it("says of which snapshot it is, whatever is in the id", () => {
    const incarnation = "0123456789abcdef0123";
    for (const id of ["a", "a.b-c", `a.${incarnation}`, "x".repeat(128)]) {
      const name = tombstoneObject({ id, incarnation });
      expect(name.length).toBeLessThanOrEqual(objectNameBytesMax);
      expect(isObjectName(name)).toBe(true);
      expect(findTombstoneName(name)).toEqual({ id, incarnation });
    }
    for (const name of [`deleted/a`, `deleted/a.012`, `deleted/.${incarnation}`])
      expect(findTombstoneName(name)).toBeUndefined();
  });
});

describe("a deletion", () => {
  it("is one when two stores know of it; the others are named, and follow", async () => {
    const { stores, tombstone, told } = await threeStores();
    stores[2].failure = away;
    expect(await remove(stores)).toEqual([stores[2]]);
    expect(told()).toEqual(["a", "b"]);
    stores[2].failure = undefined;
    expect(await snapshotIds(stores[2])).toEqual(["one"]);
    expect(await sweep(stores, { nowMs: graceMs })).toEqual(stores);
    expect(told()).toEqual(["a", "b", "c"]);
    for (const store of stores) expect([...store.kept.keys()]).toEqual([tombstone]);
  });

  it("that one store alone knows of is refused, and nothing is gone", async () => {
    const { stores } = await threeStores();
    stores[1].failure = stores[2].failure = away;
    const deletions = new Deletions();
    await expect(remove(stores, deletions)).rejects.toThrow(/not deleted for sure.*b, c/);
    expect(deletions.all).toEqual([]);
    expect(await snapshotIds(stores[0])).toEqual(["one"]);
  });

  it("is of that snapshot, not of a later one with its name", async () => {
    const { stores, sealed } = await threeStores();
    stores[2].failure = away;
    const deletions = new Deletions();
    await remove(stores, deletions);
    const later = await sealer.sealManifest("one", Buffer.from("the second of that name"));
    for (const store of stores.slice(0, 2)) await store.put(snapshotObject("one"), later);
    stores[2].failure = undefined;
    expect((await liveSnapshots(stores, deletions)).ids).toEqual(
      new Map([["one", stores.slice(0, 2)]]),
    );
    expect([deletions.isDeleted("one", sealed), deletions.isDeleted("one", later)]).toEqual([
      true,
      false,
    ]);
    await sweep(stores);
    expect(await Promise.all(stores.map(snapshotIds))).toEqual([["one"], ["one"], []]);
  });

  it("takes away a damaged manifest of that name, too: nobody knows which one it was", async () => {
    const { stores } = await threeStores();
    stores[2].failure = away;
    await remove(stores);
    stores[2].failure = undefined;
    stores[2].kept.get(snapshotObject("one"))?.reverse();
    await sweep(stores);
    expect(await snapshotIds(stores[2])).toEqual([]);
  });
});

describe("tombstones", () => {
  it("are kept while a store is away, or nobody has told which stores there are", async () => {
    const { stores, told } = await threeStores();
    await remove(stores);
    stores[1].failure = away;
    const leftOut: string[] = [];
    const onLeftOut: Sweep["onLeftOut"] = ({ label }) => leftOut.push(label);
    expect(await sweep(stores, { onLeftOut })).toEqual([stores[0], stores[2]]);
    expect(leftOut).toEqual(["b"]);
    stores[1].failure = undefined;
    await sweep(stores, { areAll: false });
    await sweep(stores, { nowMs: graceMs });
    expect(told()).toEqual(["a", "b", "c"]);
    await sweep(stores);
    expect(told()).toEqual([]);
  });

  it("are brought to a store that takes another's place", async () => {
    const { stores, tombstone } = await threeStores();
    await remove(stores);
    const successor = new MemoryStore("d");
    await sweep([stores[0], successor], { nowMs: graceMs });
    expect([...successor.kept.keys()]).toEqual([tombstone]);
  });

  it("a store without room for them loses what was deleted all the same, and the others keep theirs", async () => {
    const { stores, told } = await threeStores();
    stores[2].failure = away;
    await remove(stores);
    stores[2].failure = undefined;
    stores[2].put = () => Promise.reject(new BorealisError("53100", "c is full"));
    expect(await sweep(stores)).toEqual(stores);
    expect(await snapshotIds(stores[2])).toEqual([]);
    expect(told()).toEqual(["a", "b"]);
  });

  it("that somebody else wrote, or that are damaged, say nothing", async () => {
    const { stores, tombstone } = await threeStores();
    await remove(stores);
    const [a, b, c] = stores;
    const good = a.kept.get(tombstone) ?? Buffer.alloc(0);
    a.kept.set(tombstone, Buffer.from('{"deletedAt":"2026-11-29T00:00:00Z"}'));
    b.kept.set(tombstone, Buffer.from(good).reverse());
    expect((await readDeletions([a, b], sealer)).all).toEqual([]);
    c.kept.set(tombstone, good);
    expect((await readDeletions(stores, sealer)).all).toMatchObject([{ id: "one" }]);
    await sweep(stores, { nowMs: graceMs });
    for (const store of [a, b]) expect((await readDeletions([store], sealer)).all).toHaveLength(1);
    for await (const { name } of c.list(tombstonePrefix)) expect(name).toBe(tombstone);
  });
});
