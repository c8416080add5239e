/** Log that nobody needs goes, on every node, and nothing that is needed goes with it. */
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findLsn } from "../src/base/lsn.ts";
import { isAlive, TestCluster, until } from "./helpers/cluster.ts";
import { askControl, statusNow } from "./helpers/control.ts";

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
