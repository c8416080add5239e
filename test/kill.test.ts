/**
 * kill -9 of each kind of process under a running workload, and freezes of what the supervisor looks after: every acknowledged row is counted
 * afterwards.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { childrenOf, commandLine, isAlive, TestCluster, until } from "./helpers/cluster.ts";
import { isWhole } from "./helpers/thorough.ts";
import { Workload } from "./helpers/workload.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1, args: ["--set", "process.hangMs=6000"] });
});
afterAll(() => cluster.destroy());

async function expectEveryPromiseKept(workload: Workload): Promise<void> {
  for (const endpoint of ["writer", "instance-1", "instance-2"] as const) {
    await until(`${endpoint} shows every acknowledged row`, async () => {
      return (await workload.missingOn(endpoint)).length === 0;
    });
  }
  await cluster.query("DROP TABLE promises");
}

/** Asks nobody. */
function supervisedPid(name: string): number | undefined {
  return childrenOf(cluster.supervisorPid).find((pid) => commandLine(pid).includes(name));
}

const victims = [
  "postgres:instance-1",
  "instance-1",
  "postgres:instance-2",
  "instance-2",
  "proxy",
  "control-plane",
  "keeper",
  "az1-full",
  "az2-tail",
];

describe("kill -9 under load", () => {
  it.each(victims)(
    "of %s loses nothing that was acknowledged, and it comes back",
    async (victim) => {
      const workload = new Workload(cluster);
      await workload.start();
      const pid = (await cluster.pids()).get(victim) ?? 0;
      expect(isAlive(pid), `${victim} runs`).toBe(true);
      process.kill(pid, "SIGKILL");
      await until(`${victim} is replaced`, async () => {
        const now = (await cluster.pids()).get(victim);
        return now !== undefined && now !== pid && isAlive(now);
      });
      await workload.untilMore(50);
      await workload.stop();
      await cluster.untilEverybody();
      await expectEveryPromiseKept(workload);
    },
  );

  const hung = isWhole
    ? ["proxy", "control-plane", "keeper", "instance-1", "instance-2", "az3-tail"].map((one) => [
        one,
      ])
    : // At once, since each takes as long as the supervisor's patience.
      [
        ["proxy", "keeper", "instance-2"],
        ["control-plane", "instance-1"],
      ];
  it.each(hung.map((names) => [names.join(", "), names] as const))(
    "is what the supervisor does to what hangs: %s",
    async (_, names) => {
      const workload = new Workload(cluster);
      await workload.start();
      const pids = new Map(names.map((name) => [name, supervisedPid(name) ?? 0]));
      for (const [name, pid] of pids) expect(isAlive(pid), `${name} runs`).toBe(true);
      for (const pid of pids.values()) process.kill(pid, "SIGSTOP");
      for (const [name, pid] of pids) {
        await until(`${name} is replaced`, () => {
          const now = supervisedPid(name);
          return now !== undefined && now !== pid && isAlive(now);
        });
        expect(isAlive(pid), `${name} is not left frozen`).toBe(false);
      }
      await workload.untilMore(50);
      await workload.stop();
      await cluster.untilEverybody();
      await expectEveryPromiseKept(workload);
    },
  );

  it("of everything at once, and the next up recovers by itself", async () => {
    const workload = new Workload(cluster);
    await workload.start();
    const pids = [...(await cluster.pids()).values(), cluster.supervisorPid];
    for (const pid of pids) process.kill(pid, "SIGKILL");
    await workload.stop();
    await until("nothing of it runs", () => cluster.processesLeft().length === 0, 10_000);
    await cluster.up();
    await expectEveryPromiseKept(workload);
  });

  it("of the writer's PostgreSQL lets nobody in before the quorum holds the instance's whole log", async () => {
    await cluster.query("CREATE TABLE gate (v int)");
    const three = ["az1-full", "az2-full", "az3-full"];
    await cluster.cli("storage", "stop", ...three);
    const session = await cluster.client();
    void session.query("INSERT INTO gate VALUES (1)").catch(() => undefined);
    await until("the commit waits", async () => {
      const { rows } = await cluster.query(
        "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
      );
      return rows.length > 0;
    });
    const pids = await cluster.pids();
    const { writer } = (await cluster.status()).cluster;
    process.kill(pids.get(`postgres:${writer}`) ?? 0, "SIGKILL");
    await until("it is noticed", async () => (await cluster.status()).cluster.writer === null);
    // Without a quorum nobody may own the volume: no session may see the row that only the local disk has.
    const early = cluster
      .query("SELECT count(*)::int AS n FROM gate")
      .then((result) => result.rows);
    await cluster.cli("storage", "start", ...three);
    const [row] = await early;
    const { vdl } = (await cluster.status()).cluster;
    expect(vdl).not.toBeNull();
    // Whatever it saw is durable: every reader comes to see the same.
    await until("readers agree", async () => {
      const { rows } = await cluster.query("SELECT count(*)::int AS n FROM gate", "instance-2");
      return rows[0].n === row?.n;
    });
  });
});
