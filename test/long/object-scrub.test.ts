/**
 * A flipped byte anywhere in the objects that a full node and the object store keep is found and healed by a scrub: a hundred
 * places in each kind of object, in each of the two. What is rotten everywhere is told, with the snapshot that it hurts.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Rng, seededRng } from "../../src/base/rng.ts";
import { connectRpc } from "../../src/io/index.ts";
import { type StoreScrub, storeScrubsSchema } from "../../src/keeper/index.ts";
import {
  extentObject,
  ExtentSealer,
  findLogRange,
  FolderStore,
  onlyStore,
  openArchivedLog,
  readSnapshot,
  readVolumeRecord,
  snapshotIds,
  snapshotObject,
} from "../../src/volume/index.ts";
import { untilArchived } from "../helpers/archive.ts";
import { TestCluster, until } from "../helpers/cluster.ts";
import { askControl } from "../helpers/control.ts";
import { openSealer } from "../helpers/volume-sealer.ts";

const placesOfKind = 100;
const snapshots = ["first", "genesis", "second", "third"];

interface Row {
  readonly node: string;
  readonly healed: number;
  readonly unhealed: number;
  readonly problem: string | null;
  readonly objects: { readonly checked: number; readonly healed: number } | null;
}

/** Every object in a folder of objects: its path, by its name. */
function objectsIn(folder: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const kind of ["extents", "snapshots"])
    for (const name of readdirSync(join(folder, kind), { recursive: true, encoding: "utf8" }))
      if (/[0-9a-f]{64}$|\.manifest$/.test(name))
        found.set(`${kind}/${name}`, join(folder, kind, name));
  return found;
}

function pictureOf(folder: string): Map<string, string> {
  const paths = [...objectsIn(folder)].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return new Map(paths.map(([name, path]) => [name, readFileSync(path).toString("base64")]));
}

function flip(path: string, rng: Rng): void {
  const bytes = readFileSync(path);
  const at = rng.below(bytes.length);
  bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << rng.below(8)), at);
  writeFileSync(path, bytes);
}

/** So many of these, none twice. */
function draw(names: readonly string[], count: number, rng: Rng): string[] {
  const left = [...names];
  return Array.from({ length: Math.min(count, left.length) }, () => {
    const [name = ""] = left.splice(rng.below(left.length), 1);
    return name;
  });
}

describe.each([
  ["encrypted", "on"],
  ["plain", "off"],
])("objects of a volume that is %s", (_, encryption) => {
  let cluster: TestCluster;
  let sealer: ExtentSealer;
  let store: string;
  let keeperSocket: string;
  const folderOf = (node: string): string => `${cluster.dataDir}/storage/${node}/objects`;
  const folders = (): string[] => [...["az1-full", "az2-full", "az3-full"].map(folderOf), store];

  beforeAll(async () => {
    cluster = await TestCluster.create({
      readers: 0,
      firstArgs: ["--set", `storage.encryption=${encryption}`],
    });
    const opened = await openSealer(cluster);
    ({ sealer } = opened);
    const { layout, state } = opened;
    keeperSocket = layout.keeperSocket;
    store = `${cluster.dataDir}/objects/${state.volumeId}`;
    for (const id of snapshots.filter((one) => one !== "genesis")) {
      await cluster.query(
        `CREATE TABLE "${id}" AS SELECT n, md5(n::text || '${id}') AS text FROM generate_series(1, 20000) n`,
      );
      await askControl(cluster, "snapshotCreate", { id }, 120_000);
    }
    await until("every store has the same", () => {
      const [one, ...others] = folders().map((folder) => [...objectsIn(folder).keys()].toSorted());
      return others.every((names) => names.join() === one?.join());
    });
    expect(await snapshotIds(new FolderStore(store))).toEqual(snapshots);
  });
  afterAll(() => cluster.destroy());

  const keeperLog = (): string => readFileSync(`${cluster.dataDir}/log/keeper.log`, "utf8");
  const damage = async (): Promise<string | null> => (await cluster.status()).volume.damage;

  /**
   * How many objects were healed in each store. By the log, since the scrub in the background, which begins a minute after the
   * keeper, may come first.
   */
  function healedSince(mark: number): Record<string, number> {
    const counts: Record<string, number> = {};
    const events = keeperLog()
      .slice(mark)
      .matchAll(/"event":"object.healed","store":"([^"]*)"/g);
    for (const [, label = ""] of events) {
      const where = label.startsWith("the folder") ? "objects" : label;
      counts[where] = (counts[where] ?? 0) + 1;
    }
    return counts;
  }

  /** Of a node's objects and the object store's, without its log. */
  async function scrubObjects(node: string): Promise<StoreScrub[]> {
    const { storage } = await cluster.status();
    const nodeIds = storage.filter(({ id }) => id === node).map(({ nodeId }) => nodeId);
    const keeper = await connectRpc({ kind: "unix", path: keeperSocket }, { timeoutMs: 1_000 });
    try {
      const asked = { nodeIds, objectStore: true };
      return storeScrubsSchema.parse(await keeper.call("scrub", asked, { timeoutMs: 120_000 }));
    } finally {
      keeper.close();
    }
  }

  async function extentsOf(id: string): Promise<string[]> {
    const { extents } = await readSnapshot(onlyStore(new FolderStore(store)), id, sealer);
    return [...extents.keys()];
  }

  /** Extents that none of the first two snapshots has. */
  async function ownOf(id: string): Promise<string[]> {
    const older = new Set([...(await extentsOf("first")), ...(await extentsOf("second"))]);
    return (await extentsOf(id)).filter((extent) => !older.has(extent));
  }

  /** It is started again. */
  async function killKeeper(): Promise<void> {
    const pidNow = async (): Promise<number | undefined> => (await cluster.pids()).get("keeper");
    const before = await until("there is a keeper", pidNow);
    process.kill(before, "SIGKILL");
    await until("there is another one", async () => ![undefined, before].includes(await pidNow()));
  }

  async function scrub(...ids: string[]): Promise<Row[]> {
    return (await askControl(cluster, "scrub", { ids, objectStore: true }, 120_000)) as Row[];
  }

  it("that rot are found and healed, each flipped bit of them, and counted", async () => {
    const rng = seededRng(encryption.length);
    const places = [folderOf("az2-full"), store];
    const before = places.map(pictureOf);
    const names = [...objectsIn(store).keys()];
    const manifests = names.filter((name) => name.startsWith("snapshots/"));
    const extents = names.filter((name) => name.startsWith("extents/"));
    expect([manifests.length, extents.length > 20]).toEqual([snapshots.length, true]);
    const rounds = placesOfKind / manifests.length;
    for (let round = 0; round < rounds; round++) {
      const mark = keeperLog().length;
      const drawn = places.map((folder) => {
        const mine = [...manifests, ...draw(extents, placesOfKind / rounds, rng)];
        for (const name of mine) flip(join(folder, name), rng);
        return mine.length;
      });
      const found = await scrubObjects("az2-full");
      const what = JSON.stringify(found);
      expect(found[0]?.checked, what).toBe(names.length);
      // With archived log, and volume.json.
      expect(found[1]?.checked, what).toBeGreaterThan(names.length + 1);
      expect(
        found.map(({ unhealed, problem }) => [unhealed, problem]),
        what,
      ).toEqual(Array(2).fill([0, null]));
      expect(healedSince(mark), what).toEqual({ "az2-full": drawn[0], objects: drawn[1] });
      expect(places.map(pictureOf)).toEqual(before);
    }
  }, 300_000);

  it("of archived log, and volume.json, are made again from what storage nodes have", async () => {
    await untilArchived(cluster);
    const rng = seededRng(9);
    const opened = async (name: string): Promise<string> => {
      const range = findLogRange(name);
      const plain = range && (await openArchivedLog(new FolderStore(store), sealer, range));
      return plain?.toString("base64") ?? "";
    };
    const logs = (): string[] =>
      readdirSync(join(store, "log"), { recursive: true, encoding: "utf8" })
        .map((name) => `log/${name}`)
        .filter((name) => findLogRange(name));
    for (let round = 0; round < 10; round++) {
      const mark = keeperLog().length;
      // The archive goes on meanwhile, and merges small ones.
      const before = new Map<string, string>();
      for (const name of logs()) before.set(name, await opened(name));
      for (const name of before.keys())
        if (existsSync(join(store, name))) flip(join(store, name), rng);
      flip(join(store, "volume.json"), rng);
      const [row] = (await askControl(
        cluster,
        "scrub",
        { ids: [], objectStore: true },
        120_000,
      )) as Row[];
      expect(row, JSON.stringify(row)).toMatchObject({ unhealed: 0, problem: null });
      expect(await readVolumeRecord(new FolderStore(store))).toBeDefined();
      for (const [name, plain] of before) {
        const now = await opened(name);
        if (existsSync(join(store, name))) expect(now).toBe(plain);
      }
      expect(keeperLog().slice(mark)).toMatch(/"event":"object.healed".*"name":"volume.json"/);
      expect(keeperLog().slice(mark)).toMatch(/"event":"object.healed".*"name":"log\//);
    }
  }, 300_000);

  it("that are gone or cut are put again, also where their folder is gone", async () => {
    const before = folders().map(pictureOf);
    const mark = keeperLog().length;
    const [first = "", ...others] = folders();
    const names = [...objectsIn(store).keys()].filter((name) => name.startsWith("extents/"));
    const shelf = names[0]?.split("/").slice(0, 2).join("/") ?? "";
    const inShelf = names.filter((name) => name.startsWith(`${shelf}/`)).length;
    rmSync(join(first, shelf), { recursive: true });
    for (const folder of others) writeFileSync(join(folder, names.at(-1) ?? ""), "");
    const { stdout, code, stderr } = await cluster.cli("storage", "scrub", "--json");
    expect(code, stderr).toBe(0);
    const rows = (JSON.parse(stdout) as Row[]).filter(({ objects }) => objects !== null);
    expect(rows.map(({ node }) => node)).toEqual([
      "az1-full",
      "az2-full",
      "az3-full",
      "object-store",
    ]);
    for (const { objects, healed } of rows)
      expect(healed).toBeGreaterThanOrEqual(objects?.healed ?? 99);
    const alone = { "az2-full": 1, "az3-full": 1, objects: 1 };
    expect(healedSince(mark)).toEqual({ "az1-full": inShelf, ...alone });
    expect(folders().map(pictureOf)).toEqual(before);
    expect(keeperLog()).toMatch(/"event":"objects.scrubbed","store":"az3-full"/);
  });

  it("that rot in every store are told, with the snapshot that is hurt, until it is deleted", async () => {
    const name = extentObject((await ownOf("third"))[0] ?? "");
    const before = folders().map(pictureOf);
    const rng = seededRng(7);
    for (const folder of folders()) flip(join(folder, name), rng);
    const rotten = folders().map(pictureOf);
    const scrubbed = await cluster.cli("storage", "scrub");
    expect(scrubbed.code).toBe(1);
    const told = `no store has a good copy of ${name}: snapshot third is hurt`;
    expect(scrubbed.stdout.split(told).length - 1, scrubbed.stdout).toBe(4);
    expect(scrubbed.stderr).toContain("az1-full, az2-full, az3-full, object-store: not everything");
    expect(folders().map(pictureOf)).toEqual(rotten);
    await until("status says so", async () => (await damage()) === told);
    expect((await cluster.cli("status")).stdout).toContain(`snapshots: ${told}`);
    expect(keeperLog()).toContain(`"event":"object.lost","name":"${name}","snapshots":["third"]`);
    // The good one comes back from somewhere: the other copies are healed by it.
    const mark = keeperLog().length;
    const good = Buffer.from(before[3]?.get(name) ?? "", "base64");
    writeFileSync(join(store, name), good);
    await scrub("az1-full", "az2-full", "az3-full");
    expect(healedSince(mark)).toEqual({ "az1-full": 1, "az2-full": 1, "az3-full": 1 });
    expect(folders().map(pictureOf)).toEqual(before);
    await until("status says so no more", async () => (await damage()) === null);
  });

  it("that are lost are not in the next snapshot: it stores everything anew", async () => {
    const rng = seededRng(8);
    const [lostId = ""] = await ownOf("third");
    const lost = extentObject(lostId);
    for (const folder of folders()) flip(join(folder, lost), rng);
    await scrub("az1-full");
    await killKeeper();
    // A keeper that has not looked yet knows as much.
    const hurt = `no store has a good copy of ${lost}: snapshot third is hurt`;
    await until("the next keeper says so, too", async () => (await damage()) === hurt);
    await askControl(cluster, "snapshotCreate", { id: "fourth" }, 120_000);
    const extents = await extentsOf("fourth");
    expect(extents.length).toBeGreaterThan(10);
    for (const extent of extents)
      for (const folder of folders())
        await sealer.openExtent(extent, readFileSync(join(folder, extentObject(extent))));
    expect(keeperLog()).toMatch(/"snapshot":"fourth".*"mode":"full"/);
    // If the cluster had it still, the third one is good again, and told so.
    const after = extents.includes(lostId) ? null : hurt;
    await until("status says what is hurt now", async () => (await damage()) === after);
    // A manifest that is good nowhere: that snapshot is lost, too, and both may be deleted.
    for (const folder of folders()) flip(join(folder, snapshotObject("second")), rng);
    await scrub("az2-full");
    await until("status names it", async () => /second/.test((await damage()) ?? ""));
    for (const id of ["second", "third"])
      await askControl(cluster, "snapshotDelete", { id }, 120_000);
    await until("they hurt nobody any more", async () => (await damage()) === null);
    const last = await scrub("az1-full", "az2-full", "az3-full");
    expect(last.map(({ unhealed, problem }) => [unhealed, problem])).toEqual(
      Array(4).fill([0, null]),
    );
  });
});
