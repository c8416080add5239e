/**
 * Programs with the drivers and mappers that applications use, through a failover that was asked for and through kill -9
 * of the writer's PostgreSQL: each sees a pause and no error, and finds what it was told is committed, once. One error is
 * admitted (docs/sessions.md): 40001 to who was told a sequence's value in a transaction that is still open.
 *
 * What a program needs is taken as it is found; Debian's packages are installed where we are root, Drizzle into a folder
 * of the test's own. BOREALIS_TEST_INSTALL=off installs nothing. What cannot be had is skipped, and counted.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { copyFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeFolder, TestCluster, until } from "./helpers/cluster.ts";
import { didRun, installPackages, jdbcCheck, jdbcJar, jdbcPackages } from "./helpers/debian.ts";

interface Program {
  readonly name: string;
  /** What it is run by, with the connection's URL in its arguments. */
  readonly command: (url: URL) => readonly [string, ...string[]];
  /** The table that it makes. */
  readonly table: string;
  /** Ends with 0 if all that it needs is there. */
  readonly check: () => readonly [string, ...string[]];
  /** Debian's packages that bring it. */
  readonly packages: readonly string[];
  /** Its inserts return a key that a sequence gave: the same transaction, run again, would be given another one. */
  readonly drawsSequence?: boolean;
}

/** The last line that a program prints. */
interface Report {
  readonly version: string;
  /** Keys of the rows whose commit was told. */
  readonly acknowledged: readonly string[];
  readonly errors: readonly { key: string; code: string; message: string }[];
  /** The keys in the table, at the end. */
  readonly found: readonly string[];
}

const noReport: Report = { version: "", acknowledged: [], errors: [], found: [] };
/** In course.mjs, course.py and Jdbc.java. */
const workersOfProgram = 3;
const folder = join(import.meta.dirname, "clients");
/** Of the test's own, for Drizzle. */
let made = "";
const mayInstall = process.env["BOREALIS_TEST_INSTALL"] !== "off";
const run = promisify(execFile);

// Debian's packages are for Debian's Python; another one may come first in the PATH.
const python = "/usr/bin/python3";

function inPython(
  name: string,
  file: string,
  modules: readonly string[],
  packages: readonly string[],
): Program {
  return {
    name,
    command: (url) => [python, "-B", join(folder, `${file}.py`), url.href],
    table: `rows_of_${name.toLowerCase().replaceAll(" ", "")}`,
    check: () => [python, "-c", modules.map((module) => `import ${module}`).join("; ")],
    packages,
  };
}

function inNode(name: string, file: string, table: string): Program {
  return {
    name,
    command: (url) => [process.execPath, join(folder, file), url.href],
    table,
    check: () => [process.execPath, "-e", ""],
    packages: [],
  };
}

const drizzle: Program = {
  ...inNode("Drizzle", "drizzle.mjs", "rows_of_drizzle"),
  // Beside its packages: that is where a module's imports are looked for.
  command: (url) => [process.execPath, join(made, "drizzle.mjs"), url.href],
  check: () => ["test", "-e", join(made, "node_modules", "drizzle-orm")],
};

const programs: readonly Program[] = [
  inNode("node-postgres", "node-postgres.mjs", "rows_of_node_postgres"),
  inNode("porsager's postgres", "porsager-postgres.mjs", "rows_of_porsager"),
  drizzle,
  inPython("psycopg 3", "psycopg3", ["psycopg"], ["python3-psycopg"]),
  inPython("psycopg2", "psycopg2_plain", ["psycopg2"], ["python3-psycopg2"]),
  inPython("asyncpg", "asyncpg_pool", ["asyncpg"], ["python3-asyncpg"]),
  inPython(
    "SQLAlchemy",
    "sqlalchemy_core",
    ["sqlalchemy", "psycopg2"],
    ["python3-sqlalchemy", "python3-psycopg2"],
  ),
  {
    ...inPython(
      "Django",
      "django_orm",
      ["django", "psycopg2"],
      ["python3-django", "python3-psycopg2"],
    ),
    drawsSequence: true,
  },
  {
    name: "JDBC",
    command: (url) => [
      "java",
      "-Xmx128m",
      "-cp",
      jdbcJar,
      join(folder, "Jdbc.java"),
      `jdbc:postgresql://${url.host}${url.pathname}`,
      url.username,
      url.password,
    ],
    table: "rows_of_jdbc",
    check: () => jdbcCheck,
    packages: jdbcPackages,
  },
];

async function isThere({ check }: Program): Promise<boolean> {
  const [program, ...args] = check();
  return didRun(run(program, args));
}

/** Tries to bring what is missing; who needs what cannot be had is skipped. */
async function install(missing: readonly Program[]): Promise<void> {
  if (!mayInstall) return;
  if (missing.includes(drizzle)) await installDrizzle();
  await installPackages([...new Set(missing.flatMap((one) => one.packages))]);
}

async function installDrizzle(): Promise<void> {
  for (const file of ["drizzle.mjs", "course.mjs"])
    copyFileSync(join(folder, file), join(made, file));
  const args = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0"];
  const packages = ["drizzle-orm@0.45.4", "pg@8.23.1"];
  await didRun(run("npm", [...args, "--prefix", made, ...packages], { timeout: 120_000 }));
}

async function missingOf(wanted: readonly Program[]): Promise<Program[]> {
  const answers = await Promise.all(wanted.map(isThere));
  return wanted.filter((_, index) => !answers[index]);
}

class Running {
  readonly program: Program;
  private readonly child: ChildProcess;
  private readonly ended: Promise<number | null>;
  private stdout = "";
  private stderr = "";

  constructor(program: Program, url: string) {
    this.program = program;
    const [command, ...args] = program.command(new URL(url));
    this.child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
    this.child.stdout?.on("data", (chunk) => (this.stdout += String(chunk)));
    this.child.stderr?.on("data", (chunk) => (this.stderr += String(chunk)));
    this.ended = new Promise((resolve) => this.child.once("close", resolve));
  }

  /** The end of its standard input asks it to. */
  async finish(): Promise<Report> {
    this.child.stdin?.end();
    const code = await this.ended;
    expect(code, `${this.program.name}:\n${this.stderr}`).toBe(0);
    return JSON.parse(this.stdout.trim().split("\n").at(-1) ?? "") as Report;
  }

  assertRuns(): void {
    if (this.child.exitCode === null && this.child.signalCode === null) return;
    throw new Error(`${this.program.name} has ended:\n${this.stdout}${this.stderr}`);
  }

  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.ended;
  }
}

describe("a client through a failover and a kill of the writer", () => {
  let cluster: TestCluster;
  const running: Running[] = [];
  const reports = new Map<string, Report>();
  let missing: readonly Program[] = [];

  beforeAll(async () => {
    made = makeFolder();
    await install(await missingOf(programs));
    missing = await missingOf(programs);
    cluster = await TestCluster.create({ readers: 1 });
    for (const program of programs) {
      if (!missing.includes(program)) running.push(new Running(program, cluster.url()));
    }
    for (const disturb of [() => Promise.resolve(), failOver, killWriter]) {
      await disturb();
      await untilAllWrite();
      await cluster.untilEverybody();
    }
    for (const one of running) reports.set(one.program.name, await one.finish());
  }, 600_000);

  afterAll(async () => {
    for (const one of running) await one.kill();
    await cluster.destroy();
    rmSync(made, { recursive: true, force: true });
  });

  async function failOver(): Promise<void> {
    const result = await cluster.cli("failover");
    expect(result.code, result.stdout + result.stderr).toBe(0);
  }

  async function killWriter(): Promise<void> {
    const { cluster: facts, instances } = await cluster.status();
    const writer = instances.find(({ id }) => id === facts.writer);
    process.kill(writer?.postgresPid ?? 0, "SIGKILL");
    await until("there is another writer", async () => {
      const { cluster: now } = await cluster.status();
      return now.writer !== null && now.epoch > facts.epoch;
    });
  }

  /** Each has written some dozens of rows since now. */
  async function untilAllWrite(): Promise<void> {
    const counts = await countRows();
    await until(
      "every program has written",
      async () => {
        for (const one of running) one.assertRuns();
        const now = await countRows();
        return running.every((_, index) => (now[index] ?? 0) >= (counts[index] ?? 0) + 30);
      },
      120_000,
    );
  }

  /** Rows of each; 0 while it has no table. */
  async function countRows(): Promise<number[]> {
    const counts: number[] = [];
    for (const { program } of running) {
      const { rows } = await cluster.query(`SELECT to_regclass('${program.table}') AS is_there`);
      const isMade = (rows[0] as { is_there: string | null }).is_there !== null;
      const result =
        isMade && (await cluster.query(`SELECT count(*)::int AS n FROM ${program.table}`));
      counts.push(result ? (result.rows[0] as { n: number }).n : 0);
    }
    return counts;
  }

  for (const program of programs) {
    const sees = program.drawsSequence ? "no error but 40001" : "no error";
    it(`${program.name} sees ${sees}, and finds each acknowledged row once`, ({ skip }) => {
      const needs = program.packages.join(", ") || "npm's registry";
      skip(missing.includes(program), `it needs ${needs}`);
      const { version, acknowledged, errors, found } = reports.get(program.name) ?? noReport;
      console.log(
        `${program.name} ${version}: ${acknowledged.length} rows, ${errors.length} errors`,
      );
      const admitted = program.drawsSequence ? ["40001"] : [];
      expect(errors.filter(({ code }) => !admitted.includes(code))).toEqual([]);
      // Each worker has one transaction under way when its writer goes.
      expect(errors.length).toBeLessThanOrEqual(2 * workersOfProgram);
      expect(acknowledged.length).toBeGreaterThan(0);
      expect(found.toSorted()).toEqual(acknowledged.toSorted());
    });
  }
});
