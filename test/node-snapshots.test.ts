/** Full storage nodes of a cluster keep all snapshots, also those that came while they were away, or before they were. */
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { volumeId } from "../src/base/ids.ts";
import { layoutOf, parseClusterState, runtimeDirOf } from "../src/cluster/index.ts";
import { openLogger } from "../src/io/index.ts";
import { VolumeKeys } from "../src/main/volume-keys.ts";
import {
  ExtentSealer,
  extentObject,
  FolderStore,
  type ObjectStore,
  onlyStore,
  readSnapshot,
  snapshotIds,
} from "../src/volume/index.ts";
import { TestCluster, until } from "./helpers/cluster.ts";

const full = ["az1-full", "az2-full", "az3-full"];
let cluster: TestCluster;
let sealer: ExtentSealer;
let volume: string;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1 });
  const uid = process.getuid?.() ?? 0;
  const layout = layoutOf(cluster.dataDir, runtimeDirOf(tmpdir(), uid, cluster.dataDir));
  const parsed = parseClusterState(readFileSync(layout.stateFile, "utf8"));
  if (parsed.kind !== "state") throw new Error("no state");
  const keys = await VolumeKeys.open(
    layout,
    parsed.state,
    openLogger({ file: undefined, process: "test" }),
  );
  volume = parsed.state.volumeId;
  sealer = new ExtentSealer({ volumeId: volumeId(volume), keys: keys?.dataKeys });
});
afterAll(() => cluster.destroy());

function objectsOf(node: string): ObjectStore {
  return new FolderStore(`${cluster.dataDir}/storage/${node}/objects`);
}

async function create(id: string): Promise<void> {
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
    60_000,
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
    // What cannot be deleted everywhere is told.
    const refused = await cluster.cli("snapshot", "delete", "first");
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toMatch(/at az3-full/);
    await cluster.cli("storage", "start", "az3-full");
    await until(
      "it can be deleted now",
      async () => {
        const { code, stderr } = await cluster.cli("snapshot", "delete", "first");
        return code === 0 || /there is no snapshot/.test(stderr);
      },
      60_000,
    );
    for (const node of full) await untilItHas(node, ["genesis", "second"]);
  });

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
    const objects = `${cluster.dataDir}/objects/${volume}`;
    expect((await snapshotIds(new FolderStore(objects))).toSorted()).toEqual(ids);
    rmSync(objects, { recursive: true });
    await cluster.up();
    const { rows } = await cluster.query('SELECT count(*)::int AS n FROM "third"');
    expect(rows).toEqual([{ n: 5000 }]);
    const text = readFileSync(`${cluster.dataDir}/log/instance-1.log`, "utf8");
    expect(text).toMatch(/"event":"cache.hydrated".*"snapshot":"third"/);
    await untilItHas("the object store", ids, new FolderStore(objects));
  });
});
