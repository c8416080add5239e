/** Stock PostgreSQL: initdb, start, stop. */
import { chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Child, runToEnd } from "../child.ts";
import type { Contender, Ground } from "../contender.ts";
import { freePort } from "../machine.ts";
import { sql, type Target } from "../pgbench.ts";

/**
 * Where Borealis's own defaults differ from PostgreSQL's and cost or save time: given to every stock server too, so
 * that checkpoints, checksums and the number of helper processes are no part of the comparison.
 */
export function evenSettings(major: number): string[] {
  const settings = [
    "shared_buffers=128MB",
    "max_connections=300",
    "max_wal_size=2GB",
    "checkpoint_timeout=15min",
    "wal_level=replica",
  ];
  return major >= 18 ? [...settings, "io_method=sync"] : settings;
}

export interface StockPostgres {
  readonly server: Child;
  readonly tcp: Target;
  readonly unix: Target;
  readonly settings: readonly string[];
}

/** What a server, or who stands before it, asks of clients, and takes TLS with. */
export interface Login {
  readonly password: string;
  /** Files that the server's user may read. */
  readonly key: string;
  readonly cert: string;
}

/** Where a server lives and listens. */
export interface ServerPlace {
  readonly name: string;
  /** Its own directory, with its unix socket. */
  readonly home: string;
  /** The data directory in it. */
  readonly data: string;
  readonly port: number;
}

/** A place for a server of this name: a directory of its own and a free port. */
export async function makePlace(ground: Ground, name: string): Promise<ServerPlace> {
  const home = ownedDir(ground, name);
  return { name, home, data: join(home, "data"), port: await freePort() };
}

export async function initData({ engine, user, signal }: Ground, data: string): Promise<void> {
  await runToEnd({
    program: join(engine.binDir, "initdb"),
    args: ["-D", data, "-U", "postgres", "-A", "trust", "-k", "-E", "UTF8", "--locale=C"],
    user,
    signal,
  });
}

/** A server on a free port and a unix socket, with `extra` settings (name=value). */
export async function startPostgres(
  ground: Ground,
  name: string,
  extra: readonly string[] = [],
): Promise<StockPostgres> {
  const place = await makePlace(ground, name);
  await initData(ground, place.data);
  const started = await startAt(ground, place, extra);
  ground.cleanup.add(name, () => started.server.stop());
  return started;
}

/** Starts a server on a data directory that is there; whoever calls this stops it. Does not wait for anything. */
export function launchAt(
  { engine, user }: Ground,
  { name, home, data, port }: ServerPlace,
  extra: readonly string[],
): StockPostgres {
  const settings = [...evenSettings(engine.major), ...extra];
  const fixed = [`port=${port}`, "listen_addresses=127.0.0.1", `unix_socket_directories=${home}`];
  const server = new Child({
    what: name,
    program: join(engine.binDir, "postgres"),
    args: ["-D", data, ...[...fixed, ...settings].flatMap((setting) => ["-c", setting])],
    logFile: join(home, "log"),
    user,
    stopSignal: "SIGINT",
  });
  const tcp: Target = { host: "127.0.0.1", port, user: "postgres" };
  return { server, tcp, unix: { ...tcp, host: home }, settings };
}

/** Likewise, but returns when it answers. */
export async function startAt(
  ground: Ground,
  place: ServerPlace,
  extra: readonly string[],
): Promise<StockPostgres> {
  const started = launchAt(ground, place, extra);
  const { server, tcp } = started;
  try {
    await untilAnswering(ground, tcp, server);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return started;
}

/** Raises with the end of its log if it ends before, or does not answer for a minute. */
export async function untilAnswering(
  { tools, signal }: Ground,
  target: Target,
  server: Child,
): Promise<void> {
  const isReady = (): Promise<boolean> =>
    sql(tools, target, "SELECT 1").then(
      () => true,
      () => false,
    );
  await server.untilReady(isReady, 60_000, signal);
}

/** A directory of the contender's own, which its user may write. */
export function ownedDir(ground: Ground, name: string): string {
  const dir = join(ground.dir, name);
  mkdirSync(dir, { recursive: true, mode: 0o755 });
  if (ground.user) chownSync(dir, ground.user.uid, ground.user.gid);
  return dir;
}

/** A file in a server's data, which its user may read and write. */
export function writeOwned({ user }: Ground, file: string, text: string): void {
  writeFileSync(file, text, { mode: 0o600 });
  if (user) chownSync(file, user.uid, user.gid);
}

/** PostgreSQL alone, as it comes: its own disk, synced at every commit. */
export async function startStock(ground: Ground): Promise<Contender> {
  const { server, tcp, settings } = await startPostgres(ground, "postgres");
  return {
    name: "postgres",
    target: tcp,
    settings: [`PostgreSQL ${ground.engine.version}, fsync=on`, ...settings],
    pids: () => [server.pid],
  };
}

/** One that asks for a password over TCP (SCRAM), and takes TLS as well; over its unix socket it lets everybody in. */
export async function startWithLogin(
  ground: Ground,
  name: string,
  { password, key, cert }: Login,
): Promise<StockPostgres> {
  const tls = ["ssl=on", `ssl_key_file=${key}`, `ssl_cert_file=${cert}`];
  const started = await startPostgres(ground, name, tls);
  const rules = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
  writeOwned(ground, join(ground.dir, name, "data", "pg_hba.conf"), rules);
  await sql(
    ground.tools,
    started.unix,
    `ALTER ROLE postgres PASSWORD '${password}'`,
    "SELECT pg_reload_conf()",
  );
  return { ...started, tcp: { ...started.tcp, password } };
}
