/** A writer's start that is cut short at its worst moments: the next one must work all the same. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { childrenOf, commandLine, TestCluster, until } from "../helpers/cluster.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1 });
  await cluster.query("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n");
});
afterAll(() => cluster.destroy());

function openedEpochs(): number {
  const log = readFileSync(join(cluster.dataDir, "log", "instance-1-driver.log"), "utf8");
  return log.split('"epoch.opened"').length - 1;
}

/** The agent's pid, while the control plane may not know it yet. */
function agentPid(): number | undefined {
  return childrenOf(cluster.supervisorPid).find((pid) =>
    commandLine(pid).includes("instance instance-1"),
  );
}

async function expectEverythingThere(
  endpoints: readonly ("writer" | "instance-2")[] = ["writer", "instance-2"],
): Promise<void> {
  for (const endpoint of endpoints) {
    await until(`${endpoint} has every row`, async () => {
      const { rows } = await cluster.query("SELECT count(*)::int AS n FROM kept", endpoint);
      return rows[0].n >= 1000;
    });
  }
}

describe("a start cut short", () => {
  it("between an epoch's opening and the promotion: the next promotion works", async () => {
    await cluster.down();
    rmSync(join(cluster.dataDir, "instances", "instance-1"), { recursive: true });
    const before = openedEpochs();
    const ready = cluster.up();
    await until("the epoch is open", () => openedEpochs() > before);
    const pid = agentPid();
    if (pid !== undefined) process.kill(pid, "SIGKILL");
    await ready;
    await expectEverythingThere();
    await cluster.query("INSERT INTO kept VALUES (1001)");
    await cluster.down();
    await cluster.up();
    await expectEverythingThere();
  });

  it("by a second death of PostgreSQL while its log waits for the quorum: the agent does not wait for ever", async () => {
    // Nobody else could write.
    expect((await cluster.cli("instance", "remove", "instance-2")).code).toBe(0);
    const three = ["az1-full", "az2-full", "az3-full"];
    const pids = await cluster.pids();
    const frozen = three.map((id) => pids.get(id) ?? 0);
    const signal = (name: NodeJS.Signals): void => frozen.forEach((pid) => process.kill(pid, name));
    const session = await cluster.client();
    signal("SIGSTOP");
    void session.query("INSERT INTO kept SELECT generate_series(1, 10000)").catch(() => undefined);
    await until("the commit waits", async () => {
      const { rows } = await cluster.query(
        "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
      );
      return rows.length > 0;
    });
    const before = openedEpochs();
    const first = pids.get("postgres:instance-1") ?? 0;
    process.kill(first, "SIGKILL");
    signal("SIGCONT");
    await until("a new epoch is open", () => openedEpochs() > before);
    signal("SIGSTOP");
    const second = await until("the new PostgreSQL runs", async () => {
      const pid = (await cluster.pids()).get("postgres:instance-1");
      return pid !== first && pid;
    });
    process.kill(second, "SIGKILL");
    signal("SIGCONT");
    await until("the cluster accepts writes", async () => {
      const { state, writer } = (await cluster.status()).cluster;
      return state === "available" && writer === "instance-1";
    });
    await expectEverythingThere(["writer"]);
    expect((await cluster.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
  });
});
