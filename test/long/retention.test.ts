/** Log that nobody needs goes, on every node, and nothing that is needed goes with it. */
import { existsSync, readdirSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findLsn } from "../../src/base/lsn.ts";
import { isAlive, TestCluster, until } from "../helpers/cluster.ts";
import { askControl, statusNow } from "../helpers/control.ts";

let cluster: TestCluster;
let rows = 0;
beforeAll(async () => {
  // Small files, so that whole ones go soon.
  cluster = await TestCluster.create({
    readers: 1,
    args: ["--set", "storage.segmentBytes=2097152", "--set", "retention.days=0"],
  });
  await cluster.query("CREATE TABLE kept (n int)");
});
afterAll(() => cluster.destroy());

/** Fills `count` segments of 16 MB, and lets the reader forget them: both would begin after them. */
async function writeSegments(count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await cluster.query(`INSERT INTO kept VALUES (${++rows})`);
    await cluster.query("SELECT pg_switch_wal()");
  }
  await cluster.query(`INSERT INTO kept VALUES (${++rows}); CHECKPOINT`);
  await untilReaderHasAll();
  await cluster.query("CHECKPOINT", "instance-2");
}

async function untilReaderHasAll(): Promise<void> {
  await until("the reader shows every row", async () => {
    const result = await cluster.query("SELECT count(*)::int AS n FROM kept", "instance-2");
    return result.rows[0].n === rows;
  });
}

/** All that is written so far is in a snapshot, and none from before is kept. */
async function takeSnapshot(): Promise<void> {
  await askControl(cluster, "snapshotCreate", { id: null, kind: "automatic" }, 60_000);
}

async function bases(): Promise<bigint[]> {
  const { storage } = await statusNow(cluster);
  return storage.map((row) => findLsn(row.base ?? "") ?? 0n);
}

function logFiles(node: string): string[] {
  return readdirSync(`${cluster.dataDir}/storage/${node}/log`).toSorted();
}

/** Every file below a folder of the cluster's that is on the disk now. */
function filesIn(folder: string): string[] {
  const dir = join(cluster.dataDir, folder);
  if (!existsSync(dir)) return [];
  return readdirSync(dir, { withFileTypes: true, recursive: true }).flatMap((entry) =>
    entry.isFile() ? [join(entry.parentPath, entry.name)] : [],
  );
}

function bytesIn(folder: string): number {
  return filesIn(folder).reduce(
    (sum, path) => sum + (statSync(path, { throwIfNoEntry: false })?.size ?? 0),
    0,
  );
}

describe("log before the low-water", () => {
  it("stays while the genesis image needs it", async () => {
    await writeSegments(1);
    const [first = 0n, ...others] = await bases();
    expect(others.every((base) => base === first)).toBe(true);
    expect(first % (16n << 20n)).toBe(0n);
  });

  it("goes in whole files on every node, once nobody needs it", async () => {
    const before = await bases();
    const files = new Map(
      ["az1-full", "az2-tail", "az3-full"].map((name) => [name, logFiles(name)[0] ?? ""]),
    );
    await writeSegments(3);
    await takeSnapshot();
    await until("every node's log begins later", async () => {
      const now = await bases();
      return now.every((base, i) => base >= (before[i] ?? 0n) + 2n * (16n << 20n));
    });
    for (const [node, file] of files)
      await until(`${node} has dropped its first file`, () => !logFiles(node).includes(file));
  });

  it("is missed by no reader that starts anew, and by no node that is made anew", async () => {
    const agent = (await cluster.pids()).get("instance-2") ?? 0;
    process.kill(agent, "SIGKILL");
    await until("it is dead", () => !isAlive(agent));
    await cluster.query(`INSERT INTO kept VALUES (${++rows})`);
    await untilReaderHasAll();
    const { code } = await cluster.cli("storage", "replace", "az1-tail");
    expect(code).toBe(0);
    await until("every node's log begins at the same place", async () => {
      const [first, ...others] = await bases();
      return others.every((base) => base === first);
    });
  });

  it("stays while a node that is away lacks it", async () => {
    await cluster.cli("storage", "stop", "az3-tail");
    const [before = 0n] = await bases();
    await writeSegments(2);
    await takeSnapshot();
    // Whatever is decided meanwhile is decided without it.
    for (let i = 0; i < 30; i++) expect((await bases())[0]).toBe(before);
    await cluster.cli("storage", "start", "az3-tail");
    await until("it has caught up, and the log goes everywhere", async () => {
      return (await bases()).every((base) => base > before);
    });
  });

  it("is needed by no start after everything was killed at once", async () => {
    const pids = [...(await cluster.pids()).values(), cluster.supervisorPid];
    for (const pid of pids) process.kill(pid, "SIGKILL");
    await until("nothing of it runs", () => cluster.processesLeft().length === 0, 10_000);
    await cluster.up();
    await cluster.query(`INSERT INTO kept VALUES (${++rows})`);
    await untilReaderHasAll();
  });
});

describe("a table that is dropped", () => {
  const mebibyte = 1024 * 1024;
  const copies = ["storage/az1-full/objects", "storage/az2-full/objects", "objects"];

  it("makes the volume grow by itself, and gives its bytes back after the retention window", async () => {
    // Random, so that what is stored of it is as big as it is.
    await cluster.query(
      `CREATE TABLE big AS SELECT decode(md5(n::text) || md5((n * 7)::text) || md5((-n)::text) || md5(n || 'x'), 'hex') AS v
         FROM generate_series(1, 500000) n`,
    );
    rows++;
    await cluster.query(`INSERT INTO kept VALUES (${rows})`);
    await takeSnapshot();
    await until("status shows it in the extents", async () => {
      return ((await statusNow(cluster)).volume.extentBytes ?? 0) > 25 * mebibyte;
    });
    const full = (await statusNow(cluster)).volume;
    expect(full.bytes).toBe(full.logBytes + (full.extentBytes ?? 0));
    expect(full.sharedBytes).toBe(0);
    const before = copies.map(bytesIn);
    await cluster.query("DROP TABLE big");
    await writeSegments(2);
    await takeSnapshot();
    // The hour that an extent is left alone in, for keepers that nobody knows of, is over.
    for (const path of copies.flatMap(filesIn))
      if (path.includes("/extents/")) utimesSync(path, 1, 1);
    // Deleting one by hand is followed by a collection at once; automatic ones wait for the next.
    await askControl(cluster, "snapshotCreate", { id: "last" }, 60_000);
    await askControl(cluster, "snapshotDelete", { id: "last" }, 60_000);
    await until("its extents are gone from the figures", async () => {
      const { extentBytes } = (await statusNow(cluster)).volume;
      return (extentBytes ?? Infinity) < (full.extentBytes ?? 0) - 25 * mebibyte;
    });
    for (const [at, folder] of copies.entries())
      await until(
        `${folder} is smaller`,
        () => bytesIn(folder) < (before[at] ?? 0) - 25 * mebibyte,
      );
    await until("its log is gone from the figures", async () => {
      return (await statusNow(cluster)).volume.logBytes < full.logBytes;
    });
  });
});
