/** Aurora's functions, settings and roles in SQL: on the writer and on readers, for ordinary users, across failovers. */
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  absentNames,
  compatibilityFile,
  compatibilityText,
  wrapperStatements,
} from "../scripts/generate-compatibility.mjs";
import { auroraNames, injectFunctions, sessionSettings } from "../src/instance/index.ts";
import { classify, loadParser } from "../src/route/index.ts";
import { clone } from "./helpers/clones.ts";
import { childrenOf, TestCluster, until } from "./helpers/cluster.ts";
import { signalAll } from "./helpers/signals.ts";
import { findEngines } from "./helpers/stock-postgres.ts";

type Endpoint = "writer" | "reader" | `instance-${number}`;
interface Row {
  server_id: string;
  session_id: string | null;
  ageMs: number;
  replica_lag_in_msec: number | null;
  durable_lsn: string | null;
  cpu: number | null;
}

const everywhere = ["writer", "reader"] as const;
const hasPsql = spawnSync("psql", ["--version"]).status === 0;
const ordinary = { user: "ordinary", password: "o" };
const statusSql =
  "SELECT server_id, session_id, replica_lag_in_msec, durable_lsn, cpu, " +
  '(extract(epoch FROM clock_timestamp() - last_update_timestamp) * 1000)::float AS "ageMs" ' +
  "FROM aurora_replica_status()";
const writersSql =
  "SELECT string_agg(server_id, ',') AS w FROM aurora_replica_status() WHERE session_id = 'MASTER_SESSION_ID'";

let cluster: TestCluster;
beforeAll(async () => {
  await loadParser();
  cluster = await TestCluster.create({ readers: 2 });
  await cluster.query(
    "CREATE ROLE ordinary LOGIN PASSWORD 'o'; CREATE SCHEMA ours AUTHORIZATION ordinary",
  );
  await cluster.query("CREATE TABLE beats (n int)");
});
afterAll(() => cluster.destroy());

async function asOrdinary<T>(
  endpoint: Endpoint,
  use: (client: pg.Client) => Promise<T>,
  database = "postgres",
): Promise<T> {
  const client = await cluster.client(endpoint, {
    connectionString: undefined,
    host: "127.0.0.1",
    port: Number(new URL(cluster.url(endpoint)).port),
    database,
    ...ordinary,
  });
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

function statusOn(endpoint: Endpoint): Promise<Row[]> {
  return asOrdinary(endpoint, async (client) => (await client.query<Row>(statusSql)).rows);
}

/** With those that inject faults. */
const everyName = [...auroraNames, ...injectFunctions.map(({ name }) => name)].toSorted();

/** What their first column says is another thing with each call. */
const changing = new Set(["aurora_stat_activity", "aurora_stat_bgwriter"]);

const columnsOf = ({ fields }: pg.QueryResult): string[] => fields.map(({ name }) => name);

function untilVolumeIsTold(client: pg.Client): Promise<unknown> {
  return until("the control plane has told of the volume", async () => {
    const { rows } = await client.query("SELECT nodes FROM aurora_show_volume_status()");
    return rows[0].nodes !== null;
  });
}

async function caughtUp(): Promise<void> {
  const { rows } = await cluster.query("SELECT pg_current_wal_flush_lsn()::text AS at");
  for (const reader of ["instance-1", "instance-2", "instance-3"] as const)
    await until(`${reader} has replayed it`, async () => {
      const sql = `SELECT NOT pg_is_in_recovery() OR pg_last_wal_replay_lsn() >= '${rows[0].at}' AS is`;
      return (await cluster.query(sql, reader)).rows[0].is;
    });
}

describe("each function", () => {
  it("is one that the endpoints know to be harmless", async () => {
    const { rows } = await cluster.query('SELECT "Name" AS name FROM aurora_list_builtins()');
    expect(rows.map((row) => row.name)).toEqual(everyName);
    for (const name of auroraNames)
      expect(classify(`SELECT * FROM pg_catalog.${name}()`).statements, name).toMatchObject([
        { kind: "read", mayWrite: false, mayRunUserCode: false },
      ]);
  });

  it("answers an ordinary user simply, prepared, joined and in a view, on both sides", async () => {
    await asOrdinary("writer", async (client) => {
      for (const name of auroraNames)
        await client.query(`CREATE VIEW ours.v_${name} AS SELECT f.* FROM ${name}() f`);
    });
    await caughtUp();
    for (const endpoint of everywhere)
      await asOrdinary(endpoint, async (client) => {
        await untilVolumeIsTold(client);
        for (const name of auroraNames) {
          // How many there are of some changes all the time.
          const hasRows = async (query: string | pg.QueryConfig): Promise<boolean> =>
            (await client.query(query)).rows.length > 0;
          const plain = await hasRows(`SELECT * FROM ${name}()`);
          expect(plain, name).toBe(!name.startsWith("aurora_global_"));
          const prepared = { name: `p_${name}`, text: `SELECT f FROM ${name}() f WHERE $1` };
          for (const isWanted of [true, true, false])
            expect(await hasRows({ ...prepared, values: [isWanted] }), name).toBe(
              isWanted && plain,
            );
          const joined = `SELECT 1 FROM ${name}() f LEFT JOIN pg_class c ON c.relname = 'nobody'`;
          expect(await hasRows(joined), name).toBe(plain);
          const called = await client.query(`SELECT * FROM ${name}() f`);
          const viewed = await client.query(`SELECT * FROM ours.v_${name}`);
          expect(columnsOf(viewed), name).toEqual(columnsOf(called));
          const [first = ""] = columnsOf(viewed);
          const column = await client.query({
            text: `SELECT "${first}" FROM ours.v_${name}`,
            rowMode: "array",
          });
          expect(column.rows.length > 0, name).toBe(plain);
          if (!changing.has(name))
            expect(column.rows.flat(), name).toEqual(called.rows.map((row) => row[first]));
        }
        await client.query("BEGIN READ ONLY");
        expect((await client.query("SELECT * FROM aurora_replica_status()")).rows).toHaveLength(3);
        await client.query("COMMIT");
      });
  });

  it.skipIf(!hasPsql)(
    "answers in psql, on both sides (skipped where psql is not installed)",
    () => {
      for (const endpoint of everywhere) {
        const url = new URL(cluster.url(endpoint));
        Object.assign(url, { username: ordinary.user, password: ordinary.password });
        const calls = auroraNames.flatMap((name) => ["-c", `SELECT * FROM ${name}()`]);
        const args = ["-X", "-v", "ON_ERROR_STOP=1", ...calls, url.href];
        const { status, stdout, stderr } = spawnSync("psql", args, { encoding: "utf8" });
        expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
        const counts = [...stdout.matchAll(/^\((\d+) rows?\)$/gm)].map(
          ([, count]) => count !== "0",
        );
        expect(counts).toEqual(auroraNames.map((name) => !name.startsWith("aurora_global_")));
        expect(stdout).toContain("MASTER_SESSION_ID");
      }
    },
  );

  it("is absent, and told to be, where docs/compatibility.md says so", async () => {
    const isSchema = (name: string): boolean => !/^(aurora|get)_/.test(name);
    const schemas = absentNames.filter(isSchema).map((name) => name.replace(/\.\*$/, ""));
    const functions = absentNames.filter((name) => !isSchema(name));
    expect([schemas.length, functions.length]).toEqual([6, 17]);
    for (const endpoint of everywhere)
      await asOrdinary(endpoint, async (client) => {
        const told = (call: string): Promise<unknown> =>
          client.query(`SELECT * FROM ${call}`).catch((error: pg.DatabaseError) => error.code);
        for (const name of functions)
          expect([name, await told(`${name}()`)]).toEqual([name, "42883"]);
        for (const name of schemas)
          expect([name, await told(`${name}.x()`)]).toEqual([name, "3F000"]);
        // Whatever it takes; and no extension may bring it.
        const found = await client.query(
          `SELECT proname AS name FROM pg_proc WHERE proname = ANY ($1)
            UNION ALL SELECT name FROM pg_available_extensions WHERE name = ANY ($1)`,
          [[...functions, ...schemas]],
        );
        expect(found.rows).toEqual([]);
      });
  });

  it("means what it does whatever the caller has in front of pg_catalog", async () => {
    await asOrdinary("writer", async (client) => {
      await client.query(`
        CREATE FUNCTION ours.pg_read_file(text, bigint, bigint, boolean) RETURNS text
          LANGUAGE sql AS 'SELECT ''{"instances":[{"server_id":"forged"}]}''';
        CREATE FUNCTION ours.current_setting(text) RETURNS text LANGUAGE sql AS 'SELECT ''forged''';
        SET search_path = ours, pg_catalog`);
      const sql =
        "SELECT server_id, aurora_db_instance_identifier() AS me FROM aurora_replica_status()";
      for (const row of (await client.query(sql)).rows) {
        expect(row.server_id).toMatch(/^instance-[123]$/);
        expect(row.me).toBe("instance-1");
      }
      const reading = client.query("SELECT pg_catalog.pg_read_file('borealis_sight.json')");
      await expect(reading).rejects.toMatchObject({ code: "42501" });
    });
  });

  it.each(wrapperStatements)("%s: %s", async (_what, text, rows) => {
    for (const endpoint of everywhere) {
      const found = await asOrdinary(endpoint, (client) => client.query(text));
      if (rows !== null) expect(found.rows).toHaveLength(rows);
      const flag = found.rows[0]?.aurora_stat_utils;
      if (text.includes("aurora_stat_utils")) expect(flag).toBe(true);
    }
  });

  it("is listed as it is in docs/compatibility.md", async () => {
    await caughtUp();
    const text = await compatibilityText(cluster.url("writer"), cluster.url("instance-2"));
    expect(readFileSync(compatibilityFile, "utf8")).toBe(text);
  });
});

describe("what they say", () => {
  it("is true of the version, the instance and the volume", async () => {
    const version = (await cluster.query("SHOW server_version")).rows[0].server_version;
    for (const k of [1, 2, 3]) {
      const sql =
        "SELECT aurora_version() AS v, aurora_db_instance_identifier() AS id, nodes, disks FROM aurora_show_volume_status()";
      const { rows } = await cluster.query(sql, `instance-${k}`);
      expect(rows).toEqual([{ v: `${version}.0`, id: `instance-${k}`, nodes: 6, disks: 1 }]);
    }
  });

  it("is who writes, how far everybody is, and how old that is", async () => {
    for (const endpoint of ["writer", "instance-2", "instance-3"] as const) {
      const rows = await until("figures of all are there", async () => {
        const found = await statusOn(endpoint);
        return found.every((row) => row.cpu !== null && row.durable_lsn !== null) && found;
      });
      expect(rows.map((row) => row.server_id)).toEqual(["instance-1", "instance-2", "instance-3"]);
      const [writer, ...readers] = rows;
      expect(writer).toMatchObject({ session_id: "MASTER_SESSION_ID", replica_lag_in_msec: null });
      for (const row of readers) {
        expect(row.session_id).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
        expect(row.replica_lag_in_msec).toBeGreaterThanOrEqual(0);
      }
      for (const row of rows) expect(row.ageMs).toBeLessThan(5_000);
    }
    const names = async (endpoint: Endpoint): Promise<(string | null)[]> =>
      (await statusOn(endpoint)).map((row) => row.session_id);
    expect(await names("instance-2")).toEqual(await names("instance-3"));
    // Positions move with what is written.
    const before = BigInt((await statusOn("instance-2"))[1]?.durable_lsn ?? 0);
    await cluster.query("INSERT INTO beats SELECT 1 FROM generate_series(1, 100)");
    await until("the reader's position has moved", async () => {
      return BigInt((await statusOn("instance-2"))[1]?.durable_lsn ?? 0) > before;
    });
  });

  it("keeps an instance that is away, with the time when it was last heard of", async () => {
    const { instances } = await cluster.status();
    const agentPid = instances.find((row) => row.id === "instance-3")?.agentPid ?? 0;
    process.kill(agentPid, "SIGSTOP");
    try {
      await until("it is not heard of", async () => {
        const row = (await statusOn("writer")).find((one) => one.server_id === "instance-3");
        return row !== undefined && row.ageMs > 3_000;
      });
      const fresh = (await statusOn("writer")).filter((row) => row.ageMs < 3_000);
      expect(fresh.map((row) => row.server_id)).toEqual(["instance-1", "instance-2"]);
    } finally {
      process.kill(agentPid, "SIGCONT");
    }
    await until("it is back", async () => {
      return (await statusOn("writer")).every((row) => row.ageMs < 3_000);
    });
  });
});

describe("settings and roles", () => {
  it("has rds.* in SHOW and pg_settings, and what is allowed there is allowed", async () => {
    for (const endpoint of everywhere)
      await asOrdinary(endpoint, async (client) => {
        const { rows } = await client.query<{ name: string; setting: string }>(
          "SELECT name, setting FROM pg_settings WHERE name LIKE 'rds.%'",
        );
        expect(rows).toHaveLength(5);
        for (const { name, setting } of rows)
          expect((await client.query(`SHOW ${name}`)).rows).toEqual([{ [name]: setting }]);
        const trusted = await client.query<{ name: string }>(
          "SELECT DISTINCT name FROM pg_available_extension_versions WHERE trusted",
        );
        const listed = rows.find((row) => row.name === "rds.extensions")?.setting.split(", ") ?? [];
        const wanted = [...trusted.rows.map((row) => row.name), "aurora_stat_utils"];
        expect(listed).toEqual(wanted.toSorted());
      });
  });

  it("leaves pg_settings what it was: it can be updated, and shows what a session has set", async () => {
    const client = await cluster.client();
    await client.query("UPDATE pg_settings SET setting = '9MB' WHERE name = 'work_mem'");
    const sql = "SELECT setting, source FROM pg_settings WHERE name = 'work_mem'";
    expect((await client.query(sql)).rows).toEqual([{ setting: "9216", source: "session" }]);
    await client.query("SET apg_write_forward.consistency_mode = 'session'");
    const forward =
      "SELECT setting FROM pg_settings WHERE name = 'apg_write_forward.consistency_mode'";
    expect((await client.query(forward)).rows).toEqual([{ setting: "session" }]);
    await client.end();
  });

  it("gives members of rds_superuser what the role allows, and others nothing", async () => {
    await cluster.query(
      "CREATE ROLE helper LOGIN CREATEROLE PASSWORD 'h' IN ROLE rds_superuser; GRANT CREATE ON DATABASE postgres TO helper",
    );
    const client = await cluster.client("writer", {
      connectionString: undefined,
      host: "127.0.0.1",
      port: cluster.port,
      user: "helper",
      password: "h",
      database: "postgres",
    });
    await client.query("SET session_replication_role = replica; RESET session_replication_role");
    await client.query("CREATE EXTENSION hstore; DROP EXTENSION hstore; CHECKPOINT");
    for (const role of ["pg_monitor", "rds_password", "rds_replication"])
      expect((await client.query(`SELECT pg_has_role('${role}', 'member') AS is`)).rows).toEqual([
        { is: true },
      ]);
    await client.query("GRANT rds_iam TO ordinary; REVOKE rds_iam FROM ordinary");
    const uses = "SELECT pg_has_role('rds_iam', 'usage') OR pg_has_role('rds_iam', 'set') AS is";
    expect((await client.query(uses)).rows).toEqual([{ is: false }]);
    await expect(client.query("ALTER ROLE rds_iam SUPERUSER")).rejects.toMatchObject({
      code: "42501",
    });
    await client.end();
    await asOrdinary("writer", async (plain) => {
      const mine = "ALTER ROLE ordinary";
      for (const name of sessionSettings) await plain.query(`${mine} RESET ${name}`);
      await plain.query(`${mine} SET borealis.on_failover = 'disconnect'`);
      await plain.query(`${mine} SET apg_write_forward.consistency_mode = 'eventual'`);
      await plain.query(`${mine} RESET ALL`);
      const set = plain.query("SET session_replication_role = replica");
      await expect(set).rejects.toMatchObject({ code: "42501" });
    });
  });
});

describe("databases", () => {
  it("has it in new ones at once, whatever they are made from, with any encoding", async () => {
    await cluster.query("CREATE DATABASE fresh");
    await cluster.query(
      "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc",
    );
    for (const database of ["fresh", "latin"]) {
      const found = await asOrdinary(
        "writer",
        (client) => client.query("SELECT server_id FROM aurora_replica_status()"),
        database,
      );
      expect(found.rows, database).toHaveLength(3);
    }
    const template0 = "SELECT datallowconn FROM pg_database WHERE datname = 'template0'";
    expect((await cluster.query(template0)).rows).toEqual([{ datallowconn: false }]);
  });

  it("makes it again in one that lacks it, or has another version's, behind any event trigger", async () => {
    const client = await cluster.client("writer", {
      connectionString: cluster.url("writer", "fresh"),
    });
    await client.query(`
      ALTER DATABASE fresh SET default_transaction_read_only = on;
      SET default_transaction_read_only = off;
      CREATE FUNCTION refuses() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'refused'; END$$;
      CREATE VIEW uses AS SELECT server_id FROM aurora_replica_status();
      DROP FUNCTION aurora_version();
      COMMENT ON FUNCTION borealis_sight() IS 'surface of old';
      CREATE EVENT TRIGGER never ON ddl_command_start EXECUTE FUNCTION refuses()`);
    await client.end();
    expect((await cluster.cli("failover", "--target", "instance-2")).code).toBe(0);
    await until("the next writer has made it", async () => {
      const config = { connectionString: cluster.url("writer", "fresh") };
      const one = await cluster.client("writer", config);
      try {
        const found = await one.query("SELECT aurora_version() AS v, count(*)::int AS n FROM uses");
        return found.rows[0]?.n === 3;
      } finally {
        await one.end();
      }
    });
    await cluster.untilEverybody();
  });
});

/** A session that follows the writer, and what it and a reader that nothing happens to are told, until both agree. */
async function timesOfChange(from: string, change: () => Promise<unknown>): Promise<number> {
  const writer = await cluster.client("writer");
  const aside = await cluster.client("instance-3");
  const limit = AbortSignal.timeout(60_000);
  let newWriterAtMs = 0;
  let firstTold = "";
  let toldAtMs = 0;
  const beat = (async () => {
    while (newWriterAtMs === 0 && !limit.aborted) {
      const { rows } = await writer.query(
        `INSERT INTO beats VALUES (1) RETURNING aurora_db_instance_identifier() AS me, (${writersSql}) AS w`,
      );
      if (rows[0].me === from) continue;
      newWriterAtMs = performance.now();
      firstTold = `${rows[0].me} says ${rows[0].w}`;
    }
  })();
  const watch = (async () => {
    while (toldAtMs === 0 && !limit.aborted) {
      // Who wrote before has a lag, as any reader: without one it would be the best of them to wrappers.
      const { rows } = await aside.query(
        `SELECT (${writersSql}) AS w, (SELECT replica_lag_in_msec FROM aurora_replica_status() WHERE server_id = '${from}') AS lag`,
      );
      const [{ w, lag }] = rows;
      if (w !== null && w !== from && typeof lag === "number") toldAtMs = performance.now();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  await change();
  await Promise.all([beat, watch]);
  expect([newWriterAtMs, toldAtMs]).not.toContain(0);
  const [, name = ""] = /^(\S+) says/.exec(firstTold) ?? [];
  expect(firstTold).toBe(`${name} says ${name}`);
  await writer.end();
  await aside.end();
  return toldAtMs - newWriterAtMs;
}

describe("a failover", () => {
  it("is told on the new writer at once, and on the others within a second", async () => {
    const lateMs = await timesOfChange("instance-2", async () => {
      expect((await cluster.cli("failover", "--target", "instance-1")).code).toBe(0);
    });
    expect(lateMs).toBeLessThan(1_000);
    await cluster.untilEverybody();
    for (const endpoint of ["instance-1", "instance-2", "instance-3"] as const)
      expect((await cluster.query(writersSql, endpoint)).rows, endpoint).toEqual([
        { w: "instance-1" },
      ]);
  });

  it("by a kill -9 is told as soon, and the dead one stays listed", async () => {
    const { instances } = await cluster.status();
    const pid = instances.find((row) => row.id === "instance-1")?.postgresPid ?? 0;
    const lateMs = await timesOfChange("instance-1", () =>
      Promise.resolve(process.kill(pid, "SIGKILL")),
    );
    expect(lateMs).toBeLessThan(1_000);
    const rows = await statusOn("instance-3");
    expect(rows).toHaveLength(3);
    // Without a lag it would be the best reader to wrappers, dead as it is.
    const lags = rows.filter((row) => row.session_id !== "MASTER_SESSION_ID");
    expect(lags.map((row) => typeof row.replica_lag_in_msec)).toEqual(["number", "number"]);
    await cluster.untilEverybody();
  });

  it("from one that hangs is told as soon", async () => {
    const { instances, cluster: before } = await cluster.status();
    const from = before.writer ?? "";
    const postmaster = instances.find((row) => row.id === from)?.postgresPid ?? 0;
    const frozen = [postmaster, ...childrenOf(postmaster)];
    let lateMs: number;
    try {
      lateMs = await timesOfChange(from, () => Promise.resolve(signalAll(frozen, "SIGSTOP")));
    } finally {
      signalAll(frozen.toReversed(), "SIGCONT");
    }
    expect(lateMs).toBeLessThan(1_000);
    await cluster.untilEverybody();
  });
});

describe("a clone", () => {
  it("knows its own instances and where it began", async () => {
    const dataDir = await clone(cluster, "clone");
    const copy = await TestCluster.create({ readers: 0, dataDir });
    try {
      const sql =
        "SELECT server_id, session_id, aurora_volume_logical_start_lsn()::text AS lsn FROM aurora_replica_status()";
      const { branchLsn } = JSON.parse(
        readFileSync(join(dataDir, "control", "state.json"), "utf8"),
      ) as { branchLsn: string };
      await until("the control plane has told of the volume", async () => {
        return (await copy.query(sql)).rows[0]?.lsn !== null;
      });
      expect((await copy.query(sql)).rows).toEqual([
        { server_id: "instance-1", session_id: "MASTER_SESSION_ID", lsn: branchLsn },
      ]);
      expect((await cluster.query(sql)).rows.map((row) => row.lsn)).toEqual([null, null, null]);
    } finally {
      await copy.down();
    }
  });
});

describe("a cluster of before", () => {
  it("has it after its next start, and keeps what is its own", async () => {
    const off = ["--set", "sql.aurora=off"];
    const old = await TestCluster.create({ readers: 1, firstArgs: off });
    try {
      const ask = async (sql: string, endpoint: Endpoint = "writer"): Promise<unknown[]> => {
        const connectionString = old.url(endpoint, "app");
        const client = await old.client(endpoint, { connectionString });
        try {
          const { rows } = await client.query({ text: sql, rowMode: "array" });
          return rows.map(([value]) => value);
        } finally {
          await client.end();
        }
      };
      await old.query("CREATE DATABASE app");
      for (const sql of [
        "CREATE ROLE rds_iam LOGIN",
        "CREATE FUNCTION public.aurora_version() RETURNS text LANGUAGE sql AS $$SELECT 'mine'$$",
        "CREATE VIEW stands AS SELECT public.aurora_version() AS v",
      ])
        await ask(sql);
      const made =
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^aurora' ORDER BY 1";
      expect(await ask(made)).toEqual([]);
      expect(await ask("SELECT name FROM pg_settings WHERE name ~ '^(rds|apg)'")).toEqual([]);
      expect(await ask("SELECT rolname FROM pg_roles WHERE rolname ~ '^rds_'")).toEqual([
        "rds_iam",
      ]);
      await old.down();
      await old.up();
      await until("the writer has made it, and a reader has it", async () => {
        const sql = "SELECT server_id FROM pg_catalog.aurora_replica_status()";
        return (await ask(sql, "instance-2")).length === 2;
      });
      expect(await ask(made)).toEqual(everyName);
      expect(await ask("SELECT v FROM stands")).toEqual(["mine"]);
      const iam =
        "SELECT rolcanlogin AND NOT EXISTS (SELECT FROM pg_auth_members WHERE r.oid IN (roleid, member)) FROM pg_roles r WHERE rolname = 'rds_iam'";
      expect(await ask(iam)).toEqual([true]);
      await until("pg_settings has its rows", async () => {
        return (await ask("SELECT name FROM pg_settings WHERE name ~ '^rds'")).length === 5;
      });
    } finally {
      await old.destroy();
    }
  });
});

/** Where clients are that can dump a server of this major version: pg_dump refuses newer ones. Empty: where PATH finds them. */
function findDump(major: number): string | undefined {
  const places = [...findEngines().map(({ bin }) => `${bin}/`), ""];
  return places.find((place) => {
    const { stdout } = spawnSync(`${place}pg_dump`, ["--version"], { encoding: "utf8" });
    return Number(/ (\d+)/.exec(stdout ?? "")?.[1] ?? 0) >= major;
  });
}

const isOther = process.env["BOREALIS_TEST_POSTGRES_BIN"] !== undefined;
/** The one that comes along has no clients: a system's may be new enough for it. */
const dumped: { version: string; bin?: string }[] = [
  ...findEngines(),
  ...(isOther ? [] : [{ version: "18" }]),
];

describe.each(dumped)("no noise, on PostgreSQL $version", ({ version, bin }) => {
  const place = findDump(Number(version));
  const run = (tool: string, args: string[], input = ""): string =>
    execFileSync(`${place}${tool}`, args, { encoding: "utf8", input });

  it.skipIf(place === undefined)(
    "is in a dump, which restores into a database of our own making, as text and as an archive",
    async () => {
      const engine = bin === undefined ? [] : [`--postgres-bin=${bin}`];
      const old = await TestCluster.create({
        readers: 1,
        args: [...engine, "--set", "reader.warmEveryMs=200"],
      });
      try {
        await old.query("CREATE TABLE t AS SELECT 1 AS a");
        await old.query("CREATE VIEW v AS SELECT server_id FROM aurora_replica_status()");
        await until(
          "what keeps readers warm is there, which is nobody else's to call",
          async () => {
            const sql =
              "SELECT proacl IS NOT NULL AS is FROM pg_proc WHERE proname = 'borealis_buffers'";
            return (await old.query(sql)).rows[0]?.is;
          },
        );
        const dump = (...args: string[]): string => run("pg_dump", [...args, "-d", old.url()]);
        const text = dump();
        expect(text).toContain("CREATE TABLE public.t");
        // Nothing but the user's own view.
        const noise = dump("--exclude-table=v")
          .split("\n")
          .filter((line) => /aurora|borealis|rds_|pg_catalog\.pg_s/.test(line));
        expect(noise).toEqual([]);
        const archive = join(old.dataDir, "../archive");
        dump("-Fc", "-f", archive);
        for (const database of ["copy", "second"]) {
          await old.query(`CREATE DATABASE ${database} TEMPLATE template0`);
          const into = ["-d", old.url("writer", database)];
          if (database === "copy") run("psql", ["-qX", "-v", "ON_ERROR_STOP=1", ...into], text);
          else run("pg_restore", ["--exit-on-error", ...into, archive]);
          const client = await old.client("writer", {
            connectionString: old.url("writer", database),
          });
          const { rows } = await client.query("SELECT v.server_id, t.a FROM v, t ORDER BY 1");
          await client.end();
          expect(rows, database).toEqual([
            { server_id: "instance-1", a: 1 },
            { server_id: "instance-2", a: 1 },
          ]);
        }
      } finally {
        await old.destroy();
      }
    },
  );
});
