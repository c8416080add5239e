/** PgBouncer before a stock PostgreSQL. */
import { execFileSync, spawnSync } from "node:child_process";
import { chownSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Child } from "../child.ts";
import type { Contender, Ground } from "../contender.ts";
import { freePort } from "../machine.ts";
import { sql, type Target } from "../pgbench.ts";
import { ownedDir, type StockPostgres } from "./postgres.ts";

const places = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"];

/** Where PgBouncer is; root installs Debian's package if it is missing. Undefined if there is none. */
export function findPgbouncer(): string | undefined {
  const found = places.find((place) => existsSync(place));
  if (found !== undefined || process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get"))
    return found;
  console.log("Installing pgbouncer ...");
  // Its service would start a second one, on the default port.
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  spawnSync("apt-get", ["install", "-y", "--no-install-recommends", "pgbouncer"], { env });
  return places.find((place) => existsSync(place));
}

/** From 1.21 on it follows prepared statements in transaction mode. */
export function followsPrepared(program: string): boolean {
  const text = execFileSync(program, ["--version"], { encoding: "utf8" });
  const [major = 0, minor = 0] = /(\d+)\.(\d+)/.exec(text)?.slice(1).map(Number) ?? [];
  return major > 1 || minor >= 21;
}

/** `servers`: in transaction mode, over so many; undefined: in session mode. */
export async function startPgbouncer(
  ground: Ground,
  program: string,
  postgres: StockPostgres,
  servers?: number,
): Promise<Contender> {
  const home = ownedDir(ground, "pgbouncer");
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
    "auth_type = any",
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
    what: "pgbouncer",
    program,
    args: [file],
    logFile: join(home, "log"),
    user: ground.user,
    stopSignal: "SIGTERM",
  });
  ground.cleanup.add("pgbouncer", () => child.stop());
  const target: Target = { host: "127.0.0.1", port, user: "postgres" };
  const isReady = (): Promise<boolean> =>
    sql(ground.tools, target, "SELECT 1").then(
      () => true,
      () => false,
    );
  await child.untilReady(isReady, 30_000, ground.signal);
  const version = execFileSync(program, ["--version"], { encoding: "utf8" }).split("\n")[0] ?? "";
  return {
    name: "pgbouncer",
    target,
    settings: [`${version}, over PostgreSQL's unix socket`, ...settings],
    pids: () => [child.pid, postgres.server.pid],
  };
}
