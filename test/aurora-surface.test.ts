/** What makes Aurora's functions, settings and roles in SQL, on stock PostgreSQL, without a cluster. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bootstrapSql } from "../src/instance/bootstrap.ts";
import { recordQuery } from "../src/instance/role-record.ts";
import { SurfaceBook } from "../src/instance/surface-book.ts";
import { auroraNames } from "../src/instance/surface-functions.ts";
import { makeSurface } from "../src/instance/surface-shell.ts";
import { type Logger, openLogger, realClock, realRng } from "../src/io/index.ts";
import { connectPg } from "../src/wire/index.ts";
import {
  enginesForFile,
  startPostgresOn,
  startStockPostgres,
  type StockPostgres,
} from "./helpers/stock-postgres.ts";

const settings = {
  cluster_name: "instance-2",
  "rds.extensions": "aurora_stat_utils, hstore",
  "rds.logical_replication": "off",
  "rds.restrict_password_commands": "off",
  "rds.superuser_variables": "session_replication_role",
};
/** As if another version had made it. */
const unmark =
  "SET allow_system_table_mods = on; COMMENT ON FUNCTION borealis_sight() IS 'old'; COMMENT ON VIEW pg_settings IS 'old'";
let warnings: string[];
const logger: Logger = {
  ...openLogger({ file: undefined, process: "test" }),
  warn: (...words: unknown[]) => void warnings.push(String(words.at(-1))),
};

describe.each(enginesForFile())("PostgreSQL $version", (engine) => {
  let postgres: StockPostgres;
  let dataDir: string;
  beforeAll(async () => {
    postgres = await startStockPostgres(engine, settings);
    dataDir = join(postgres.dir, "data");
    // A cluster whose master user is no superuser, and that was without sql.aurora until now.
    await postgres.query(bootstrapSql({ masterUser: "app", password: "a", isSuperuser: false }));
    await postgres.query("CREATE ROLE rds_replication");
  });
  afterAll(async () => {
    await postgres.stop();
    rmSync(postgres.dir, { recursive: true, force: true });
  });

  const make = (): Promise<void> => {
    warnings = [];
    return makeSurface(
      {
        postgres,
        engine: { major: Number(engine.version) },
        deps: { clock: realClock, logger, rng: realRng, pid: process.pid },
        signal: new AbortController().signal,
      },
      new SurfaceBook(),
    );
  };
  const valuesOf = async (sql: string, database?: string): Promise<unknown[]> =>
    (await postgres.query(sql, database)).rows.map((row) => row[0]);

  it("makes everything, in every database, and takes the role for its own that the volume was born with", async () => {
    await postgres.query("CREATE DATABASE other");
    await make();
    expect(warnings).toEqual([expect.stringMatching(/^rds_replication: not made/)]);
    const roles =
      "SELECT rolname || pg_has_role('app', oid, 'MEMBER') FROM pg_roles WHERE rolname ~ '^rds_[prs]' ORDER BY 1";
    expect(await valuesOf(roles)).toEqual([
      "rds_passwordtrue",
      "rds_replicationfalse",
      "rds_superusertrue",
    ]);
    await postgres.query("DROP ROLE rds_replication");
    await make();
    expect(warnings).toEqual([]);
    expect((await valuesOf(roles))[1]).toBe("rds_replicationtrue");
    for (const database of ["postgres", "template1", "other"])
      expect(await valuesOf("SELECT aurora_db_instance_identifier()", database)).toEqual([
        "instance-2",
      ]);
  });

  it("makes the functions where somebody reads pg_settings on and on, and the settings when they have done", async () => {
    await postgres.query("CREATE DATABASE busy");
    await postgres.query(unmark, "busy");
    await postgres.query("DROP FUNCTION aurora_stat_wait_type()", "busy");
    const reader = await connectPg({ ...postgres, user: "rdsadmin", database: "busy" });
    await reader.query("BEGIN; SELECT count(*) FROM pg_settings");
    await make();
    const marks =
      "SELECT concat_ws(', ', obj_description('borealis_sight'::regproc, 'pg_proc') ~ '^borealis .{8}$', " +
      "obj_description('pg_settings'::regclass, 'pg_class'), to_regproc('aurora_stat_wait_type'))";
    expect(await valuesOf(marks, "busy")).toEqual(["t, old, aurora_stat_wait_type"]);
    await reader.close();
    await make();
    expect((await valuesOf(marks, "busy"))[0]).toMatch(/^t, borealis /);
  });

  it("puts a function in the place of one of another shape, unless somebody's view holds on to that", async () => {
    const shaped = (name: string): string =>
      `SET allow_system_table_mods = on; DROP FUNCTION aurora_version(); DROP FUNCTION aurora_stat_wait_type();
      CREATE FUNCTION pg_catalog.aurora_version() RETURNS int LANGUAGE sql AS 'SELECT 1';
      CREATE FUNCTION pg_catalog.aurora_stat_wait_type() RETURNS int LANGUAGE sql AS 'SELECT 1';
      CREATE VIEW holds AS SELECT ${name}() AS it; ${unmark}`;
    await postgres.query("CREATE DATABASE shaped");
    await postgres.query(shaped("aurora_stat_wait_type"), "shaped");
    await make();
    expect(await valuesOf("SELECT aurora_version() ~ '^[0-9]'", "shaped")).toEqual(["t"]);
    expect(await valuesOf("SELECT it FROM holds", "shaped")).toEqual(["1"]);
    const mark = "SELECT obj_description('borealis_sight'::regproc, 'pg_proc')";
    expect((await valuesOf(mark, "shaped"))[0]).toMatch(/ without aurora_stat_wait_type$/);
    await postgres.query("DROP VIEW holds", "shaped");
    await make();
    expect((await valuesOf(mark, "shaped"))[0]).toMatch(/^borealis .{8}$/);
    await valuesOf("SELECT type_name FROM aurora_stat_wait_type()", "shaped");
  });

  it("makes again what is missing, and leaves what somebody has changed", async () => {
    await postgres.query("CREATE DATABASE changed");
    await postgres.query(
      `DROP FUNCTION aurora_stat_wait_type(), aurora_list_builtins();
      CREATE OR REPLACE FUNCTION pg_catalog.aurora_version() RETURNS text LANGUAGE sql STABLE AS $$SELECT 'mine'$$`,
      "changed",
    );
    await make();
    const sql =
      "SELECT aurora_version() || (SELECT count(*) FROM aurora_list_builtins()) || (SELECT count(*) FROM aurora_stat_wait_type())";
    expect(await valuesOf(sql, "changed")).toEqual([`mine${auroraNames.length}9`]);
    await postgres.query(unmark, "changed");
    await make();
    expect(await valuesOf("SELECT aurora_version() ~ '^[0-9]'", "changed")).toEqual(["t"]);
  });

  it("is not kept from it by what a database's owner has set for its sessions, nor by a missing language", async () => {
    const each = async (...statements: string[]): Promise<void> => {
      for (const statement of statements) await postgres.query(statement);
    };
    await each(
      "CREATE ROLE owner",
      "CREATE DATABASE odd OWNER owner",
      "CREATE DATABASE speechless",
    );
    const databases = ["odd", "speechless"];
    for (const database of databases)
      await postgres.query(`${unmark}; DROP FUNCTION aurora_version()`, database);
    const withoutLanguage = "DROP FUNCTION aurora_stat_activity(); DROP EXTENSION plpgsql";
    await postgres.query(withoutLanguage, "speechless");
    await each(
      "ALTER DATABASE odd SET role = 'owner'",
      "ALTER DATABASE odd SET standard_conforming_strings = off",
      "ALTER DATABASE odd SET idle_session_timeout = '1ms'",
      "ALTER DATABASE template0 ALLOW_CONNECTIONS true",
      "ALTER DATABASE postgres SET default_transaction_read_only = on",
    );
    await make();
    await each(
      "SET transaction_read_only = off; ALTER DATABASE postgres RESET ALL",
      "ALTER DATABASE odd RESET ALL",
    );
    const versions = "SELECT count(*) FROM pg_proc WHERE proname = 'aurora_version'";
    for (const database of databases)
      expect(await valuesOf(versions, database), database).toEqual(["1"]);
    const template0 = "SELECT datallowconn FROM pg_database WHERE datname = 'template0'";
    expect(await valuesOf(template0)).toEqual(["f"]);
  });

  it("gives the roles what they are to have where another version's mark is", async () => {
    const isMember = "SELECT pg_has_role('rds_superuser', 'pg_monitor', 'USAGE')";
    await postgres.query("REVOKE pg_monitor FROM rds_superuser");
    await make();
    expect(await valuesOf(isMember)).toEqual(["f"]);
    const [record = ""] = (await valuesOf(recordQuery)).map(String);
    expect(record).toMatch(/^borealis roles .{8}( rds_\w+=\d+){4}$/);
    const older = record.replace(/(?<=roles )\w+/, "00000000");
    await postgres.query(`COMMENT ON TABLESPACE pg_global IS '${older}'`);
    await make();
    expect(await valuesOf(isMember)).toEqual(["t"]);
    expect(await valuesOf(recordQuery)).toEqual([record]);
  });

  it("leaves a role of somebody else's alone that has the name of one of ours, says so, and makes ours when it is renamed", async () => {
    await postgres.query("DROP ROLE rds_password, rds_iam");
    await postgres.query("CREATE ROLE rds_iam; CREATE ROLE rds_password LOGIN");
    await make();
    const roles =
      "SELECT concat_ws(' ', a.rolname, a.rolcanlogin, (SELECT count(*) FROM pg_auth_members m WHERE a.oid IN (m.roleid, m.member))) " +
      "FROM pg_roles a WHERE a.rolname IN ('rds_iam', 'rds_password') ORDER BY 1";
    expect(await valuesOf(roles)).toEqual(["rds_iam f 0", "rds_password t 0"]);
    const aboutRoles = (): string[] => warnings.filter((text) => text.includes("rds_"));
    expect(aboutRoles()).toEqual([
      expect.stringMatching(/^rds_password, rds_iam: not made by Borealis/),
    ]);
    await postgres.query("ALTER ROLE rds_password RENAME TO mine; DROP ROLE rds_iam");
    await make();
    const grantsOfIam = engine.version === "15" ? 0 : 1;
    expect(await valuesOf(roles)).toEqual([`rds_iam f ${grantsOfIam}`, "rds_password f 1"]);
    expect(aboutRoles()).toEqual([]);
  });

  it("shows of who is silent the lag that it had and the time since, and none where none was known", async () => {
    const at = (secondsAgo: number): string =>
      new Date(Date.now() - secondsAgo * 1_000).toISOString();
    const instances = [
      { server_id: "instance-1", last_update_timestamp: at(1), replica_lag_in_msec: 2 },
      { server_id: "instance-3", last_update_timestamp: at(100), replica_lag_in_msec: 3 },
      { server_id: "instance-4", last_update_timestamp: at(-100), replica_lag_in_msec: 4 },
      { server_id: "instance-5", last_update_timestamp: new Date(0).toISOString() },
    ];
    writeFileSync(
      join(dataDir, "borealis_sight.json"),
      JSON.stringify({ instances, volume: null }),
    );
    const sql = "SELECT coalesce(replica_lag_in_msec, -1) FROM aurora_replica_status()";
    const [heard, away, ahead, unknown] = (await valuesOf(sql)).map(Number);
    expect([heard, ahead, unknown]).toEqual([2, 4, -1]);
    expect(away).toBeGreaterThan(100_000);
    expect(away).toBeLessThan(160_000);
  });

  it("lets PostgreSQL itself say who writes, whatever an old file says", async () => {
    const row = { is_current: true, cpu: 1 };
    const instances = [
      { ...row, server_id: "instance-1", session_id: "MASTER_SESSION_ID" },
      { ...row, server_id: "instance-2", session_id: "two", replica_lag_in_msec: 3 },
    ];
    const sql =
      "SELECT concat_ws(' ', server_id, session_id, replica_lag_in_msec) FROM aurora_replica_status()";
    const told = (): Promise<unknown[]> => {
      const file = join(dataDir, "borealis_sight.json");
      writeFileSync(file, JSON.stringify({ instances, volume: null }));
      return valuesOf(sql);
    };
    expect(await told()).toEqual(["instance-1", "instance-2 MASTER_SESSION_ID"]);
    // The same as a standby.
    const { dir } = postgres;
    writeFileSync(join(dataDir, "standby.signal"), "");
    await postgres.shutDownInPlace();
    postgres = await startPostgresOn(engine, { dir, data: dataDir, isOwnDir: true }, settings);
    expect(await told()).toEqual(["instance-1 MASTER_SESSION_ID", "instance-2 two 3"]);
    for (const one of instances) one.session_id = "MASTER_SESSION_ID";
    expect(await told()).toEqual(["instance-1 MASTER_SESSION_ID", "instance-2 3"]);
    await postgres.shutDownInPlace();
    rmSync(join(dataDir, "standby.signal"));
    postgres = await startPostgresOn(engine, { dir, data: dataDir, isOwnDir: true }, settings);
  });
});
