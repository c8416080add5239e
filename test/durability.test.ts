/** Nothing is acknowledged that is not on four of six storage nodes: nodes stopped, killed and frozen under load. */
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestCluster, until } from "./helpers/cluster.ts";
import { Workload } from "./helpers/workload.ts";

const zones = ["az1", "az2", "az3"];

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1 });
});
afterAll(() => cluster.destroy());

async function signalNodes(ids: readonly string[], signal: NodeJS.Signals): Promise<void> {
  const pids = await cluster.pids();
  for (const id of ids) process.kill(pids.get(id) ?? 0, signal);
}

/** Runs `work` while these nodes are frozen (SIGSTOP), and thaws them whatever happens. */
async function whileFrozen(ids: readonly string[], work: () => Promise<void>): Promise<void> {
  const pids = await cluster.pids();
  const frozen = ids.map((id) => pids.get(id) ?? 0);
  for (const pid of frozen) process.kill(pid, "SIGSTOP");
  try {
    await work();
  } finally {
    for (const pid of frozen) process.kill(pid, "SIGCONT");
  }
}

async function untilAllUp(): Promise<void> {
  await until("all six nodes are up and complete", async () => {
    const { storage, cluster: facts } = await cluster.status();
    return facts.state === "available" && storage.every((row) => row.state === "up");
  });
}

/** What psql sends on Ctrl-C: a connection of its own with the session's pid and key. */
async function sendCancel(session: pg.Client): Promise<void> {
  const { processID, secretKey } = session as unknown as { processID: number; secretKey: number };
  const packet = Buffer.alloc(16);
  packet.writeUInt32BE(16, 0);
  packet.writeUInt32BE(80_877_102, 4);
  packet.writeUInt32BE(processID, 8);
  packet.writeInt32BE(secretKey, 12);
  const socket = connect({ host: "127.0.0.1", port: cluster.port });
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.resume();
  socket.end(packet);
  await closed;
}

describe("with a whole zone gone", () => {
  it.each(zones)("writes go on while %s is frozen", async (az) => {
    await whileFrozen([`${az}-full`, `${az}-tail`], async () => {
      const workload = new Workload(cluster);
      await workload.start();
      await workload.untilMore(50);
      await workload.stop();
      expect(await workload.missingOn("writer")).toEqual([]);
      await cluster.query("DROP TABLE promises");
    });
    await untilAllUp();
  });

  it("a node frozen for long is hung up on, and catches up when it thaws", async () => {
    const workload = new Workload(cluster);
    await workload.start();
    await whileFrozen(["az2-tail"], async () => {
      await until("the driver hangs up", () => {
        const log = readFileSync(join(cluster.dataDir, "log", "instance-1-driver.log"), "utf8");
        return log.includes("node.silent");
      });
      await workload.untilMore(50);
    });
    await untilAllUp();
    await workload.stop();
    expect(await workload.missingOn("writer")).toEqual([]);
    await cluster.query("DROP TABLE promises");
  });

  it.each(zones)(
    "writes go on while %s is killed, and its nodes come back by themselves",
    async (az) => {
      const workload = new Workload(cluster);
      await workload.start();
      await signalNodes([`${az}-full`, `${az}-tail`], "SIGKILL");
      await workload.untilMore(50);
      await untilAllUp();
      await workload.stop();
      expect(await workload.missingOn("writer")).toEqual([]);
      await cluster.query("DROP TABLE promises");
    },
  );
});

describe("with three nodes gone", () => {
  const three = ["az1-full", "az2-tail", "az3-full"];

  it("writes wait, reads go on, nothing is acknowledged; with one back they finish", async () => {
    await cluster.query("CREATE TABLE waits (v int)");
    expect((await cluster.cli("storage", "stop", ...three)).code).toBe(0);
    const writer = await cluster.client();
    let isAcknowledged = false;
    const insert = writer.query("INSERT INTO waits VALUES (1)").then(() => {
      isAcknowledged = true;
    });
    await until("the commit waits for the quorum", async () => {
      const { rows } = await cluster.query(
        "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
      );
      return rows.length > 0;
    });
    for (const endpoint of ["writer", "reader", "instance-2"] as const) {
      expect((await cluster.query("SELECT count(*)::int AS n FROM waits", endpoint)).rows).toEqual([
        { n: 0 },
      ]);
    }
    await until(
      "the cluster says that writes wait",
      async () => (await cluster.status()).cluster.state === "degraded",
    );
    expect(isAcknowledged).toBe(false);
    expect((await cluster.cli("storage", "start", "az2-tail")).code).toBe(0);
    await insert;
    await writer.end();
    expect((await cluster.query("SELECT count(*)::int AS n FROM waits")).rows).toEqual([{ n: 1 }]);
    await cluster.cli("storage", "start", ...three);
    await untilAllUp();
  });

  it("three frozen nodes hold a commit back, and thawed ones let it through", async () => {
    let insert: Promise<unknown> = Promise.resolve();
    const writer = await cluster.client();
    let isAcknowledged = false;
    await whileFrozen(three, async () => {
      insert = writer.query("INSERT INTO waits VALUES (2)").then(() => (isAcknowledged = true));
      await until("the commit waits for the quorum", async () => {
        const { rows } = await cluster.query(
          "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
        );
        return rows.length > 0;
      });
      expect(isAcknowledged).toBe(false);
    });
    await insert;
    await writer.end();
    await untilAllUp();
  });
});

describe("with VDL held still, whatever a session set", () => {
  const three = ["az1-tail", "az2-full", "az3-tail"];

  beforeAll(async () => {
    await cluster.query(`
      CREATE TABLE held (who text);
      CREATE FUNCTION lower_it() RETURNS void LANGUAGE sql AS $$ SELECT set_config('synchronous_commit', 'off', true) $$;
      CREATE FUNCTION insert_lowered(who text) RETURNS void LANGUAGE plpgsql AS
        $$ BEGIN PERFORM set_config('synchronous_commit', 'off', true); INSERT INTO held VALUES (who); END $$;
      CREATE TABLE trapped (who text);
      CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM set_config('synchronous_commit', 'local', true); RETURN NEW; END $$;
      CREATE TRIGGER trap BEFORE INSERT ON trapped FOR EACH ROW EXECUTE FUNCTION trap();
      CREATE ROLE hasty LOGIN PASSWORD 'hasty';
      GRANT ALL ON held, trapped TO hasty;
      ALTER ROLE hasty SET synchronous_commit = off;
    `);
    await cluster.cli("storage", "stop", ...three);
  });
  afterAll(async () => {
    await cluster.cli("storage", "start", ...three);
    await untilAllUp();
  });

  /** Runs `work` on a session of its own and tells whether it was answered while VDL stood still. */
  const cases: [
    string,
    {
      user?: string;
      options?: string;
      before?: string[];
      sql: string | { text: string; values: unknown[] };
    },
  ][] = [
    [
      "SET synchronous_commit = off",
      { before: ["SET synchronous_commit = off"], sql: "INSERT INTO held VALUES ('set')" },
    ],
    [
      "SET synchronous_commit = local",
      {
        before: ["SET synchronous_commit TO local"],
        sql: { text: "INSERT INTO held VALUES ($1)", values: ["local"] },
      },
    ],
    [
      "SET LOCAL in a transaction",
      {
        before: [
          "BEGIN",
          "SET LOCAL synchronous_commit = off",
          "INSERT INTO held VALUES ('setlocal')",
        ],
        sql: "COMMIT",
      },
    ],
    [
      "set_config by a function in a transaction",
      { before: ["BEGIN", "SELECT lower_it()", "INSERT INTO held VALUES ('func')"], sql: "COMMIT" },
    ],
    ["ALTER ROLE … SET", { user: "hasty", sql: "INSERT INTO held VALUES ('role')" }],
    [
      "a start-up option",
      { options: "-c synchronous_commit=off", sql: "INSERT INTO held VALUES ('option')" },
    ],
    ["a function that lowers it and writes", { sql: "SELECT insert_lowered('f')" }],
    [
      "the same, prepared with parameters",
      { sql: { text: "SELECT insert_lowered($1)", values: ["p"] } },
    ],
    ["a trigger that lowers it", { sql: "INSERT INTO trapped VALUES ('trigger')" }],
    [
      "a trigger, extended protocol",
      { sql: { text: "INSERT INTO trapped VALUES ($1)", values: ["trigger2"] } },
    ],
    [
      "several statements in one query",
      { sql: "SET synchronous_commit = off; INSERT INTO held VALUES ('multi')" },
    ],
    [
      "a DO block",
      {
        sql: "DO $$ BEGIN PERFORM set_config('synchronous_commit', 'off', true); INSERT INTO held VALUES ('do'); END $$",
      },
    ],
  ];

  it.each(cases)("%s is not answered before the quorum holds it", async (_name, one) => {
    const config = {
      ...(one.user === undefined ? {} : { user: one.user, password: one.user }),
      ...(one.options === undefined ? {} : { options: one.options }),
    };
    const session = await cluster.client("writer", {
      host: "127.0.0.1",
      port: cluster.port,
      database: "postgres",
      user: "postgres",
      password: cluster.password,
      ...config,
      connectionString: undefined,
    });
    for (const sql of one.before ?? []) await session.query(sql);
    let isAnswered = false;
    const answer = session.query(one.sql).then(
      () => (isAnswered = true),
      () => undefined,
    );
    // The engine has finished with it: committed locally and idle, or waiting for its standby.
    await until("the engine is done with the statement", async () => {
      const { rows } = await cluster.query(
        "SELECT count(*)::int AS n FROM pg_stat_activity WHERE backend_type = 'client backend' AND state = 'active' AND wait_event IS DISTINCT FROM 'SyncRep' AND pid <> pg_backend_pid() AND usename <> 'rdsadmin'",
      );
      return rows[0].n === 0;
    });
    // Round trips through the same proxy give a wrong answer time to arrive.
    for (let i = 0; i < 10; i++) await cluster.query("SELECT 1");
    expect(isAnswered).toBe(false);
    void answer;
    void session.end().catch(() => undefined);
  });

  it("a wish to be fast is honoured: force_durable_commit = off", async () => {
    const session = await cluster.client();
    await session.query("SET borealis.force_durable_commit = off");
    await session.query("SET synchronous_commit = off");
    await session.query("INSERT INTO held VALUES ('wish')");
    await session.end();
  });

  it("Ctrl-C (a CancelRequest) on a waiting INSERT is not answered with success", async () => {
    const session = await cluster.client();
    const { rows } = await session.query("SELECT pg_backend_pid() AS pid");
    const pid: number = rows[0].pid;
    let isAnswered = false;
    void session.query("INSERT INTO held VALUES ('ctrl-c')").then(
      () => (isAnswered = true),
      () => undefined,
    );
    await until("it waits", async () => {
      const waiting = `SELECT 1 FROM pg_stat_activity WHERE pid = ${pid} AND wait_event = 'SyncRep'`;
      return (await cluster.query(waiting)).rows.length > 0;
    });
    await sendCancel(session);
    for (let i = 0; i < 10; i++) await cluster.query("SELECT 1");
    expect(isAnswered).toBe(false);
    void session.end().catch(() => undefined);
  });

  it("a cancel of a waiting commit is not answered with success", async () => {
    const session = await cluster.client();
    const { rows } = await session.query("SELECT pg_backend_pid() AS pid");
    const pid: number = rows[0].pid;
    let isAnswered = false;
    void session.query("INSERT INTO held VALUES ('cancelled')").then(
      () => (isAnswered = true),
      () => undefined,
    );
    const waits = async (): Promise<boolean> =>
      (
        await cluster.query(
          `SELECT 1 FROM pg_stat_activity WHERE pid = ${pid} AND wait_event = 'SyncRep'`,
        )
      ).rows.length > 0;
    await until("it waits", waits);
    await cluster.query(`SELECT pg_cancel_backend(${pid})`);
    for (let i = 0; i < 10; i++) await cluster.query("SELECT 1");
    expect(isAnswered).toBe(false);
    void session.end().catch(() => undefined);
  });
});
