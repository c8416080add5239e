/** What a salvage keeps beside the log's end: users' snapshots, and what a backtrack left; and that nothing of the old volume stays. */
import { readdirSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { snapshotRowsSchema } from "../../src/keeper/index.ts";
import { count, start } from "../helpers/clones.ts";
import { TestCluster, until } from "../helpers/cluster.ts";
import { askControl } from "../helpers/control.ts";
import { documentIn } from "../helpers/json.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 0 });
  await cluster.query("CREATE TABLE t (n int)");
});
afterAll(() => cluster.destroy());

const lostOnes = ["az3-full", "az3-tail", "az1-full"];
let abandonedEnd = "";

async function insert(rows: number): Promise<void> {
  await cluster.query(`INSERT INTO t SELECT generate_series(1, ${rows})`);
}

async function snapshot(id: string): Promise<void> {
  const { code, stderr } = await cluster.cli("snapshot", "create", id);
  expect(code, stderr).toBe(0);
}

async function snapshotsByHand(): Promise<string[]> {
  const { stdout } = await cluster.cli("snapshot", "list", "--json");
  const rows = snapshotRowsSchema.parse(documentIn(stdout));
  return rows.flatMap(({ id, kind }) => (kind === "manual" ? [id] : []));
}

async function backtrack(to: string): Promise<{ done: { abandonedEnd: string } }> {
  const { code, stdout, stderr } = await cluster.cli("backtrack", `--to=${to}`, "--json");
  expect(code, stdout + stderr).toBe(0);
  return documentIn(stdout) as { done: { abandonedEnd: string } };
}

const objects = (): string[] => readdirSync(join(cluster.dataDir, "objects")).toSorted();

async function expectWell(): Promise<void> {
  await until("no part of it has a problem", async () => {
    const { storage, volume } = await cluster.status();
    return storage.every((one) => one.state === "up") && volume.problem === null;
  });
}

describe("a salvage after a backtrack", () => {
  it("makes a successor that has all of the old volume's objects, of which nothing else stays", async () => {
    await insert(10);
    await snapshot("gone");
    const { rows } = await cluster.query("SELECT pg_current_wal_flush_lsn() AS lsn");
    await insert(100);
    await snapshot("of-the-future");
    await askControl(cluster, "snapshotCreate", { id: null, kind: "automatic" }, 60_000);
    await insert(50);
    ({ abandonedEnd } = (await backtrack(rows[0].lsn)).done);
    // So that its end lies below the future's.
    await insert(1);
    await snapshot("of-the-present");
    expect((await cluster.cli("snapshot", "delete", "gone")).code).toBe(0);
    await cluster.down();
    for (const node of lostOnes)
      renameSync(
        join(cluster.dataDir, "storage", node),
        join(dirname(cluster.dataDir), `lost-${node}`),
      );
    const { code, stdout, stderr } = await cluster.cli("storage", "salvage", "--yes", "--json");
    expect(code, stderr).toBe(0);
    const done = documentIn(stdout) as { successor: string };
    expect(done).toMatchObject({ futuresLost: [], objects: null });
    expect(objects()).toEqual([done.successor, "genesis"].toSorted());
  });

  it("keeps users' snapshots, also those of a path that was left, and brings none back that was deleted", async () => {
    const all = ["of-the-future", "of-the-present"];
    expect(await snapshotsByHand()).toEqual(all);
    await cluster.up();
    expect(await snapshotsByHand()).toEqual(all);
    expect(await count(cluster)).toBe(11);
    const into = join(dirname(cluster.dataDir), "restored");
    const { code, stderr } = await cluster.cli(
      "restore",
      "--from",
      "of-the-future",
      "--into",
      into,
    );
    expect(code, stderr).toBe(0);
    const restored = await start(into);
    try {
      expect(await count(restored)).toBe(110);
    } finally {
      await restored.down();
    }
  });

  it("can go back to what the backtrack left, and from there to what the salvage saved", async () => {
    const { done } = await backtrack(abandonedEnd);
    expect(await count(cluster)).toBe(160);
    await insert(5);
    await expectWell();
    await backtrack(done.abandonedEnd);
    expect(await count(cluster)).toBe(11);
    await cluster.down();
    await cluster.up();
    expect(await count(cluster)).toBe(11);
    await expectWell();
  });
});
