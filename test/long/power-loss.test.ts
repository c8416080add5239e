/**
 * A loss of power, as far as files can show it: another boot, caches whose files are of different ages (they run with
 * fsync off), small files that were never synced, and pids that belong to others by now.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { commandLine, isAlive, TestCluster, until } from "../helpers/cluster.ts";

const instances = ["instance-1", "instance-2"] as const;
type Instance = (typeof instances)[number];

let cluster: TestCluster;
let rows = 0;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1 });
  await cluster.query("CREATE TABLE kept (n int) WITH (autovacuum_enabled = off)");
});
afterAll(() => cluster.destroy());

function cacheFile(instance: Instance, path: string): string {
  return join(cluster.dataDir, "instances", instance, "data", path);
}

async function writeRows(count: number): Promise<void> {
  await cluster.query(`INSERT INTO kept SELECT generate_series(${rows + 1}, ${rows + count})`);
  rows += count;
}

/** Every row is on that instance. */
async function expectEveryRow(): Promise<void> {
  for (const endpoint of ["writer", ...instances] as const) {
    await until(`${endpoint} has every row`, async () => {
      const sql = "SELECT count(*)::int AS n, sum(n)::bigint AS sum FROM kept";
      const [found] = (await cluster.query(sql, endpoint)).rows;
      return found.n === rows && Number(found.sum) === (rows * (rows + 1)) / 2;
    });
  }
}

/** All that is in memory goes to the files, so that a start replays nothing before this. */
async function checkpointBoth(): Promise<void> {
  await cluster.query("CHECKPOINT");
  await expectEveryRow();
  const flushed = "SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS yes";
  const { rows: lsn } = await cluster.query("SELECT pg_current_wal_flush_lsn()::text AS lsn");
  await until("the reader has replayed the checkpoint", async () => {
    const client = await cluster.client("instance-2");
    const found = await client.query(flushed, [lsn[0].lsn]);
    await client.end();
    return found.rows[0].yes as boolean;
  });
  await cluster.query("CHECKPOINT", "instance-2");
}

/** The table's file, of each cache: the rows are in it, or its past if it never reached the disk. */
async function tableFile(): Promise<string> {
  const { rows: found } = await cluster.query("SELECT pg_relation_filepath('kept') AS path");
  return found[0].path as string;
}

/** Gone if the cache is built again. */
function markCaches(): void {
  for (const one of instances) writeFileSync(cacheFile(one, "mark-of-the-test"), "");
}

function keptCaches(): Instance[] {
  return instances.filter((one) => existsSync(cacheFile(one, "mark-of-the-test")));
}

function changeStamps(change: Record<string, unknown>): void {
  for (const one of instances) {
    const path = join(cluster.dataDir, "instances", one, "borealis-cache.json");
    const stamp = JSON.parse(readFileSync(path, "utf8")) as object;
    writeFileSync(path, JSON.stringify({ ...stamp, ...change }));
  }
}

async function killAll(): Promise<void> {
  const pids = [...(await cluster.pids()).values(), cluster.supervisorPid];
  for (const pid of pids) process.kill(pid, "SIGKILL");
  await until(
    "nothing of it runs",
    () => {
      const left = cluster.processesLeft();
      if (left.length > 0)
        throw new Error(left.map((pid) => `${pid} ${commandLine(pid)}`).join("\n"));
      return true;
    },
    30_000,
  );
}

describe("after the machine has restarted", () => {
  it("a cache that was in use is built again, however healthy it looks", async () => {
    await writeRows(20_000);
    await checkpointBoth();
    const table = await tableFile();
    const past = instances.map((one) => readFileSync(cacheFile(one, table)));
    await writeRows(20_000);
    await checkpointBoth();
    markCaches();
    await killAll();
    // What was written to it since then never reached the disk. Its pages are whole, and of the wrong time.
    for (const [index, one] of instances.entries())
      writeFileSync(cacheFile(one, table), past[index] ?? "");
    changeStamps({ bootId: "another" });
    await cluster.up();
    await expectEveryRow();
    expect(keptCaches()).toEqual([]);
  });

  it("a cache that was stopped in order, but not synced, is built again", async () => {
    await writeRows(10);
    await checkpointBoth();
    const table = await tableFile();
    markCaches();
    expect(await cluster.down()).toBe(0);
    for (const one of instances) writeFileSync(cacheFile(one, table), Buffer.alloc(81_920, "x"));
    changeStamps({ bootId: "another", isClean: false });
    await cluster.up();
    await expectEveryRow();
    expect(keptCaches()).toEqual([]);
  });

  it("a cache that was stopped in order and synced goes on, once", async () => {
    markCaches();
    expect(await cluster.down()).toBe(0);
    changeStamps({ bootId: "another" });
    await cluster.up();
    await writeRows(10);
    await expectEveryRow();
    expect(keptCaches()).toEqual([...instances]);
    // It is in use now: another loss of power is another matter.
    await killAll();
    changeStamps({ bootId: "one more" });
    await cluster.up();
    await expectEveryRow();
    expect(keptCaches()).toEqual([]);
  });

  it("caches of a start that was cut short under this boot go on", async () => {
    markCaches();
    await writeRows(10);
    await killAll();
    await cluster.up();
    await expectEveryRow();
    expect(keptCaches()).toEqual([...instances]);
  });
});

describe("what lay in control/ when the power went", () => {
  let stranger: ChildProcess;
  beforeAll(() => {
    stranger = spawn(process.execPath, ["-e", "setInterval(() => 0, 1000)", "borealis"]);
  });
  afterAll(() => stranger.kill("SIGKILL"));

  it("a process that has the pid of one of ours of then is left alone, and stops no start", async () => {
    await killAll();
    const { pid = 0 } = stranger;
    const control = (name: string): string => join(cluster.dataDir, "control", name);
    writeFileSync(control("lock"), `${pid}\nanother\n`);
    writeFileSync(control("runtime.json"), JSON.stringify({ pids: [pid], bootId: "another" }));
    await cluster.up();
    expect(isAlive(pid)).toBe(true);
    await expectEveryRow();
  });

  it("small files that were never synced are made again", async () => {
    await killAll();
    const control = (name: string): string => join(cluster.dataDir, "control", name);
    for (const name of ["lock", "runtime.json", "address.json"]) writeFileSync(control(name), "");
    for (const one of instances)
      rmSync(join(cluster.dataDir, "instances", one, "borealis-epoch.json"), { force: true });
    await cluster.up();
    await expectEveryRow();
  });
});
