/** Snapshots of a whole cluster: the keeper takes them, instances are built from them, users keep and delete them. */
import { readFileSync, rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findLsn } from "../../src/base/lsn.ts";
import { type SnapshotRow, snapshotRowSchema } from "../../src/keeper/index.ts";
import {
  collectExtents,
  ExtentSealer,
  extentObject,
  extentPrefix,
  FolderStore,
  onlyStore,
  readSnapshot,
  snapshotIds,
} from "../../src/volume/index.ts";
import { isAlive, TestCluster, until } from "../helpers/cluster.ts";
import { askControl, statusNow } from "../helpers/control.ts";
import { openSealer } from "../helpers/volume-sealer.ts";

let cluster: TestCluster;
let rows = 0;
beforeAll(async () => {
  cluster = await TestCluster.create({
    readers: 1,
    args: ["--set", "snapshot.logBytes=4194304", "--set", "retention.days=0"],
  });
  await cluster.query("CREATE TABLE kept (n int, filler text)");
});
afterAll(() => cluster.destroy());

async function listed(): Promise<SnapshotRow[]> {
  return snapshotRowSchema.array().parse(await askControl(cluster, "snapshotList", {}, 60_000));
}

/** Some MiB of log that do not compress to nothing. */
async function write(count = 30_000): Promise<void> {
  await cluster.query(
    `INSERT INTO kept SELECT n, md5(n::text) || md5((n * 7)::text) || md5((n * 11)::text)
       FROM generate_series(${rows + 1}, ${rows + count}) n`,
  );
  rows += count;
}

async function untilAllRowsOn(endpoint: "writer" | "instance-2"): Promise<void> {
  await until(
    `${endpoint} shows every row`,
    async () => {
      const result = await cluster.query("SELECT count(*)::int AS n FROM kept", endpoint);
      return result.rows[0].n === rows;
    },
    60_000,
  );
}

function logOf(process: string): string {
  return readFileSync(`${cluster.dataDir}/log/${process}.log`, "utf8");
}

/** The object store as the test sees it, with the volume's keys. */
async function openStore(): Promise<{ store: FolderStore; sealer: ExtentSealer }> {
  const { layout, state, sealer } = await openSealer(cluster);
  return { store: new FolderStore(`${layout.objectsDir}/${state.volumeId}`), sealer };
}

/** Ids of extents that snapshots name; each is there. */
async function namedExtents(store: FolderStore, sealer: ExtentSealer): Promise<Set<string>> {
  const named = new Set<string>();
  for (const id of await snapshotIds(store)) {
    const { extents } = await readSnapshot(onlyStore(store), id, sealer);
    for (const extent of extents.keys()) named.add(extentObject(extent));
  }
  expect([...(await store.has([...named]))].toSorted()).toEqual([...named].toSorted());
  return named;
}

describe("snapshots of a cluster", () => {
  it("begin with the genesis image", async () => {
    const first = await until("the genesis image is a snapshot", async () =>
      (await listed()).find(({ kind }) => kind === "genesis"),
    );
    expect(first).toMatchObject({ id: "genesis" });
    expect(first.dataBytes).toBeGreaterThan(20_000_000);
    await until("status says so", async () => (await statusNow(cluster)).volume.snapshots > 0);
  });

  it("are taken from a reader when there is enough new log, and the older ones go", async () => {
    await write();
    const taken = await until(
      "an automatic one is there alone",
      async () => {
        const all = await listed();
        return all.length === 1 && all[0]?.kind === "automatic" ? all[0] : undefined;
      },
      60_000,
    );
    // The writer tells its VDL a few times a second: what it said last may be older than the snapshot.
    await until("the snapshot ends within what is durable", async () => {
      const { vdl } = (await statusNow(cluster)).cluster;
      return (findLsn(taken.endLsn) ?? 0n) <= (findLsn(vdl ?? "") ?? 0n);
    });
    expect(taken.storedBytes).toBeGreaterThan(0);
    expect(logOf("keeper")).toMatch(/"event":"snapshot.taken".*"from":"instance-2"/);
    expect(logOf("keeper")).toMatch(/"event":"snapshot.deleted","snapshot":"genesis"/);
  });

  it("hold only what changed since the last one", async () => {
    await write(40_000);
    await until(
      "an incremental one is taken",
      () => /"event":"snapshot.taken".*"mode":"incremental"/.test(logOf("keeper")),
      60_000,
    );
  });

  it("let log go that only the genesis image needed", async () => {
    const before = (await statusNow(cluster)).storage.map((row) => findLsn(row.base ?? "") ?? 0n);
    await until(
      "every node's log begins later",
      async () => {
        await cluster.query("SELECT pg_switch_wal()");
        await write(20_000);
        const { storage } = await statusNow(cluster);
        return storage.every((row, i) => (findLsn(row.base ?? "") ?? 0n) > (before[i] ?? 0n));
      },
      90_000,
    );
  });

  it("are what instances are built from whose caches were deleted while the cluster was down", async () => {
    const hydrations = (): number =>
      logOf("instance-1").split('"event":"cache.hydrated"').length - 1;
    const before = hydrations();
    await cluster.down();
    rmSync(`${cluster.dataDir}/instances`, { recursive: true, force: true });
    await cluster.up();
    // What the writer has built while it claimed is what it starts from.
    expect(hydrations()).toBe(before + 1);
    await untilAllRowsOn("writer");
    await untilAllRowsOn("instance-2");
    for (const instance of ["instance-1", "instance-2"])
      expect(logOf(instance)).toMatch(/"event":"cache.hydrated".*"snapshot":"auto-/);
    await write(1_000);
    await untilAllRowsOn("instance-2");
  });
});

describe("snapshots that users take", () => {
  it("stay until they are deleted, and are told apart by their ids", async () => {
    const made = await cluster.cli("snapshot", "create", "nightly");
    expect(made, made.stderr).toMatchObject({ code: 0 });
    expect(made.stdout).toMatch(/snapshot nightly is taken: .* of data in .*, up to [0-9A-F]+\//);
    const again = await cluster.cli("snapshot", "create", "nightly");
    expect(again.code).toBe(2);
    expect(again.stderr).toMatch(/there is a snapshot "nightly" already; choose another id/);
    for (const id of ["Not_One", "auto-1", "genesis"])
      expect((await cluster.cli("snapshot", "create", id)).code, id).toBe(2);
    const { stdout: document } = await cluster.cli("snapshot", "create", "--json");
    expect(JSON.parse(document)).toMatchObject({ kind: "manual" });
    // What automatic ones may not have: it is older than the window, which is empty.
    await write();
    await until("a newer automatic one is there", async () =>
      (await listed()).some(({ kind, takenAt }) => {
        const nightly = JSON.parse(document) as SnapshotRow;
        return kind === "automatic" && takenAt > nightly.takenAt;
      }),
    );
    expect((await listed()).filter(({ kind }) => kind === "manual")).toHaveLength(2);
    const unknown = await cluster.cli("snapshot", "delete", "weekly");
    expect(unknown).toMatchObject({ code: 2 });
    expect(unknown.stderr).toMatch(/there is no snapshot "weekly"/);
    expect((await cluster.cli("snapshot", "delete", "nightly")).code).toBe(0);
    expect((await listed()).map(({ id }) => id)).not.toContain("nightly");
  });

  it("bring the log along that they need", async () => {
    const { store, sealer } = await openStore();
    const [mine] = (await listed()).filter(({ kind }) => kind === "manual");
    const { log, endLsn } = await readSnapshot(onlyStore(store), mine?.id ?? "", sealer);
    expect(log?.to).toBe(endLsn);
  });

  it("come to exist whole or not at all when the keeper is killed", async () => {
    for (let round = 1; round <= 6; round++) {
      const id = `round-${round}`;
      const pid = (await cluster.pids()).get("keeper") ?? 0;
      const creating = askControl(cluster, "snapshotCreate", { id }, 60_000).catch(() => undefined);
      await write(2_000);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 1_500));
      process.kill(pid, "SIGKILL");
      await until("it is dead", () => !isAlive(pid));
      await creating;
      const { store, sealer } = await openStore();
      await namedExtents(store, sealer);
      await until("another keeper answers", listed);
    }
    const after = await cluster.cli("snapshot", "create", "after");
    expect(after, after.stderr).toMatchObject({ code: 0 });
  }, 300_000);

  it("are listed while the cluster is down, and all that none of them holds is collected", async () => {
    const before = await listed();
    await cluster.down();
    const list = await cluster.cli("snapshot", "list", "--json");
    expect(list, list.stderr).toMatchObject({ code: 0 });
    const ids = (JSON.parse(list.stdout) as SnapshotRow[]).map(({ id }) => id);
    expect(ids).toEqual(expect.arrayContaining(before.map(({ id }) => id)));
    const deleting = await cluster.cli("snapshot", "delete", "after");
    expect(deleting.stderr).toMatch(/is not running; start it with borealis up/);
    const { store, sealer } = await openStore();
    const named = await namedExtents(store, sealer);
    const { signal } = new AbortController();
    const nowMs = Date.now() + 60_000;
    const collected = await collectExtents(store, { sealer, nowMs, graceMs: 0, signal });
    expect(collected).toMatchObject({ kept: named.size });
    const left: string[] = [];
    for await (const { name } of store.list(extentPrefix)) left.push(name);
    expect(left.toSorted()).toEqual([...named].toSorted());
    await cluster.up();
    await untilAllRowsOn("writer");
    const again = await cluster.cli("snapshot", "create", "again");
    expect(again, again.stderr).toMatchObject({ code: 0 });
  });
});

describe("a snapshot that is asked for at once", () => {
  it("is taken of a writer alone that is just ready, and after a restart", async () => {
    const fresh = await TestCluster.create({ readers: 0, awaits: "writer" });
    try {
      await askControl(fresh, "snapshotCreate", { id: "first" }, 120_000);
      await fresh.down();
      await fresh.up();
      await askControl(fresh, "snapshotCreate", { id: "second" }, 120_000);
    } finally {
      await fresh.destroy();
    }
  });

  it("waits for the keeper, and for the control plane, when they are started again", async () => {
    for (const name of ["keeper", "control-plane"]) {
      process.kill((await cluster.pids()).get(name) ?? 0, "SIGKILL");
      const created = await cluster.cli("snapshot", "create", `after-${name}`);
      expect(created, created.stderr).toMatchObject({ code: 0 });
    }
  });
});
