/** A cluster whose master user is no superuser (`up --no-superuser`): what they can do all the same, and what they cannot. */
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestCluster, until } from "./helpers/cluster.ts";

let cluster: TestCluster;
let master: pg.Client;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 0, firstArgs: ["--no-superuser"] });
  master = await cluster.client();
});
afterAll(async () => {
  await master?.end();
  await cluster?.destroy();
});

async function inDatabase<T>(
  database: string,
  use: (client: pg.Client) => Promise<T>,
  login = "postgres",
): Promise<T> {
  const url = new URL(cluster.url("writer", database));
  if (login !== "postgres") Object.assign(url, { username: login, password: login });
  const client = await cluster.client("writer", { connectionString: url.href });
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

/** SQLSTATE, or "done". */
function told(client: pg.Client, sql: string): Promise<string | undefined> {
  return client.query(sql).then(
    () => "done",
    (error: pg.DatabaseError) => error.code,
  );
}

describe("a master user who is no superuser", () => {
  it("makes roles, databases and extensions, and keeps settings of sessions for them", async () => {
    const sql =
      "SELECT rolsuper, rolcreaterole, rolcreatedb, pg_has_role('rds_superuser', 'member') AS is FROM pg_roles WHERE rolname = current_user";
    expect((await master.query(sql)).rows).toEqual([
      { rolsuper: false, rolcreaterole: true, rolcreatedb: true, is: true },
    ]);
    for (const name of ["app", "other"])
      await master.query(`CREATE ROLE ${name} LOGIN PASSWORD '${name}'`);
    await master.query("CREATE DATABASE shop");
    await inDatabase("shop", async (client) => {
      await client.query("CREATE EXTENSION hstore");
      await client.query("CREATE TABLE goods AS SELECT 'colour=>red'::hstore AS facts");
      await client.query("GRANT SELECT ON goods TO app");
    });
    await master.query("ALTER ROLE app SET borealis.on_failover = 'disconnect'");
    await master.query("ALTER DATABASE shop SET borealis.commit_timeout = '7s'");
    await master.query("ALTER ROLE app IN DATABASE shop SET borealis.server_ids = 'name'");
    const settings = ["borealis.on_failover", "borealis.commit_timeout", "borealis.server_ids"];
    const shown = `SELECT ${settings.map((name, k) => `current_setting('${name}', true) AS s${k}`).join()}`;
    const ofApp = await inDatabase(
      "shop",
      async (client) => ({
        ...(await client.query(shown)).rows[0],
        ...(await client.query("SELECT facts -> 'colour' AS colour FROM goods")).rows[0],
      }),
      "app",
    );
    expect(ofApp).toEqual({ s0: "disconnect", s1: "7s", s2: "name", colour: "red" });
    await master.query("ALTER ROLE app RESET borealis.on_failover");
  });

  it("commands the cluster in the admin database, alone", async () => {
    await inDatabase("borealis", async (admin) => {
      const { rows } = await admin.query("SHOW INSTANCES");
      expect(rows).toMatchObject([{ id: "instance-1", role: "writer", state: "available" }]);
      await admin.query("CREATE SNAPSHOT mine");
      expect((await admin.query("SELECT kind FROM snapshots WHERE id = 'mine'")).rows).toEqual([
        { kind: "manual" },
      ]);
      await admin.query("DROP SNAPSHOT mine");
    });
    const asApp = inDatabase("borealis", (admin) => admin.query("SHOW INSTANCES"), "app");
    await expect(asApp).rejects.toMatchObject({ code: "42501" });
  });

  it("sets parameters there, but for those that reach the machine", async () => {
    await inDatabase("borealis", async (admin) => {
      const names = ["shared_preload_libraries", "dynamic_library_path", "jit_provider"];
      for (const name of [...names, "ssl_passphrase_command", "plperl.on_init"])
        expect(await told(admin, `SET PARAMETER ${name} = 'x'`), name).toBe("55P02");
      expect((await admin.query("SHOW PARAMETERS")).rows).toEqual([]);
      await admin.query("SET PARAMETER work_mem = '8MB'");
      expect((await master.query("SHOW work_mem")).rows).toEqual([{ work_mem: "8MB" }]);
      await admin.query("RESET PARAMETER work_mem");
    });
    const { code, stderr } = await cluster.cli("parameter", "set", "shared_preload_libraries", "x");
    expect(code).not.toBe(0);
    expect(stderr).toContain("no superuser");
  });

  it("gives rds_iam to others, and has nothing of it", async () => {
    await master.query("GRANT rds_iam TO app");
    const has = "SELECT pg_has_role($1, 'rds_iam', 'member') AS is";
    expect((await master.query(has, ["app"])).rows).toEqual([{ is: true }]);
    expect((await master.query(has, ["other"])).rows).toEqual([{ is: false }]);
    await master.query("REVOKE rds_iam FROM app");
  });

  it.each([
    ["COPY (SELECT 1) TO PROGRAM 'cat'", "42501"],
    ["CREATE TEMP TABLE lines (l text); COPY lines FROM PROGRAM 'echo 1'", "42501"],
    ["COPY (SELECT 1) TO '/nobody'", "42501"],
    ["SELECT pg_read_file('PG_VERSION')", "42501"],
    ["CREATE ROLE more SUPERUSER", "42501"],
    ["ALTER ROLE CURRENT_USER SUPERUSER", "42501"],
    ["SET ROLE rdsadmin", "42501"],
    ["ALTER ROLE rdsadmin PASSWORD 'x'", "42501"],
    ["CREATE EXTENSION file_fdw", "42501"],
    ["CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc', 'abs'", "42501"],
    ["SET allow_system_table_mods = on", "42501"],
    ["ALTER SYSTEM SET work_mem = '8MB'", "42501"],
  ])("cannot do what superusers can: %s", async (sql, code) => {
    expect(await told(master, sql)).toBe(code);
  });

  it("may crash the instance, and goes on; others may not", async () => {
    const crash = "SELECT aurora_inject_crash('instance')";
    await inDatabase(
      "postgres",
      async (client) => expect(await told(client, crash)).toBe("42501"),
      "other",
    );
    const started = "SELECT pg_postmaster_start_time() AS at";
    const before = (await master.query(started)).rows[0].at;
    // The latter where the server was gone before its transaction's id was told.
    expect(["40001", "08007"]).toContain(await told(master, crash));
    await until("another PostgreSQL has the session", async () => {
      return String((await master.query(started)).rows[0].at) !== String(before);
    });
    expect((await master.query("SHOW is_superuser")).rows).toEqual([{ is_superuser: "off" }]);
  });
});
