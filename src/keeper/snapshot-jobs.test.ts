import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { MemoryStore } from "../../test/helpers/memory-store.ts";
import { manifestOf } from "../../test/helpers/snapshot-object.ts";
import { VirtualClock } from "../../test/helpers/virtual-clock.ts";
import { BorealisError } from "../base/errors.ts";
import { epoch, timeline, volumeId } from "../base/ids.ts";
import { formatLsn, lsn, lsnZero } from "../base/lsn.ts";
import { openLogger, realDisk, sleep } from "../io/index.ts";
import {
  automaticSnapshotId,
  type Compression,
  encodeManifest,
  extentObject,
  extentPrefix,
  ExtentSealer,
  type ObjectFacts,
  type ObjectStore,
  snapshotIds,
  snapshotObject,
} from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import { LossBook } from "./loss-book-shell.ts";
import { SnapshotJobs } from "./snapshot-jobs-shell.ts";

const hourMs = 3_600_000;
const volume = volumeId("11111111-2222-3333-4444-555555555555");
/** None, and no thread: the clock goes on when nothing is left to do. */
const compression: Compression = {
  codec: "deflate",
  pack: (plain) => Promise.resolve(Buffer.from(plain)),
  unpack: (_codec, body) => Promise.resolve(body),
};
const sealer = new ExtentSealer({ volumeId: volume, keys: undefined, compression });

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

function aLossBook(): LossBook {
  const folder = mkdtempSync(join(tmpdir(), "borealis-jobs-"));
  const logger = openLogger({ file: undefined, process: "test" });
  const losses = new LossBook({ file: join(folder, "losses.json"), disk: realDisk, logger });
  ends.push(async () => {
    await losses.settled();
    rmSync(folder, { recursive: true });
  });
  return losses;
}

/** One that knows when each object came. */
class DatedStore extends MemoryStore {
  private readonly clock: VirtualClock;
  private readonly putAt = new Map<string, number>();
  constructor(label: string, clock: VirtualClock) {
    super(label);
    this.clock = clock;
  }
  override put(name: string, bytes: Uint8Array): Promise<void> {
    this.putAt.set(name, this.clock.wallMs());
    return super.put(name, bytes);
  }
  override async *list(prefix: string): AsyncIterable<ObjectFacts> {
    for await (const facts of super.list(prefix))
      yield { ...facts, putAtMs: this.putAt.get(facts.name) ?? 0 };
  }
}

/** A volume that 20 MiB of log come to in each hour, in which `table` is what is stored of its only table, as long as there is one. */
class AVolume {
  isWritten = true;
  readonly clock = new VirtualClock();
  readonly stores = ["node", "objects"].map((label) => new DatedStore(label, this.clock));
  /** Full members that the keeper knows of. */
  nodes: readonly ObjectStore[] = this.stores.slice(0, 1);
  readonly losses = aLossBook();
  readonly taken: number[] = [];
  table: string | undefined = "big";
  private readonly path = [
    { epoch: epoch(1), timeline: timeline(1), start: lsnZero, kind: "branch" as const },
  ];

  private vdl() {
    return lsn(BigInt(20 * 1024 * 1024) * BigInt(1 + Math.floor(this.clock.wallMs() / hourMs)));
  }

  /** Stores a snapshot as taking does: extents, then the manifest. */
  async take() {
    const takenAtMs = this.clock.wallMs();
    const extents = new Map<string, { plainBytes: number; storedBytes: number }>();
    for (const text of ["catalog", ...(this.table === undefined ? [] : [this.table])]) {
      const plain = Buffer.alloc(500, text);
      const id = sealer.idOf(plain);
      const sealed = await sealer.sealExtent(id, plain);
      extents.set(id, { plainBytes: 500, storedBytes: sealed.length });
      for (const store of this.stores) {
        const name = extentObject(id);
        if (!store.kept.has(name)) await store.put(name, sealed);
      }
    }
    const id = automaticSnapshotId(takenAtMs, this.vdl());
    const place = { startLsn: this.vdl(), endLsn: this.vdl(), takenAtMs, history: this.path };
    const manifest = { ...manifestOf(id, sealer, extents), ...place };
    const sealed = await sealer.sealManifest(id, encodeManifest(manifest));
    for (const store of this.stores) await store.put(snapshotObject(id), sealed);
    this.taken.push(takenAtMs / hourMs);
    return manifest;
  }

  keeper(snapshots: KeeperContext["config"]["snapshots"]): SnapshotJobs {
    const { clock, path, losses } = this;
    const [, objects] = this.stores;
    const context: KeeperContext = {
      clock,
      logger: openLogger({ file: undefined, process: "test" }),
      config: { snapshots } as KeeperContext["config"], // it asks for no more of it
      world: () => {
        const durable = this.isWritten
          ? { epoch: 1, vdl: formatLsn(this.vdl()), atMs: clock.wallMs() }
          : null;
        return { nodes: [], instances: [], durable, futures: [], left: [], unreadable: [] };
      },
      sealer: () => sealer,
      objects: () => objects,
      relatives: () => [],
      nodeStores: () => this.nodes,
      isBehind: (store) => jobs.isBehind(store),
      noteHealed: () => undefined,
    };
    const jobs = new SnapshotJobs(context, losses, () => undefined, {
      see: async () => ({ path, vdl: this.vdl(), base: lsnZero, end: this.vdl() }),
      take: () => this.take(),
    });
    return jobs;
  }

  extentsIn(): number[] {
    return this.stores.map(
      ({ kept }) => [...kept.keys()].filter((name) => name.startsWith(extentPrefix)).length,
    );
  }

  /** From now on; gives how to end it. */
  runs(jobs: SnapshotJobs): () => Promise<void> {
    const ending = new AbortController();
    const over = jobs.run(ending.signal).catch(() => undefined);
    return async () => {
      ending.abort(new Error("the test is over"));
      await this.clock.during(over);
    };
  }

  /** Whatever is to be done meanwhile is done. */
  async goesOnFor(hours: number): Promise<void> {
    await this.clock.during(sleep(this.clock, hours * hourMs), (hours + 1) * hourMs);
  }
}

it("snapshots come by themselves, go after the window, and what only they held goes with the next collection", async () => {
  const world = new AVolume();
  await world.take();
  const jobs = world.keeper({
    logBytes: 1024 ** 3,
    maxAgeMs: hourMs,
    collectEveryMs: hourMs,
    rateMaxBytes: 0,
    retentionMs: 3 * hourMs,
  });
  const end = world.runs(jobs);
  await world.goesOnFor(1.5);
  world.table = undefined;
  // The last snapshot with the table, at hour 1, is what the window's first moment needs until one at hour 2 is as old.
  await world.goesOnFor(3.4);
  expect(world.extentsIn()).toEqual([2, 2]);
  await world.goesOnFor(2);
  expect(world.extentsIn()).toEqual([1, 1]);
  expect(world.taken.map(Math.floor)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  for (const store of world.stores) {
    const times = (await snapshotIds(store)).length;
    expect(times).toBe(4);
  }
  await end();
});

it("what nobody names and is younger than a collection's interval waits for the next one", async () => {
  const world = new AVolume();
  world.table = undefined;
  await world.take();
  const jobs = world.keeper({
    logBytes: 1024 ** 3,
    maxAgeMs: 24 * hourMs,
    collectEveryMs: hourMs,
    rateMaxBytes: 0,
    retentionMs: 24 * hourMs,
  });
  const end = world.runs(jobs);
  await world.goesOnFor(0.5);
  const plain = Buffer.alloc(500, "of a keeper that died");
  const id = sealer.idOf(plain);
  for (const store of world.stores)
    await store.put(extentObject(id), await sealer.sealExtent(id, plain));
  await world.goesOnFor(0.7);
  expect(world.extentsIn()).toEqual([2, 2]);
  await world.goesOnFor(1);
  expect(world.extentsIn()).toEqual([1, 1]);
  await end();
});

it("what is kept is known as soon as somebody writes: the keeper may have looked before", async () => {
  const world = new AVolume();
  world.isWritten = false;
  await world.take();
  const jobs = world.keeper({
    logBytes: 1024 ** 3,
    maxAgeMs: 24 * hourMs,
    collectEveryMs: hourMs,
    rateMaxBytes: 0,
    retentionMs: hourMs,
  });
  const end = world.runs(jobs);
  const secondMs = 1_000;
  await world.goesOnFor((5 * secondMs) / hourMs);
  expect(jobs.report().earliestTime).toBeNull();
  world.isWritten = true;
  await world.goesOnFor((3 * secondMs) / hourMs);
  expect(jobs.report().earliestTime).not.toBeNull();
  await end();
});

it("what is lost stays known as long as a store that may show the snapshot was not looked into", async () => {
  const world = new AVolume();
  const [node, objects] = world.stores;
  if (!node || !objects) throw new Error("no stores");
  const { id } = await world.take();
  await world.goesOnFor(1);
  await world.take();
  // The object store has missed the first one, and the keeper begins when nobody has told of nodes.
  await objects.delete([snapshotObject(id)]);
  world.nodes = [];
  world.losses.note({ name: extentObject("0".repeat(64)), snapshots: [id] }, world.clock.nowMs());
  const jobs = world.keeper({
    logBytes: 1024 ** 3,
    maxAgeMs: 24 * hourMs,
    collectEveryMs: hourMs,
    rateMaxBytes: 0,
    retentionMs: 24 * hourMs,
  });
  const end = world.runs(jobs);
  await world.goesOnFor(0.1);
  expect([jobs.mayHave(id), [...world.losses.hurt]]).toEqual([false, [id]]);
  node.failure = new BorealisError("58030", "it does not answer");
  world.nodes = [node];
  await world.goesOnFor(0.1);
  expect([jobs.mayHave(id), [...world.losses.hurt]]).toEqual([false, [id]]);
  // It is back, and is seen not to have it either.
  node.failure = undefined;
  await node.delete([snapshotObject(id)]);
  await world.goesOnFor(0.1);
  expect([jobs.mayHave(id), [...world.losses.hurt]]).toEqual([false, []]);
  await end();
});
