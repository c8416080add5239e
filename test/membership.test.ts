/** Storage nodes that are lost, or replaced, under load: new identities, and nothing acknowledged is missing. */
import { rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestCluster, until } from "./helpers/cluster.ts";
import { Workload } from "./helpers/workload.ts";

let cluster: TestCluster;
let workload: Workload;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1 });
  workload = new Workload(cluster);
  await workload.start();
});
afterAll(() => cluster.destroy());

async function nodeIds(): Promise<Map<string, string>> {
  const { storage } = await cluster.status();
  return new Map(storage.map((row) => [row.id, row.nodeId]));
}

/** Process and files. */
async function destroyNodes(ids: readonly string[]): Promise<void> {
  const pids = await cluster.pids();
  for (const id of ids) {
    process.kill(pids.get(id) ?? 0, "SIGKILL");
    rmSync(`${cluster.dataDir}/storage/${id}`, { recursive: true, force: true });
  }
}

describe("a storage node", () => {
  it("is replaced when it is asked for, though it is well", async () => {
    const before = await nodeIds();
    const { code, stdout, stderr } = await cluster.cli("storage", "replace", "az1-full", "--json");
    expect(code, stderr).toBe(0);
    const told = JSON.parse(stdout) as { replaced: string; by: string };
    expect(told.replaced).toBe(before.get("az1-full"));
    const after = await nodeIds();
    expect(after.get("az1-full")).toBe(told.by);
    await workload.untilMore(50);
  });

  it("that lost its disk is rebuilt under a new identity", async () => {
    const before = await nodeIds();
    const lost = ["az2-full", "az3-tail"];
    await destroyNodes(lost);
    await workload.untilMore(50);
    await until("both are rebuilt", async () => {
      const { storage } = await cluster.status();
      return storage.every((row) => {
        const isNew = row.nodeId !== before.get(row.id);
        return row.state === "up" && isNew === lost.includes(row.id);
      });
    });
    await workload.untilMore(50);
    await workload.stop();
    for (const endpoint of ["writer", "instance-2"] as const)
      await until("all is there", async () => (await workload.missingOn(endpoint)).length === 0);
  });
});
