/** Failover to a named reader, on real processes: what was acknowledged stays, and the old writer comes back as a reader. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { postgresSocketDir } from "../src/cluster/index.ts";
import type { ClusterEvent } from "../src/events/index.ts";
import { childrenOf, isAlive, TestCluster, until } from "./helpers/cluster.ts";
import { signalAll } from "./helpers/signals.ts";
import { someOf, wholeIt } from "./helpers/thorough.ts";
import { faultsOf, layoutFor, readEveryLog } from "./helpers/volume-log.ts";
import { Workload } from "./helpers/workload.ts";

let cluster: TestCluster;
beforeAll(async () => {
  // What freezes here is moved on by hand.
  cluster = await TestCluster.create({
    args: ["--set", "failover.detectionMs=600000", "--set", "process.hangMs=0"],
  });
});
afterAll(() => cluster.destroy());

interface Report {
  writer: string;
  previous: string | null;
  heldMs: number;
  epoch: number;
  timeline: number;
}

async function failOver(target?: string): Promise<Report> {
  const args = target === undefined ? [] : ["--target", target];
  const result = await cluster.cli("failover", ...args, "--json");
  expect(result.code, result.stdout + result.stderr).toBe(0);
  return JSON.parse(result.stdout) as Report;
}

async function expectEveryPromiseKept(workload: Workload): Promise<void> {
  for (const endpoint of ["writer", "instance-1", "instance-2", "instance-3"] as const) {
    await until(`${endpoint} shows every acknowledged row`, async () => {
      return (await workload.missingOn(endpoint)).length === 0;
    });
  }
}

function logOf(name: string): string {
  return readFileSync(join(cluster.dataDir, "log", `${name}.log`), "utf8");
}

describe("a planned failover", () => {
  it("under load keeps every acknowledged row, advances the timeline, and makes the old writer a reader", async () => {
    const before = (await cluster.status()).cluster;
    const workload = new Workload(cluster);
    await workload.start();
    const report = await failOver("instance-2");
    expect(report).toMatchObject({ writer: "instance-2", previous: "instance-1" });
    expect(report.timeline).toBe(before.timeline + 1);
    expect(report.epoch).toBeGreaterThan(before.epoch);
    await workload.untilMore(50);
    await cluster.untilEverybody();
    await workload.untilMore(50);
    await workload.stop();
    await expectEveryPromiseKept(workload);
    const { cluster: facts, instances, endpoints } = await cluster.status();
    expect(facts).toMatchObject({ writer: "instance-2", timeline: report.timeline });
    expect(instances.map((row) => row.role)).toEqual(["reader", "writer", "reader"]);
    expect(endpoints.find((row) => row.id === "writer")?.members).toEqual(["instance-2"]);
    const slots = "SELECT slot_name FROM pg_replication_slots";
    expect((await cluster.query(slots)).rows).toEqual([{ slot_name: "borealis_log" }]);
    expect((await cluster.query(slots, "instance-1")).rows).toEqual([]);
    // Stopped in order, its log ends where the new epoch begins: nothing had to be copied.
    expect(logOf("instance-1")).toContain('"result":"keep"');
  });

  it("turns the readers' feedback to the new writer", async () => {
    const reader = await cluster.client("instance-1");
    await reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
    await reader.query("SELECT * FROM promises LIMIT 1");
    const { rows } = await reader.query(
      "SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS x",
    );
    await until("the new writer's slot holds the reader's horizon", async () => {
      await cluster.query("INSERT INTO promises VALUES (-1, (random() * 1e9)::int)");
      const held = await cluster.query("SELECT xmin::text FROM pg_replication_slots");
      return held.rows[0]?.xmin === rows[0].x;
    });
    await reader.end();
  });

  it("goes back and forth, and every instance follows each time", async () => {
    for (const target of ["instance-3", "instance-1"]) {
      const workload = new Workload(cluster);
      await workload.start();
      const report = await failOver(target);
      expect(report.writer).toBe(target);
      await cluster.untilEverybody();
      await workload.untilMore(20);
      await workload.stop();
      await expectEveryPromiseKept(workload);
      await cluster.query("DROP TABLE promises");
    }
  });
});

/** A session on an instance's own PostgreSQL, past every endpoint, as only Borealis itself may have one. */
async function directClient(instance: string): Promise<pg.Client> {
  const host = postgresSocketDir(layoutFor(cluster.dataDir), instance);
  const client = new pg.Client({ host, port: 5432, user: "rdsadmin", database: "postgres" });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

/** Clients that commit on one PostgreSQL for as long as it lets them, and remember what it acknowledged. */
class DirectWriters {
  readonly acknowledged: string[] = [];
  private readonly instance: string;
  private readonly running: Promise<void>[] = [];
  private isStopping = false;
  /** Goes into the rows from now on. */
  mark = "before";

  constructor(instance: string) {
    this.instance = instance;
  }

  start(count: number): void {
    for (let client = 0; client < count; client++) this.running.push(this.run(client));
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.running);
  }

  private async run(client: number): Promise<void> {
    for (let n = 0; !this.isStopping; n++) {
      const text = `${this.mark}-${client}-${n}`;
      const connection = await directClient(this.instance).catch(() => undefined);
      try {
        await connection?.query("INSERT INTO direct VALUES ($1)", [text]);
        if (connection) this.acknowledged.push(text);
      } catch {
        // Not acknowledged: a reader's refusal, or the end of this PostgreSQL.
      } finally {
        await connection?.end().catch(() => undefined);
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

/** The agent of an instance and its postmaster, both alive. */
async function processesOf(instance: string): Promise<{ agent: number; postmaster: number }> {
  const pids = await cluster.pids();
  const agent = pids.get(instance) ?? 0;
  const postmaster = pids.get(`postgres:${instance}`) ?? 0;
  expect([isAlive(agent), isAlive(postmaster)]).toEqual([true, true]);
  return { agent, postmaster };
}

/** Sends it to those that are there still: a backend may end at any moment. */
/** Gives who was frozen, in that order. */
function freeze(agent: number, postmaster: number, which: "agent" | "everything"): number[] {
  signalAll([agent], "SIGSTOP");
  if (which === "agent") return [agent];
  // The postmaster starts no backend from here on: those that it has now are all.
  signalAll([postmaster], "SIGSTOP");
  const backends = childrenOf(postmaster);
  signalAll(backends, "SIGSTOP");
  return [agent, postmaster, ...backends];
}

describe("a failover from a frozen writer", () => {
  someOf(
    ["agent", "everything"] as const,
    1,
    2,
  )(
    "(%s): no commit that it began after the new one opened is acknowledged, and nothing of it survives",
    async (which) => {
      const from = (await cluster.status()).cluster.writer ?? "";
      const to = from === "instance-1" ? "instance-2" : "instance-1";
      await cluster.query("CREATE TABLE direct (what text)");
      const workload = new Workload(cluster);
      await workload.start();
      const direct = new DirectWriters(from);
      direct.start(3);
      await until("direct commits go through", () => direct.acknowledged.length > 10);
      const { agent, postmaster } = await processesOf(from);
      const frozen = freeze(agent, postmaster, which);
      const report = await failOver(to);
      expect(report).toMatchObject({ writer: to, previous: from });
      direct.mark = "divergent";
      await workload.untilMore(50);
      // The old PostgreSQL takes commits still, and writes them to its own disk, if it runs.
      const late = new DirectWriters(from);
      late.mark = "divergent";
      late.start(3);
      if (which === "agent") {
        await until("divergent commits wait in the old PostgreSQL", async () => {
          const client = await directClient(from);
          const { rows } = await client.query(
            "SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
          );
          await client.end();
          return rows[0].n >= 3;
        });
      }
      signalAll(frozen.toReversed(), "SIGCONT");
      await until("the old PostgreSQL is shut down", () => !isAlive(postmaster));
      expect(isAlive(agent), "its agent did that, and lives").toBe(true);
      await cluster.untilEverybody();
      await Promise.all([direct.stop(), late.stop(), workload.stop()]);
      // What the quorum had before the freeze may be told of at the thaw: it is looked for below.
      expect(direct.acknowledged.filter((text) => text.startsWith("divergent"))).toEqual([]);
      expect(late.acknowledged).toEqual([]);
      await expectEveryPromiseKept(workload);
      for (const endpoint of ["writer", "instance-1", "instance-2", "instance-3"] as const) {
        const { rows } = await cluster.query("SELECT what FROM direct", endpoint);
        const there = new Set(rows.map((row: { what: string }) => row.what));
        expect(direct.acknowledged.filter((text) => !there.has(text))).toEqual([]);
        expect([...there].filter((text) => text.startsWith("divergent"))).toEqual([]);
      }
      expect(faultsOf(await readEveryLog(cluster.dataDir), "divergent-")).toEqual([]);
      await cluster.query("DROP TABLE direct, promises");
    },
  );

  it("builds the old one from a snapshot where its log had diverged", () => {
    const logs = ["instance-1", "instance-2"].map(logOf).join("\n");
    expect(logs).toMatch(/"event":"cache.hydrated".*"reason":"its log/);
  });
});

describe("a failover cut short", () => {
  const victims = ["control-plane", "the target's agent", "the old writer's agent"] as const;

  someOf(
    victims,
    1,
    3,
  )("by kill -9 of %s ends with the target as the writer", async (victim) => {
    const from = (await cluster.status()).cluster.writer ?? "";
    const to = from === "instance-2" ? "instance-3" : "instance-2";
    const workload = new Workload(cluster);
    await workload.start();
    const pids = await cluster.pids();
    const names = { "control-plane": "control-plane", "the target's agent": to };
    const pid = pids.get(victim === "the old writer's agent" ? from : names[victim]) ?? 0;
    const asked = cluster.cli("failover", "--target", to);
    const { stateFile } = layoutFor(cluster.dataDir);
    await until("the target is appointed", () => {
      return (JSON.parse(readFileSync(stateFile, "utf8")) as { writer: string }).writer === to;
    });
    process.kill(pid, "SIGKILL");
    const result = await asked;
    expect(result.code, result.stderr).toBe(0);
    await until("the target writes", async () => {
      const { writer, state } = (await cluster.status()).cluster;
      return writer === to && state === "available";
    });
    await workload.untilMore(50);
    await cluster.untilEverybody();
    await workload.stop();
    await expectEveryPromiseKept(workload);
    await cluster.query("DROP TABLE promises");
  });

  it("by kill -9 of the control plane while what runs on the writer comes to its end leaves nobody held", async () => {
    const { writer: from } = (await cluster.status()).cluster;
    const to = from === "instance-2" ? "instance-3" : "instance-2";
    const workload = new Workload(cluster);
    await workload.start();
    const control = (await cluster.pids()).get("control-plane") ?? 0;
    const begun = (): number => logOf("control-plane").split('"event":"failover.begun"').length;
    const before = begun();
    // It takes longer than anybody waits for it: the hand-over is still before the target's turn.
    const long = cluster.query("SELECT pg_sleep(2)");
    await until("it runs", async () => {
      const sql = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
      return (await cluster.query(sql)).rowCount === 1;
    });
    const asked = cluster.cli("failover", "--target", to);
    await until("it is begun", () => begun() > before);
    process.kill(control, "SIGKILL");
    // Whether it was appointed by then decides whether the next control plane knows of it.
    const { code, stderr } = await asked;
    if (code !== 0) expect(stderr).not.toBe("");
    await until("somebody writes", async () => {
      const { writer, state } = (await cluster.status()).cluster;
      return state === "available" && (writer === to || (code !== 0 && writer === from));
    });
    await long;
    await workload.untilMore(50);
    await cluster.untilEverybody();
    await workload.stop();
    await expectEveryPromiseKept(workload);
    await cluster.query("DROP TABLE promises");
  });

  it("by kill -9 of the target as soon as its epoch is open gives way to another target", async () => {
    const { writer } = (await cluster.status()).cluster;
    const [first = "", second = ""] = ["instance-1", "instance-2", "instance-3"].filter(
      (id) => id !== writer,
    );
    const workload = new Workload(cluster);
    await workload.start();
    const opened = (): number => logOf(`${first}-driver`).split('"epoch.opened"').length;
    const { agent } = await processesOf(first);
    const before = existsSync(join(cluster.dataDir, "log", `${first}-driver.log`)) ? opened() : 1;
    const asked = cluster.cli("failover", "--target", first);
    await until("its epoch is open", () => opened() > before);
    process.kill(agent, "SIGKILL");
    const other = await cluster.cli("failover", "--target", second, "--json");
    // It may have taken over by itself already.
    if (other.code !== 0) expect(other.stdout).toMatch(/is the writer already/);
    await until("the other writes", async () => {
      const { writer: now, state } = (await cluster.status()).cluster;
      return now === second && state === "available";
    });
    await asked;
    await workload.untilMore(50);
    await cluster.untilEverybody();
    await workload.stop();
    await expectEveryPromiseKept(workload);
    expect(faultsOf(await readEveryLog(cluster.dataDir))).toEqual([]);
    await cluster.query("DROP TABLE promises");
  });

  it("by the loss of the quorum waits, says so, and goes on when it is back", async () => {
    const from = (await cluster.status()).cluster.writer ?? "";
    const to = from === "instance-2" ? "instance-3" : "instance-2";
    const three = ["az1-full", "az2-full", "az3-full"];
    await cluster.cli("storage", "stop", ...three);
    const asked = cluster.cli("failover", "--target", to);
    await until("it says that it is failing over", async () => {
      const { state, writer } = (await cluster.status()).cluster;
      return state === "failing-over" && writer === null;
    });
    const health = await fetch(`http://127.0.0.1:${cluster.port + 3000}/health`);
    const said = { status: "failing-over", writer: null };
    expect([health.status, await health.json()]).toEqual([503, said]);
    // New sessions wait instead of being refused; reads on readers go on.
    const waiting = cluster.query("SELECT 1 AS one");
    expect((await cluster.query("SELECT 2 AS two", "reader")).rows).toEqual([{ two: 2 }]);
    await cluster.cli("storage", "start", ...three);
    expect((await asked).code).toBe(0);
    expect((await waiting).rows).toEqual([{ one: 1 }]);
    await cluster.untilEverybody();
  });
});

describe("with one reader", () => {
  wholeIt(
    "a writer that diverged is built again from what full nodes keep, where there is no object store",
    async () => {
      const args = ["--set", "failover.detectionMs=600000"];
      const pair = await TestCluster.create({ readers: 1, args });
      try {
        const store = join(pair.dataDir, "objects");
        rmSync(store, { recursive: true, force: true });
        writeFileSync(store, "no folder");
        await pair.query("CREATE TABLE kept AS SELECT generate_series(1, 5000) AS n");
        await pair.query("CREATE TABLE direct (what text)");
        const agent = (await pair.pids()).get("instance-1") ?? 0;
        process.kill(agent, "SIGSTOP");
        const host = postgresSocketDir(layoutFor(pair.dataDir), "instance-1");
        const client = new pg.Client({ host, port: 5432, user: "rdsadmin", database: "postgres" });
        client.on("error", () => undefined);
        await client.connect();
        const commit = client.query("INSERT INTO direct VALUES ('divergent')").then(
          () => "acknowledged",
          () => "lost",
        );
        const looker = new pg.Client({ host, port: 5432, user: "rdsadmin", database: "postgres" });
        looker.on("error", () => undefined);
        await looker.connect();
        await until("the commit is in the old one's own log, and waits", async () => {
          const sql =
            "SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
          return (await looker.query(sql)).rows[0].n >= 1;
        });
        await looker.end();
        expect((await pair.cli("failover")).code).toBe(0);
        process.kill(agent, "SIGCONT");
        expect(await commit).toBe("lost");
        await pair.untilEverybody();
        for (const endpoint of ["writer", "instance-1"] as const) {
          const kept = await pair.query("SELECT count(*)::int AS n FROM kept", endpoint);
          expect(kept.rows).toEqual([{ n: 5000 }]);
          expect((await pair.query("SELECT * FROM direct", endpoint)).rows).toEqual([]);
        }
        const log = readFileSync(join(pair.dataDir, "log", "instance-1.log"), "utf8");
        expect(log).toMatch(
          /"event":"cache.hydrated".*"reason":"its log goes on where the volume's has branched off"/,
        );
        expect(faultsOf(await readEveryLog(pair.dataDir), "divergent")).toEqual([]);
      } finally {
        await pair.destroy();
      }
    },
  );
});

describe("the command", () => {
  it("says what cannot be done, and what can", async () => {
    const { writer } = (await cluster.status()).cluster;
    const stranger = await cluster.cli("failover", "--target", "instance-9");
    expect(stranger.code).toBe(2);
    expect(stranger.stderr).toContain('there is no instance "instance-9"; there are instance-1');
    const itself = await cluster.cli("failover", "--target", writer ?? "");
    expect(itself.code).toBe(1);
    expect(itself.stderr).toContain(`${writer} is the writer already; readers that can be`);
  });

  it("chooses a reader itself, and says how long writes were held", async () => {
    const { writer } = (await cluster.status()).cluster;
    const { code, stdout } = await cluster.cli("failover");
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`instance-\\d is the writer instead of ${writer}: epoch`));
    expect(stdout).toMatch(/writes were held for \d+\.\d\d s/);
    await cluster.untilEverybody();
  });

  it("is an event, which stays when the cluster is down", async () => {
    const { writer, epoch } = (await cluster.status()).cluster;
    const find = async (): Promise<boolean> => {
      const { stdout } = await cluster.cli("events", "--json", "--since", "-1h");
      return (JSON.parse(stdout) as ClusterEvent[]).some(
        ({ category, source, message }) =>
          category === "failover" &&
          source === writer &&
          message.includes(`is the writer, in epoch ${epoch} (before: instance-`),
      );
    };
    await until("it is told", find);
    const { stdout } = await cluster.cli("events", "--limit", "5");
    expect(stdout).toMatch(/TIME +WHAT +ID +CATEGORY +MESSAGE\n(?: {2}20.*\n){5}/);
    const wrong = await cluster.cli("events", "--since", "0/16B3748");
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining("is no time")]);
  });

  it("is remembered: the next up begins with the same writer", async () => {
    const { writer } = (await cluster.status()).cluster;
    await cluster.down();
    const { stdout } = await cluster.cli("events", "--json");
    expect(JSON.parse(stdout).length).toBeGreaterThan(10);
    await cluster.up();
    await cluster.untilEverybody();
    expect((await cluster.status()).cluster.writer).toBe(writer);
  });
});
