/** Clones of a cluster whose objects lie elsewhere: the store copies, or shares, what the clone has of its parent. */
import { rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  extentPrefix,
  findLogRange,
  logPrefix,
  type ObjectFacts,
  type ObjectStore,
  openObjectStore,
  snapshotIds,
} from "../../src/volume/index.ts";
import { fileSettings } from "../../src/main/config.ts";
import { untilArchived, volumeOf } from "../helpers/archive.ts";
import { clone, count } from "../helpers/clones.ts";
import { makeFolder, runCli, TestCluster, until } from "../helpers/cluster.ts";
import { askControl } from "../helpers/control.ts";
import { bucket, rightKeys, S3Service } from "../helpers/s3-service.ts";

async function listed(store: ObjectStore, prefix: string): Promise<ObjectFacts[]> {
  const found: ObjectFacts[] = [];
  for await (const facts of store.list(prefix)) found.push(facts);
  return found;
}

const bytesOf = (facts: readonly ObjectFacts[]): number =>
  facts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
const namesOf = (facts: readonly ObjectFacts[]): string[] => facts.map(({ name }) => name);

function aParent(url: string): Promise<TestCluster> {
  return TestCluster.create({ readers: 0, firstArgs: ["--object-store", url], env: rightKeys });
}

/** 19 MB that nothing compresses, in a snapshot and in archived log, and rows that came after; gives a time between them. */
async function fill(parent: TestCluster, url: string): Promise<string> {
  await parent.query("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
  await parent.query(`CREATE TABLE big AS SELECT n, (SELECT decode(string_agg(md5(random()::text || i), ''), 'hex')
    FROM generate_series(1, 120) i WHERE n > 0) AS what FROM generate_series(1, 10000) n`);
  const wish = { id: null, kind: "automatic" };
  const { id } = (await askControl(parent, "snapshotCreate", wish, 120_000)) as { id: string };
  const store = await openObjectStore(url, volumeOf(parent), rightKeys);
  await until("the snapshot is in the object store", async () =>
    (await snapshotIds(store)).includes(id),
  );
  await store.close();
  const { rows } = await parent.query(
    `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS t`,
  );
  await parent.query("INSERT INTO t VALUES (1001)");
  await untilArchived(parent);
  return rows[0].t;
}

/** Of a clone that was just started: its store has all that the parent's had when it was made. */
async function untilWhole(own: ObjectStore, parents: ObjectStore): Promise<void> {
  const snapshots = await snapshotIds(parents);
  await until("the clone's store has its snapshots", async () => {
    const found = new Set(await snapshotIds(own));
    return snapshots.every((id) => found.has(id));
  });
}

async function restored(from: TestCluster, url: string, to: string): Promise<number> {
  const dataDir = join(makeFolder(), "data");
  const store = ["--store", url, "--volume", volumeOf(from)];
  const args = ["restore", ...store, "--data-dir", from.dataDir, "--to", to, "--into", dataDir];
  const result = await runCli([...args, "--readers", "0"], rightKeys);
  expect(result.code, result.stderr).toBe(0);
  const copy = await TestCluster.create({ dataDir, readers: 0 });
  try {
    return await count(copy);
  } finally {
    await copy.destroy();
  }
}

describe("a clone of a cluster in a bucket", () => {
  let service: S3Service;
  let parent: TestCluster;
  let one: TestCluster | undefined;
  let url = "";
  let between = "";
  beforeAll(async () => {
    service = await S3Service.start();
    url = service.urlOf(`${bucket}/clusters`);
    parent = await aParent(url);
    between = await fill(parent, url);
  });
  afterAll(async () => {
    await one?.down();
    await parent?.destroy();
    await service?.stop();
  });

  it("is in the bucket too, and the service copies what both have", async () => {
    const parents = await openObjectStore(url, volumeOf(parent), rightKeys);
    const dataDir = await clone(parent, "one");
    const restored = join(makeFolder(), "data");
    const { code, stderr } = await parent.cli("restore", "--to", "latest", "--into", restored);
    expect(code, stderr).toBe(0);
    for (const dir of [dataDir, restored])
      expect(fileSettings(join(dir, "borealis.json"))).toEqual({ "objectStore.url": url });
    rmSync(dirname(restored), { recursive: true });
    // Nothing but the clone speaks to the service from here on.
    await parent.down();
    service.shim.forget();
    one = await TestCluster.create({ readers: 0, dataDir, env: rightKeys });
    expect(await count(one)).toBe(1001);
    const own = await openObjectStore(url, volumeOf(one), rightKeys);
    await untilWhole(own, parents);
    await one.query("INSERT INTO t VALUES (1002)");
    await untilArchived(one);
    const sent = service.shim.bytesToServer;
    const extents = await listed(own, extentPrefix);
    expect(bytesOf(extents)).toBeGreaterThan(16e6);
    const log = await listed(own, logPrefix);
    const parentsLog = new Set(namesOf(await listed(parents, logPrefix)));
    const inherited = log.filter(({ name }) => parentsLog.has(name));
    expect(bytesOf(inherited)).toBeGreaterThan(16e6);
    expect(log.some(({ name }) => findLogRange(name) && !parentsLog.has(name))).toBe(true);
    expect(sent).toBeLessThan((bytesOf(extents) + bytesOf(inherited)) / 10);
    await own.close();
    await parents.close();
  });

  it("needs nothing of its parent's folder, also for moments before the branch", async () => {
    const parents = await openObjectStore(url, volumeOf(parent), rightKeys);
    await parents.delete(namesOf(await listed(parents, "")));
    await parents.close();
    const clone = one as TestCluster;
    expect(await restored(clone, url, between)).toBe(1000);
    expect(await restored(clone, url, "latest")).toBe(1002);
  });
});

describe("a clone of a cluster whose object store is another folder", () => {
  let parent: TestCluster;
  let one: TestCluster | undefined;
  afterAll(async () => {
    await one?.down();
    await parent?.destroy();
  });

  it("has further names of its parent's files there", async () => {
    const folder = join(makeFolder(), "objects");
    parent = await aParent(`file:${folder}`);
    await fill(parent, `file:${folder}`);
    const dataDir = await clone(parent, "one");
    await parent.down();
    one = await TestCluster.create({ readers: 0, dataDir });
    const [own, parents] = await Promise.all(
      [one, parent].map((of) => openObjectStore(`file:${folder}`, volumeOf(of))),
    );
    if (!own || !parents) throw new Error("no stores");
    await untilWhole(own, parents);
    await untilArchived(one);
    for (const prefix of [extentPrefix, logPrefix]) {
      const theirs = new Set(namesOf(await listed(parents, prefix)));
      const both = (await listed(own, prefix)).filter(({ name }) => theirs.has(name));
      const inodeOf = (of: TestCluster, name: string) =>
        statSync(join(folder, volumeOf(of), name)).ino;
      const clone = one;
      const shared = both.filter(({ name }) => inodeOf(clone, name) === inodeOf(parent, name));
      // What the parent puts while it stops may come too late to be shared.
      expect(bytesOf(shared), prefix).toBeGreaterThan(16e6);
      expect(bytesOf(shared), prefix).toBeGreaterThan(bytesOf(both) * 0.8);
    }
    await one.down();
    rmFolder(folder);
  });
});

function rmFolder(folder: string): void {
  rmSync(dirname(folder), { recursive: true });
}
