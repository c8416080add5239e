/**
 * A whole cluster for a test: real processes in a temporary folder on free ports, taken down at the end, with a check
 * that nothing is left running.
 */
import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { readReport } from "../../src/main/commands.ts";
import { keepDigest } from "./digest.ts";
import { keysOf, SecretScanner } from "./secrets.ts";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const startScript = join(root, "scripts", "start.mjs");

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host: "127.0.0.1", port }, () => server.close(() => resolve(true)));
  });
}

/** A folder of the test's own. Others may pass through, so that root's PostgreSQL finds its caches in it. */
export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "borealis-test-"));
  chmodSync(folder, 0o755);
  return folder;
}

/** Ports that one cluster may have; 3000, the distance of the HTTP port, is a multiple of four of them. */
const familySpan = 50;
const familiesApart = 4;

/**
 * A base port whose whole family (endpoints and HTTP) is free. Below the kernel's ephemeral range, so nobody drifts in;
 * test files that run at the same time look in different places, so that none takes what another has just found.
 */
export async function freeBasePort(instances = 4): Promise<number> {
  const family = Number(process.env["VITEST_POOL_ID"] ?? 0) % familiesApart;
  for (let attempt = 0; attempt < 200; attempt++) {
    const place = Math.floor(Math.random() * 85) * familiesApart + family;
    const base = 10_000 + place * familySpan;
    const own = Array.from({ length: instances }, (_, k) => 11 + k);
    const custom = [31, 32, 33, 34, 35];
    const offsets = [0, 1, 3000, ...own, ...custom];
    const free = await Promise.all(offsets.map((offset) => isFree(base + offset)));
    if (free.every(Boolean)) return base;
  }
  throw new Error("no free family of ports");
}

/** Waits until `check` gives something; raises with `what` at the deadline. Asks less often the longer it takes. */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined | false> | T | undefined | false,
  deadlineMs = 60_000,
): Promise<T> {
  const start = performance.now();
  let last: unknown;
  for (;;) {
    try {
      const value = await check();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = error;
    }
    const waitedMs = performance.now() - start;
    if (waitedMs > deadlineMs)
      throw new Error(`waited ${deadlineMs} ms in vain until ${what}`, { cause: last });
    // At most a twentieth is lost, and the cluster gets the processor.
    const pauseMs = Math.min(Math.max(waitedMs / 20, 20), 100);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/** BOREALIS_TEST_POSTGRES_BIN has clusters run on another PostgreSQL, where the test names none. */
function otherEngine(): string[] {
  const bin = process.env["BOREALIS_TEST_POSTGRES_BIN"];
  return bin === undefined ? [] : [`--postgres-bin=${bin}`];
}

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function runCli(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<CliResult> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [startScript, ...args], {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk) => (stdout += String(chunk)));
    child.stderr.on("data", (chunk) => (stderr += String(chunk)));
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

export interface ClusterOptions {
  readonly readers?: number;
  readonly args?: readonly string[];
  /** At the first start only. */
  readonly firstArgs?: readonly string[];
  readonly dataDir?: string;
  readonly port?: number;
  /** Of the master user. */
  readonly password?: string;
  /** It is told by BOREALIS_PASSWORD, and not on the command line, which everybody may read. */
  readonly hidesPassword?: boolean;
  readonly env?: Record<string, string>;
  /** What `up` waits for: the writer, as the command does, or every instance, so that a test may use any at once. */
  readonly awaits?: "writer" | "everybody";
}

export interface Status {
  readonly cluster: {
    state: string;
    writer: string | null;
    vdl: string | null;
    epoch: number;
    timeline: number;
    supervisorPid: number;
  };
  readonly endpoints: {
    id: string;
    type: string;
    port: number;
    loopback: string | null;
    members: string[];
    custom?: { type: string; static: string[] | null; excluded: string[] | null };
  }[];
  readonly instances: {
    id: string;
    role: string;
    state: string;
    agentPid: number | null;
    postgresPid: number | null;
    replayLsn: string | null;
    port: number;
  }[];
  readonly storage: {
    id: string;
    az: string;
    nodeId: string;
    state: string;
    pid: number | null;
    scl: string | null;
    base: string | null;
    epoch: number | null;
  }[];
  readonly volume: {
    bytes: number;
    logBytes: number;
    extentBytes: number | null;
    sharedBytes: number;
    snapshots: number;
    damage: string | null;
    problem: string | null;
    earliestRestorableTime: string | null;
    latestRestorableTime: string | null;
    archive: {
      archivedLsn: string | null;
      lagBytes: number | null;
      problem: string | null;
    } | null;
  };
}

export class TestCluster {
  readonly dataDir: string;
  readonly port: number;
  readonly password: string;
  private readonly options: ClusterOptions;
  private process: ChildProcess | undefined;
  output = "";

  private constructor(dataDir: string, port: number, options: ClusterOptions) {
    this.dataDir = dataDir;
    this.port = port;
    this.options = options;
    this.password = options.password ?? "test-password";
  }

  static async create(options: ClusterOptions = {}): Promise<TestCluster> {
    const dataDir = options.dataDir ?? join(makeFolder(), "data");
    const port = options.port ?? (await freeBasePort((options.readers ?? 2) + 1));
    const cluster = new TestCluster(dataDir, port, options);
    try {
      await cluster.up();
    } catch (error) {
      // Nobody else knows of it, and would end what runs of it.
      await cluster.destroy().catch(() => undefined);
      throw error;
    }
    return cluster;
  }

  get supervisorPid(): number {
    return this.process?.pid ?? 0;
  }

  /** Starts it and waits for "Borealis is ready", and for the readers, which come after that. */
  async up(): Promise<void> {
    const { hidesPassword = false } = this.options;
    const args = [
      startScript,
      "up",
      `--data-dir=${this.dataDir}`,
      `--port=${this.port}`,
      `--readers=${this.options.readers ?? 2}`,
      ...(hidesPassword ? [] : [`--password=${this.password}`]),
      ...otherEngine(),
      ...(this.options.args ?? []),
      ...(this.process ? [] : (this.options.firstArgs ?? [])),
    ];
    const child = spawn(process.execPath, args, {
      env: {
        ...process.env,
        ...(hidesPassword && { BOREALIS_PASSWORD: this.password }),
        ...this.options.env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.process = child;
    this.output = "";
    await new Promise<void>((resolve, reject) => {
      const take = (chunk: unknown): void => {
        this.output += String(chunk);
        if (this.output.includes("Borealis is ready")) resolve();
      };
      child.stdout.on("data", take);
      child.stderr.on("data", take);
      child.on("exit", (code) => reject(new Error(`up ended with ${code}:\n${this.output}`)));
    });
    if ((this.options.awaits ?? "everybody") === "everybody") await this.untilEverybody();
  }

  /** Waits until every instance is available. */
  async untilEverybody(deadlineMs = 120_000): Promise<void> {
    await until(
      "all instances are available",
      async () => {
        const { instances, cluster } = await this.status();
        return cluster.state === "available" && instances.every((row) => row.state === "available");
      },
      deadlineMs,
    );
  }

  /** Ctrl-C, and waits until it is gone. */
  async down(): Promise<number | null> {
    const child = this.process;
    if (!child || child.exitCode !== null || child.signalCode !== null)
      return child?.exitCode ?? null;
    const gone = new Promise<number | null>((resolve) =>
      child.once("exit", (code) => resolve(code)),
    );
    child.kill("SIGINT");
    return gone;
  }

  /** Down, checks that nothing runs in the data directory any more and that no log has a secret, and removes it. */
  async destroy(): Promise<void> {
    await this.down();
    await until("nothing of the cluster runs", () => this.processesLeft().length === 0, 10_000);
    keepDigest(this.dataDir);
    const secrets = [{ name: "master password", value: this.password }, ...keysOf(this.dataDir)];
    const scanner = new SecretScanner(secrets);
    const events = join(this.dataDir, "control", "events.jsonl");
    const leaks = scanner.below(join(this.dataDir, "log"));
    leaks.push(...scanner.inFile(events).map((name) => `${name} in ${events}`));
    if (process.env["BOREALIS_KEEP"] === undefined)
      rmSync(dirname(this.dataDir), { recursive: true, force: true });
    if (leaks.length > 0) throw new Error(`logs have secrets: ${leaks.join(", ")}`);
  }

  /** Pids of processes that belong to this data directory, by working directory and command line. */
  processesLeft(): number[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => pid !== process.pid && belongsTo(pid, this.dataDir));
  }

  url(
    endpoint: "writer" | "reader" | `instance-${number}` = "writer",
    database = "postgres",
  ): string {
    const offset =
      endpoint === "writer" ? 0 : endpoint === "reader" ? 1 : 10 + Number(endpoint.split("-")[1]);
    return `postgresql://postgres:${encodeURIComponent(this.password)}@127.0.0.1:${this.port + offset}/${database}`;
  }

  async client(
    endpoint: "writer" | "reader" | `instance-${number}` = "writer",
    config: pg.ClientConfig = {},
  ): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.url(endpoint), ...config });
    // A connection that the test kills tells through its queries; without a listener it would end the test process.
    client.on("error", () => undefined);
    await client.connect();
    return client;
  }

  async query(
    sql: string,
    endpoint: "writer" | "reader" | `instance-${number}` = "writer",
  ): Promise<pg.QueryResult> {
    const client = await this.client(endpoint);
    try {
      return await client.query(sql);
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  /** What `borealis status --json` prints, by the command's own code: a process per question would cost more than all that is asked about. */
  async status(): Promise<Status> {
    return (await readReport({ dataDir: this.dataDir })) as unknown as Status;
  }

  cli(...args: string[]): Promise<CliResult> {
    return runCli([...args, "--data-dir", this.dataDir]);
  }

  /** Pids by process name, from the supervisor's own record. */
  async pids(): Promise<Map<string, number>> {
    const status = await this.status();
    const rows: [string, number | null][] = [
      ...status.storage.map((row): [string, number | null] => [row.id, row.pid]),
      ...status.instances.map((row): [string, number | null] => [row.id, row.agentPid]),
      ...status.instances.map((row): [string, number | null] => [
        `postgres:${row.id}`,
        row.postgresPid,
      ]),
    ];
    const found = new Map(rows.filter((row): row is [string, number] => row[1] !== null));
    for (const name of ["proxy", "control-plane", "keeper"]) {
      const pid = childrenOf(this.supervisorPid).find((child) => commandLine(child).includes(name));
      if (pid !== undefined) found.set(name, pid);
    }
    return found;
  }
}

export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
  } catch {
    return "";
  }
}

export function childrenOf(pid: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((child) => parentOf(child) === pid);
}

function parentOf(pid: number): number | undefined {
  try {
    // "pid (name) state parent ...": the name may hold anything, so the fields are counted from its end.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return undefined; // gone meanwhile
  }
}

export function isAlive(pid: number): boolean {
  return commandLine(pid) !== "";
}

function belongsTo(pid: number, dataDir: string): boolean {
  if (commandLine(pid).includes(dataDir)) return true;
  try {
    if (readFileSync(`/proc/${pid}/environ`, "utf8").includes(dataDir)) return true;
    // PostgreSQL's own processes write their titles over both, and outlive a postmaster that was killed by what they are at.
    const folder = readlinkSync(`/proc/${pid}/cwd`);
    return [dataDir, realPathOf(join(dataDir, "instances"))].some((one) => folder.startsWith(one));
  } catch {
    return false;
  }
}

function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
