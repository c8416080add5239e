import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { manifestOf } from "../../test/helpers/snapshot-object.ts";
import { BorealisError } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import {
  encodeManifest,
  extentObject,
  extentPrefix,
  ExtentSealer,
  type ObjectStore,
  type Reached,
  type Replication,
  replicateSnapshots,
  snapshotIds,
  snapshotObject,
} from "./index.ts";
import { MemoryStore } from "../../test/helpers/memory-store.ts";

const volume = volumeId("11111111-2222-3333-4444-555555555555");
const sealer = new ExtentSealer({ volumeId: volume, keys: undefined });

/** Extents of random bytes, in the store; gives their ids. */
async function extentsIn(store: ObjectStore, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i++) {
    const bytes = randomBytes(1000);
    const id = sealer.idOf(bytes);
    await store.put(extentObject(id), await sealer.sealExtent(id, bytes));
    ids.push(id);
  }
  return ids;
}

async function snapshotIn(store: ObjectStore, id: string, extents: readonly string[]) {
  const size = { plainBytes: 1000, storedBytes: 1032 };
  const manifest = manifestOf(id, sealer, new Map(extents.map((one) => [one, size])));
  await store.put(snapshotObject(id), await sealer.sealManifest(id, encodeManifest(manifest)));
}

async function threeStores() {
  const [a, b, c] = [new MemoryStore("a"), new MemoryStore("b"), new MemoryStore("c")] as const;
  const shared = await extentsIn(a, 5);
  const own = await extentsIn(a, 3);
  await snapshotIn(a, "auto-1", shared);
  await snapshotIn(a, "auto-2", [...shared, ...own]);
  for (const [name, bytes] of a.kept) {
    if (name !== snapshotObject("auto-2")) b.kept.set(name, bytes);
  }
  return { a, b, c, shared, own };
}

function replicate(
  stores: readonly ObjectStore[],
  signal = new AbortController().signal,
  more: Pick<Replication, "relatives" | "reached"> = {},
) {
  const copied: string[] = [];
  const leftOut: string[] = [];
  const run = replicateSnapshots({
    stores,
    sealer,
    parallel: 3,
    signal,
    ...more,
    onCopied: (store, id, { extents }) => copied.push(`${store.label} ${id} ${extents}`),
    onLeftOut: (store, error) => leftOut.push(`${store.label} ${error.code}`),
  });
  return { run, copied, leftOut };
}

const labels = (stores: readonly ObjectStore[]): string[] => stores.map(({ label }) => label);

describe("snapshots that a store lacks", () => {
  it("are copied from one that has them: extents once, then the manifest", async () => {
    const { a, b, c } = await threeStores();
    const { run, copied, leftOut } = replicate([a, b, c]);
    expect(labels(await run)).toEqual(["a", "b", "c"]);
    expect(copied).toEqual(["b auto-2 0", "c auto-2 8", "c auto-1 0"]);
    expect(leftOut).toEqual([]);
    for (const store of [b, c]) {
      expect(await snapshotIds(store)).toEqual(["auto-1", "auto-2"]);
      expect([...store.kept.keys()].toSorted()).toEqual([...a.kept.keys()].toSorted());
    }
    expect(c.events.slice(0, 8).every((name) => name.startsWith(extentPrefix))).toBe(true);
    expect(c.events.slice(8)).toEqual([snapshotObject("auto-2"), snapshotObject("auto-1")]);
    const again = replicate([a, b, c]);
    expect(labels(await again.run)).toEqual(["a", "b", "c"]);
    expect(again.copied).toEqual([]);
  });

  it("come from wherever a good copy is; damage does not spread", async () => {
    const { a, b, c, shared } = await threeStores();
    const [first = "", second = ""] = shared;
    a.kept.delete(extentObject(first));
    a.kept.set(extentObject(second), randomBytes(1000));
    b.kept.set(snapshotObject("auto-2"), a.kept.get(snapshotObject("auto-2")) ?? Buffer.alloc(0));
    a.kept.set(snapshotObject("auto-2"), randomBytes(500));
    const { run } = replicate([a, b, c]);
    expect(labels(await run)).toContain("c");
    for (const id of [first, second])
      expect(c.kept.get(extentObject(id))).toEqual(b.kept.get(extentObject(id)));
  });

  it("whose extent no store has good are not shown; the others are", async () => {
    const { a, b, c, own } = await threeStores();
    a.kept.delete(extentObject(own[0] ?? ""));
    b.kept.delete(extentObject(own[0] ?? ""));
    const { run, leftOut } = replicate([a, b, c]);
    expect(labels(await run)).toEqual(["a"]);
    expect(leftOut).toEqual(["b XX001", "c XX001"]);
    expect(await snapshotIds(c)).toEqual(["auto-1"]);
  });

  it("wait for a store that does not answer, and for room; the others are served", async () => {
    const { a, b, c } = await threeStores();
    b.failure = new BorealisError("58030", "b does not answer");
    const first = replicate([b, a, c]);
    expect(labels(await first.run)).toEqual(["a", "c"]);
    expect(first.leftOut).toEqual(["b 58030"]);
    b.failure = undefined;
    const put = b.put.bind(b);
    b.put = (name, bytes) =>
      name.startsWith(extentPrefix)
        ? Promise.reject(new BorealisError("53100", "b is full"))
        : put(name, bytes);
    for (const name of b.kept.keys()) b.kept.delete(name);
    const second = replicate([a, b, c]);
    expect(labels(await second.run)).toEqual(["a", "c"]);
    expect(second.leftOut).toEqual(["b 53100"]);
    expect(await snapshotIds(b)).toEqual([]);
  });

  it("are left when it is told to stop, and no manifest is put", async () => {
    const { a, c } = await threeStores();
    const stopping = new AbortController();
    const put = c.put.bind(c);
    c.put = (name, bytes) => {
      stopping.abort(new Error("stopped"));
      return put(name, bytes);
    };
    await expect(replicate([a, c], stopping.signal).run).rejects.toThrow("stopped");
    expect(await snapshotIds(c)).toEqual([]);
  });

  it("of a clone, a store copies from the parent's by itself, as far as that has them; the rest is put", async () => {
    const { a, c, shared, own } = await threeStores();
    const parent = new MemoryStore("parent");
    for (const id of shared)
      parent.kept.set(extentObject(id), a.kept.get(extentObject(id)) ?? Buffer.alloc(0));
    const { run } = replicate([a, c], undefined, {
      relatives: [{ volumeId: "parent", store: parent }],
    });
    expect(labels(await run)).toEqual(["a", "c"]);
    expect(c.taken.toSorted()).toEqual(shared.map(extentObject).toSorted());
    const put = c.events.filter((name) => name.startsWith(extentPrefix));
    expect(put.toSorted()).toEqual(own.map(extentObject).toSorted());
    expect([...c.kept.keys()].toSorted()).toEqual([...a.kept.keys()].toSorted());
  });

  it("go on where they were when they had to stop, however large; an id that is another's begins anew", async () => {
    const [a, c] = [new MemoryStore("a"), new MemoryStore("c")];
    const ids = await extentsIn(a, 1_200);
    await snapshotIn(a, "auto-1", ids);
    const stopping = new AbortController();
    const [put, has] = [c.put.bind(c), c.has.bind(c)];
    let asked = 0;
    c.put = (name, bytes) => {
      if (c.puts === 700) stopping.abort(new Error("stopped"));
      return put(name, bytes);
    };
    c.has = (names) => {
      asked += names.length;
      return has(names);
    };
    const reached = new Map<ObjectStore, Reached>();
    await expect(replicate([a, c], stopping.signal, { reached }).run).rejects.toThrow("stopped");
    asked = 0;
    const again = replicate([a, c], undefined, { reached });
    expect(labels(await again.run)).toEqual(["a", "c"]);
    expect(asked).toBe(700);
    expect(c.kept.size).toBe(1_201);

    const stopped = new AbortController();
    c.kept.clear();
    c.puts = 0;
    c.put = (name, bytes) => {
      if (c.puts === 700) stopped.abort(new Error("stopped"));
      return put(name, bytes);
    };
    await expect(replicate([a, c], stopped.signal, { reached }).run).rejects.toThrow("stopped");
    c.kept.clear();
    await snapshotIn(a, "auto-1", ids.toReversed());
    expect(labels(await replicate([a, c], undefined, { reached }).run)).toEqual(["a", "c"]);
    expect(c.kept.size).toBe(1_201);
  });
});
