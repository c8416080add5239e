/** What makes Aurora's functions, settings and roles in SQL, on stock PostgreSQL, without a cluster. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BorealisError } from "../src/base/errors.ts";
import { bootstrapSql } from "../src/instance/bootstrap.ts";
import { recordQuery } from "../src/instance/role-record.ts";
import { SurfaceBook } from "../src/instance/surface-book.ts";
import { injectFunctions } from "../src/instance/inject-functions.ts";
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
  "apg_write_forward.consistency_mode": "off",
};
const auroraSettings = new Map(
  Object.entries(settings).filter(([name]) => name.startsWith("rds.")),
);
/** As if another version had made it. */
const unmark =
  "SET allow_system_table_mods = on; COMMENT ON FUNCTION borealis_sight() IS 'old'; " +
  "COMMENT ON FUNCTION borealis_settings() IS 'old'; COMMENT ON VIEW pg_settings IS 'old'";
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

  const make = (changes: Record<string, string> = {}): Promise<void> => {
    warnings = [];
    return makeSurface(
      {
        postgres: {
          address: postgres.address,
          auroraSettings: new Map([...auroraSettings, ...Object.entries(changes)]),
        },
        engine: { major: Number(engine.version) },
        deps: {
          clock: realClock,
          logger,
          rng: realRng,
          pid: process.pid,
          die: () => expect.fail("nobody dies"),
        },
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
    const reader = await connectPg({
      ...postgres,
      user: "rdsadmin",
      database: "busy",
      except: "all",
    });
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

  it("shows other extensions at once, whoever reads pg_settings, and those of the command line whatever a database says", async () => {
    const shown = "SELECT setting FROM pg_settings WHERE name = 'rds.extensions'";
    await postgres.query("ALTER DATABASE postgres SET rds.extensions = 'mine'");
    const reader = await connectPg({
      ...postgres,
      user: "rdsadmin",
      database: "other",
      except: "all",
    });
    await reader.query("BEGIN; SELECT count(*) FROM pg_settings");
    await make({ "rds.extensions": "aurora_stat_utils, more" });
    expect(warnings).toEqual([]);
    for (const database of ["postgres", "other"])
      expect(await valuesOf(shown, database), database).toEqual(["aurora_stat_utils, more"]);
    await reader.close();
    await postgres.query("ALTER DATABASE postgres RESET rds.extensions");
    await make();
    expect(await valuesOf(shown)).toEqual([settings["rds.extensions"]]);
  });

  it("shows of what sessions set where it is from, and what RESET gives, also to whom the catalogs are closed", async () => {
    await postgres.query("CREATE ROLE reader LOGIN");
    const catalogs = "pg_db_role_setting, pg_roles, pg_database";
    await postgres.query(`REVOKE SELECT ON ${catalogs} FROM PUBLIC`, "other");
    const shown = async (before = "SELECT"): Promise<unknown> => {
      const client = await connectPg({
        ...postgres,
        user: "reader",
        database: "other",
        except: "all",
      });
      await client.query(before);
      const { rows } = await client.query(
        "SELECT setting, source, reset_val, boot_val FROM pg_settings WHERE name ~ '^apg'",
      );
      await client.close();
      return rows[0];
    };
    const mode = "apg_write_forward.consistency_mode";
    expect(await shown()).toEqual(["off", "command line", "off", "off"]);
    expect(await shown(`SET ${mode} = 'session'`)).toEqual(["session", "session", "off", "off"]);
    const kept = [
      ["ALTER ROLE ALL", "eventual", "global"],
      ["ALTER DATABASE other", "session", "database"],
      ["ALTER ROLE reader", "global", "user"],
      ["ALTER ROLE reader IN DATABASE other", "eventual", "database user"],
    ] as const;
    for (const [whose, value, source] of kept) {
      await postgres.query(`${whose} SET ${mode} = '${value}'`);
      expect(await shown(), whose).toEqual([value, source, value, "off"]);
      expect(await shown(`SET ${mode} = 'off'`)).toEqual(["off", "session", value, "off"]);
      const reset = `SET ${mode} = 'off'; RESET ${mode}`;
      expect(await shown(reset)).toEqual([value, source, value, "off"]);
    }
    for (const [whose] of kept) await postgres.query(`${whose} RESET ${mode}`);
    await postgres.query(`GRANT SELECT ON ${catalogs} TO PUBLIC`, "other");
  });

  it("is not kept from it by an event trigger that fires everywhere, and leaves it as it was", async () => {
    await postgres.query("CREATE DATABASE guarded");
    await postgres.query(`${unmark}; DROP FUNCTION aurora_version()`, "guarded");
    await postgres.query(
      `CREATE TABLE seen (tag text);
      CREATE FUNCTION refuses() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'refused'; END$$;
      CREATE EVENT TRIGGER "It's mine" ON ddl_command_start EXECUTE FUNCTION refuses();
      ALTER EVENT TRIGGER "It's mine" ENABLE ALWAYS`,
      "guarded",
    );
    await make();
    expect(warnings).toEqual([]);
    expect(await valuesOf("SELECT aurora_version() ~ '^[0-9]'", "guarded")).toEqual(["t"]);
    const firing = "SELECT concat(evtname, evtenabled) FROM pg_event_trigger";
    expect(await valuesOf(firing, "guarded")).toEqual(["It's mineA"]);
    await expect(postgres.query("CREATE TABLE t ()", "guarded")).rejects.toThrow("refused");
  });

  it("makes all without any language but SQL, save what injects faults", async () => {
    await postgres.query("CREATE DATABASE speechless");
    await postgres.query(
      `${unmark}; DROP FUNCTION aurora_stat_activity(), aurora_stat_bgwriter(); DROP EXTENSION plpgsql CASCADE`,
      "speechless",
    );
    await postgres.query("DROP EXTENSION plpgsql CASCADE; DROP ROLE rds_password");
    await make();
    await postgres.query("CREATE EXTENSION plpgsql");
    expect(new Set(warnings)).toEqual(new Set(['language "plpgsql" does not exist']));
    const names = 'SELECT "Name" FROM aurora_list_builtins()';
    expect(await valuesOf(names, "speechless")).toEqual(auroraNames);
    const isMember = "SELECT pg_has_role('rds_superuser', 'rds_password', 'USAGE')";
    expect(await valuesOf(isMember)).toEqual(["t"]);
  });

  it("lets nobody into template0 who could not have opened it, and leaves it open to whom somebody has", async () => {
    const state =
      "SELECT concat_ws(' ', datallowconn, datconnlimit) FROM pg_database WHERE datname = 'template0'";
    const old = async (database: string): Promise<void> =>
      void (await postgres.query(unmark, database));
    // As a writer leaves it that ends in the midst.
    await postgres.query("ALTER DATABASE template0 ALLOW_CONNECTIONS true CONNECTION LIMIT 0");
    await make();
    expect(await valuesOf(state)).toEqual(["f -1"]);
    await postgres.query("CREATE ROLE guest LOGIN");
    const codes = new Set<string>();
    const guest = { ...postgres, user: "guest", database: "template0", except: "all" } as const;
    const enter = async (): Promise<void> => {
      try {
        await (await connectPg(guest)).close();
        codes.add("entered");
      } catch (error) {
        codes.add(error instanceof BorealisError ? error.code : "other");
      }
    };
    // Each is a moment only: one of them is met.
    for (let round = 0; round < 50 && !codes.has("53300"); round++) {
      await old("template1");
      const making = make();
      let isMade = false;
      void making.finally(() => (isMade = true));
      while (!isMade) await enter();
      await making;
    }
    expect([...codes].toSorted()).toEqual(["53300", "55000"]);
    expect(await valuesOf(state)).toEqual(["f -1"]);
    await postgres.query("ALTER DATABASE template0 ALLOW_CONNECTIONS true");
    await old("template1");
    await old("template0");
    await make();
    expect(await valuesOf(state)).toEqual(["t -1"]);
    expect(await valuesOf("SELECT obj_description('pg_settings'::regclass)", "template0")).toEqual([
      expect.stringMatching(/^borealis /),
    ]);
    await postgres.query("ALTER DATABASE template0 ALLOW_CONNECTIONS false");
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
    const count = auroraNames.length + injectFunctions.length;
    expect(await valuesOf(sql, "changed")).toEqual([`mine${count}9`]);
    await postgres.query(unmark, "changed");
    await make();
    expect(await valuesOf("SELECT aurora_version() ~ '^[0-9]'", "changed")).toEqual(["t"]);
  });

  it("is not kept from it by what a database's owner has set for its sessions", async () => {
    const each = async (...statements: string[]): Promise<void> => {
      for (const statement of statements) await postgres.query(statement);
    };
    await each("CREATE ROLE owner", "CREATE DATABASE odd OWNER owner");
    await postgres.query(`${unmark}; DROP FUNCTION aurora_version()`, "odd");
    await each(
      "ALTER DATABASE odd SET role = 'owner'",
      "ALTER DATABASE odd SET standard_conforming_strings = off",
      "ALTER DATABASE odd SET idle_session_timeout = '1ms'",
      "ALTER DATABASE postgres SET default_transaction_read_only = on",
    );
    await make();
    await each(
      "SET transaction_read_only = off; ALTER DATABASE postgres RESET ALL",
      "ALTER DATABASE odd RESET ALL",
    );
    const versions = "SELECT count(*) FROM pg_proc WHERE proname = 'aurora_version'";
    expect(await valuesOf(versions, "odd")).toEqual(["1"]);
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

  it("lets members of our rds_superuser inject faults, in every database, and nobody else", async () => {
    await postgres.query("CREATE ROLE plain");
    const may =
      "SELECT concat_ws(' ', p.proname, has_function_privilege('app', p.oid, 'EXECUTE'), has_function_privilege('plain', p.oid, 'EXECUTE')) " +
      "FROM pg_proc p WHERE p.proname ~ '^(aurora_inject|borealis_request)' ORDER BY 1";
    const wanted = injectFunctions.map(({ name }) => `${name} t f`).toSorted();
    for (const database of ["postgres", "template1", "other"])
      expect(await valuesOf(may, database)).toEqual([...wanted, "borealis_request f f"]);
    const dumped =
      "SELECT p.proname FROM pg_proc p LEFT JOIN pg_init_privs i ON i.objoid = p.oid AND i.classoid = 'pg_proc'::regclass " +
      "WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ '^(aurora|borealis)_' AND p.proacl IS DISTINCT FROM i.initprivs";
    expect(await valuesOf(dumped)).toEqual([]);
    // Without an agent there is nobody to ask.
    const call = postgres.query("SELECT aurora_inject_crash('instance')");
    await expect(call).rejects.toMatchObject({ code: "55000" });
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

  it("tells addresses for names to sessions that came in at one, and to others that want them, where there are any", async () => {
    const instances = [
      { server_id: "instance-1", address: "127.0.0.11" },
      { server_id: "instance-2", address: "127.0.0.12" },
      { server_id: "instance-3" },
    ];
    const sql =
      "SELECT concat_ws(' ', aurora_db_instance_identifier(), string_agg(server_id, ' ')) FROM aurora_replica_status()";
    const told = async (options: string, of: unknown = instances): Promise<unknown> => {
      const file = join(dataDir, "borealis_sight.json");
      writeFileSync(file, JSON.stringify({ instances: of, volume: null }));
      return (await valuesOf(`${options}; ${sql}`)).at(-1);
    };
    const arrived = "SET borealis.endpoint_address = '127.0.0.2'";
    const names = "instance-2 instance-1 instance-2 instance-3";
    const addresses = "127.0.0.12 127.0.0.11 127.0.0.12 instance-3";
    expect(await told("SET work_mem = '4MB'")).toBe(names);
    expect(await told(arrived)).toBe(addresses);
    expect(await told(`${arrived}; SET borealis.server_ids = 'name'`)).toBe(names);
    expect(await told("SET borealis.server_ids = 'ADDRESS'")).toBe(addresses);
    expect(await told(`${arrived}; SET borealis.server_ids = 'anything else'`)).toBe(addresses);
    expect(await told(arrived, [])).toBe("instance-2");
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
