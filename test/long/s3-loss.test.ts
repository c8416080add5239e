/** A cluster in a bucket that loses everything but that and its keys: what its user does then, command by command. */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseLsn } from "../../src/base/lsn.ts";
import { openArchive, untilArchived, volumeOf } from "../helpers/archive.ts";
import { makeFolder, runCli, TestCluster, until } from "../helpers/cluster.ts";
import { bucket, rightKeys, S3Service } from "../helpers/s3-service.ts";
import { isThorough } from "../helpers/thorough.ts";

let service: S3Service;
let cluster: TestCluster;
let url = "";
/** Of the volume that is lost. */
let volume = "";
/** Rows that were acknowledged before each of these, and rows that were archived when everything was lost. */
const rows = { snapshot: 1_000, time: 1_500, lsn: 1_700, archived: 5_000 };
let time = "";
let lsn = "";

beforeAll(async () => {
  service = await S3Service.start();
  url = service.urlOf(`${bucket}/clusters`);
  cluster = await TestCluster.create({
    readers: 1,
    firstArgs: ["--object-store", url],
    env: rightKeys,
  });
});
afterAll(async () => {
  await cluster?.destroy();
  await service?.stop();
});

async function fillTo(count: number): Promise<void> {
  await cluster.query(
    `INSERT INTO history SELECT n, md5(n::text) FROM generate_series((SELECT count(*) + 1 FROM history), ${count}) n`,
  );
}

async function rowsOf(of: TestCluster): Promise<number> {
  const { rows: found } = await of.query(
    "SELECT count(*)::int AS n, count(*) FILTER (WHERE what = md5(n::text))::int AS good FROM history",
  );
  expect(found[0].good).toBe(found[0].n);
  return found[0].n;
}

async function one(sql: string): Promise<string> {
  return String((await cluster.query(sql)).rows[0].it);
}

const ofStore = (): string[] => {
  const keys = join(cluster.dataDir, "keys/master.json");
  return ["--store", url, "--volume", volume, "--keys", keys];
};

async function restored(...what: string[]): Promise<number> {
  const dataDir = join(makeFolder(), "data");
  const args = ["restore", ...ofStore(), ...what, "--into", dataDir, "--readers", "0"];
  const result = await runCli(args, rightKeys);
  expect(result.code, result.stderr).toBe(0);
  expect(result.stdout).toMatch(/restored into .*: the log up to 0\/[0-9A-F]+/);
  const copy = await TestCluster.create({ dataDir, readers: 0 });
  try {
    return await rowsOf(copy);
  } finally {
    await copy.destroy();
  }
}

describe("a cluster in a bucket", () => {
  it("loses all of the machine but keys/", async () => {
    await cluster.query("CREATE TABLE history (n int PRIMARY KEY, what text)");
    await fillTo(rows.snapshot);
    const taken = await cluster.cli("snapshot", "create", "before-the-release");
    expect(taken.code, taken.stderr).toBe(0);
    await fillTo(rows.time);
    time = await one(
      `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS it`,
    );
    await fillTo(rows.lsn);
    lsn = await one("SELECT pg_current_wal_flush_lsn()::text AS it");
    await fillTo(rows.archived);
    volume = volumeOf(cluster);
    await untilArchived(cluster);
    await cluster.query(
      "INSERT INTO history SELECT n, md5(n::text) FROM generate_series(10001, 10100) n",
    );
    process.kill(cluster.supervisorPid, "SIGKILL");
    await until("all is gone", () => cluster.processesLeft().length === 0, 20_000);
    // The embedded folder has never been used.
    expect(existsSync(join(cluster.dataDir, "objects", volume))).toBe(false);
    for (const name of readdirSync(cluster.dataDir))
      if (name !== "keys") rmSync(join(cluster.dataDir, name), { recursive: true });
  });

  it("its snapshots can be listed where nothing of it is", async () => {
    const listed = await runCli(["snapshot", "list", "--json", ...ofStore()], rightKeys);
    expect(listed.code, listed.stderr).toBe(0);
    const found = JSON.parse(listed.stdout) as { id: string; kind: string }[];
    expect(found).toContainEqual(
      expect.objectContaining({ id: "before-the-release", kind: "manual" }),
    );
    const table = await runCli(["snapshot", "list", ...ofStore()], rightKeys);
    expect(table.stdout).toMatch(/^ +before-the-release +manual +20/m);
  });

  it("is restored elsewhere to a moment, and to the snapshot that was kept", async () => {
    // From there on as a moment.
    if (isThorough) expect(await restored("--to", lsn)).toBe(rows.lsn);
    expect(await restored("--to", time)).toBe(rows.time);
    expect(await restored("--from", "before-the-release")).toBe(rows.snapshot);
  });

  it("comes back by `up`, with every row that was archived, and says what may be missing", async () => {
    // Nobody names the bucket again: keys/ knows it.
    await cluster.up();
    expect(cluster.output).toMatch(/is gone but for its keys and its object store/);
    expect(cluster.output).toContain(
      `Bringing volume ${volume} back from s3://${bucket}/clusters/${volume}`,
    );
    expect(cluster.output).toMatch(/Back up to 0\/[0-9A-F]+, last commit at 20.*Z/);
    expect(cluster.output).toMatch(
      /had not reached the object store and is lost: the last 5 s at most/,
    );
    const { rows: found } = await cluster.query(
      `SELECT count(*) FILTER (WHERE n <= ${rows.archived})::int AS n, count(*) FILTER (WHERE what <> md5(n::text))::int AS bad FROM history`,
    );
    expect(found[0]).toEqual({ n: rows.archived, bad: 0 });
  });

  it("goes on in the bucket, as a volume of its own", async () => {
    await cluster.query("CREATE TABLE later AS SELECT 1 AS n");
    await untilArchived(cluster);
    const own = volumeOf(cluster);
    expect(own).not.toBe(volume);
    const { store, record, log, close } = await openArchive(cluster, url, rightKeys);
    expect(store.label).toBe(`s3://${bucket}/clusters/${own}`);
    expect(await log.archivedUpTo(record.genesisLsn)).toBeGreaterThan(parseLsn(lsn));
    await close();
    await cluster.down();
    await cluster.up();
    expect(cluster.output).not.toMatch(/is gone/);
    await cluster.query("INSERT INTO later VALUES (2)");
    await untilArchived(cluster);
    expect(existsSync(join(cluster.dataDir, "objects", own))).toBe(false);
  });
});
