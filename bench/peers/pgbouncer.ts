/** PgBouncer before a stock PostgreSQL. */
import { spawnSync } from "node:child_process";
import { chownSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Child } from "../child.ts";
import type { Contender, Ground } from "../contender.ts";
import { versionOf } from "../installed.ts";
import { freePort } from "../machine.ts";
import { sql, type Target } from "../pgbench.ts";
import { type Login, ownedDir, type StockPostgres, writeOwned } from "./postgres.ts";

const places = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"];

/** Where PgBouncer is. Undefined if it is not installed. */
export function installedPgbouncer(): string | undefined {
  return places.find((place) => existsSync(place));
}

/** Where PgBouncer is; root installs Debian's package if it is missing. Undefined if there is none. */
export function findPgbouncer(): string | undefined {
  const found = installedPgbouncer();
  if (found !== undefined || process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get"))
    return found;
  console.log("Installing pgbouncer ...");
  // Its service would start a second one, on the default port.
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  spawnSync("apt-get", ["install", "-y", "--no-install-recommends", "pgbouncer"], { env });
  return installedPgbouncer();
}

/** From 1.21 on it follows prepared statements in transaction mode. */
export function followsPrepared(program: string): boolean {
  const [major = 0, minor = 0] =
    /(\d+)\.(\d+)/.exec(versionOf(program))?.slice(1).map(Number) ?? [];
  return major > 1 || minor >= 21;
}

export interface PgbouncerPlan {
  /** In tables; "pgbouncer" unless told. */
  readonly name?: string;
  /** In transaction mode, over so many; undefined: in session mode. */
  readonly servers?: number;
  /** It asks for a password, and takes TLS as well; unless told it lets everybody in, without. */
  readonly login?: Login;
}

export async function startPgbouncer(
  ground: Ground,
  program: string,
  postgres: StockPostgres,
  { name = "pgbouncer", servers, login }: PgbouncerPlan = {},
): Promise<Contender> {
  const home = ownedDir(ground, name);
  const port = await freePort();
  const mode =
    servers === undefined
      ? ["pool_mode = session", "default_pool_size = 200"]
      : ["pool_mode = transaction", `default_pool_size = ${servers}`];
  const follows =
    servers !== undefined && followsPrepared(program) ? ["max_prepared_statements = 200"] : [];
  const settings = [
    ...mode,
    ...follows,
    "max_client_conn = 500",
    ...(login ? await loginSettings(ground, { home, login, postgres }) : ["auth_type = any"]),
    "ignore_startup_parameters = extra_float_digits",
  ];
  const file = join(home, "pgbouncer.ini");
  const server = `host=${postgres.unix.host} port=${postgres.unix.port} user=postgres dbname=postgres`;
  writeFileSync(
    file,
    [
      "[databases]",
      `postgres = ${server}`,
      "[pgbouncer]",
      "listen_addr = 127.0.0.1",
      `listen_port = ${port}`,
      "unix_socket_dir =",
      ...settings,
      "",
    ].join("\n"),
  );
  if (ground.user) chownSync(file, ground.user.uid, ground.user.gid);
  const child = new Child({
    what: name,
    program,
    args: [file],
    logFile: join(home, "log"),
    user: ground.user,
    stopSignal: "SIGTERM",
  });
  ground.cleanup.add(name, () => child.stop());
  const target: Target = {
    host: "127.0.0.1",
    port,
    user: "postgres",
    ...(login ? { password: login.password } : {}),
  };
  const isReady = (): Promise<boolean> =>
    sql(ground.tools, target, "SELECT 1").then(
      () => true,
      () => false,
    );
  await child.untilReady(isReady, 30_000, ground.signal);
  return {
    name,
    target,
    settings: [`${versionOf(program)}, over PostgreSQL's unix socket`, ...settings],
    pids: () => [child.pid, postgres.server.pid],
  };
}

async function loginSettings(
  ground: Ground,
  { home, login, postgres }: { home: string; login: Login; postgres: StockPostgres },
): Promise<string[]> {
  const users = join(home, "users");
  const verifier = "SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'";
  const text = `"postgres" "${await sql(ground.tools, postgres.unix, verifier)}"\n`;
  writeOwned(ground, users, text);
  return [
    "auth_type = scram-sha-256",
    `auth_file = ${users}`,
    "client_tls_sslmode = allow",
    `client_tls_key_file = ${login.key}`,
    `client_tls_cert_file = ${login.cert}`,
  ];
}
