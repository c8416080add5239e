/** The database `borealis` on a real cluster: psql and node-postgres as people use them, and who may not. */
import { execFile, spawnSync } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestCluster, until } from "./helpers/cluster.ts";
import { hasJdbc, jdbcJar } from "./helpers/debian.ts";

interface Event {
  readonly time: Date;
  readonly source_type: string;
  readonly source: string;
  readonly category: string;
  readonly message: string;
}

const hasPsql = spawnSync("psql", ["--version"]).status === 0;

describe("the admin database", () => {
  let cluster: TestCluster;
  let admin: pg.Client;
  beforeAll(async () => {
    cluster = await TestCluster.create({ readers: 1 });
    admin = await cluster.client("writer", { connectionString: cluster.url("writer", "borealis") });
  });
  afterAll(async () => {
    await admin.end().catch(() => undefined);
    await cluster.destroy();
  });

  it("shows what borealis status shows, at every endpoint", async () => {
    for (const endpoint of ["writer", "reader", "instance-2"] as const) {
      const client = await cluster.client(endpoint, {
        connectionString: cluster.url(endpoint, "borealis"),
      });
      const { rows } = await client.query("SHOW CLUSTER");
      const status = await cluster.status();
      expect(rows).toHaveLength(1);
      expect(rows[0]).toMatchObject({
        state: "available",
        writer: status.cluster.writer,
        epoch: String(status.cluster.epoch),
        supervisor_pid: status.cluster.supervisorPid,
      });
      await client.end();
    }
    const { instances, storage, endpoints } = await cluster.status();
    const shown = await admin.query("SELECT id, agent_pid, port FROM instances ORDER BY id");
    expect(shown.rows).toEqual(
      instances.map(({ id, agentPid, port }) => ({ id, agent_pid: agentPid, port })),
    );
    const nodes = await admin.query("show storage");
    expect(nodes.rows.map((row: { id: string }) => row.id)).toEqual(storage.map(({ id }) => id));
    const ends = await admin.query("select id, members from endpoints");
    expect(ends.rows).toEqual(endpoints.map(({ id, members }) => ({ id, members })));
    const snapshots = await admin.query("SHOW SNAPSHOTS");
    expect(snapshots.rows.length).toBeGreaterThan(0);
    expect(snapshots.rows[0].taken_at).toBeInstanceOf(Date);
  });

  it("shows a session, and what became of it when its writer was killed", async () => {
    const client = await cluster.client("writer", { application_name: "mine" });
    await client.query("SET work_mem = '8MB'");
    const mine = "SELECT * FROM sessions WHERE application_name = $1";
    // The proxy tells what its sessions do from time to time.
    const before = await until("the session is idle", async () => {
      const { rows } = await admin.query(mine, ["mine"]);
      return rows.length === 1 && rows[0].state === "idle" && rows;
    });
    expect(before[0]).toMatchObject({
      user: "postgres",
      database: "postgres",
      endpoint: "writer",
      instance: (await cluster.status()).cluster.writer,
      state: "idle",
      outcomes: {},
      is_pooled: false,
    });
    expect(before[0].client_address).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(Math.abs(Date.now() - before[0].since.getTime())).toBeLessThan(60_000);
    const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
    expect(before[0].backend_pid).toBe(rows[0]?.pid);
    const pids = await cluster.pids();
    process.kill(pids.get(`postgres:${before[0].instance}`) ?? 0, "SIGKILL");
    // Its backend may answer for some moments more.
    const after = await until("the session has another server", async () => {
      const shown = await client.query("SHOW work_mem");
      expect(shown.rows[0].work_mem).toBe("8MB");
      const { rows: own } = await admin.query(
        "SELECT pid, outcomes, outcomes->>'continued' AS continued FROM borealis.sessions" +
          " WHERE application_name = 'mine' AND outcomes <> '{}'",
      );
      return own.length > 0 && own;
    });
    expect(after).toHaveLength(1);
    expect(after[0].pid).toBe(before[0].pid);
    const outcomes = after[0].outcomes as Record<string, number>;
    expect(Object.values(outcomes).reduce((sum, count) => sum + count, 0)).toBe(1);
    expect(after[0].continued).toBe(outcomes["continued"]?.toString() ?? null);
    await client.end();
    await cluster.untilEverybody();
  });

  it("joins, groups and prepares", async () => {
    const joined = await admin.query({
      name: "members",
      text:
        "SELECT e.id, count(i.id) AS n FROM endpoints e LEFT JOIN instances i ON i.id = ANY(e.members) AND i.az = $1" +
        " GROUP BY e.id ORDER BY e.id LIMIT $2",
      values: ["az1", 1],
    });
    expect(joined.rows).toEqual([{ id: "instance-1", n: "1" }]);
    const again = await admin.query({ name: "members", text: "", values: ["az9", 1] });
    expect(again.rows).toEqual([{ id: "instance-1", n: "0" }]);
    const binary = await admin.query({
      text: "SELECT port, lag_ms IS NULL AS is_writer, now() AS seen FROM instances WHERE role = $1",
      values: ["writer"],
      // node-postgres reads integers and booleans in binary.
      binary: true,
    } as pg.QueryConfig);
    expect(binary.rows[0].port).toBeGreaterThan(cluster.port);
  });

  it("tells what has happened, the newest last", async () => {
    await admin.query("CREATE SNAPSHOT kept");
    const { writer } = (await cluster.status()).cluster;
    const { rows } = await until("the failover and the snapshot are told", async () => {
      const shown = await admin.query<Event>("SHOW EVENTS");
      const isTold = (...wanted: [string, string, string | null]): boolean =>
        shown.rows.some(
          ({ source_type, category, source }) =>
            [source_type, category, source].join() === wanted.join(),
        );
      return (
        isTold("snapshot", "backup", "kept") && isTold("instance", "failover", writer) && shown
      );
    });
    const times = rows.map(({ time }) => time.getTime());
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    const counted = await admin.query(
      "SELECT count(*) > 0 AS is_told FROM events WHERE category <> ''",
    );
    expect(counted.rows).toEqual([{ is_told: true }]);
  });

  it("lets no statement hold other sessions up, or take the process's memory", async () => {
    const stock = await cluster.client();
    const long = "a".repeat(20_000);
    const heavy = [
      `SELECT '${long}' LIKE '%${long.slice(0, 10_000)}b%' FROM storage a, storage b, storage c, storage d`,
      `SELECT count(*) FROM storage a, storage b, storage c, storage d, storage e WHERE upper(replace('${long}', 'a', 'bb' || a.id)) < b.id`,
      "SELECT max(a.id || b.id || c.id || d.id || e.id || f.id) FROM storage a, storage b, storage c, storage d, storage e, storage f, storage g",
    ];
    for (const sql of heavy) {
      let isDone = false;
      const said = admin
        .query(sql)
        .then(
          () => "rows",
          (error: pg.DatabaseError) => error.code,
        )
        .finally(() => {
          isDone = true;
        });
      const turnsMs: number[] = [];
      while (!isDone) {
        const beforeMs = performance.now();
        await stock.query("SELECT 1");
        turnsMs.push(performance.now() - beforeMs);
      }
      expect([sql.slice(-60), await said]).toEqual([
        sql.slice(-60),
        expect.stringMatching(/^5(4001|4000|3200)$/),
      ]);
      // Without a thread of its own it was seconds.
      expect(Math.max(...turnsMs)).toBeLessThan(700);
    }
    expect((await admin.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
    await stock.end();
  });

  it("works expressions out as PostgreSQL does", async () => {
    const stock = await cluster.client();
    const expressions = [
      "7 / 2, -7 / 2, -7 % 3, 2147483647::int8 * 2, 5.0::float8 / 2, (2.5::float8)::int, (-3.5::float8)::int",
      "1e15::float8, 123456.789::float8, 0.00001::float8, 'NaN'::float8 > 1e300::float8, '-0'::float8",
      "null = null, null is null, 1 in (2, null), 1 not in (2, null), not (null and false), true or null",
      "'b' = any (array[null, 'a']), 'a' <> all (array['b', 'c']), array['a b', null, 'q\"', '', 'NULL']",
      "'50%' like '50\\%', 'abc' like 'a_', 'ÄB' ilike 'äb', 'a' not like '%', '' like ''",
      "length('é€😀'), upper('aé'), substring('abcdef', -1, 4), substring('abcdef' from 3), replace('aaa', 'a', '$&')",
      "'x' || 1 || true, concat('a', null, 1), coalesce(null, 'x'), nullif(1, 1), greatest(1, null, 3), least(2, 1)",
      "case 3 when 1 then 'a' when 3 then 'b' end, case when null then 1 else 2 end, true::text, '12'::int + 1",
      "'2026-11-30 01:02:03.45+01'::timestamptz, '2026-01-01'::timestamptz - interval '36:00', interval '1 day 02:03:04.5'",
      "extract(epoch from '2026-01-01 00:00:00.25+00'::timestamptz)::float8, '2026-01-02'::timestamptz - '2026-01-01'",
      "'0/A0'::pg_lsn > '0/20'::pg_lsn, ('1/0'::pg_lsn - '0/FFFFFFF0'::pg_lsn)::int8, '16/B374D848'::pg_lsn",
      "pg_size_pretty(10239::int8), pg_size_pretty(10240::int8), pg_size_pretty(-1500000::int8), round(2.567::numeric, 2)",
      `'{"a": {"b": [1]}}'::jsonb ->> 'a', '{"a": "x"}'::jsonb -> 'a', '{"a": null}'::jsonb ->> 'a'`,
    ];
    await stock.query("SET timezone = 'UTC'");
    for (const list of expressions) {
      const query = { text: `SELECT ${list}`, rowMode: "array" as const };
      const types = { getTypeParser: () => (text: string) => text };
      const answers = await Promise.all(
        [stock, admin].map((client) => client.query<unknown[]>({ ...query, types })),
      );
      expect([list, answers[1]?.rows]).toEqual([list, answers[0]?.rows]);
    }
    await stock.end();
  });

  it("tells errors as PostgreSQL does, and goes on", async () => {
    const codeOf = async (sql: string, values: unknown[] = []): Promise<string> =>
      admin.query(sql, values).then(
        () => "none",
        (error: pg.DatabaseError) => `${error.code} ${error.position ?? ""}`.trim(),
      );
    expect(await codeOf("SELECT * FROM nothing")).toBe("42P01 15");
    expect(await codeOf("SELECT nobody FROM sessions")).toBe("42703 8");
    expect(await codeOf("SELECT 1 FROM")).toBe("42601 14");
    expect(await codeOf("SELEC 1")).toBe("42601 1");
    expect(await codeOf("INSERT INTO sessions VALUES (1)")).toBe("0A000 1");
    expect(await codeOf("SELECT * FROM instances WHERE port = $1", ["x"])).toBe("22P02");
    expect(await codeOf(`SELECT '${"x".repeat(70_000)}'`)).toBe("54000");
    expect(await codeOf(`SELECT $1 || '${"x".repeat(70_000)}'`, ["a"])).toBe("54000");
    // By its length, or by the time that it takes.
    const long = `SELECT 1 WHERE 1 IN (${"1,".repeat(8_000)}1)`;
    expect(["54000", "54001"]).toContain(await codeOf(long));
    expect(await codeOf("BEGIN")).toBe("none");
    expect(await codeOf("SELECT 1/0")).toBe("22012");
    expect(await codeOf("SELECT 1")).toBe("25P02");
    expect(await codeOf("ROLLBACK")).toBe("none");
    expect((await admin.query("SELECT version()")).rows[0].version).toMatch(
      /^PostgreSQL \d+\.\d+ \(Borealis/,
    );
  });

  it("lets nobody in but the master user, and them only with their password", async () => {
    await cluster.query("CREATE ROLE app LOGIN PASSWORD 'app'");
    const failing = (url: string): Promise<{ code?: string; message?: string }> => {
      const client = new pg.Client({ connectionString: url });
      return client.connect().then(
        () => client.end().then(() => ({})),
        (error: pg.DatabaseError) => ({ code: error.code ?? "", message: error.message }),
      );
    };
    const at = `127.0.0.1:${cluster.port}/borealis`;
    expect(await failing(`postgresql://app:app@${at}`)).toEqual({
      code: "42501",
      message: 'permission denied for database "borealis"',
    });
    expect((await failing(`postgresql://app:wrong@${at}`)).code).toBe("28P01");
    expect((await failing(`postgresql://postgres:wrong@${at}`)).code).toBe("28P01");
    const other = await cluster.client("writer");
    await other.query("ALTER ROLE postgres NOLOGIN");
    expect(await failing(cluster.url("writer", "borealis"))).toMatchObject({ code: "28000" });
    await other.query("ALTER ROLE postgres LOGIN");
    expect(await failing(cluster.url("writer", "borealis"))).toEqual({});
    await other.end();
  });

  it.skipIf(!hasPsql)("works in psql (skipped where psql is not installed)", () => {
    const url = cluster.url("writer", "borealis");
    const psql = (...commands: string[]): { stdout: string; stderr: string } =>
      spawnSync("psql", ["-X", url, ...commands.flatMap((one) => ["-c", one])], {
        encoding: "utf8",
      });
    const described = psql("\\l", "\\dt", "\\d", "\\d sessions", "\\d+ sessions", "\\dn", "\\du");
    expect(described.stderr).toBe("");
    expect(described.stdout).toMatch(/borealis\s*\| postgres \| UTF8/);
    expect(described.stdout).toMatch(/borealis \| snapshots\s*\| table \| postgres/);
    expect(described.stdout).toMatch(/Table "borealis\.sessions"/);
    expect(described.stdout).toMatch(/since\s*\| timestamp with time zone/);
    expect(described.stdout).toMatch(/outcomes .*how losses of its servers ended/);
    expect(psql("\\conninfo").stdout).toContain('database "borealis" as user "postgres"');
    expect(psql("\\d nothing").stderr).toContain('Did not find any relation named "nothing"');
    expect(psql("\\df").stderr).toBe("");
    const shown = psql("show endpoints", "select id from storage order by 1 limit 1");
    expect(shown.stderr).toBe("");
    expect(shown.stdout).toMatch(/az1-full/);
    const wrong = psql("select * from session");
    expect(wrong.stderr).toContain('relation "session" does not exist');
    expect(wrong.stderr).toContain("HINT:  Schema borealis has cluster, endpoints");
  });

  it("works in JDBC (skipped where it cannot be had)", async ({ skip }) => {
    skip(!(await hasJdbc()), "it needs libpostgresql-jdbc-java, default-jdk-headless");
    const url = `jdbc:postgresql://127.0.0.1:${cluster.port}/borealis`;
    const program = join(import.meta.dirname, "clients", "JdbcAdmin.java");
    const args = ["-Xmx128m", "-cp", jdbcJar, program, url, "postgres", cluster.password];
    const { stdout } = await promisify(execFile)("java", args);
    const lines = stdout.trim().split("\n");
    const of = (what: string): string[] =>
      lines
        .filter((line) => line.startsWith(`${what}|`))
        .map((line) => line.slice(what.length + 1));
    const status = await cluster.status();
    const { writer, state } = status.cluster;
    expect(of("valid")).toEqual(["true|borealis|borealis", "true"]);
    expect(of("SHOW CLUSTER")).toEqual([`${state}|${writer}`]);
    expect(of("SELECT state, writer FROM cluster")).toEqual([`${state}|${writer}`]);
    const port = status.instances.find(({ id }) => id === "instance-1")?.port ?? 0;
    const isWriter = writer === "instance-1";
    const row = `instance-1|${port}|${port}|${port / 4}|${isWriter}|true`;
    expect(of("prepared")).toEqual(Array.from({ length: 8 }, () => row));
    const ends = status.endpoints.map((one) => `${one.id}|${one.port}|${one.members.join(",")}`);
    for (let count = 0; count < 8; count++) expect(of(`show ${count}`)).toEqual(ends);
    // It has got to what it does from the fifth time on.
    expect(of("server's")).toEqual(["true|true"]);
    const types = new Set(of("column").map((line) => line.split("|").slice(2).join(" ")));
    expect([...types]).toEqual(
      expect.arrayContaining([
        "pg_lsn java.lang.String",
        "timestamptz java.sql.Timestamp",
        "_text java.sql.Array",
        "int8 java.lang.Long",
      ]),
    );
    expect(of("portions")).toEqual([
      status.storage
        .map(({ id }) => id)
        .toSorted()
        .join(),
    ]);
    expect(of("product")).toEqual(["PostgreSQL|true|63"]);
    expect(of("schemas")).toEqual(["borealis"]);
    expect(of("schemas like")).toEqual([]);
    const names = "cluster endpoints events instances parameters sessions snapshots storage";
    expect(of("tables")).toEqual(names.split(" ").map((name) => `borealis|${name}|TABLE`));
    expect(of("tables like").map((line) => line.split("|")[0])).toEqual([
      "sessions",
      "snapshots",
      "storage",
    ]);
    expect(of("views")).toEqual([]);
    const columns = of("columns");
    // Types.INTEGER, Types.TIMESTAMP, Types.OTHER, Types.BIT
    expect(columns[0]).toBe("sessions|pid|int4|4|1|YES|NO|what the client knows as its server's");
    expect(columns).toContain("sessions|since|timestamptz|93|9|YES|NO|when it began");
    expect(columns).toContain(
      "sessions|outcomes|jsonb|1111|12|YES|NO|how losses of its servers ended",
    );
    expect(columns).toHaveLength(13);
    expect(of("columns like")).toContain("snapshots|start_lsn|pg_lsn");
    expect(of("command")[0]).toMatch(/jdbc/);
    expect(of("command")).toHaveLength(2);
    expect(of("error")).toEqual(["42703"]);
  });

  it("ends with 57P01 when its endpoint does", async () => {
    await cluster.cli("endpoint", "create", "mine", "--type", "any");
    const { endpoints } = await cluster.status();
    const port = endpoints.find(({ id }) => id === "mine")?.port ?? 0;
    const client = new pg.Client({
      connectionString: cluster.url("writer", "borealis").replace(`:${cluster.port}/`, `:${port}/`),
    });
    const ended = new Promise<string>((resolve) =>
      client.on("error", (error) => resolve("code" in error ? String(error.code) : error.message)),
    );
    await client.connect();
    expect((await client.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
    await cluster.cli("endpoint", "delete", "mine");
    expect(await ended).toBe("57P01");
  });
});
