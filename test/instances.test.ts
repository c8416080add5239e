/** Instances that come and go while the cluster runs, on real processes, with kill -9 in between. */
import { existsSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freeBasePort, isAlive, TestCluster, until } from "./helpers/cluster.ts";
import { askControl, statusNow } from "./helpers/control.ts";
import { documentIn } from "./helpers/json.ts";

let cluster: TestCluster;
let rows = 0;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1, port: await freeBasePort(16) });
  await cluster.query("CREATE TABLE kept (n int)");
});
afterAll(() => cluster.destroy());

function cacheOf(id: string): string {
  return join(cluster.dataDir, "instances", id);
}

function stateFile(): { instances: { id: string }[]; leaving?: { id: string }[] } {
  return JSON.parse(readFileSync(join(cluster.dataDir, "control", "state.json"), "utf8"));
}

async function writeRow(): Promise<void> {
  await cluster.query(`INSERT INTO kept VALUES (${++rows})`);
}

async function untilItShowsAll(endpoint: `instance-${number}` | "reader"): Promise<void> {
  await until(`${endpoint} shows every row`, async () => {
    const result = await cluster.query("SELECT count(*)::int AS n FROM kept", endpoint);
    return result.rows[0].n === rows;
  });
}

/** The instance's row in status; undefined: there is none. */
async function rowOf(id: string) {
  return (await statusNow(cluster)).instances.find((one) => one.id === id);
}

async function untilAvailable(id: string): Promise<void> {
  await until(`${id} is available`, async () => (await rowOf(id))?.state === "available", 60_000);
}

/** Nothing of it in status, in the state, on the disk or among the processes. */
async function untilGone(id: string, pids: readonly (number | undefined)[]): Promise<void> {
  await until(`${id} is gone`, async () => (await rowOf(id)) === undefined);
  await until("the state has forgotten it", () => {
    const { instances, leaving = [] } = stateFile();
    return [...instances, ...leaving].every((one) => one.id !== id);
  });
  expect(existsSync(cacheOf(id))).toBe(false);
  for (const pid of pids) expect(pid === undefined || !isAlive(pid)).toBe(true);
}

function pidsOf(pids: Map<string, number>, id: string): (number | undefined)[] {
  return [pids.get(id), pids.get(`postgres:${id}`)];
}

function kill(...pids: (number | undefined)[]): void {
  for (const pid of pids) if (pid !== undefined && isAlive(pid)) process.kill(pid, "SIGKILL");
}

/** A session on that reader, through the reader endpoint. */
async function clientOn(id: string): Promise<pg.Client> {
  // They stay meanwhile: who has fewer sessions is chosen.
  const others: pg.Client[] = [];
  const client = await until(`the reader endpoint leads to ${id}`, async () => {
    const one = await cluster.client("reader");
    const { rows: found } = await one.query("SELECT current_setting('cluster_name') AS name");
    if (found[0].name === id) return one;
    others.push(one);
    return undefined;
  });
  for (const other of others) await other.end();
  return client;
}

/** What a session that waits for it is told when it ends. */
function lastWord(client: pg.Client): Promise<{ code?: string }> {
  return new Promise((resolve) => client.once("error", resolve));
}

describe("instance add", () => {
  it("builds a reader while the writer writes, and opens its endpoint", async () => {
    await writeRow();
    const before = (await statusNow(cluster)).cluster;
    const adding = cluster.cli("instance", "add", "--tier", "0", "--json");
    await until("status shows it on its way", async () => {
      const row = await rowOf("instance-3");
      return row && ["starting", "recovering", "available"].includes(row.state);
    });
    await writeRow();
    const { code, stdout, stderr } = await adding;
    expect(code, stderr).toBe(0);
    expect(documentIn(stdout)).toMatchObject({
      id: "instance-3",
      role: "reader",
      az: "az3",
      tier: 0,
      state: "available",
      port: cluster.port + 13,
    });
    await writeRow();
    await untilItShowsAll("instance-3");
    const { rows: found } = await cluster.query("SELECT pg_is_in_recovery() AS yes", "instance-3");
    expect(found).toEqual([{ yes: true }]);
    expect((await cluster.cli("url", "instance-3")).stdout.trim()).toBe(cluster.url("instance-3"));
    // The writer has noticed nothing.
    expect((await statusNow(cluster)).cluster.epoch).toBe(before.epoch);
  });

  it("makes it one of those behind the reader endpoint", async () => {
    const names = new Set<string>();
    const clients: pg.Client[] = [];
    for (let n = 0; n < 6; n++) clients.push(await cluster.client("reader"));
    for (const client of clients) {
      const sql = "SELECT current_setting('cluster_name') AS name";
      names.add((await client.query(sql)).rows[0].name);
      await client.end();
    }
    expect(names).toEqual(new Set(["instance-2", "instance-3"]));
  });

  it.each([
    { args: ["--az", "az4"], exit: 2, says: /there is no availability zone "az4"; there are az1/ },
    { args: ["--id", "instance-2"], exit: 1, says: /there is an instance "instance-2" already/ },
    { args: ["--id", "Nice Name"], exit: 2, says: /cannot be the name of an instance/ },
    { args: ["--id", `a${"b".repeat(62)}`], exit: 2, says: /is too long.*letters shorter/ },
    { args: ["--tier", "16"], exit: 2, says: /--tier takes a number from 0 to 15/ },
  ])("refuses $args in one line", async ({ args, exit, says }) => {
    const before = stateFile();
    const result = await cluster.cli("instance", "add", ...args);
    expect([result.code, result.stderr]).toEqual([exit, expect.stringMatching(says)]);
    expect(result.stderr.trim().split("\n")).toHaveLength(1);
    expect(stateFile()).toEqual(before);
  });

  it("refuses an endpoint whose port somebody has, and takes it when it is free", async () => {
    const port = cluster.port + 14;
    const squatter = await listenAt(port);
    const refused = await cluster.cli("instance", "add");
    await closeIt(squatter);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(
      `port ${port} on 127.0.0.1 (the endpoint of instance-4) is taken`,
    );
    expect(await rowOf("instance-4")).toBe(undefined);
    const { code } = await cluster.cli("instance", "add", "--id", "reports", "--az", "az2");
    expect(code).toBe(0);
    expect(await rowOf("reports")).toMatchObject({ az: "az2", port });
    await untilItShowsAll("instance-4");
  });
});

describe("instance modify", () => {
  it("changes who is promoted first", async () => {
    const { code, stdout } = await cluster.cli("instance", "modify", "reports", "--tier", "15");
    expect([code, stdout]).toEqual([0, "reports has tier 15\n"]);
    const none = await cluster.cli("instance", "modify", "instance-9", "--tier", "15");
    expect([none.code, none.stderr]).toEqual([
      2,
      expect.stringMatching(/^borealis: there is no instance "instance-9"; there are instance-1/),
    ]);
  });
});

describe("instance remove", () => {
  it("refuses the writer, and what is none", async () => {
    const writer = await cluster.cli("instance", "remove", "instance-1");
    expect([writer.code, writer.stderr]).toEqual([
      1,
      expect.stringMatching(
        /instance-1 is the writer, which cannot be removed; .*borealis failover/,
      ),
    ]);
    expect((await cluster.cli("instance", "remove", "instance-9")).code).toBe(2);
  });

  it("ends the sessions of its endpoint, shuts its endpoint and wipes its cache", async () => {
    const pids = pidsOf(await cluster.pids(), "instance-3");
    const told = lastWord(await cluster.client("instance-3"));
    const atReader = await clientOn("instance-3");
    const { code, stdout } = await cluster.cli("instance", "remove", "instance-3");
    expect([code, stdout]).toEqual([0, "instance-3 is removed\n"]);
    expect((await told).code).toBe("57P01");
    // One that came in at the reader endpoint goes on elsewhere.
    const { rows: found } = await atReader.query("SELECT current_setting('cluster_name') AS name");
    expect(found[0].name).not.toBe("instance-3");
    await atReader.end();
    await untilGone("instance-3", pids);
    await expect(cluster.client("instance-3")).rejects.toThrow(/ECONNREFUSED/);
    await writeRow();
    await untilItShowsAll("reader");
  });

  it("frees its name, its number and its port", async () => {
    expect((await cluster.cli("instance", "add", "--id", "instance-3")).code).toBe(0);
    await writeRow();
    await untilItShowsAll("instance-3");
  });

  it("of a former writer works once another writes", async () => {
    expect((await cluster.cli("failover", "--target", "instance-2")).code).toBe(0);
    await untilAvailable("instance-1");
    const pids = pidsOf(await cluster.pids(), "instance-1");
    expect((await cluster.cli("instance", "remove", "instance-1")).code).toBe(0);
    await untilGone("instance-1", pids);
    await writeRow();
    expect((await cluster.cli("instance", "add")).code).toBe(0);
    await untilItShowsAll("instance-1");
  });
});

describe("kill -9 in the middle", () => {
  it("of the control plane, directly after it was asked: the next one goes on", async () => {
    const pids = await cluster.pids();
    await askControl(cluster, "removeInstance", { id: "instance-3" });
    await askControl(cluster, "addInstance", { id: "instance-5", az: null, tier: null });
    kill(pids.get("control-plane"));
    await untilGone("instance-3", pidsOf(pids, "instance-3"));
    await untilAvailable("instance-5");
    await writeRow();
    await untilItShowsAll("instance-5");
  });

  it("of the proxy: it opens what there is now", async () => {
    kill((await cluster.pids()).get("proxy"));
    await untilItShowsAll("instance-5");
    await expect(cluster.client("instance-3")).rejects.toThrow(/ECONNREFUSED/);
  });

  it("of an agent that is being removed, or built: both come to their end", async () => {
    await askControl(cluster, "addInstance", { id: "instance-3", az: null, tier: null });
    const agent = await until("its agent runs", async () => {
      return (await rowOf("instance-3"))?.agentPid ?? undefined;
    });
    kill(agent);
    await untilAvailable("instance-3");
    const pids = pidsOf(await cluster.pids(), "instance-3");
    kill(pids[0]);
    await askControl(cluster, "removeInstance", { id: "instance-3" });
    await untilGone("instance-3", pids);
  });

  it("of everything: the next up follows the state", async () => {
    await writeRow();
    const before = await cluster.pids();
    await askControl(cluster, "removeInstance", { id: "instance-5" });
    await askControl(cluster, "addInstance", { id: "instance-6", az: "az1", tier: 3 });
    kill(cluster.supervisorPid, ...before.values());
    await until("nothing of it runs", () => cluster.processesLeft().length === 0);
    await cluster.up();
    await untilGone("instance-5", pidsOf(before, "instance-5"));
    await untilAvailable("instance-6");
    expect(await rowOf("instance-6")).toMatchObject({ az: "az1", port: cluster.port + 16 });
    await writeRow();
    await untilItShowsAll("instance-6");
    await expect(cluster.client("instance-5")).rejects.toThrow(/ECONNREFUSED/);
    expect(cluster.output).toMatch(/^\s*reports\s+postgresql:/m);
  });
});

describe("a cluster that is down", () => {
  it("takes no changes, and says so", async () => {
    expect(await cluster.down()).toBe(0);
    const { code, stderr } = await cluster.cli("instance", "add");
    expect([code, stderr]).toEqual([1, expect.stringMatching(/is not running; start it with/)]);
  });
});

function listenAt(port: number): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen({ host: "127.0.0.1", port }, () => resolve(server));
  });
}

function closeIt(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
