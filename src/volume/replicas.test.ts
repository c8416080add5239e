import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { manifestOf } from "../../test/helpers/snapshot-object.ts";
import { BorealisError } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import {
  collectExtents,
  encodeManifest,
  extentObject,
  ExtentSealer,
  type ObjectStore,
  publishSnapshot,
  readSnapshot,
  Replicas,
  snapshotObject,
  type ExtentSize,
  type SnapshotManifest,
  snapshotPrefix,
} from "./index.ts";
import { MemoryStore } from "../../test/helpers/memory-store.ts";

const volume = volumeId("11111111-2222-3333-4444-555555555555");
const sealer = new ExtentSealer({ volumeId: volume, keys: undefined });
const { signal } = new AbortController();

const unreachable = new BorealisError("58030", "az1-full does not answer", { hint: "start it" });
const full = new BorealisError("53100", "az2-full is full", { hint: "free some space" });
const damagedError = new BorealisError("XX001", "this copy is damaged");

function stores(): [MemoryStore, MemoryStore, MemoryStore] {
  return [new MemoryStore("az1-full"), new MemoryStore("az2-full"), new MemoryStore("objects")];
}

/** Q3: all full members, or one of them and the object store. */
function q3(all: readonly MemoryStore[]): (held: readonly ObjectStore[]) => boolean {
  const fulls = all.slice(0, 2);
  return (held) =>
    fulls.every((one) => held.includes(one)) ||
    (fulls.some((one) => held.includes(one)) && held.some(({ label }) => label === "objects"));
}

const open = async (bytes: Buffer): Promise<string> => {
  if (bytes.toString() !== "good") throw damagedError;
  return "opened";
};

describe("objects in several stores", () => {
  it("are put in all of them, and are safe when those that took them are enough", async () => {
    const all = stores();
    const lost: string[] = [];
    const replicas = new Replicas({
      stores: all,
      isSafe: q3(all),
      onLost: (store, error) => lost.push(`${store.label}: ${error.message}`),
    });
    await replicas.put("a", Buffer.from("good"));
    expect(all.map((one) => one.puts)).toEqual([1, 1, 1]);
    all[0].failure = unreachable;
    await replicas.put("b", Buffer.from("good"));
    await replicas.put("c", Buffer.from("good"));
    // It is told once, and not asked again: it would have missed one already.
    expect(lost).toEqual(["az1-full: az1-full does not answer"]);
    expect(all[0].puts).toBe(2);
    expect(replicas.stores).toEqual(all.slice(1));
    all[2].failure = full;
    await expect(replicas.put("d", Buffer.from("good"))).rejects.toMatchObject({
      code: "58030",
      message: "too few stores can take what has to be kept (az2-full): az1-full does not answer",
    });
    const puts = all[1].puts;
    await expect(replicas.put("e", Buffer.from("good"))).rejects.toMatchObject({ code: "58030" });
    expect(all[1].puts).toBe(puts);
  });

  it("are read from the first good copy, which heals those before it", async () => {
    const all = stores();
    const events: string[] = [];
    const replicas = new Replicas({
      stores: all,
      isSafe: () => true,
      onHealed: (store, name, reason) => events.push(`${store.label} ${name}: ${reason}`),
      onNotHealed: (store) => events.push(`${store.label} not healed`),
    });
    all[0].kept.set("a", Buffer.from("bad"));
    all[2].kept.set("a", Buffer.from("good"));
    expect(await replicas.get("a", open)).toBe("opened");
    expect(events).toEqual([
      "az1-full a: this copy is damaged",
      "az2-full a: a is missing in az2-full",
    ]);
    expect(all.map((one) => one.kept.get("a")?.toString())).toEqual(["good", "good", "good"]);
    all[0].failure = unreachable;
    expect(await replicas.get("a", open)).toBe("opened");
    expect(events.length).toBe(2);
  });

  it("are missing, damaged or out of reach: each in its own words", async () => {
    const all = stores();
    const replicas = new Replicas({ stores: all, isSafe: () => true });
    expect(await replicas.find("a", open)).toBeUndefined();
    await expect(replicas.get("a", open)).rejects.toThrow(
      "a is missing in az1-full, az2-full, objects",
    );
    all[1].kept.set("a", Buffer.from("bad"));
    await expect(replicas.find("a", open)).rejects.toMatchObject({ code: "XX001" });
    all[0].failure = unreachable;
    await expect(replicas.find("a", open)).rejects.toBe(unreachable);
    const newer = new BorealisError("0A000", "of the future");
    all[2].kept.set("a", Buffer.from("good"));
    await expect(replicas.find("a", () => Promise.reject(newer))).rejects.toBe(newer);
  });
});

const plains = [randomBytes(2000), randomBytes(3000)];

function aManifest(id: string): SnapshotManifest {
  const sizes = plains.map((plain): [string, ExtentSize] => [
    sealer.idOf(plain),
    { plainBytes: plain.length, storedBytes: 1 },
  ]);
  return manifestOf(id, sealer, new Map(sizes));
}

async function putExtents(store: MemoryStore): Promise<void> {
  for (const plain of plains) {
    const id = sealer.idOf(plain);
    await store.put(extentObject(id), await sealer.sealExtent(id, plain));
  }
}

describe("a snapshot that is read", () => {
  it("heals a copy that is damaged, and does not appear where it was missing: its extents are not there", async () => {
    const all = stores();
    const [first, second, third] = all;
    await putExtents(third);
    const sealed = await sealer.sealManifest("auto-1", encodeManifest(aManifest("auto-1")));
    await third.put(snapshotObject("auto-1"), sealed);
    await second.put(snapshotObject("auto-1"), randomBytes(300));
    const replicas = new Replicas({ stores: all, isSafe: q3(all) });
    expect((await readSnapshot(replicas, "auto-1", sealer)).id).toBe("auto-1");
    expect(second.kept.get(snapshotObject("auto-1"))).toEqual(sealed);
    expect(first.kept.size).toBe(0);
    await expect(readSnapshot(replicas, "auto-2", sealer)).rejects.toMatchObject({ code: "22023" });
  });
});

describe("a snapshot that is published", () => {
  it("is in a store only with all of its extents, which are copied where they lack", async () => {
    const all = stores();
    const [first, second, third] = all;
    await putExtents(first);
    await putExtents(second);
    const [name = ""] = first.kept.keys();
    first.kept.set(name, Buffer.from("rot"));
    second.kept.delete([...second.kept.keys()][1] ?? "");
    third.failure = full;
    const leftOut: string[] = [];
    const manifest = aManifest("auto-1");
    const publication = {
      manifest,
      sealer,
      signal,
      onLeftOut: (s: ObjectStore) => leftOut.push(s.label),
    };
    const stored = await publishSnapshot({ ...publication, stores: all, isSafe: q3(all) });
    expect(stored).toEqual([first, second]);
    expect(leftOut).toEqual(["objects"]);
    third.failure = undefined;
    expect(await publishSnapshot({ ...publication, stores: all, isSafe: q3(all) })).toEqual(all);
    expect(third.kept.size).toBe(3);
    const only = new Replicas({ stores: [third], isSafe: () => true });
    expect(await readSnapshot(only, "auto-1", sealer)).toEqual(manifest);
  });

  it("is in no store when too few can have it whole", async () => {
    const all = stores();
    await putExtents(all[0]);
    all[1].failure = full;
    all[2].failure = unreachable;
    const publication = { manifest: aManifest("auto-1"), sealer, signal, stores: all };
    await expect(publishSnapshot({ ...publication, isSafe: q3(all) })).rejects.toBe(full);
    expect(all[0].kept.has(snapshotObject("auto-1"))).toBe(false);
    const lone = { ...publication, stores: [all[0]] };
    all[0].kept.delete(extentObject(sealer.idOf(plains[0] ?? Buffer.alloc(0))));
    const published = publishSnapshot({ ...lone, isSafe: (held) => held.length === 1 });
    await expect(published).rejects.toMatchObject({
      code: "XX001",
      message: expect.stringMatching(/^no store has extent/),
    });
  });

  it("asks a store that kept pace for nothing but the one before", async () => {
    const [first, second] = stores();
    await putExtents(first);
    first.kept.set(snapshotObject("auto-0"), Buffer.from("there"));
    let asked = 0;
    const counting = new Proxy(first, {
      get: (target, key) =>
        key === "has"
          ? (names: readonly string[]) => {
              asked += names.length;
              return target.has(names);
            }
          : Reflect.get(target, key),
    });
    await publishSnapshot({
      manifest: aManifest("auto-1"),
      sealer,
      signal,
      stores: [counting, second],
      isSafe: (held) => held.length === 2,
      current: { stores: [counting], previous: "auto-0" },
    });
    expect(asked).toBe(1);
    expect(second.kept.size).toBe(3);
  });

  it("that nobody knows is said to be none", async () => {
    const all = stores();
    const replicas = new Replicas({ stores: all, isSafe: () => true });
    await expect(readSnapshot(replicas, "nightly", sealer)).rejects.toMatchObject({
      code: "22023",
      message: 'there is no snapshot "nightly"',
    });
  });
});

describe("collecting", () => {
  const options = { sealer, nowMs: 10_000, graceMs: 1000, signal };

  it("deletes nothing while a manifest cannot be read", async () => {
    const [store] = stores();
    await putExtents(store);
    const sealed = await sealer.sealManifest("auto-1", encodeManifest(aManifest("auto-1")));
    store.kept.set(snapshotObject("auto-1"), sealed);
    store.kept.set(snapshotObject("auto-2"), sealed);
    await expect(collectExtents(store, options)).rejects.toMatchObject({
      code: "XX001",
      message: expect.stringMatching(/nothing is collected in az1-full: snapshot auto-2/),
    });
    expect(store.kept.size).toBe(4);
    store.kept.delete(snapshotObject("auto-2"));
    expect(await collectExtents(store, options)).toMatchObject({ kept: 2, deleted: 0 });
    store.kept.delete(snapshotObject("auto-1"));
    expect(await collectExtents(store, { ...options, graceMs: 20_000 })).toMatchObject({
      young: 2,
    });
    expect(await collectExtents(store, options)).toMatchObject({ deleted: 2 });
    for await (const { name } of store.list(snapshotPrefix)) expect(name).toBe("none");
  });
});
