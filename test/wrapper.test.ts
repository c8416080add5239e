/**
 * Applications with AWS's Node wrapper around node-postgres, which differ from what they would be on Aurora by the names of hosts:
 * through kill -9 and freezes of the writer's PostgreSQL and a freeze of a reader's. Needs npm's registry for the wrapper, and a system
 * that has all of 127.0.0.0/8; elsewhere all of it is skipped.
 */
import { rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import { childrenOf, makeFolder, TestCluster, until } from "./helpers/cluster.ts";
import { SlowLine } from "./helpers/slow-line.ts";
import { signalAll } from "./helpers/signals.ts";
import { isThorough } from "./helpers/thorough.ts";
import { installWrapper, WrapperApp } from "./helpers/wrapper-app.ts";

const writerAddress = "127.0.0.10";
const readerAddress = "127.0.0.2";
const whereSql =
  "SELECT pg_catalog.aurora_db_instance_identifier() AS id, pg_catalog.pg_is_in_recovery() AS reads";

let folder: string;
let cluster: TestCluster;
let isMissing = true;
const apps: WrapperApp[] = [];

beforeAll(async () => {
  folder = makeFolder();
  cluster = await TestCluster.create();
  isMissing = !(await installWrapper(folder));
  await cluster.query("CREATE TABLE visits (k text)");
});
afterAll(async () => {
  await Promise.all(apps.map((app) => app.close()));
  await cluster.destroy();
  rmSync(folder, { recursive: true, force: true });
});

type Skip = TestContext["skip"];

async function newApp(skip: Skip, hosts: Record<string, string> = {}): Promise<WrapperApp> {
  skip(isMissing, "it needs npm's registry");
  const { endpoints } = await cluster.status();
  skip(endpoints[0]?.loopback === null, "it needs 127.0.0.2 and others as loopback addresses");
  const app = new WrapperApp(folder, hosts);
  apps.push(app);
  return app;
}

function configOf(more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    host: writerAddress,
    port: cluster.port,
    user: "postgres",
    password: cluster.password,
    database: "postgres",
    failoverTimeoutMs: 120_000,
    wrapperQueryTimeout: 120_000,
    ...more,
  };
}

const disconnect = "-c borealis.on_failover=disconnect";

/** Names like Aurora's. */
const domain = "local.us-east-1.rds.amazonaws.com";
const writerName = `app.cluster-${domain}`;
const readerName = `app.cluster-ro-${domain}`;

function nameOf(instance: string): string {
  return `${instance}.${domain}`;
}

/** An application that finds addresses for them; `others` are found elsewhere than they should. */
async function newNamesApp(skip: Skip, others: Record<string, string> = {}): Promise<WrapperApp> {
  const instances = ["instance-1", "instance-2", "instance-3"];
  return newApp(skip, {
    [writerName]: writerAddress,
    [readerName]: readerAddress,
    ...Object.fromEntries(instances.map((id) => [nameOf(id), addressOf(id)])),
    ...others,
  });
}

/** SQL tells names. */
function namesConfigOf(more: Record<string, unknown>): Record<string, unknown> {
  return configOf({ host: writerName, options: "-c borealis.server_ids=name", ...more });
}

function addressOf(instance: string): string {
  return `127.0.0.${10 + Number(instance.split("-")[1])}`;
}

async function writerNow(): Promise<{ id: string; postgresPid: number }> {
  const { cluster: facts, instances } = await cluster.status();
  const { id, postgresPid } = instances.find((one) => one.id === facts.writer) ?? {};
  if (id === undefined || typeof postgresPid !== "number") throw new Error("nobody writes");
  return { id, postgresPid };
}

async function idsByRole(): Promise<{ writer: string; readers: string[] }> {
  const { id } = await writerNow();
  const { instances } = await cluster.status();
  return { writer: id, readers: instances.map((one) => one.id).filter((one) => one !== id) };
}

/** Waits until so many of our statements sleep on the writer. */
async function untilAsleep(count: number): Promise<void> {
  const sql =
    "SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND state = 'active'";
  await until("the statements run", async () => (await cluster.query(sql)).rows[0].n >= count);
}

/** Has a new client read, and tells where. */
async function readerChosen(
  app: WrapperApp,
  client: string,
  config: Record<string, unknown>,
): Promise<string> {
  await app.connect(client, config);
  await app.setReadOnly(client, true);
  const [{ id, reads } = {}] = await app.query(client, whereSql);
  expect(reads).toBe(true);
  return String(id);
}

async function outcome(doing: Promise<unknown>): Promise<string> {
  return doing.then(
    () => "fine",
    (error: unknown) => (error as Error).name,
  );
}

const shownSql =
  "SELECT string_agg(server_id, ',') FILTER (WHERE session_id = 'MASTER_SESSION_ID') AS writers, " +
  "count(*)::int AS n FROM pg_catalog.aurora_replica_status()";

/** Milliseconds from now until each instance that is there shows that one as the only writer, and all as members. */
async function untilShown(writer: string): Promise<number> {
  const startMs = performance.now();
  // It says so of itself from its first answer on.
  expect((await cluster.query(shownSql)).rows[0].writers).toBe(writer);
  const { instances } = await cluster.status();
  const others = instances.filter(({ state, role }) => state === "available" && role === "reader");
  for (const { id } of others) {
    await until(`${id} shows ${writer} as the writer`, async () => {
      const { rows } = await cluster.query(shownSql, id as "instance-1");
      return rows[0].writers === writer && rows[0].n === instances.length;
    });
  }
  return performance.now() - startMs;
}

const disturbances = [
  {
    name: "kill -9 of the PostgreSQL that writes",
    disturb: (postmaster: number) => void process.kill(postmaster, "SIGKILL"),
  },
  {
    name: "a freeze of the PostgreSQL that writes",
    disturb: (postmaster: number) => {
      signalAll([postmaster, ...childrenOf(postmaster)], "SIGSTOP");
    },
  },
];
/** The first is what the wrapper has unless told. */
const pluginSets = [
  { plugins: "auroraConnectionTracker,failover,efm2" },
  { plugins: "failover,efm" },
  { plugins: "readWriteSplitting,failover2,efm2" },
];

describe("an application with AWS's Node wrapper", () => {
  it("finds Aurora and each instance by its address, told nothing but a host's name", async ({
    skip,
  }) => {
    const app = await newApp(skip);
    const { writer, readers } = await idsByRole();
    for (const plugins of ["failover", "failover2"]) {
      await app.connect(plugins, configOf({ plugins }));
      expect(await app.query(plugins, whereSql)).toEqual([{ id: addressOf(writer), reads: false }]);
      const { dialect, topology } = await app.sight(plugins);
      expect(dialect).toBe("AuroraPgDatabaseDialect");
      const roles = [[writer, "writer"], ...readers.map((id) => [id, "reader"])];
      expect(new Set(topology.map((one) => one.join(" ")))).toEqual(
        new Set(roles.map(([id = "", role]) => `${addressOf(id)} ${addressOf(id)} ${role}`)),
      );
    }
    // Who comes in elsewhere is told names.
    const { rows } = await cluster.query(whereSql);
    expect(rows[0].id).toBe(writer);
  });

  it("leaves a reader whose PostgreSQL hangs by efm, before the endpoint gives that reader up", async ({
    skip,
  }) => {
    const app = await newApp(skip);
    const { readers } = await idsByRole();
    const [reader = ""] = readers;
    const detection = {
      failureDetectionTime: 100,
      failureDetectionInterval: 200,
      failureDetectionCount: 2,
      // Of its checks, which take 20 seconds to fail unless told.
      monitoring_wrapperQueryTimeout: 300,
      monitoring_wrapperConnectTimeout: 300,
    };
    const plugins = "failover2,efm";
    const host = addressOf(reader);
    const config = configOf({ plugins, host, failoverMode: "strict-reader", ...detection });
    await app.connect("reads", config);
    const asleep = outcome(app.query("reads", "SELECT pg_sleep(600)"));
    // Not before it has seen its check succeed: this version counts failures from then on.
    await until("the monitor has a connection of its own", async () => {
      const sql =
        "SELECT count(*)::int AS n FROM pg_stat_activity WHERE usename = 'postgres' AND backend_type = 'client backend'";
      return (await cluster.query(sql, reader as "instance-1")).rows[0].n >= 3;
    });
    const { instances } = await cluster.status();
    const postmaster = instances.find(({ id }) => id === reader)?.postgresPid ?? 0;
    const frozen = [postmaster, ...childrenOf(postmaster)];
    signalAll(frozen, "SIGSTOP");
    try {
      // Without it the session would go on elsewhere, and the wrapper would see nothing.
      expect(await asleep).toBe("FailoverSuccessError");
      const [row] = await app.query("reads", whereSql);
      expect([row?.["id"] === host, row?.["reads"]]).toEqual([false, true]);
    } finally {
      signalAll(frozen.toReversed(), "SIGCONT");
    }
    await app.end("reads");
    await cluster.untilEverybody(90_000);
  });

  it("splits reads from writes", async ({ skip }) => {
    const app = await newApp(skip);
    const { writer, readers } = await idsByRole();
    await app.connect("split", configOf({ plugins: "readWriteSplitting,failover2,efm2" }));
    await app.setReadOnly("split", true);
    const [{ id, reads } = {}] = await app.query("split", whereSql);
    expect(readers.map(addressOf)).toContain(id);
    expect(reads).toBe(true);
    await expect(app.query("split", "INSERT INTO visits VALUES ('no')")).rejects.toThrow("25006");
    await app.setReadOnly("split", false);
    expect(await app.query("split", whereSql)).toEqual([{ id: addressOf(writer), reads: false }]);
    await app.query("split", "INSERT INTO visits VALUES ('split')");
  });

  describe.each(disturbances)("through $name", ({ name, disturb }) => {
    it("fails over where it asked for Aurora's way, and sees nothing at all where it did not", async ({
      skip,
    }) => {
      const sets = await Promise.all(
        pluginSets.map(async ({ plugins }) => ({ plugins, app: await newApp(skip) })),
      );
      await cluster.untilEverybody();
      for (const { plugins, app } of sets) {
        for (const client of ["aurora", "auroraInBlock"])
          await app.connect(client, configOf({ plugins, options: disconnect }));
        for (const client of ["own", "ownInBlock"])
          await app.connect(client, configOf({ plugins }));
        for (const client of ["auroraInBlock", "ownInBlock"]) {
          await app.query(client, "BEGIN");
          await app.query(client, `INSERT INTO visits VALUES ('${client} ${plugins} ${name}')`);
        }
      }
      const sleeping = sets.map(({ plugins, app }) => ({
        plugins,
        ended: Promise.all(
          ["aurora", "auroraInBlock", "own", "ownInBlock"].map((client) =>
            outcome(app.query(client, "SELECT pg_sleep(5)")),
          ),
        ),
      }));
      await untilAsleep(4 * sets.length);
      for (const { app } of sets) await app.settle("aurora");
      const before = await writerNow();
      disturb(before.postgresPid);
      const { writer, rows } = await until("another writes", async () => {
        const { rows: written } = await cluster.query(
          "INSERT INTO visits VALUES ('next') RETURNING current_setting('cluster_name') AS writer",
        );
        return { writer: written[0].writer as string, rows: written };
      });
      expect(rows).toHaveLength(1);
      expect(writer).not.toBe(before.id);
      const shownMs = await untilShown(writer);
      console.log(`${name}: all instances show the new writer after ${Math.round(shownMs)} ms`);
      if (isThorough) expect(shownMs).toBeLessThan(1_000);
      for (const { plugins, ended } of sleeping) {
        expect(await ended, plugins).toEqual([
          "FailoverSuccessError",
          "TransactionResolutionUnknownError",
          "fine",
          "fine",
        ]);
      }
      const here = { id: addressOf(writer), reads: false };
      for (const { plugins, app } of sets) {
        await app.query("auroraInBlock", "ROLLBACK");
        await app.query("ownInBlock", "COMMIT");
        for (const client of ["aurora", "auroraInBlock", "own", "ownInBlock"]) {
          expect(await app.query(client, whereSql), `${plugins} ${client}`).toEqual([here]);
          await app.query(client, `INSERT INTO visits VALUES ('${client}')`);
        }
        // It went to the instance; who saw nothing stays where it was.
        expect(await app.sight("aurora")).toMatchObject({ host: here.id, role: "writer" });
        expect(await app.sight("own")).toMatchObject({ host: writerAddress });
        const kept = await app.query("own", `SELECT k FROM visits WHERE k ~ '${plugins} ${name}'`);
        expect(kept).toEqual([{ k: `ownInBlock ${plugins} ${name}` }]);
      }
    });
  });

  it("knows all by names like Aurora's, where it finds addresses for them and SQL tells names", async ({
    skip,
  }) => {
    const app = await newNamesApp(skip);
    await cluster.untilEverybody();
    const plugins = "initialConnection,auroraConnectionTracker,staleDns,failover2,efm2,connectTime";
    const options = `${disconnect} -c borealis.server_ids=name`;
    await app.connect("writer", configOf({ host: writerName, plugins, options }));
    await app.connect("reader", configOf({ host: readerName, plugins, options }));
    const { writer, readers } = await idsByRole();
    expect(await app.query("writer", whereSql)).toEqual([{ id: writer, reads: false }]);
    const [{ id } = {}] = await app.query("reader", whereSql);
    expect(readers).toContain(id);
    const { topology } = await app.sight("writer");
    expect(topology).toContainEqual([writer, nameOf(writer), "writer"]);
    const asleep = outcome(app.query("writer", "SELECT pg_sleep(30)"));
    await untilAsleep(1);
    await app.settle("writer");
    process.kill((await writerNow()).postgresPid, "SIGKILL");
    expect(await asleep).toBe("FailoverSuccessError");
    const next = await writerNow();
    expect(await app.query("writer", whereSql)).toEqual([{ id: next.id, reads: false }]);
    expect(await app.sight("writer")).toMatchObject({ host: nameOf(next.id) });
  });

  describe("by names like Aurora's", () => {
    it("is at an instance's own name and address by initialConnection, from the second connection on", async ({
      skip,
    }) => {
      await cluster.untilEverybody();
      const { writer, readers } = await idsByRole();
      for (const host of [writerName, readerName]) {
        const app = await newNamesApp(skip);
        const [ids, endpoint] =
          host === writerName ? [[writer], writerAddress] : [readers, readerAddress];
        const connect = async (client: string, plugins: string): Promise<string> => {
          await app.connect(client, namesConfigOf({ host, plugins }));
          const [{ id } = {}] = await app.query(client, whereSql);
          expect(ids).toContain(id);
          return String(id);
        };
        // The first one asks who is there.
        await connect("first", "initialConnection");
        expect(await app.sight("first")).toMatchObject({ host, address: endpoint });
        for (const client of ["second", "third"]) {
          const id = await connect(client, "initialConnection");
          const sight = { host: nameOf(id), address: addressOf(id) };
          expect(await app.sight(client)).toMatchObject(sight);
        }
        await connect("without", "");
        expect(await app.sight("without")).toMatchObject({ host, address: endpoint });
      }
    });

    it("comes to the writer by staleDns, where the writer's name is still a reader's address", async ({
      skip,
    }) => {
      await cluster.untilEverybody();
      const { writer, readers } = await idsByRole();
      const [reader = ""] = readers;
      const app = await newNamesApp(skip, { [writerName]: addressOf(reader) });
      await app.connect("without", namesConfigOf({ plugins: "" }));
      expect(await app.query("without", whereSql)).toEqual([{ id: reader, reads: true }]);
      await app.connect("with", namesConfigOf({ plugins: "staleDns" }));
      expect(await app.query("with", whereSql)).toEqual([{ id: writer, reads: false }]);
      const sight = { host: nameOf(writer), address: addressOf(writer), role: "writer" };
      expect(await app.sight("with")).toMatchObject(sight);
    });

    it("measures connections by connectTime", async ({ skip }) => {
      const app = await newNamesApp(skip);
      await app.connect("without", namesConfigOf({ plugins: "failover2" }));
      expect(await app.connectTimeNs()).toBe(0n);
      await app.connect("with", namesConfigOf({ plugins: "failover2,connectTime" }));
      const first = await app.connectTimeNs();
      expect(first).toBeGreaterThan(0n);
      await app.connect("again", namesConfigOf({ plugins: "failover2,connectTime" }));
      expect(await app.connectTimeNs()).toBeGreaterThan(first);
    });

    it("takes readers in turn by roundRobin", async ({ skip }) => {
      await cluster.untilEverybody();
      const { readers } = await idsByRole();
      const app = await newNamesApp(skip);
      const plugins = "readWriteSplitting";
      const config = namesConfigOf({ plugins, readerHostSelectorStrategy: "roundRobin" });
      const ids: unknown[] = [];
      for (const client of ["a", "b", "c", "d", "e", "f"]) {
        ids.push(await readerChosen(app, client, config));
      }
      expect(ids).toEqual([...readers, ...readers, ...readers]);
    });

    it("takes the reader that has the fewest of its connections by leastConnections", async ({
      skip,
    }) => {
      await cluster.untilEverybody();
      const { readers } = await idsByRole();
      const app = await newNamesApp(skip);
      const plugins = "readWriteSplitting";
      const readerHostSelectorStrategy = "leastConnections";
      const config = namesConfigOf({ plugins, readerHostSelectorStrategy, isPooled: true });
      const chosen = new Map<string, string>();
      for (const client of ["a", "b", "c", "d", "e", "f"]) {
        chosen.set(client, await readerChosen(app, client, config));
      }
      const ids = [...chosen.values()];
      for (const at of [0, 2, 4]) expect(ids.slice(at, at + 2).toSorted()).toEqual(readers);
      const [left = ""] = readers;
      for (const [client, id] of chosen) if (id === left) await app.end(client);
      for (const client of ["g", "h", "i"])
        expect(await readerChosen(app, client, config)).toBe(left);
    });

    it("takes the reader that answers soonest by fastestResponse", async ({ skip }) => {
      await cluster.untilEverybody();
      const { readers } = await idsByRole();
      const [slow = "", fast = ""] = readers;
      const slowAddress = "127.0.0.77";
      const line = await SlowLine.open({
        host: slowAddress,
        port: cluster.port,
        to: addressOf(slow),
        delayMs: 500,
      });
      try {
        const app = await newNamesApp(skip, { [nameOf(slow)]: slowAddress });
        const config = namesConfigOf({
          plugins: "readWriteSplitting,fastestResponseStrategy",
          readerHostSelectorStrategy: "fastestResponse",
          // As long it keeps to a choice, measured or not.
          responseMeasurementIntervalMs: 200,
        });
        let count = 0;
        const choose = (): Promise<string> => readerChosen(app, `client ${++count}`, config);
        // Before it has measured anything it takes the first of them, which is the other.
        await until("it has measured one", async () => (await choose()) === fast);
        for (const _ of Array.from({ length: 4 })) expect(await choose()).toBe(fast);
        await app.close();
      } finally {
        line.close();
      }
    });

    it("ends others' connections to a writer that was lost, by auroraConnectionTracker", async ({
      skip,
    }) => {
      await cluster.untilEverybody();
      const app = await newNamesApp(skip);
      const tracked = "auroraConnectionTracker,failover2";
      const options = `${disconnect} -c borealis.server_ids=name`;
      await app.connect("sees", namesConfigOf({ plugins: tracked, options }));
      await app.connect("tracked", namesConfigOf({ plugins: "auroraConnectionTracker" }));
      await app.connect("untracked", namesConfigOf({ plugins: "" }));
      for (const client of ["tracked", "untracked"]) await app.query(client, whereSql);
      const asleep = outcome(app.query("sees", "SELECT pg_sleep(30)"));
      await untilAsleep(1);
      await app.settle("sees");
      process.kill((await writerNow()).postgresPid, "SIGKILL");
      expect(await asleep).toBe("FailoverSuccessError");
      const next = { id: (await writerNow()).id, reads: false };
      expect(await app.query("sees", whereSql)).toEqual([next]);
      expect(await app.query("untracked", whereSql)).toEqual([next]);
      await expect(app.query("tracked", whereSql)).rejects.toThrow("Client was closed");
    });
  });
});
