/** An availability zone and one more node are lost for good: what is left is salvaged, with everything acknowledged in it. */
import { spawn } from "node:child_process";
import { existsSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CliResult, startScript, TestCluster, until } from "../helpers/cluster.ts";
import { documentIn, expectSteps, progressIn } from "../helpers/json.ts";
import { Workload } from "../helpers/workload.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 0 });
});
afterAll(() => cluster.destroy());

const lostOnes = ["az3-full", "az3-tail", "az1-full"];
const placeOf = (node: string): string => join(cluster.dataDir, "storage", node);
const aside = (node: string): string => join(dirname(cluster.dataDir), `lost-${node}`);

async function killEverything(): Promise<void> {
  for (const pid of [...(await cluster.pids()).values(), cluster.supervisorPid])
    process.kill(pid, 9);
  await until("nothing of it runs", () => cluster.processesLeft().length === 0, 10_000);
}

function interrupted(afterMs: number): Promise<void> {
  return new Promise((resolve) => {
    const args = [startScript, "storage", "salvage", "--yes", "--data-dir", cluster.dataDir];
    const child = spawn(process.execPath, args, { stdio: "ignore" });
    const timer = setTimeout(() => child.kill("SIGKILL"), afterMs);
    child.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** One that was begun before may have all of the successor made already. */
function expectSalvaged({ stdout, stderr }: CliResult): void {
  expect(documentIn(stdout)).toMatchObject({ successor: expect.any(String) });
  const steps = [...new Set(progressIn(stderr).map(({ step }) => step))];
  const all = [
    "starting the storage nodes that are left",
    "sealing them",
    "making the successor's storage nodes",
    "keeping the snapshots",
  ];
  expect([[], all]).toContainEqual(steps);
  if (steps.length > 0) expectSteps(stderr, "making the successor's storage nodes");
}

describe("a salvage", () => {
  it("is refused while there is a quorum, running or not", async () => {
    const running = await cluster.cli("storage", "salvage", "--yes");
    expect(running.stderr).toMatch(/nothing to salvage/);
    await cluster.down();
    const asked = await cluster.cli("storage", "salvage");
    expect(asked.stderr).toMatch(/--yes/);
    const stopped = await cluster.cli("storage", "salvage", "--yes");
    expect(stopped.stderr).toMatch(/write quorum: there is nothing to salvage/);
    await cluster.up();
  });

  it("brings back everything that was acknowledged, however often it is interrupted", async () => {
    const workload = new Workload(cluster, 2);
    await workload.start();
    await workload.untilMore(200);
    await killEverything();
    await workload.stop();
    for (const node of lostOnes) renameSync(placeOf(node), aside(node));
    for (const afterMs of [700, 1_500, 2_500]) {
      await interrupted(afterMs);
      await until("its nodes have ended", () => cluster.processesLeft().length === 0, 10_000);
      if (!existsSync(join(cluster.dataDir, "control", "salvage.json"))) continue;
      const up = await cluster.cli("up");
      expect(up.stderr).toMatch(/salvage/);
    }
    const done = await cluster.cli("storage", "salvage", "--yes", "--json");
    // One of the interrupted ones may have come to its end: then six nodes are well again.
    if (done.code === 0) expectSalvaged(done);
    else expect(done.stdout).toMatch(/nothing to salvage/);
    await cluster.up();
    expect(await workload.missingOn("writer")).toEqual([]);
    const { storage } = await cluster.status();
    expect(storage.map((one) => one.state)).toEqual(storage.map(() => "up"));
    await cluster.query("CREATE TABLE after AS SELECT generate_series(1, 100) AS n");
  });

  it("leaves the lost nodes nothing to open, when they come back", async () => {
    await cluster.down();
    for (const node of lostOnes.slice(0, 2)) {
      rmSync(placeOf(node), { recursive: true });
      renameSync(aside(node), placeOf(node));
    }
    await cluster.up();
    expect((await cluster.query("SELECT count(*)::int AS n FROM after")).rows[0].n).toBe(100);
    await until(
      "they are replaced",
      async () => (await cluster.status()).storage.every((one) => one.state === "up"),
      60_000,
    );
  });
});
