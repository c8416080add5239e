/** psql through the endpoints, as a person uses it: \d, \copy, LISTEN, Ctrl-C, and the words of wrong logins. */
import { spawn, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestCluster, until } from "./helpers/cluster.ts";

const hasPsql = spawnSync("psql", ["--version"]).status === 0;

describe.skipIf(!hasPsql)("psql (skipped where psql is not installed)", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await TestCluster.create({ readers: 1 });
  });
  afterAll(() => cluster.destroy());

  function psql(
    args: readonly string[],
    input = "",
    url = cluster.url(),
  ): { stdout: string; stderr: string; status: number | null } {
    return spawnSync("psql", ["-X", "-v", "ON_ERROR_STOP=1", url, ...args], {
      input,
      encoding: "utf8",
    });
  }

  it("describes tables, roles and databases", () => {
    expect(
      psql(["-c", "CREATE TABLE shelf (id int PRIMARY KEY, title text NOT NULL)"]).stderr,
    ).toBe("");
    const described = psql(["-c", "\\d shelf", "-c", "\\du", "-c", "\\dt"]);
    expect(described.stderr).toBe("");
    expect(described.stdout).toContain('"shelf_pkey" PRIMARY KEY');
    expect(described.stdout).toMatch(/postgres\s+\| Superuser/);
  });

  it("copies in and out", () => {
    const file = join(cluster.dataDir, "..", "rows.csv");
    writeFileSync(file, Array.from({ length: 10_000 }, (_, n) => `${n},title ${n}`).join("\n"));
    expect(psql(["-c", `\\copy shelf FROM '${file}' CSV`]).stdout.trim()).toBe("COPY 10000");
    expect(
      psql(["-c", `\\copy (SELECT * FROM shelf ORDER BY id) TO '${file}.out' CSV`]).stdout.trim(),
    ).toBe("COPY 10000");
    expect(readFileSync(`${file}.out`, "utf8").trim()).toBe(readFileSync(file, "utf8"));
  });

  it("listens and is notified", () => {
    const heard = psql([], "LISTEN news;\nNOTIFY news, 'hello';\nSELECT 1;\n");
    expect(heard.stdout).toContain('Asynchronous notification "news" with payload "hello"');
  });

  it("interrupts a running statement with Ctrl-C", async () => {
    const child = spawn("psql", ["-X", cluster.url(), "-c", "SELECT pg_sleep(600)"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stderr = "";
    child.stderr.on("data", (chunk) => (stderr += String(chunk)));
    const ended = new Promise((resolve) => child.once("exit", resolve));
    await until(
      "it sleeps",
      async () =>
        (await cluster.query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")).rows
          .length > 0,
    );
    child.kill("SIGINT");
    await ended;
    expect(stderr).toContain("canceling statement due to user request");
  });

  it("gets PostgreSQL's own words for a wrong password, an unknown role, an unknown database", () => {
    const wrong = cluster.url().replace(cluster.password, "wrong");
    expect(psql(["-c", "SELECT 1"], "", wrong).stderr).toContain(
      'FATAL:  password authentication failed for user "postgres"',
    );
    expect(
      psql(
        ["-c", "SELECT 1"],
        "",
        `postgresql://nobody_at_all:x@127.0.0.1:${cluster.port}/postgres`,
      ).stderr,
    ).toContain('FATAL:  password authentication failed for user "nobody_at_all"');
    expect(psql(["-c", "SELECT 1"], "", `${cluster.url()}_not_there`).stderr).toContain(
      'FATAL:  database "postgres_not_there" does not exist',
    );
  });

  it("uses TLS by default, and says so", () => {
    const info = psql(["-c", "\\conninfo"]);
    expect(info.stdout).toMatch(/SSL connection/);
    const plain = psql(["-c", "\\conninfo"], "", `${cluster.url()}?sslmode=disable`);
    expect(plain.status).toBe(0);
    expect(plain.stdout).not.toMatch(/SSL connection/);
  });

  it("is refused to write on the reader with PostgreSQL's own SQLSTATE", () => {
    const refused = psql(
      ["-v", "VERBOSITY=verbose", "-c", "INSERT INTO shelf VALUES (-1, 'no')"],
      "",
      cluster.url("reader"),
    );
    expect(refused.stderr).toContain("25006");
  });

  it("is told what is not possible here, and what to do instead", () => {
    const space = psql(["-v", "VERBOSITY=verbose", "-c", "CREATE TABLESPACE t LOCATION '/tmp/t'"]);
    expect(space.stderr).toMatch(/0A000/);
    expect(space.stderr).toMatch(/HINT/);
    const system = psql(["-v", "VERBOSITY=verbose", "-c", "ALTER SYSTEM SET fsync = on"]);
    expect(system.stderr).toMatch(/55P02/);
    expect(system.stderr).toMatch(/HINT/);
  });
});
