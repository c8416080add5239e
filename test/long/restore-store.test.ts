/** Restores from an object store alone, and a cluster that lost everything but that and its keys. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type VolumeId, volumeId } from "../../src/base/ids.ts";
import { advance, lsnMin } from "../../src/base/lsn.ts";
import type { ClusterState, Layout } from "../../src/cluster/index.ts";
import { snapshotOfDirectory } from "../../src/engine/index.ts";
import { resolveSettings } from "../../src/main/config.ts";
import { readState, resolveLayout } from "../../src/main/data-dir.ts";
import { openClusterSource, type RestoreSource } from "../../src/main/restore-source.ts";
import { epochAt } from "../../src/quorum/index.ts";
import {
  genesisSnapshotId,
  publishSnapshot,
  putArchivedLog,
  snapshotIds,
  writeVolumeRecord,
} from "../../src/volume/index.ts";
import { untilArchived } from "../helpers/archive.ts";
import { makeFolder, runCli, startScript, TestCluster, until } from "../helpers/cluster.ts";
import { documentIn } from "../helpers/json.ts";

const folder = makeFolder();
const { signal } = new AbortController();
let places = 0;
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function place(): string {
  return join(folder, `restored-${++places}`, "data");
}

/** By hand, so that a test knows to the byte what is in the archive, and what came later. */
const byHand = ["--set", "archive.enabled=off"];

/** Snapshot 0, unless the cluster has put it itself. */
async function putGenesis(cluster: TestCluster): Promise<void> {
  await withSource(cluster, async ({ source, layout, volume }) => {
    const { sealer, replicas, stores } = source;
    // Nodes come first.
    const store = stores.at(-1);
    if (!store || (await snapshotIds(store)).includes(genesisSnapshotId)) return;
    const manifest = await snapshotOfDirectory({
      dir: layout.genesisDir,
      replicas,
      sealer,
      volumeId: volume,
      history: [],
      signal,
    });
    await publishSnapshot({ manifest, sealer, stores: [store], isSafe: () => true, signal });
  });
}

async function withSource<T>(
  cluster: TestCluster,
  work: (facts: {
    source: RestoreSource;
    layout: Layout;
    state: ClusterState;
    volume: VolumeId;
  }) => Promise<T>,
): Promise<T> {
  const layout = resolveLayout(cluster.dataDir);
  const state = readState(layout);
  if (!state) throw new Error("there is no cluster");
  const settings = resolveSettings({ file: layout.configFile, env: {}, flags: [] });
  const source = await openClusterSource({ layout, state, settings });
  try {
    return await work({ source, layout, state, volume: volumeId(state.volumeId) });
  } finally {
    await source.close();
  }
}

/** Puts all that a restore needs into the cluster's object store, as far as the log is durable now. */
async function archive(cluster: TestCluster): Promise<{ volume: string; url: string }> {
  await putGenesis(cluster);
  return withSource(cluster, async ({ source, layout, state, volume }) => {
    const { sealer, log, stores } = source;
    // Nodes come first.
    const store = stores.at(-1);
    if (!store) throw new Error("no store");
    for (let at = log.from; at < log.to;) {
      const next = log.path.find(({ start }) => start > at)?.start ?? log.to;
      const end = lsnMin(lsnMin(next, log.to), advance(at, 300_000));
      const bytes = await log.read(at, end);
      const range = { epoch: epochAt(log.path, at), from: at, to: advance(at, bytes.length) };
      await putArchivedLog(store, sealer, range, bytes);
      at = range.to;
    }
    await writeVolumeRecord(store, {
      volumeId: volume,
      clusterId: state.clusterId,
      createdAt: state.createdAt,
      writtenAt: new Date().toISOString(),
      engineVersion: state.engineVersion,
      postgresMajor: Number.parseInt(state.engineVersion, 10),
      systemIdentifier: state.systemIdentifier,
      genesisLsn: log.from,
      masterUser: state.masterUser,
      isSuperuser: state.isSuperuser,
      encryption: state.encryption,
      keyRing: ringOf(layout.keyRingFile),
      members: [],
      instances: state.instances.length,
      history: log.path,
      left: [],
      futures: [],
    });
    return { volume, url: pathToFileURL(join(cluster.dataDir, "objects")).href };
  });
}

function ringOf(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
}

async function rowsOf(cluster: TestCluster): Promise<number> {
  return (await cluster.query("select count(*)::int as n from history")).rows[0].n;
}

describe("an object store alone", () => {
  let source: TestCluster;
  let volume = "";
  let url = "";
  let keys = "";
  let middle = "";

  beforeAll(async () => {
    source = await TestCluster.create({ readers: 0, args: byHand });
    await source.query("create table history as select 1 as i");
    const { rows } = await source.query("select clock_timestamp()::text as t");
    middle = rows[0].t;
    await source.query("insert into history values (2), (3)");
    ({ volume, url } = await archive(source));
    keys = join(source.dataDir, "keys/master.json");
    await source.query("insert into history values (4)");
  });
  afterAll(() => source?.destroy());

  const restore = (...args: string[]) => runCli(["restore", "--json", "--readers", "0", ...args]);
  const ofStore = (): string[] => ["--store", url, "--volume", volume, "--keys", keys];

  it("is enough to restore to its end, and to moments before", async () => {
    for (const [to, rows] of [
      ["latest", 3],
      [middle, 1],
    ] as const) {
      const into = place();
      const result = await restore(...ofStore(), "--to", to, "--into", into);
      expect(result.code, result.stdout + result.stderr).toBe(0);
      const cluster = await TestCluster.create({ dataDir: into, readers: 0 });
      try {
        expect(await rowsOf(cluster)).toBe(rows);
      } finally {
        await cluster.destroy();
      }
    }
  });

  it("says what is missing, and which window it has", async () => {
    const strange = join(folder, "strange.json");
    writeFileSync(strange, "{}");
    const cases: [string[], RegExp][] = [
      [["--store", url], /--store and --volume go together/],
      [["--store", url, "--volume", "x"], /is no volume's id/],
      [
        ["--store", url, "--volume", "11111111-2222-3333-4444-555555555555"],
        /there is no volume 1{8}-.* \(no volume\.json\)/,
      ],
      [["--store", "ftp://x", "--volume", volume], /is no object store that can be used here/],
      [["--store", url, "--volume", volume, "--keys", join(folder, "none")], /it is missing/],
      [["--store", url, "--volume", volume, "--keys", strange], /strange\.json/],
    ];
    for (const [args, message] of cases) {
      const into = place();
      const result = await restore(...args, "--to", "latest", "--into", into);
      expect(result.code).toBeGreaterThan(0);
      expect(documentIn(result.stdout)).toMatchObject({
        error: { message: expect.stringMatching(message) },
      });
      expect(existsSync(into)).toBe(false);
    }
    const late = await restore(...ofStore(), "--to", "-0s", "--into", place());
    expect(late.stdout).toMatch(/is outside of what can be restored: .*Z to .*Z/);
  });

  it("serves a cluster that does not run, which says so", async () => {
    await source.down();
    try {
      const into = place();
      const result = await source.cli("restore", "--to", "latest", "--into", into);
      expect(result.code, result.stderr).toBe(0);
      expect(result.stdout).toMatch(
        /does not run: its object store has it up to\n0\/[0-9A-F]+, 20/,
      );
    } finally {
      await source.up();
    }
  });
});

describe("a cluster that lost everything but its object store and its keys", () => {
  it("comes back up to the end of the archive, and says so", async () => {
    const cluster = await TestCluster.create({ readers: 1, args: byHand });
    await cluster.query("create table history as select 1 as i");
    const { volume } = await archive(cluster);
    await cluster.query("insert into history values (2)");
    process.kill(cluster.supervisorPid, "SIGKILL");
    await until("all is gone", () => cluster.processesLeft().length === 0, 20_000);
    const { dataDir } = cluster;
    const remove = (keep: readonly string[]): void => {
      for (const name of readdirSync(dataDir))
        if (!keep.includes(name)) rmSync(join(dataDir, name), { recursive: true });
    };
    // What storage nodes have is more than what the archive has.
    remove(["storage", "objects", "keys"]);
    const refused = await runCli(["up", "--data-dir", dataDir, "--port", String(cluster.port)]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/control is gone, but storage nodes are left \(az1-full, /);
    remove(["objects", "keys"]);
    rmSync(join(dataDir, "objects/genesis"), { recursive: true, force: true });
    const hidden = join(folder, "keys-elsewhere");
    renameSync(join(dataDir, "keys/master.json"), hidden);
    const keyless = await runCli(["up", "--data-dir", dataDir, "--port", String(cluster.port)]);
    expect(keyless.stderr).toMatch(/master\.json .*it is missing/);
    renameSync(hidden, join(dataDir, "keys/master.json"));

    // Killed in the middle of it, it is done again.
    for (const step of ["unpacking snapshot", "putting it on the disk"]) {
      const args = ["up", "--json", "--data-dir", dataDir, "--port", String(cluster.port)];
      const child = spawn(process.execPath, [startScript, ...args], {
        stdio: ["ignore", "ignore", "pipe"],
      });
      child.stderr.on("data", (chunk) => {
        if (String(chunk).includes(`"step":"${step}`)) child.kill("SIGKILL");
      });
      await once(child, "exit");
      expect(child.signalCode).toBe("SIGKILL");
    }
    await cluster.up();
    expect(cluster.output).toMatch(/is gone but for its keys and its object store/);
    expect(cluster.output).toContain(`Bringing volume ${volume} back`);
    expect(cluster.output).toMatch(/Back up to 0\/[0-9A-F]+, last commit at 20.*Z/);
    expect(cluster.output).toMatch(/had not reached the object store and is lost/);
    expect(await rowsOf(cluster)).toBe(1);
    await cluster.query("insert into history values (3)");
    // From here on it is a volume like any other.
    await cluster.down();
    await cluster.up();
    expect(cluster.output).not.toMatch(/is gone/);
    expect(await rowsOf(cluster)).toBe(2);
    expect(readdirSync(join(dataDir, "objects"))).toContain(volume);
    await cluster.destroy();
  });

  it("has every row back that its own archive had reached", async () => {
    const cluster = await TestCluster.create({ readers: 0 });
    await cluster.query("create table history as select i from generate_series(1, 100000) i");
    await putGenesis(cluster);
    await untilArchived(cluster);
    process.kill(cluster.supervisorPid, "SIGKILL");
    await until("all is gone", () => cluster.processesLeft().length === 0, 20_000);
    const { dataDir } = cluster;
    for (const name of readdirSync(dataDir))
      if (name !== "objects" && name !== "keys") rmSync(join(dataDir, name), { recursive: true });
    rmSync(join(dataDir, "objects/genesis"), { recursive: true, force: true });
    await cluster.up();
    expect(await rowsOf(cluster)).toBe(100_000);
    // It archives under its own name now, and what was lost can be restored as before.
    await cluster.query("insert into history values (0)");
    await putGenesis(cluster);
    await untilArchived(cluster);
    const into = place();
    const result = await cluster.cli("restore", "--to", "latest", "--into", into, "--readers", "0");
    expect(result.code, result.stderr).toBe(0);
    await cluster.destroy();
  });
});
