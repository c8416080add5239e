/** Faults that SQL injects, as Aurora's functions do: each does what it says, to whom it says, for as long as it says, and no harm. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { TestCluster, until } from "./helpers/cluster.ts";
import { type ReadFamily, readExposition, valueOf } from "./helpers/exposition.ts";
import { Workload } from "./helpers/workload.ts";

type Endpoint = "writer" | `instance-${number}`;
interface Part {
  readonly id: string;
  readonly fault?: string;
}

const nodes = ["az1-full", "az1-tail", "az2-full", "az2-tail", "az3-full", "az3-tail"];

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 2, args: ["--set", "sql.aurora=on"] });
  await cluster.query(`CREATE TABLE t (a int);
    CREATE ROLE ordinary LOGIN PASSWORD 'o'; CREATE ROLE helper LOGIN PASSWORD 'h' IN ROLE rds_superuser`);
});
afterAll(() => cluster.destroy());
beforeEach(async () => {
  await cluster.untilEverybody();
  // Those of a test that failed.
  await untilOver();
});

const fail = (sql: string, endpoint: Endpoint = "writer"): Promise<pg.DatabaseError> =>
  cluster.query(`SELECT ${sql}`, endpoint).then(
    () => Promise.reject(new Error(`${sql} returned`)),
    (error: pg.DatabaseError) => error,
  );

async function as(user: string, password: string, endpoint: Endpoint, sql: string): Promise<void> {
  const { port } = new URL(cluster.url(endpoint));
  const client = await cluster.client(endpoint, {
    connectionString: undefined,
    host: "127.0.0.1",
    port: Number(port),
    user,
    password,
    database: "postgres",
  });
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

async function writer(): Promise<Endpoint> {
  return until(
    "there is a writer",
    async () => (await cluster.status()).cluster.writer as Endpoint,
  );
}

/** Two instances that read. */
async function readers(): Promise<[Endpoint, Endpoint]> {
  const { instances } = await cluster.status();
  const [one, two] = instances.filter(({ role }) => role === "reader").map(({ id }) => id);
  return [one as Endpoint, two as Endpoint];
}

/** Of those that have one, by id. */
async function faults(): Promise<Record<string, string>> {
  const { storage, instances } = await cluster.status();
  const parts: readonly Part[] = [...storage, ...instances];
  return Object.fromEntries(parts.flatMap(({ id, fault }) => (fault ? [[id, fault]] : [])));
}

/**
 * The same fault for a second more, in place of the one that lasts: long enough for whatever has to happen meanwhile, however
 * busy the machine is, it ends by itself all the same.
 */
const endSoon = (sql: (seconds: number) => string, endpoint?: Endpoint): Promise<pg.QueryResult> =>
  cluster.query(`SELECT ${sql(1)}`, endpoint);
/** Of a fault that a test ends. */
const longSeconds = 120;

const untilOver = (): Promise<boolean> =>
  until("no fault is left", async () => Object.keys(await faults()).length === 0);

async function scrape(): Promise<Map<string, ReadFamily>> {
  const credentials = readFileSync(join(cluster.dataDir, "credentials"), "utf8").trim();
  const authorization = `Basic ${Buffer.from(credentials).toString("base64")}`;
  const headers = { authorization };
  const response = await fetch(`http://127.0.0.1:${cluster.port + 3000}/metrics`, { headers });
  return readExposition(await response.text());
}

/** How many requests each node has refused, or delayed. */
async function counted(fate: "refused" | "delayed"): Promise<number[]> {
  const now = await scrape();
  return nodes.map((node) => valueOf(now, "borealis_fault_requests_total", { node, fate }) ?? 0);
}

interface Event {
  readonly source: string;
  readonly sourceType: string;
  readonly message: string;
}

async function injections(): Promise<Event[]> {
  const { stdout } = await cluster.cli("events", "--limit", "1000", "--json");
  const all = JSON.parse(stdout) as Event[];
  return all.filter(({ message }) => message.startsWith("Injected fault"));
}

async function startedAt(endpoint: Endpoint): Promise<string> {
  const sql = "SELECT aurora_db_instance_identifier() || ' ' || pg_postmaster_start_time() AS at";
  return (await cluster.query(sql, endpoint)).rows[0].at;
}

/** Rows of t that an instance shows. */
async function rowsOn(endpoint: Endpoint): Promise<number> {
  return (await cluster.query("SELECT count(*)::int AS n FROM t", endpoint)).rows[0].n;
}

describe("who may inject faults", () => {
  it("is a member of rds_superuser, or a superuser, and nobody else; on the writer and on readers", async () => {
    const [reader] = await readers();
    const calls = [
      "aurora_inject_crash('instance')",
      "aurora_inject_replica_failure(100, 60, '')",
      "aurora_inject_disk_failure(100, 0, true, 60)",
      "aurora_inject_disk_congestion(100, 0, true, 60, 1, 2)",
      "borealis_request('{}')",
    ];
    for (const endpoint of ["writer", reader] as const)
      for (const call of calls) {
        const refused = as("ordinary", "o", endpoint, `SELECT ${call}`);
        await expect(refused, call).rejects.toMatchObject({ code: "42501" });
      }
    const refused = as("helper", "h", "writer", "SELECT borealis_request('{}')");
    await expect(refused).rejects.toMatchObject({ code: "42501" });
    for (const endpoint of ["writer", reader] as const)
      await as("helper", "h", endpoint, "SELECT aurora_inject_disk_failure(0, 0, false, 1)");
    await untilOver();
    const [event] = (await injections()).slice(-1);
    expect(event).toMatchObject({ source: "az1-full", sourceType: "storage" });
    expect(event?.message).toMatch(/ 0 % of requests are refused, until .* by helper at instance-/);
  });

  it("is told what is wrong with what was asked for", async () => {
    const [reader] = await readers();
    const wrong: [string, string, RegExp][] = [
      ["aurora_inject_crash('cluster')", "22023", /instance, dispatcher or node/],
      ["aurora_inject_crash(NULL)", "22023", /instance, dispatcher or node/],
      ["aurora_inject_replica_failure(101, 1, '')", "22023", /percentage/],
      ["aurora_inject_replica_failure('NaN', 1, '')", "22023", /percentage/],
      ["aurora_inject_replica_failure(100, 0, '')", "22023", /time_interval/],
      ["aurora_inject_replica_failure(100, 1, '127.0.0.9')", "42704", /no replica/],
      [`aurora_inject_replica_failure(100, 1, '${await writer()}')`, "42704", /is the writer/],
      [String.raw`aurora_inject_replica_failure(100, 1, E'a"\\\'\n')`, "42704", /no replica/],
      ["aurora_inject_disk_failure(100, 6, false, 1)", "22023", /maximum index is 5/],
      ["aurora_inject_disk_failure(100, 1, true, 1)", "22023", /maximum index is 0/],
      ["aurora_inject_disk_failure(100, -1, false, 1)", "22023", /index/],
      ["aurora_inject_disk_failure(-1, 0, false, 1)", "22023", /percentage/],
      ["aurora_inject_disk_failure(1, 0, NULL, 1)", "22023", /is_disk/],
      ["aurora_inject_disk_congestion(1, 0, false, 1, 0, 100.1)", "22023", /100\.0 milliseconds/],
      ["aurora_inject_disk_congestion(1, 0, false, 1, 5, 5)", "22023", /maximum above minimum/],
    ];
    for (const endpoint of ["writer", reader] as const)
      for (const [call, code, message] of wrong) {
        const error = await fail(call, endpoint);
        expect([error.code, error.message], call).toEqual([code, expect.stringMatching(message)]);
      }
    expect((await fail("aurora_inject_crash('dispatcher')", reader)).code).toBe("55000");
    expect(await faults()).toEqual({});
  });

  it("may ask in a transaction that only reads, and leaves no file behind", async () => {
    const [reader] = await readers();
    for (const endpoint of ["writer", reader] as const) {
      const client = await cluster.client(endpoint);
      const notices: string[] = [];
      client.on("notice", ({ message }) => notices.push(message ?? ""));
      await client.query("BEGIN READ ONLY");
      await client.query("SELECT aurora_inject_disk_failure(0, 5, false, 1)");
      await client.query("COMMIT");
      await client.end();
      expect(notices).toEqual([expect.stringMatching(/^injected into az3-tail until 20\d\d-/)]);
    }
    const left = readdirSync(join(cluster.dataDir, "instances"), { recursive: true });
    expect(left.filter((name) => String(name).includes("borealis_request_"))).toEqual([]);
    await untilOver();
  });
});

describe("aurora_inject_replica_failure", () => {
  it("keeps log back from the reader that is named, which follows again when it is over", async () => {
    const [reader, other] = await readers();
    const before = await rowsOn("writer");
    // As the status functions call it where a session came in at an instance's address.
    const { rows } = await cluster.query("SELECT borealis_sight()->'instances' AS instances");
    const address = rows[0].instances.find(
      (row: { server_id: string }) => row.server_id === reader,
    )?.address;
    const fault = (seconds: number): string =>
      `aurora_inject_replica_failure(100, ${seconds}, '${address ?? reader}')`;
    await cluster.query(`SELECT ${fault(longSeconds)}`);
    await cluster.query("INSERT INTO t VALUES (1)");
    await until("the other reader has it", async () => (await rowsOn(other)) === before + 1);
    const lag = `SELECT replica_lag_in_msec AS ms FROM aurora_replica_status() WHERE server_id = '${reader}'`;
    await until(
      "the lag is seen",
      async () => (await cluster.query(lag, other)).rows[0].ms > 1_000,
    );
    const seen = await rowsOn(reader);
    // Asked afterwards: it lasts still.
    expect(await faults()).toEqual({
      [reader]: expect.stringMatching(/^injected: 100 % of the log is kept back, until /),
    });
    expect(seen).toBe(before);
    await endSoon(fault);
    await untilOver();
    await until("it has it, too", async () => (await rowsOn(reader)) === before + 1);
    await until("the lag is gone", async () => {
      const { rows } = await cluster.query(lag, other);
      return rows[0].ms < 1_000;
    });
    expect((await injections()).at(-1)).toMatchObject({ source: reader, sourceType: "instance" });
  });
});

describe("aurora_inject_disk_failure", () => {
  it("on one node, and on two, holds no write up", async () => {
    const before = await counted("refused");
    const rows = await rowsOn("writer");
    const indexes = [0, 3];
    const fault = (index: number) => (seconds: number) =>
      `aurora_inject_disk_failure(100, ${index}, false, ${seconds})`;
    for (const index of indexes) {
      await cluster.query(`SELECT ${fault(index)(longSeconds)}`);
      for (let i = 0; i < 10; i++) await cluster.query("INSERT INTO t VALUES (3)");
      const { cluster: seen } = await cluster.status();
      // A failing node is there, and says so.
      expect(seen.state).toBe("available");
    }
    const last = await faults();
    expect(Object.keys(last)).toEqual(["az1-full", "az2-tail"]);
    const { stdout } = await cluster.cli("status");
    expect(stdout).toMatch(/^ {2}az2-tail: injected: 100 % of requests are refused, until /m);
    expect(last["az1-full"]).toMatch(/^injected: 100 % of requests are refused, until /);
    // Log comes to the nodes that a commit does not wait for a little later.
    const refused = await until("both have refused some", async () => {
      const after = await counted("refused");
      const found = nodes.filter((_, k) => (after[k] ?? 0) > (before[k] ?? 0));
      return found.length >= 2 && found;
    });
    expect(refused).toEqual(["az1-full", "az2-tail"]);
    for (const index of indexes) await endSoon(fault(index));
    await untilOver();
    expect(await rowsOn("writer")).toBe(rows + 20);
    await until("they have all of it again", async () => {
      const { storage, cluster: seen } = await cluster.status();
      return storage.every(({ scl, state }) => scl === seen.vdl && state === "up");
    });
  });

  it("on three has writes wait until it is over by itself, whoever dies meanwhile, and loses nothing", async () => {
    const [reader, other] = await readers();
    const rows = await rowsOn("writer");
    const indexes = [0, 2, 4];
    const fault = (index: number) => (seconds: number) =>
      `aurora_inject_disk_failure(100, ${index}, false, ${seconds})`;
    for (const index of indexes) await cluster.query(`SELECT ${fault(index)(longSeconds)}`, reader);
    let isAnswered = false;
    const write = cluster
      .query("INSERT INTO t VALUES (4)")
      .then(() => until("another one", () => cluster.query("INSERT INTO t VALUES (5)")))
      .finally(() => (isAnswered = true));
    await until("writes wait", async () => (await cluster.status()).cluster.state === "degraded");
    const pids = await cluster.pids();
    for (const name of [reader, "control-plane"]) process.kill(pids.get(name) ?? 0, "SIGKILL");
    await until("the control plane is back, and tells of it", async () => {
      return (await cluster.pids()).get("control-plane") !== pids.get("control-plane");
    });
    const seen = isAnswered;
    expect(Object.keys(await faults())).toEqual(["az1-full", "az2-full", "az3-full"]);
    expect(seen).toBe(false);
    for (const index of indexes) await endSoon(fault(index), other);
    await write;
    await untilOver();
    await cluster.untilEverybody();
    for (const endpoint of ["writer", reader] as const)
      await until(`${endpoint} has both`, async () => (await rowsOn(endpoint)) === rows + 2);
  });
});

describe("aurora_inject_disk_congestion", () => {
  it("delays what a quorum has to do for commits, which come right all the same", async () => {
    const [delayed, refused] = [await counted("delayed"), await counted("refused")];
    const rows = await rowsOn("writer");
    const fault = (seconds: number): string =>
      `aurora_inject_disk_congestion(100, 0, true, ${seconds}, 10, 50.5)`;
    await cluster.query(`SELECT ${fault(longSeconds)}`);
    expect(Object.keys(await faults())).toEqual(nodes);
    for (let i = 0; i < 10; i++) await cluster.query("INSERT INTO t VALUES (6)");
    const now = await counted("delayed");
    const more = nodes.map((_, k) => (now[k] ?? 0) - (delayed[k] ?? 0));
    // Each of the ten waited for four nodes, and each of those for its delay.
    expect(more.reduce((sum, count) => sum + count)).toBeGreaterThanOrEqual(40);
    expect(more.filter((count) => count > 0).length).toBeGreaterThanOrEqual(4);
    expect(await counted("refused")).toEqual(refused);
    await endSoon(fault);
    await untilOver();
    expect(await rowsOn("writer")).toBe(rows + 10);
    const over = await counted("delayed");
    for (let i = 0; i < 10; i++) await cluster.query("INSERT INTO t VALUES (7)");
    expect(await counted("delayed")).toEqual(over);
  });
});

// Each change of the writer is a timeline, over which a reader that starts anew replays: these come last.
describe("aurora_inject_replica_failure, and a failover", () => {
  it("of all readers ends for the one that is promoted", async () => {
    const [reader, other] = await readers();
    const before = await rowsOn("writer");
    await cluster.query(`SELECT aurora_inject_replica_failure(100, ${longSeconds}, '')`);
    await cluster.query("INSERT INTO t VALUES (2)");
    expect(Object.keys(await faults()).toSorted()).toEqual([reader, other].toSorted());
    expect((await cluster.cli("failover", "--target", reader)).code).toBe(0);
    expect(await writer()).toBe(reader);
    expect(await rowsOn("writer")).toBe(before + 1);
    expect(Object.keys(await faults())).toEqual([other]);
    await endSoon((seconds) => `aurora_inject_replica_failure(100, ${seconds}, '${other}')`);
    await untilOver();
  });
});

/** How often the log driver of an instance was ended by a fault that was injected. */
function driverCrashesOf(instance: string): number {
  const log = readFileSync(join(cluster.dataDir, "log", `${instance}.log`), "utf8");
  return log.split("ended by aurora_inject_crash").length - 1;
}

describe("aurora_inject_crash", () => {
  it.each(["instance", "Dispatcher", "NODE"])(
    "('%s') takes the writer's PostgreSQL down once: who called hears of it, others go on",
    async (what) => {
      const before = await startedAt("writer");
      const [victim = ""] = before.split(" ");
      const agent = (await cluster.pids()).get(victim);
      const driverCrashes = driverCrashesOf(victim);
      const told = (await injections()).length;
      const workload = new Workload(cluster);
      await workload.start();
      const idle = await cluster.client();
      await idle.query("SET application_name = 'goes on'");
      const caller = await cluster.client();
      const call = caller.query(`SELECT aurora_inject_crash('${what}')`);
      await expect(call).rejects.toMatchObject({ code: "40001" });
      const after = await until("another PostgreSQL writes", async () => {
        const now = await startedAt("writer");
        return now !== before && now;
      });
      expect((await idle.query("SHOW application_name")).rows[0].application_name).toBe("goes on");
      expect((await caller.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
      await workload.untilMore(50);
      await workload.stop();
      await cluster.untilEverybody();
      await until("every acknowledged row is there", async () => {
        return (await workload.missingOn("writer")).length === 0;
      });
      // It was not asked for again on the next server.
      expect(await startedAt("writer")).toBe(after);
      const events = (await injections()).slice(told);
      expect(events).toHaveLength(1);
      expect(events[0]).toMatchObject({ source: victim, sourceType: "instance" });
      // What was killed: the agent with all of its node, and else the driver unless it is the instance alone.
      const isNode = what === "NODE";
      expect((await cluster.pids()).get(victim) === agent).toBe(!isNode);
      if (!isNode)
        expect(driverCrashesOf(victim) - driverCrashes).toBe(what === "instance" ? 0 : 1);
      await Promise.all([idle.end(), caller.end()]);
    },
  );

  it.each(["instance", "node"])(
    "('%s') on a reader takes that reader down, and nobody else",
    async (what) => {
      const [reader, other] = await readers();
      const before = await Promise.all([startedAt("writer"), startedAt(other), startedAt(reader)]);
      await expect(fail(`aurora_inject_crash('${what}')`, reader)).resolves.toMatchObject({
        code: "40001",
      });
      await cluster.untilEverybody();
      const after = await Promise.all([startedAt("writer"), startedAt(other), startedAt(reader)]);
      expect(after.slice(0, 2)).toEqual(before.slice(0, 2));
      expect(after[2]).not.toBe(before[2]);
    },
  );
});
