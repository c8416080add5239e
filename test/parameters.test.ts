/** Settings of PostgreSQL for the whole cluster and for instances, by ALTER SYSTEM, the admin database and the command line; real processes. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freeBasePort, TestCluster, until } from "./helpers/cluster.ts";
import { isWhole } from "./helpers/thorough.ts";

let cluster: TestCluster;
let writer: pg.Client;
let admin: pg.Client;
beforeAll(async () => {
  // A busy machine is no reason to fail over.
  const args = ["--set=failover.detectionMs=60000"];
  cluster = await TestCluster.create({ readers: 1, port: await freeBasePort(16), args });
  writer = await cluster.client("writer");
  admin = await enter();
});
afterAll(async () => {
  await writer?.end().catch(() => undefined);
  await admin?.end().catch(() => undefined);
  await cluster.destroy();
});

function enter(): Promise<pg.Client> {
  return cluster.client("writer", { connectionString: cluster.url("writer", "borealis") });
}

/** For everybody; what Borealis itself asks is to be understood and answered all the same. */
const unkind = {
  default_transaction_isolation: "serializable",
  default_transaction_deferrable: "on",
  lock_timeout: "1ms",
  idle_in_transaction_session_timeout: "1ms",
  standard_conforming_strings: "off",
  search_path: "nowhere",
  bytea_output: "escape",
  datestyle: "German, DMY",
  timezone: "Asia/Tokyo",
  extra_float_digits: "-15",
  row_security: "off",
  session_replication_role: "replica",
};

interface Refusal {
  readonly code: string | undefined;
  readonly message: string;
  readonly hint: string | undefined;
}

async function refused(client: pg.Client, text: string): Promise<Refusal> {
  return client.query(text).then(
    () => ({ code: undefined, message: "done", hint: undefined }),
    ({ code, message, hint }: pg.DatabaseError) => ({ code, message, hint }),
  );
}

/** What a new session begins with. */
async function shown(
  setting: string,
  endpoint: Parameters<typeof cluster.query>[1],
): Promise<string> {
  // Where everybody's transactions are serializable, readers answer none of them.
  const client = await cluster.client(endpoint, {
    options: "-c default_transaction_isolation=read\\ committed",
  });
  try {
    const { rows } = await client.query("SELECT current_setting($1, true) AS v", [setting]);
    return rows[0].v;
  } finally {
    await client.end();
  }
}

async function parameter(name: string): Promise<Record<string, unknown> | undefined> {
  const { rows } = await admin.query("SHOW PARAMETERS");
  return rows.find((row) => row.name === name);
}

async function idOf(role: "writer" | "reader"): Promise<string> {
  const { instances } = await cluster.status();
  return instances.find((one) => one.role === role)?.id ?? "";
}

async function untilAllServe(count: number): Promise<void> {
  await until(
    "all instances are available",
    async () => {
      const { instances } = await cluster.status();
      return instances.filter(({ state }) => state === "available").length === count;
    },
    120_000,
  );
}

describe("ALTER SYSTEM", () => {
  it("is in force on all instances when it returns, in sessions that are there, too", async () => {
    const { command } = await writer.query("ALTER SYSTEM SET work_mem = '8MB'");
    expect(command).toBe("ALTER");
    expect((await writer.query("SHOW work_mem")).rows).toEqual([{ work_mem: "8MB" }]);
    for (const id of ["instance-1", "instance-2"] as const)
      expect(await shown("work_mem", id)).toBe("8MB");
    expect(await parameter("work_mem")).toEqual({
      name: "work_mem",
      value: "8MB",
      scope: "cluster",
      apply_type: "dynamic",
      state: "in-sync",
      pending: [],
    });
  });

  it("is the same at a reader, and in the extended protocol", async () => {
    const reader = await cluster.client("reader");
    await reader.query("ALTER SYSTEM SET log_min_duration_statement = 12345");
    expect(await shown("log_min_duration_statement", "writer")).toBe("12345ms");
    await reader.query({ text: "ALTER SYSTEM SET work_mem TO '9MB'", values: [] });
    expect(await shown("work_mem", "instance-1")).toBe("9MB");
    await reader.end();
    await writer.query({ text: "ALTER SYSTEM RESET log_min_duration_statement", values: [] });
    expect(await shown("log_min_duration_statement", "instance-2")).toBe("-1");
    expect(await parameter("log_min_duration_statement")).toBeUndefined();
    await writer.query("ALTER SYSTEM SET work_mem = '8MB'");
  });

  it("is judged by PostgreSQL, and refused for what is Borealis's", async () => {
    expect(await refused(writer, "ALTER SYSTEM SET work_mem = 'much'")).toMatchObject({
      code: "22023",
      message: 'invalid value for parameter "work_mem": "much"',
    });
    expect(await refused(writer, "ALTER SYSTEM SET wrk_mem = '8MB'")).toMatchObject({
      code: "42704",
    });
    expect(await refused(writer, "ALTER SYSTEM SET max_connections = 400")).toEqual({
      code: "55P02",
      message: 'parameter "max_connections" cannot be changed',
      hint: "Borealis sets it: equal on all instances, or readers pause replay.",
    });
    await writer.query("BEGIN");
    expect(await refused(writer, "ALTER SYSTEM SET work_mem = '7MB'")).toMatchObject({
      code: "25001",
    });
    await writer.query("ROLLBACK");
    expect((await refused(writer, "SELECT 1; ALTER SYSTEM SET work_mem = '7MB'")).code).toBe(
      "25001",
    );
    expect(await shown("work_mem", "instance-2")).toBe("8MB");
  });

  it("that the cluster does not keep is refused and undone, and the session goes on", async () => {
    const { rows } = await writer.query("SHOW log_line_prefix");
    expect(
      await refused(writer, `ALTER SYSTEM SET log_line_prefix = '${"x".repeat(10_001)}'`),
    ).toEqual({
      code: "54000",
      message: "a parameter's name has 200 characters at most, its value 10000",
      hint: undefined,
    });
    expect((await writer.query("SHOW log_line_prefix")).rows).toEqual(rows);
    const { pid } = (await writer.query("SELECT pg_backend_pid() AS pid")).rows[0];
    expect(await refused(writer, "ALTER SYSTEM SET transaction_timeout = '5ms'")).toMatchObject({
      code: "55P02",
      message: 'parameter "transaction_timeout" cannot be changed',
    });
    expect(await parameter("transaction_timeout")).toBeUndefined();
    expect((await writer.query("SELECT pg_backend_pid() AS pid")).rows).toEqual([{ pid }]);
  });

  it("is for superusers, and for those who were granted it", async () => {
    await writer.query("CREATE ROLE app LOGIN PASSWORD 'app'");
    const app = await cluster.client("writer", {
      connectionString: `postgresql://app:app@127.0.0.1:${cluster.port}/postgres`,
    });
    expect(await refused(app, "ALTER SYSTEM SET work_mem = '7MB'")).toMatchObject({
      code: "42501",
      message: 'permission denied to set parameter "work_mem"',
    });
    await writer.query("GRANT ALTER SYSTEM ON PARAMETER work_mem TO app");
    await app.query("ALTER SYSTEM SET work_mem = '6MB'");
    expect(await shown("work_mem", "instance-2")).toBe("6MB");
    expect((await refused(app, "ALTER SYSTEM RESET ALL")).code).toBe("42501");
    await app.end();
  });

  it("that was sent where no endpoint understood it is kept, too", async () => {
    // Longer than what is looked at.
    await writer.query(`ALTER SYSTEM SET work_mem = '8MB' /* ${"x".repeat(300_000)} */`);
    await until("the reader has it", async () => (await shown("work_mem", "instance-2")) === "8MB");
  });
});

describe("parameters", () => {
  it("that need a restart wait for each instance's reboot", async () => {
    const [w, r] = [await idOf("writer"), await idOf("reader")];
    await writer.query("ALTER SYSTEM SET track_activity_query_size = 4096");
    const pending = { apply_type: "static", state: "pending-reboot", value: "4096" };
    expect(await parameter("track_activity_query_size")).toMatchObject({
      ...pending,
      pending: ["instance-1", "instance-2"],
    });
    expect(await shown("track_activity_query_size", "writer")).toBe("1kB");
    const reboot = await cluster.cli("instance", "reboot", r);
    expect(reboot.code, reboot.stderr).toBe(0);
    expect(await shown("track_activity_query_size", "reader")).toBe("4kB");
    expect(await parameter("track_activity_query_size")).toMatchObject({
      ...pending,
      pending: [w],
    });
    expect((await cluster.cli("instance", "reboot", w)).code).toBe(0);
    await untilAllServe(2);
    expect(await parameter("track_activity_query_size")).toMatchObject({
      state: "in-sync",
      pending: [],
    });
    expect(await shown("track_activity_query_size", "writer")).toBe("4kB");
  });

  it("that PostgreSQL does not start with are left out at a start, and said to be", async () => {
    const r = await idOf("reader");
    await writer.query("ALTER SYSTEM SET shared_preload_libraries = 'no_such_library'");
    expect((await cluster.cli("instance", "reboot", r)).code).toBe(0);
    await untilAllServe(2);
    expect(await shown("shared_preload_libraries", "reader")).toBe("");
    // What is no fault of theirs stays in force.
    expect(await shown("work_mem", "reader")).toBe("8MB");
    expect(await shown("track_activity_query_size", "reader")).toBe("4kB");
    expect((await parameter("shared_preload_libraries"))?.["state"]).toBe("pending-reboot");
    const { rows } = await admin.query(
      "SELECT message FROM events WHERE source = $1 AND message LIKE '%does not start with its parameters%'",
      [r],
    );
    expect(rows[0]?.message).toContain("no_such_library");
    await writer.query("ALTER SYSTEM RESET shared_preload_libraries");
    expect(await parameter("shared_preload_libraries")).toBeUndefined();
  });

  it("are set, listed and reset by the admin database and the command line", async () => {
    const said = await admin.query("SET PARAMETER maintenance_work_mem = '33MB'");
    expect(said.rows).toEqual([{ result: "maintenance_work_mem is '33MB' for all instances" }]);
    expect(await shown("maintenance_work_mem", "reader")).toBe("33MB");
    expect(await refused(admin, "SET PARAMETER maintenance_work_mem = 'much'")).toMatchObject({
      code: "22023",
      message: 'invalid value for parameter "maintenance_work_mem": "much"',
    });
    expect(await refused(admin, "SET PARAMETER fsync = on")).toMatchObject({ code: "55P02" });
    const path = await cluster.cli("parameter", "set", "search_path", '"$user", app, public');
    expect(path.stdout).toBe("search_path is '\"$user\", app, public' for all instances\n");
    expect(await shown("search_path", "reader")).toBe('"$user", app, public');
    const list = await cluster.cli("parameter", "list");
    expect(list.stdout).toMatch(/search_path +"\$user", app, public +cluster +dynamic +in-sync/);
    expect((await cluster.cli("parameter", "reset", "search_path")).code).toBe(0);
    expect(await shown("search_path", "reader")).toBe('"$user", public');
    expect(await refused(admin, "RESET PARAMETER search_path")).toMatchObject({ code: "42704" });
    await admin.query("RESET PARAMETER maintenance_work_mem");
    expect(await shown("maintenance_work_mem", "reader")).toBe("64MB");
  });

  it("of one instance go before the cluster's", async () => {
    const added = await cluster.cli("instance", "add");
    expect(added.code, added.stderr).toBe(0);
    // One that comes later has the cluster's.
    expect(await shown("work_mem", "instance-3")).toBe("8MB");
    expect(await shown("track_activity_query_size", "instance-3")).toBe("4kB");
    await admin.query("SET PARAMETER work_mem = '17MB' FOR 'instance-3'");
    expect(await shown("work_mem", "instance-3")).toBe("17MB");
    await writer.query("ALTER SYSTEM SET work_mem = '10MB'");
    expect(await shown("work_mem", "instance-3")).toBe("17MB");
    expect(await shown("work_mem", "instance-2")).toBe("10MB");
    await admin.query("RESET PARAMETER work_mem FOR 'instance-3'");
    expect(await shown("work_mem", "instance-3")).toBe("10MB");
    expect(await refused(admin, "SET PARAMETER work_mem = '1MB' FOR 'instance-9'")).toMatchObject({
      code: "22023",
    });
    await admin.query("SET PARAMETER work_mem = '17MB' FOR 'instance-3'");
  });

  it("that end sessions end none of Borealis's own", async () => {
    const { epoch } = (await cluster.status()).cluster;
    await cluster.query("CREATE TABLE kept (n int)");
    // While such a statement is held its session is idle to PostgreSQL.
    const setter = await cluster.client("writer", { options: "-c idle_session_timeout=0" });
    await setter.query("ALTER SYSTEM SET idle_session_timeout = '700ms'");
    await setter.query("ALTER SYSTEM SET statement_timeout = '5s'");
    await writer.query("SELECT 1").catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect((await refused(writer, "SELECT 1")).message).not.toBe("done");
    await cluster.query("INSERT INTO kept VALUES (1)");
    await setter.query("ALTER SYSTEM RESET idle_session_timeout");
    await setter.query("ALTER SYSTEM RESET statement_timeout");
    await setter.end();
    const { cluster: now, instances } = await cluster.status();
    expect(now.epoch).toBe(epoch);
    expect(instances.map(({ state }) => state)).toEqual(["available", "available", "available"]);
    writer = await cluster.client("writer");
  });

  it("survive a failover, a killed control plane and the loss of all caches, whatever they are", async () => {
    for (const [name, value] of Object.entries(unkind))
      await cluster.query(`ALTER SYSTEM SET ${name} = '${value}'`);
    await expect(cluster.query("SELECT 1", "reader")).rejects.toMatchObject({
      code: "0A000",
      message: "cannot use serializable mode in a hot standby",
    });
    const before = await idOf("writer");
    const failover = await cluster.cli("failover");
    expect(failover.code, failover.stderr).toBe(0);
    expect(await idOf("writer")).not.toBe(before);
    await cluster.query("INSERT INTO public.kept VALUES (2)");
    process.kill((await cluster.pids()).get("control-plane") ?? 0, "SIGKILL");
    // Told when it is there again, and has heard of the others or given them up.
    await writer.query("ALTER SYSTEM SET work_mem = '11MB'");
    await until("all have it", async () => (await shown("work_mem", "instance-2")) === "11MB");
    if (isWhole) {
      await cluster.down();
      for (const id of ["instance-1", "instance-2", "instance-3"])
        rmSync(join(cluster.dataDir, "instances", id), { recursive: true, force: true });
      await cluster.up();
    }
    await untilAllServe(3);
    for (const id of ["instance-1", "instance-2"] as const) {
      expect(await shown("work_mem", id)).toBe("11MB");
      for (const [name, value] of Object.entries(unkind).slice(1))
        expect(await shown(name, id), name).toBe(value);
    }
    await expect(cluster.query("SELECT 1", "reader")).rejects.toMatchObject({ code: "0A000" });
    expect(await shown("work_mem", "instance-3")).toBe("17MB");
    expect(await shown("track_activity_query_size", "writer")).toBe("4kB");
  });

  it("are all gone after RESET ALL, but for those of one instance", async () => {
    await cluster.query("ALTER SYSTEM RESET ALL");
    const { rows } = await cluster.query("SELECT count(*)::int AS n FROM kept", "reader");
    expect(rows).toEqual([{ n: 2 }]);
    expect(await shown("work_mem", "instance-1")).toBe("4MB");
    expect(await shown("work_mem", "instance-3")).toBe("17MB");
    const again = await enter();
    expect((await again.query("SHOW PARAMETERS")).rows).toMatchObject([
      { name: "work_mem", scope: "instance-3", value: "17MB", state: "in-sync" },
    ]);
    await again.end();
  });
});
