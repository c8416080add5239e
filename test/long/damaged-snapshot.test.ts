/** The newest snapshot lacks an extent in every store, and its cluster loses nothing by that: an older one and the log are there. */
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findLsn, parseLsn } from "../../src/base/lsn.ts";
import {
  backupManifestName,
  extentObject,
  FolderStore,
  onlyStore,
  readSnapshot,
  snapshotIds,
} from "../../src/volume/index.ts";
import { untilArchived } from "../helpers/archive.ts";
import { makeFolder, TestCluster, until } from "../helpers/cluster.ts";
import { signalAll } from "../helpers/signals.ts";
import { askControl } from "../helpers/control.ts";
import { documentIn } from "../helpers/json.ts";
import { mayMount, mountMemory, resizeMemory, unmount } from "../helpers/mounts.ts";
import { openSealer } from "../helpers/volume-sealer.ts";

const folder = makeFolder();
let cluster: TestCluster;
let rows = 0;
let older = "";
let reads = 0;

async function write(count: number): Promise<void> {
  await cluster.query(
    `INSERT INTO kept SELECT n, md5(n::text) FROM generate_series(${rows + 1}, ${rows + count}) n`,
  );
  rows += count;
}

async function expectEveryRow(of: TestCluster): Promise<void> {
  const { rows: found } = await of.query("SELECT count(*)::int AS n, max(n) AS last FROM kept");
  expect(found[0]).toEqual({ n: rows, last: rows });
}

/** Takes it out of every store, unless the snapshot before has it too. */
async function loseExtentOf(id: string, before: string): Promise<void> {
  const { layout, state, sealer } = await openSealer(cluster);
  const full = state.nodes.filter(({ kind }) => kind === "full");
  const folders = [
    `${layout.objectsDir}/${state.volumeId}`,
    ...full.map((node) => `${layout.storageDir}/${node.id}/objects`),
  ];
  const store = new FolderStore(folders[0] ?? "");
  const [mine, others] = [
    await readSnapshot(onlyStore(store), id, sealer),
    await readSnapshot(onlyStore(store), before, sealer),
  ];
  const [lost] = mine.files
    .filter(({ name }) => name !== backupManifestName)
    .flatMap(({ pieces }) => pieces.flatMap(({ extent }) => extent ?? []))
    .filter((extent) => !others.extents.has(extent));
  if (lost === undefined) throw new Error("there is nothing new in it");
  for (const one of folders) rmSync(join(one, extentObject(lost)));
}

/** Lines of an instance's log that say which snapshot it was built from, or not. */
function hydrations(): { event: string; snapshot?: string }[] {
  return readFileSync(join(cluster.dataDir, "log", "instance-1.log"), "utf8")
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line))
    .filter(({ event }) => event === "cache.hydrated" || event === "snapshot.skipped");
}

async function killAll(): Promise<void> {
  const pids = [...(await cluster.pids()).values(), cluster.supervisorPid];
  signalAll(pids, "SIGKILL");
  await until("nothing of it runs", () => cluster.processesLeft().length === 0, 20_000);
}

beforeAll(async () => {
  // An automatic snapshot that is older than the window is kept alone, and the log from it on; a user's is newer.
  cluster = await TestCluster.create({
    readers: 0,
    args: ["--set", "storage.segmentBytes=2097152", "--set", "retention.days=0"],
  });
  await cluster.query("CREATE TABLE kept (n int, text text)");
  const before = (await cluster.status()).storage.map(({ base }) => findLsn(base ?? "") ?? 0n);
  for (let segment = 0; segment < 3; segment++) {
    await write(10);
    await cluster.query("SELECT pg_switch_wal()");
  }
  await cluster.query("CHECKPOINT");
  await askControl(cluster, "snapshotCreate", { id: null, kind: "automatic" }, 60_000);
  await until("the genesis image leads nowhere any more", async () => {
    const bases = (await cluster.status()).storage.map(({ base }) => findLsn(base ?? "") ?? 0n);
    return bases.every((base, at) => base > (before[at] ?? 0n));
  });
  const store = new FolderStore(join(cluster.dataDir, "objects", volumeFolder()));
  older = (await snapshotIds(store)).toSorted().at(-1) ?? "";
  await write(5_000);
  await askControl(cluster, "snapshotCreate", { id: "newest" }, 60_000);
  await write(10);
  await untilArchived(cluster);
  await loseExtentOf("newest", older);
});
afterAll(async () => {
  await cluster?.destroy();
  rmSync(folder, { recursive: true, force: true });
});

function volumeFolder(): string {
  const state = readFileSync(join(cluster.dataDir, "control", "state.json"), "utf8");
  return (JSON.parse(state) as { volumeId: string }).volumeId;
}

describe("a cluster whose newest snapshot lacks an extent in every store", () => {
  it("is restored from the one before, and says so", async () => {
    for (const [what, value] of [
      ["--to", "latest"],
      ["--from", "newest"],
    ] as const) {
      const into = join(folder, `restored-${++reads}`, "data");
      const args = ["--json", "--readers", "0", what, value, "--into", into];
      const result = await cluster.cli("restore", ...args);
      expect(result.code, result.stdout + result.stderr).toBe(0);
      const { restored } = documentIn(result.stdout) as { restored: { lsn: string } };
      expect(restored).toMatchObject({
        snapshot: older,
        passedOver: [
          { snapshot: "newest", reason: expect.stringMatching(/^extents\/.* is missing in /) },
        ],
      });
      expect(parseLsn(restored.lsn)).toBeGreaterThan(0n);
      const copy = await TestCluster.create({ dataDir: into, readers: 0 });
      try {
        const { rows: found } = await copy.query("SELECT count(*)::int AS n FROM kept");
        expect(found[0].n).toBe(what === "--to" ? rows : rows - 10);
      } finally {
        await copy.destroy();
      }
    }
    const into = join(folder, `restored-${++reads}`, "data");
    const told = await cluster.cli("restore", "--to", "latest", "--into", into);
    expect(told.stdout).toMatch(/snapshot newest could not be used: extents\/.* is missing in /);
    expect(told.stdout).toContain(`${older} was, with the log behind it: nothing is missing`);
  });

  it("starts again without any cache", async () => {
    await killAll();
    rmSync(join(cluster.dataDir, "instances"), { recursive: true });
    await cluster.up();
    await expectEveryRow(cluster);
    const told = hydrations().slice(-2);
    expect(told).toMatchObject([
      { event: "snapshot.skipped", snapshot: "newest" },
      { event: "cache.hydrated", snapshot: older },
    ]);
    // Who met it has told the keeper: no scrub has come by.
    await until("status says what is lost", async () => {
      const { damage } = (await cluster.status()).volume;
      return /^no store has a good copy of extents\/\S+: snapshot newest is hurt$/.test(
        damage ?? "",
      );
    });
    await write(10);
  });

  it.skipIf(!mayMount())("says that the disk is full, and goes on when it is not", async () => {
    await killAll();
    const caches = join(cluster.dataDir, "instances");
    const cache = join(caches, "instance-1");
    rmSync(caches, { recursive: true });
    mkdirSync(cache, { recursive: true, mode: 0o711 });
    chmodSync(caches, 0o711);
    const mebibyte = 1024 ** 2;
    mountMemory(cache, 12 * mebibyte);
    try {
      const started = cluster.up();
      started.catch(() => undefined);
      await until("status says why it does not start", async () => {
        const { instances } = (await cluster.status()) as { instances: { problem?: string }[] };
        return /ENOSPC: no space left on device/.test(instances[0]?.problem ?? "");
      });
      resizeMemory(cache, 1024 * mebibyte);
      await started;
      await expectEveryRow(cluster);
      await killAll();
    } finally {
      unmount(cache);
    }
    await cluster.up();
  });

  it("comes back when everything else is lost, and says so", async () => {
    await untilArchived(cluster);
    await killAll();
    for (const name of readdirSync(cluster.dataDir))
      if (!["objects", "keys"].includes(name))
        rmSync(join(cluster.dataDir, name), { recursive: true });
    await cluster.up();
    expect(cluster.output).toMatch(/snapshot newest could not be used: extents\/.* is missing in /);
    expect(cluster.output).toContain("nothing is missing");
    await expectEveryRow(cluster);
  });
});
