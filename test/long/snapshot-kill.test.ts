/**
 * kill -9 of everything while a snapshot is taken, deleted, or while extents are collected; then `up`. No acknowledged row is
 * missing, a snapshot is whole in each store that shows it, none that was deleted comes back, and a collection leaves in each
 * store what its snapshots name.
 */
import { readdirSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectRpc } from "../../src/io/index.ts";
import { keeperReportSchema, snapshotRowsSchema } from "../../src/keeper/index.ts";
import {
  extentObject,
  extentPrefix,
  ExtentSealer,
  FolderStore,
  onlyStore,
  readSnapshot,
  snapshotIds,
} from "../../src/volume/index.ts";
import { TestCluster, until } from "../helpers/cluster.ts";
import { askControl } from "../helpers/control.ts";
import { killEverything } from "../helpers/kills.ts";
import { killsWanted, randomMoments } from "../helpers/thorough.ts";
import { Workload } from "../helpers/workload.ts";
import { openSealer } from "../helpers/volume-sealer.ts";

const killTimeoutMs = 300_000;
/** As old as the keeper's grace time and more: an extent that nobody names goes with the next collection. */
const oldSeconds = 3 * 3600;

let cluster: TestCluster;
let sealer: ExtentSealer;
let keeperSocket: string;
/** By name: of the three full nodes and the object store. */
let folders: ReadonlyMap<string, string>;
let workload: Workload;

beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1 });
  const opened = await openSealer(cluster);
  ({ sealer } = opened);
  const { layout, state } = opened;
  const { volumeId: volume, nodes } = state;
  keeperSocket = layout.keeperSocket;
  const full = nodes.filter(({ kind }) => kind === "full");
  folders = new Map([
    ["objects", `${layout.objectsDir}/${volume}`],
    ...full.map(({ id }): [string, string] => [id, `${layout.storageDir}/${id}/objects`]),
  ]);
  workload = new Workload(cluster, 2);
  await workload.start();
});
afterAll(async () => {
  await workload.stop();
  await cluster.destroy();
});

async function create(id: string): Promise<void> {
  await cluster.query(`DROP TABLE IF EXISTS filler`);
  await cluster.query(
    `CREATE TABLE filler AS SELECT md5(n::text || '${id}') FROM generate_series(1, 20000) n`,
  );
  await askControl(cluster, "snapshotCreate", { id }, 120_000);
}

function remove(id: string): Promise<unknown> {
  return askControl(cluster, "snapshotDelete", { id }, 120_000);
}

async function listed(): Promise<string[]> {
  const rows = await askControl(cluster, "snapshotList", {}, 60_000);
  return snapshotRowsSchema.parse(rows).map(({ id }) => id);
}

/** What was put before is not young any more. */
function age(): void {
  const seconds = Date.now() / 1000 - oldSeconds;
  for (const folder of folders.values()) {
    for (const shelf of readdirSync(join(folder, "extents"))) {
      const path = join(folder, "extents", shelf);
      for (const name of readdirSync(path)) utimesSync(join(path, name), seconds, seconds);
    }
  }
}

/** Each snapshot that a store shows is whole there. Gives the names of the extents that they name, by store. */
async function namedIn(folder: string): Promise<Set<string>> {
  const store = new FolderStore(folder);
  const named = new Set<string>();
  for (const id of await snapshotIds(store)) {
    const { extents } = await readSnapshot(onlyStore(store), id, sealer);
    for (const extent of extents.keys()) named.add(extentObject(extent));
  }
  expect((await store.has([...named])).size).toBe(named.size);
  return named;
}

async function extentsIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of new FolderStore(folder).list(extentPrefix)) found.push(name);
  return found;
}

/** The keeper knows of each full node that it has all snapshots, and does nothing. */
async function untilAllComplete(): Promise<void> {
  await until(
    "all full nodes have all snapshots",
    async () => {
      const keeper = await connectRpc({ kind: "unix", path: keeperSocket }, { timeoutMs: 1_000 });
      try {
        const { nodesComplete, job } = keeperReportSchema.parse(await keeper.call("report", {}));
        return nodesComplete.length === 3 && job === null;
      } finally {
        keeper.close();
      }
    },
    120_000,
  );
}

const phases = ["create", "delete", "collect"] as const;
type Phase = (typeof phases)[number];

/** Gives the snapshot whose fate nobody knows, or that is gone for sure. */
async function killedIn(phase: Phase, round: number, afterMs: number): Promise<void> {
  const id = `killed-${round}`;
  if (phase !== "create") await create(id);
  if (phase === "collect") age();
  const asked = phase === "create" ? create(id) : remove(id);
  if (phase === "collect") await asked;
  asked.catch(() => undefined);
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  await workload.stop();
  await killEverything(cluster);
  await asked.catch(() => undefined);
}

/** What was made before is collected, and nothing else. */
async function expectNothingLeft(round: number): Promise<void> {
  const id = `killed-${round}`;
  for (const folder of folders.values()) await namedIn(folder);
  await untilAllComplete();
  age();
  if ((await listed()).includes(id)) await remove(id);
  await remove(`kept-${round}`);
  for (const [name, folder] of folders) {
    const isCollected = async (): Promise<boolean> => {
      const named = await namedIn(folder);
      const there = await extentsIn(folder);
      return there.length === named.size && there.every((extent) => named.has(extent));
    };
    await until(`${name} has the extents that its snapshots name`, isCollected, 60_000);
    expect(await snapshotIds(new FolderStore(folder)), name).not.toContain(id);
  }
}

describe("kill -9 of everything", () => {
  const moments = randomMoments();
  const count = killsWanted(100) || phases.length;
  const rounds = Array.from({ length: count }, (_, round) => {
    const phase = phases[round % phases.length] ?? "create";
    return { round, phase, afterMs: moments.below(2_000) };
  });

  it.each(rounds)(
    "in round $round, $afterMs ms into $phase, loses and leaks nothing",
    async ({ round, phase, afterMs }) => {
      await create(`kept-${round}`);
      await killedIn(phase, round, afterMs);
      if (phase === "collect") expect(await listed()).not.toContain(`killed-${round}`);
      expect(await listed()).toContain(`kept-${round}`);
      workload = await workload.goOn();
      expect(await workload.missingOn("writer")).toEqual([]);
      await expectNothingLeft(round);
    },
    killTimeoutMs,
  );
});
