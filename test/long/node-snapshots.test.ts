/** Full storage nodes of a cluster keep all snapshots, also those that came while they were away, or before they were. */
import { readFileSync, rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type SnapshotRow, snapshotRowSchema } from "../../src/keeper/index.ts";
import {
  ExtentSealer,
  extentObject,
  FolderStore,
  type ObjectStore,
  onlyStore,
  readSnapshot,
  snapshotIds,
} from "../../src/volume/index.ts";
import { isAlive, TestCluster, until } from "../helpers/cluster.ts";
import { openSealer } from "../helpers/volume-sealer.ts";

/** The keeper looks every ten seconds for who is back, and a node is tried for fifteen. */
const untilCopiedMs = 120_000;
const full = ["az1-full", "az2-full", "az3-full"];
let cluster: TestCluster;
let sealer: ExtentSealer;
let volume: string;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1 });
  const opened = await openSealer(cluster);
  ({ sealer } = opened);
  volume = opened.state.volumeId;
});
afterAll(() => cluster.destroy());

function objectsOf(node: string): ObjectStore {
  return new FolderStore(`${cluster.dataDir}/storage/${node}/objects`);
}

function objectsDir(): string {
  return `${cluster.dataDir}/objects/${volume}`;
}

function objectStore(): ObjectStore {
  return new FolderStore(objectsDir());
}

/** Of the snapshots that do not come by themselves, and the first one. */
async function rows(): Promise<SnapshotRow[]> {
  const list = await cluster.cli("snapshot", "list", "--json");
  expect(list, list.stderr).toMatchObject({ code: 0 });
  return snapshotRowSchema
    .array()
    .parse(JSON.parse(list.stdout))
    .filter(({ kind }) => kind !== "automatic");
}

async function listed(): Promise<string[]> {
  return (await rows()).map(({ id }) => id).toSorted();
}

async function takenAt(id: string): Promise<number> {
  const found = (await rows()).find((row) => row.id === id);
  if (!found) throw new Error(`${id} is not listed`);
  return Date.parse(found.takenAt);
}

async function create(id: string): Promise<void> {
  await cluster.query(`DROP TABLE IF EXISTS "${id}"`);
  await cluster.query(
    `CREATE TABLE "${id}" AS SELECT n, md5(n::text) AS text FROM generate_series(1, 5000) n`,
  );
  const made = await cluster.cli("snapshot", "create", id);
  expect(made, made.stderr).toMatchObject({ code: 0 });
}

/** Until the node shows these snapshots, and nothing that is none of theirs; each of their extents is there and good. */
async function untilItHas(
  node: string,
  ids: readonly string[],
  store: ObjectStore = objectsOf(node),
): Promise<void> {
  await until(
    `${node} has ${ids.join(", ")}`,
    async () => {
      const found = (await snapshotIds(store)).filter((id) => !id.startsWith("auto-"));
      return found.join() === ids.toSorted().join();
    },
    untilCopiedMs,
  );
  for (const id of await snapshotIds(store)) {
    const { extents } = await readSnapshot(onlyStore(store), id, sealer);
    expect(extents.size).toBeGreaterThan(10);
    for (const extent of extents.keys()) {
      const sealed = await store.get(extentObject(extent));
      if (!sealed) throw new Error(`${node} lacks ${extent} of ${id}`);
      await sealer.openExtent(extent, sealed);
    }
  }
}

function phaseOf(text: string): string {
  return /az2-full: (its successor counts.*)/.exec(text)?.[1] ?? "";
}

describe("full nodes", () => {
  it("have every snapshot that is taken; tail nodes have none", async () => {
    await create("first");
    for (const node of full) await untilItHas(node, ["first", "genesis"]);
    expect(await snapshotIds(objectsOf("az1-tail"))).toEqual([]);
  });

  it("are given what they missed while they were away", async () => {
    await cluster.cli("storage", "stop", "az3-full");
    await create("second");
    for (const node of full.slice(0, 2)) await untilItHas(node, ["first", "genesis", "second"]);
  });

  it("lose what was deleted while they were away, also by a keeper that was killed since", async () => {
    const before = await takenAt("first");
    const { code, stdout, stderr } = await cluster.cli("snapshot", "delete", "first");
    expect(code, stderr).toBe(0);
    expect(stdout).toContain("snapshot first is deleted\n  az3-full is away: it follows");
    expect(await listed()).toEqual(["genesis", "second"]);
    // The one that was away has an older snapshot of this name.
    await create("first");
    const again = await takenAt("first");
    expect(again).not.toBe(before);
    expect((await cluster.cli("snapshot", "delete", "second")).code).toBe(0);
    const pid = (await cluster.pids()).get("keeper") ?? 0;
    process.kill(pid, "SIGKILL");
    await until("it is dead", () => !isAlive(pid));
    expect(await snapshotIds(objectsOf("az3-full"))).toEqual(expect.arrayContaining(["first"]));
    await cluster.cli("storage", "start", "az3-full");
    const readFirst = (store: ObjectStore) => readSnapshot(onlyStore(store), "first", sealer);
    await until(
      "the one that was away has the snapshot that is called so now",
      async () => (await readFirst(objectsOf("az3-full"))).takenAtMs === again,
      untilCopiedMs,
    );
    for (const node of full) await untilItHas(node, ["first", "genesis"]);
    await untilItHas("the object store", ["first", "genesis"], objectStore());
    expect(await takenAt("first")).toBe(again);
    for (const store of [...full.map(objectsOf), objectStore()])
      expect((await readFirst(store)).takenAtMs).toBe(again);
    const text = readFileSync(`${cluster.dataDir}/log/keeper.log`, "utf8");
    expect(text).toMatch(/"event":"snapshot.notBack","store":"az3-full","snapshot":"first"/);
    await create("second");
    for (const node of full) await untilItHas(node, ["first", "genesis", "second"]);
    expect((await cluster.cli("snapshot", "delete", "first")).code).toBe(0);
    for (const node of full) await untilItHas(node, ["genesis", "second"]);
  }, 300_000);

  it("that take another's place are given all snapshots, in the background", async () => {
    const { code, stdout, stderr } = await cluster.cli("storage", "replace", "az2-full");
    expect(code, stderr).toBe(0);
    expect(stdout).toContain("is replaced by");
    expect(["", "its successor counts; snapshots are copied to it in the background"]).toContain(
      phaseOf(stdout),
    );
    await untilItHas("az2-full", ["genesis", "second"]);
    const text = readFileSync(`${cluster.dataDir}/log/keeper.log`, "utf8");
    expect(text).toMatch(/"event":"snapshot.copied","store":"az2-full","snapshot":"second"/);
    await create("third");
    for (const node of full) await untilItHas(node, ["genesis", "second", "third"]);
  });

  it("are what caches are built from when the object store is lost, and fill it again", async () => {
    const ids = ["genesis", "second", "third"];
    await cluster.down();
    rmSync(`${cluster.dataDir}/instances`, { recursive: true, force: true });
    const objects = objectsDir();
    expect((await snapshotIds(new FolderStore(objects))).toSorted()).toEqual(ids);
    rmSync(objects, { recursive: true });
    await cluster.up();
    const { rows } = await cluster.query('SELECT count(*)::int AS n FROM "third"');
    expect(rows).toEqual([{ n: 5000 }]);
    const text = readFileSync(`${cluster.dataDir}/log/instance-1.log`, "utf8");
    expect(text).toMatch(/"event":"cache.hydrated".*"snapshot":"third"/);
    await untilItHas("the object store", ids, new FolderStore(objects));
  });

  it("are what caches are built from when the node that is asked first is lost with its disk", async () => {
    const hydrated = (): number =>
      readFileSync(`${cluster.dataDir}/log/instance-1.log`, "utf8").split("cache.hydrated").length;
    const before = hydrated();
    await cluster.down();
    for (const lost of ["instances", "storage/az1-full"])
      rmSync(`${cluster.dataDir}/${lost}`, { recursive: true, force: true });
    await cluster.up();
    expect(hydrated()).toBe(before + 1);
    const { rows } = await cluster.query('SELECT count(*)::int AS n FROM "third"');
    expect(rows).toEqual([{ n: 5000 }]);
  });
});
