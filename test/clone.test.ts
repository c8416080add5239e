/** Clones of a real cluster: what they share with their parent, and what they do not. */
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clone, count, keptBy, ownBytes, pins, remove, start } from "./helpers/clones.ts";
import { TestCluster, until } from "./helpers/cluster.ts";
import { askControl, statusNow } from "./helpers/control.ts";
import { expectSteps } from "./helpers/json.ts";
import { isThorough } from "./helpers/thorough.ts";

let parent: TestCluster;
/** The clone that the first tests share. */
let one: TestCluster;
const others: TestCluster[] = [];
/** A time between two commits of the parent. */
let between = "";
beforeAll(async () => {
  parent = await TestCluster.create({ readers: 0 });
  await parent.query("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
});
afterAll(async () => {
  for (const other of others) await other.down();
  await parent.destroy();
});

/** Its id. */
async function takeSnapshot(): Promise<string> {
  const wish = { id: null, kind: "automatic" };
  return ((await askControl(parent, "snapshotCreate", wish, 60_000)) as { id: string }).id; // a SnapshotRow
}

/** A clone of the parent at a moment has so many rows, is built from that snapshot, and goes. */
async function expectAt(moment: string, rows: number, snapshot?: string): Promise<void> {
  const early = await start(await clone(parent, "early", "--to", moment));
  others.push(early);
  expect(await count(early)).toBe(rows);
  const log = readFileSync(join(early.dataDir, "log", "instance-1.log"), "utf8");
  if (snapshot !== undefined) expect(log).toMatch(`"snapshot":"${snapshot}"`);
  await remove(early);
}

describe("a clone", () => {
  it("has what was acknowledged before, goes its own way, and takes hardly any room", async () => {
    await askControl(parent, "createEndpoint", { id: "reports", type: "any", list: null });
    // Log that its parent has not archived yet, a clone archives by itself.
    const madeMs = Date.now();
    await until("all of its making is archived", async () => {
      const { latestRestorableTime } = (await statusNow(parent)).volume;
      return Date.parse(latestRestorableTime ?? "") >= madeMs;
    });
    const dataDir = await clone(parent, "one");
    await parent.query("INSERT INTO t VALUES (5000)");
    one = await start(dataDir);
    others.push(one);
    expect(await count(one)).toBe(1000);
    await one.query("DELETE FROM t WHERE n <= 400");
    await one.query("CREATE TABLE own (x int)");
    expect(await count(one)).toBe(600);
    expect(await count(parent)).toBe(1001);
    const endpoints = async (of: TestCluster) =>
      (await statusNow(of)).endpoints.map(({ id }) => id);
    expect(await endpoints(parent)).toContain("reports");
    expect(await endpoints(one)).not.toContain("reports");
    await expect(parent.query("SELECT * FROM own")).rejects.toThrow(/does not exist/);
    // Of each node: a state file of 1 MiB, and log files of 2 MiB, one in use and one ahead.
    const own = ownBytes(join(dataDir, "storage"), join(parent.dataDir, "storage"));
    expect(own / 1_048_576).toBeLessThan(6 * 6);
    expect(ownBytes(join(dataDir, "objects"), join(parent.dataDir, "objects"))).toBeLessThan(1e6);
    expect(await pins(parent)).toMatchObject([{ dataDir, situation: "in use" }]);
    for (const cluster of [one, parent])
      await until("status says what both use", async () => {
        const { sharedBytes, logBytes, extentBytes } = (await statusNow(cluster)).volume;
        if (extentBytes === null) return false;
        return sharedBytes > extentBytes / 2 && sharedBytes < logBytes + extentBytes;
      });
  });

  it("is scrubbed clean, and heals what rots in a file that it shares", async () => {
    const log = join(one.dataDir, "storage", "az1-full", "log");
    const shared = readdirSync(log).filter((name) => statSync(join(log, name)).nlink > 1);
    expect(shared.length).toBeGreaterThan(0);
    const file = openSync(join(log, shared[0] ?? ""), "r+");
    writeSync(file, "rot rot rot", 3000);
    closeSync(file);
    for (const cluster of [one, parent]) {
      await until("it is found and healed", async () => {
        const { stdout, stderr } = await cluster.cli("storage", "scrub", "az1-full", "--json");
        expectSteps(stderr, "reading log", "reading objects and the archive");
        const [report] = JSON.parse(stdout) as { healed: number; unhealed: number }[];
        return report !== undefined && report.healed > 0 && report.unhealed === 0;
      });
    }
    expect(await count(one)).toBe(600);
    expect(await count(parent)).toBe(1001);
  });

  it("survives a kill of everything, and its own clone survives it", async () => {
    for (const pid of [...(await one.pids()).values(), one.supervisorPid]) process.kill(pid, 9);
    await until("nothing of it runs", () => one.processesLeft().length === 0, 10_000);
    await one.up();
    expect(await count(one)).toBe(600);
    const two = await start(await clone(one, "two"));
    others.push(two);
    await two.query("INSERT INTO t VALUES (-1)");
    expect(await pins(one)).toHaveLength(1);
    await remove(one);
    await until("the parent has let go", () => keptBy(parent, "az1-full").length === 0);
    expect(await pins(parent)).toEqual([]);
    expect(await count(two)).toBe(601);
    // Its PostgreSQL goes on making files there meanwhile.
    await until("its instances are gone", () => {
      rmSync(join(two.dataDir, "instances"), { recursive: true, force: true });
      return true;
    });
    await two.down();
    await two.up();
    expect(await count(two)).toBe(601);
    await remove(two);
  });

  it("branches off at any position of the log", async () => {
    const { rows } = await parent.query("SELECT pg_current_wal_flush_lsn() AS lsn");
    const lsn = rows[0].lsn as string;
    await parent.query("INSERT INTO t SELECT generate_series(1, 500)");
    await expectAt(lsn, 1001);
  });

  it("branches off at any time: before the first commit that is later", async () => {
    const now = async (): Promise<string> => {
      const { rows } = await parent.query(
        `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS t`,
      );
      return rows[0].t;
    };
    await parent.query("INSERT INTO t SELECT generate_series(1, 10)");
    const before = await takeSnapshot();
    between = await now();
    await parent.query("INSERT INTO t SELECT generate_series(1, 100)");
    await takeSnapshot();
    await expectAt(between, 1511, before);
    // As the position above, from a later snapshot.
    if (isThorough) await expectAt(await now(), 1611);
  });

  it("is made while its parent is down, and outlives it", async () => {
    await parent.down();
    const dataDir = await clone(parent, "offline", "--to", between);
    expect(await pins(parent)).toMatchObject([{ dataDir, situation: "in use" }]);
    const offline = await start(dataDir);
    others.push(offline);
    expect(await count(offline)).toBe(1511);
    await remove(offline);
    expect(await pins(parent)).toEqual([]);
    await parent.up();
    await until("the parent has let go", () => keptBy(parent, "az1-full").length === 0);
    expect(await count(parent)).toBe(1611);
  });
});
