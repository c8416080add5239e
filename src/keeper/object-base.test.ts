/** The object store alone brings the volume back, at each moment, whatever it has missed. */
import { beforeEach, describe, expect, it } from "vitest";
import { MemoryStore } from "../../test/helpers/memory-store.ts";
import { manifestOf } from "../../test/helpers/snapshot-object.ts";
import { BorealisError } from "../base/errors.ts";
import { epoch, timeline, volumeId } from "../base/ids.ts";
import { lsn, type Lsn, segmentStart } from "../base/lsn.ts";
import { openLogger, realClock } from "../io/index.ts";
import {
  deleteSnapshot,
  encodeManifest,
  extentObject,
  ExtentSealer,
  findSnapshot,
  listArchivedLog,
  liveIn,
  logObject,
  type LogPath,
  readDeletions,
  snapshotIds,
  snapshotObject,
} from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import { ObjectBase } from "./object-base-shell.ts";
import { SnapshotCopies } from "./snapshot-copies-shell.ts";
import { type KnownSnapshot, planKeeping } from "./snapshot-retention.ts";

const mebi = 1n << 20n;
const path: LogPath = [{ epoch: epoch(1), timeline: timeline(1), start: lsn(0n), kind: "branch" }];
const sealer = new ExtentSealer({
  volumeId: volumeId("11111111-2222-3333-4444-555555555555"),
  keys: undefined,
});
const away = new BorealisError("58030", "it does not answer");
/** Log is archived up to here, in objects of 16 MiB. */
const end = lsn(96n * mebi);

class World {
  readonly nodes = [new MemoryStore("az1-full"), new MemoryStore("az2-full")];
  objects = new MemoryStore("objects");
  /** What the keeper knows of snapshots that were not deleted. */
  live: KnownSnapshot[] = [];
  /** Undefined: nobody says. */
  path: LogPath | undefined = path;
  readonly copies: SnapshotCopies;
  readonly base: ObjectBase;
  private nowMs = 1_000;

  constructor() {
    const context: Omit<KeeperContext, "config" | "world"> = {
      clock: { ...realClock, wallMs: () => this.nowMs },
      logger: openLogger({ file: undefined, process: "test" }),
      sealer: () => sealer,
      objects: () => this.objects,
      relatives: () => [],
      nodeStores: () => this.nodes,
      isBehind: (store) => this.copies.isBehind(store),
      noteHealed: () => undefined,
    };
    this.copies = new SnapshotCopies(context as KeeperContext, (store) => this.base.spared(store));
    this.base = new ObjectBase({
      context,
      deletions: this.copies.deletions,
      live: () => this.live,
      path: () => this.path,
    });
  }

  /** A snapshot of five extents, in these stores. */
  async take(id: string, startMebi: bigint, stores: readonly MemoryStore[]): Promise<void> {
    this.nowMs += 1_000;
    const extents = new Map<string, { plainBytes: number; storedBytes: number }>();
    const objects: [string, Buffer][] = [];
    for (let n = 0; n < 5; n++) {
      const plain = Buffer.alloc(500, `${id} ${n}`);
      const sealed = await sealer.sealExtent(sealer.idOf(plain), plain);
      extents.set(sealer.idOf(plain), { plainBytes: 500, storedBytes: sealed.length });
      objects.push([extentObject(sealer.idOf(plain)), sealed]);
    }
    const [startLsn, endLsn] = [lsn(startMebi * mebi), lsn(startMebi * mebi + 8n)];
    const takenAtMs = this.nowMs;
    const manifest = { ...manifestOf(id, sealer, extents), startLsn, endLsn, takenAtMs };
    objects.push([snapshotObject(id), await sealer.sealManifest(id, encodeManifest(manifest))]);
    for (const store of stores) for (const [name, bytes] of objects) await store.put(name, bytes);
    this.live.push(manifest);
  }

  async archiveAll(): Promise<void> {
    for (let from = 0n; from < end; from += 16n * mebi) {
      const name = logObject(epoch(1), lsn(from), lsn(from + 16n * mebi));
      await this.objects.put(name, Buffer.of(1));
    }
  }

  private get plan() {
    const now = { path, futures: [], nowMs: this.nowMs, windowMs: 0, hurt: new Set<string>() };
    return planKeeping(this.live, now);
  }

  /** What retention lets go of snapshots, in all stores. Gives the stores that follow later. */
  async keepPlan(): Promise<string[]> {
    const { drop } = this.plan;
    const spared = await this.base.needing(drop);
    const waiting = new Set<string>();
    for (const id of drop) {
      const stores = [...this.nodes, this.objects];
      const { deletions } = this.copies;
      const told = { sealer, deletions, nowMs: this.nowMs };
      for (const { label } of await deleteSnapshot({ id, stores, spared, ...told }))
        waiting.add(label);
      this.live = this.live.filter((one) => one.id !== id);
    }
    return [...waiting];
  }

  /** What it lets go of archived log. */
  async keepArchive(): Promise<void> {
    const index = await listArchivedLog(this.objects);
    const { logFrom } = this.plan;
    const needs = { path, left: [], logFrom, nowMs: this.nowMs, windowMs: 0 };
    const { drop } = await this.base.planArchive(this.objects, index, needs);
    await this.objects.delete(drop.map(({ epoch: of, from, to }) => logObject(of, from, to)));
  }

  copy(): Promise<void> {
    return this.copies.goOn(new AbortController().signal);
  }

  /** Ids of the snapshots from which the end is reached when nothing is left but the object store. */
  async restorable(): Promise<string[]> {
    const { objects } = this;
    const found: string[] = [];
    for (const id of await liveIn(objects, await readDeletions([objects], sealer))) {
      const manifest = await findSnapshot(objects, id, sealer);
      const extents = [...(manifest?.extents.keys() ?? [])].map(extentObject);
      if (manifest && extents.every((name) => objects.kept.has(name)))
        if (await this.isArchivedFrom(manifest.startLsn)) found.push(id);
    }
    return found;
  }

  private async isArchivedFrom(from: Lsn): Promise<boolean> {
    const index = await listArchivedLog(this.objects);
    return index.nextHole(path, segmentStart(from), end) === undefined;
  }
}

describe("the object store alone", () => {
  let world: World;
  beforeEach(async () => {
    world = new World();
    await world.archiveAll();
    await world.take("auto-1", 20n, [...world.nodes, world.objects]);
    await world.copy();
  });

  it("leads to the end at each moment after an outage, in which its snapshot was deleted", async () => {
    const { objects, nodes } = world;
    objects.failure = away;
    await world.take("auto-2", 68n, nodes);
    expect(await world.keepPlan()).toEqual(["objects"]);
    for (const node of nodes) expect(await snapshotIds(node)).toEqual(["auto-2"]);
    objects.failure = undefined;
    // Retention goes on between any two of the slow puts.
    let looks = 0;
    const put = objects.put.bind(objects);
    objects.put = async (name, bytes) => {
      await world.keepArchive();
      expect(await world.restorable(), `before ${name}`).toEqual(["auto-1"]);
      await put(name, bytes);
      looks++;
    };
    await world.keepArchive();
    await world.base.look();
    expect(world.base.isMissing).toBe(false);
    await world.copy();
    expect(looks).toBe(6);
    expect(await world.restorable()).toEqual(["auto-1", "auto-2"]);
    objects.put = put;
    // What was spared is brought to nobody, and goes now.
    for (const node of nodes) expect(await snapshotIds(node)).toEqual(["auto-2"]);
    await world.copy();
    await world.keepArchive();
    for (const store of [objects, ...nodes]) expect(await snapshotIds(store)).toEqual(["auto-2"]);
    expect(await world.restorable()).toEqual(["auto-2"]);
    const index = await listArchivedLog(objects);
    expect(index.ranges(epoch(1)).map(({ from }) => from)[0]).toBe(lsn(64n * mebi));
  });

  it("keeps what is deleted while it is being given the next one", async () => {
    const { objects, nodes } = world;
    await world.take("auto-2", 68n, nodes);
    expect(await world.keepPlan()).toEqual(["objects"]);
    await world.keepArchive();
    expect(await world.restorable()).toEqual(["auto-1"]);
    // By another keeper, who knows nothing of that.
    const next = new World();
    next.nodes.splice(0, 2, ...nodes);
    next.objects = objects;
    next.live = [...world.live];
    await next.copy();
    expect(await next.restorable()).toEqual(["auto-1", "auto-2"]);
    await next.copy();
    expect(await next.restorable()).toEqual(["auto-2"]);
  });

  it("loses its old one at once when it has another", async () => {
    const { objects, nodes } = world;
    await world.take("auto-2", 68n, [...nodes, objects]);
    expect(await world.keepPlan()).toEqual([]);
    expect(await snapshotIds(objects)).toEqual(["auto-2"]);
    await world.keepArchive();
    expect(await world.restorable()).toEqual(["auto-2"]);
  });

  it("keeps all that were deleted: the newest may be hurt, which is forgotten with its deletion", async () => {
    const { objects, nodes } = world;
    await world.take("auto-2", 40n, [...nodes, objects]);
    const manifest = await findSnapshot(objects, "auto-2", sealer);
    await objects.delete([...(manifest?.extents.keys() ?? [])].slice(0, 1).map(extentObject));
    expect(await world.restorable()).toEqual(["auto-1"]);
    objects.failure = away;
    await world.take("auto-3", 68n, nodes);
    await world.keepPlan();
    objects.failure = undefined;
    const stop = new AbortController();
    const put = objects.put.bind(objects);
    objects.put = async (name, bytes) => {
      if (name.startsWith("extents/")) stop.abort(new Error("enough"));
      return put(name, bytes);
    };
    await expect(world.copies.goOn(stop.signal)).rejects.toThrow("enough");
    expect(await world.restorable()).toEqual(["auto-1"]);
    expect(await snapshotIds(objects)).toEqual(["auto-1", "auto-2"]);
    objects.put = put;
    for (let time = 0; time < 2; time++) await world.copy();
    expect(await world.restorable()).toEqual(["auto-3"]);
    expect(await snapshotIds(objects)).toEqual(["auto-3"]);
  });

  it("lets go nothing before the path is known: what is there may be of a history that was left", async () => {
    const { objects, nodes } = world;
    objects.failure = away;
    await world.take("auto-2", 68n, nodes);
    await world.keepPlan();
    objects.failure = undefined;
    await world.take("left", 40n, [...nodes, objects]);
    const [left] = world.live.splice(-1);
    if (left) {
      const other = {
        epoch: epoch(2),
        timeline: timeline(2),
        start: lsn(0n),
        kind: "branch" as const,
      };
      world.live.push({ ...left, history: [other] });
    }
    world.path = undefined;
    const isMissing = async (): Promise<boolean> => {
      await world.base.look();
      return world.base.isMissing;
    };
    expect([await isMissing(), await world.base.needing(["auto-2"])]).toEqual([false, [objects]]);
    const stop = new AbortController();
    const put = objects.put.bind(objects);
    objects.put = async (name, bytes) => {
      if (name.startsWith("extents/")) stop.abort(new Error("enough"));
      return put(name, bytes);
    };
    await expect(world.copies.goOn(stop.signal)).rejects.toThrow("enough");
    expect(await snapshotIds(objects)).toEqual(["auto-1", "left"]);
    world.path = path;
    expect([await isMissing(), await world.base.needing(["left"])]).toEqual([false, []]);
    objects.put = put;
    for (let time = 0; time < 2; time++) await world.copy();
    expect(await snapshotIds(objects)).toEqual(["auto-2", "left"]);
  });

  it("of a store that was just named has nothing, which is told until it has", async () => {
    world.objects = new MemoryStore("another");
    await world.archiveAll();
    await world.base.look();
    expect(world.base.isMissing).toBe(true);
    await world.keepArchive();
    expect((await listArchivedLog(world.objects)).ranges(epoch(1)).length).toBe(6);
    await world.copy();
    await world.base.look();
    expect(world.base.isMissing).toBe(false);
    expect(await world.restorable()).toEqual(["auto-1"]);
    // Of one that does not answer it stays what it was.
    world.objects.failure = away;
    await world.base.look();
    expect(world.base.isMissing).toBe(false);
  });
});
