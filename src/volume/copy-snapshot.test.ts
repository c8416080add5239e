import { describe, expect, it } from "vitest";
import { MemoryStore } from "../../test/helpers/memory-store.ts";
import { aSnapshot } from "../../test/helpers/snapshot-object.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import { copySnapshotTo, type SnapshotCopy } from "./copy-snapshot-shell.ts";
import { deleteSnapshot, liveSnapshots, readDeletions } from "./deletions-shell.ts";
import { ExtentSealer } from "./extent-sealer-shell.ts";
import { extentObject, snapshotObject } from "./object-names.ts";
import { onlyStore } from "./replicas-shell.ts";
import { readSnapshot } from "./snapshots-shell.ts";

const named = volumeId("11111111-2222-3333-4444-555555555555");

async function aCopy({ isEncrypted = true, changes = {} as Partial<SnapshotCopy> } = {}) {
  const key = Buffer.alloc(32, 7);
  const keys = { current: 1, keys: new Map([[1, key]]), first: key, acceptsPlain: false };
  const sealer = new ExtentSealer({ volumeId: named, keys: isEncrypted ? keys : undefined });
  const [source, target] = [new MemoryStore("source"), new MemoryStore("target")];
  const extent = await aSnapshot([source], "mine", sealer);
  const copy = async (more: Partial<SnapshotCopy> = {}) =>
    copySnapshotTo({
      manifest: await readSnapshot(onlyStore(source), "mine", sealer),
      sources: [source],
      target,
      sealer,
      parallel: 3,
      signal: new AbortController().signal,
      ...changes,
      ...more,
    });
  const shown = async (): Promise<string[]> => {
    const deletions = await readDeletions([target], sealer);
    return [...(await liveSnapshots([target], deletions)).ids.keys()];
  };
  const drop = async (): Promise<void> => {
    const deletions = await readDeletions([target], sealer);
    await deleteSnapshot({ id: "mine", stores: [target], deletions, sealer, nowMs: 0 });
  };
  return { sealer, source, target, extent, copy, shown, drop };
}

describe.each([true, false])("a copy of a snapshot, encrypted: %s", (isEncrypted) => {
  it("is whole in the other store, its manifest last, and tells how far it is", async () => {
    const { sealer, target, extent, copy } = await aCopy({ isEncrypted });
    const told: [number, number][] = [];
    const copied = await copy({
      beforeShown: async () => target.put("volume.json", Buffer.from("who")),
      onProgress: (...facts) => told.push(facts),
    });
    expect(copied).toMatchObject({ isNew: true, extents: 1, putExtents: 1 });
    expect(target.events).toEqual([extentObject(extent), "volume.json", snapshotObject("mine")]);
    expect(told.at(-1)).toEqual([copied.putBytes, copied.putBytes]);
    expect((await readSnapshot(onlyStore(target), "mine", sealer)).extents.size).toBe(1);
  });

  it("may be repeated: what is there is read, and put again if it is bad", async () => {
    const { target, extent, copy } = await aCopy({ isEncrypted });
    await copy();
    expect(await copy()).toMatchObject({ isNew: false, putExtents: 0 });
    const name = extentObject(extent);
    const bad = Buffer.from(target.kept.get(name) ?? "");
    bad[bad.length - 1] = (bad.at(-1) ?? 0) ^ 1;
    target.kept.set(name, bad);
    expect(await copy()).toMatchObject({ isNew: false, putExtents: 1 });
    target.kept.delete(name);
    expect(await copy()).toMatchObject({ isNew: false, putExtents: 1 });
    target.kept.set(snapshotObject("mine"), Buffer.from("rotten"));
    expect(await copy()).toMatchObject({ isNew: true, putExtents: 0 });
  });

  it("may be made again where it was deleted", async () => {
    const { copy, shown, drop } = await aCopy({ isEncrypted });
    await copy();
    await drop();
    expect(await shown()).toEqual([]);
    expect(await copy()).toMatchObject({ isNew: true });
    expect(await shown()).toEqual(["mine"]);
  });
});

describe("a copy that comes back to a cluster where it was deleted", () => {
  it.each([
    [true, undefined],
    [false, "55000"],
  ])("encrypted: %s, is another one, or would be taken for it: %s", async (isEncrypted, code) => {
    const { copy, shown, drop } = await aCopy({ isEncrypted });
    await copy();
    await drop();
    const again = await copy({ isOfCluster: true }).catch((error: unknown) => error);
    expect(again).toMatchObject(code === undefined ? { isNew: true } : { code });
    expect(await shown()).toEqual(code === undefined ? ["mine"] : []);
  });
});

describe("a copy of a snapshot", () => {
  it("that ends early is not shown, and goes on where it was", async () => {
    const { target, copy, shown } = await aCopy();
    const full = new BorealisError(sqlState.diskFull, "no room");
    const beforeShown = (): Promise<void> => Promise.reject(full);
    await expect(copy({ beforeShown })).rejects.toBe(full);
    expect(await shown()).toEqual([]);
    expect(target.puts).toBe(1);
    expect(await copy()).toMatchObject({ isNew: true, putExtents: 0 });
  });

  it("comes from the next source where one has lost an extent, and from none if all have", async () => {
    const { source, extent, copy, shown } = await aCopy();
    const other = new MemoryStore("other");
    for (const [name, bytes] of source.kept) other.kept.set(name, bytes);
    source.kept.delete(extentObject(extent));
    expect(await copy({ sources: [source, other] })).toMatchObject({ putExtents: 1 });
    expect(source.kept.has(extentObject(extent)), "sources are left alone").toBe(false);
    const target = new MemoryStore("another");
    await expect(copy({ target })).rejects.toMatchObject({ code: "XX001" });
    expect(target.kept.size).toBe(0);
    expect(await shown()).toEqual(["mine"]);
  });

  it("takes the place of no other one", async () => {
    const { sealer, target, copy } = await aCopy();
    const other = new MemoryStore("other");
    await aSnapshot([other], "theirs", sealer);
    const manifest = await readSnapshot(onlyStore(other), "theirs", sealer);
    await copySnapshotTo({
      manifest: { ...manifest, id: "mine" },
      sources: [other],
      target,
      sealer,
      parallel: 1,
      signal: new AbortController().signal,
    });
    await expect(copy()).rejects.toMatchObject({
      code: "22023",
      message: 'target has another snapshot "mine"',
    });
  });
});
