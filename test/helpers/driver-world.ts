/** Six storage nodes, log drivers, and PostgreSQL instances made from one image: all real processes and threads. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLogger, realClock, realRng } from "../../src/io/index.ts";
import { type LogDriverHandle, LogFeed, type VolumeNode } from "../../src/log-driver/index.ts";
import { connectPg, type PgAddress, type PgClient } from "../../src/wire/index.ts";
import { builtDir } from "./compiled.ts";
import { eventually } from "./eventually.ts";
import { findEngines } from "./stock-postgres.ts";
import { NodeGroup, storageNodeProgram } from "./storage-process.ts";

const names = ["az1-full", "az1-tail", "az2-full", "az2-tail", "az3-full", "az3-tail"];

export interface DriverProgram {
  readonly node: string;
  readonly startLogDriver: typeof import("../../src/log-driver/index.ts").startLogDriver;
}

/** Storage node and log driver, built: threads load no TypeScript. */
export async function driverProgram(): Promise<DriverProgram> {
  const dir = await builtDir();
  const module: unknown = await import(join(dir, "log-driver/index.js"));
  // Built from the sources whose type is named here.
  const { startLogDriver } = module as typeof import("../../src/log-driver/index.ts");
  return { node: await storageNodeProgram(), startLogDriver };
}

/** One PostgreSQL of the world. */
export class Instance {
  readonly name: string;
  readonly dataDir: string;
  readonly socketDir: string;
  readonly address: PgAddress;
  private readonly world: DriverWorld;
  private child: ChildProcess | undefined;
  feed: LogFeed | undefined;

  constructor(world: DriverWorld, name: string) {
    this.world = world;
    this.name = name;
    this.dataDir = join(world.dir, name);
    this.socketDir = join(world.dir, `s-${name}`);
    this.address = { socketDir: this.socketDir, port: 5432, major: Number(world.version) };
    cpSync(world.image, this.dataDir, { recursive: true });
    chmodSync(this.dataDir, 0o700);
    mkdirSync(join(this.socketDir, "feed"), { recursive: true });
    world.own(this.dataDir, this.socketDir);
  }

  get walDir(): string {
    return join(this.dataDir, "pg_wal");
  }

  start(settings: Readonly<Record<string, string>> = {}): Promise<PgClient> {
    const all: Record<string, string> = {
      unix_socket_directories: this.socketDir,
      listen_addresses: "",
      fsync: "off",
      wal_recycle: "off",
      restart_after_crash: "off",
      synchronous_standby_names: "FIRST 1 (borealis_log)",
      ...settings,
    };
    const flags = Object.entries(all).flatMap(([key, value]) => ["-c", `${key}=${value}`]);
    this.child = spawn(join(this.world.bin, "postgres"), ["-D", this.dataDir, ...flags], {
      ...this.world.user,
      stdio: "ignore",
    });
    return this.connect();
  }

  /** A hot standby behind a log feed of its own. */
  async startReader(): Promise<PgClient> {
    writeFileSync(join(this.dataDir, "standby.signal"), "");
    this.world.own(this.dataDir);
    this.feed = await LogFeed.start({
      nodes: this.world.volumeNodes,
      owner: { volumeId: this.world.group.volumeId, sender: this.name },
      clock: realClock,
      rng: realRng,
      logger: openLogger({ file: undefined, process: this.name }),
      socketPath: join(this.socketDir, "feed/.s.PGSQL.5432"),
      systemId: this.world.systemId,
      serverVersion: this.world.version,
    });
    return this.start({
      primary_conninfo: `host=${this.socketDir}/feed port=5432 user=rdsadmin`,
      wal_retrieve_retry_interval: "100ms",
      wal_receiver_status_interval: "1s",
    });
  }

  connect(): Promise<PgClient> {
    const { address } = this;
    return eventually(`${this.name} takes sessions`, () =>
      connectPg({ address, user: "rdsadmin", database: "postgres", except: "all" }).catch(
        () => undefined,
      ),
    );
  }

  /** A fast shutdown: waits for the driver's last report. */
  stop(): Promise<void> {
    return this.end("SIGINT");
  }
  kill(): Promise<void> {
    return this.end("SIGKILL");
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this;
    this.child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill(signal);
    await gone;
    // Its children see that it is gone; the last of them frees the shared memory.
    await eventually("the children are gone", () => !this.hasProcesses());
  }

  private hasProcesses(): boolean {
    return readdirSync("/proc").some((pid) => {
      try {
        return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/cwd`) === this.dataDir;
      } catch {
        return false; // gone meanwhile
      }
    });
  }
}

/** Of an image that each world's volume begins with: all are made from one, which the first one makes. */
let imageFolder: string | undefined;

/** At the end of a file. */
export function removeImage(): void {
  if (imageFolder !== undefined) rmSync(imageFolder, { recursive: true, force: true });
  imageFolder = undefined;
}

export class DriverWorld {
  readonly dir = mkdtempSync(join(tmpdir(), "bd-"));
  readonly image: string;
  readonly bin: string;
  readonly version: string;
  readonly user: { uid: number; gid: number } | undefined;
  readonly group: NodeGroup;
  systemId = "";
  private readonly program: DriverProgram;
  private readonly instances: Instance[] = [];
  private readonly drivers: LogDriverHandle[] = [];

  private constructor(program: DriverProgram, group: NodeGroup) {
    const engine = findEngines()[0];
    if (!engine) throw new Error("this machine has no stock PostgreSQL");
    this.bin = engine.bin;
    this.version = engine.version;
    this.program = program;
    this.group = group;
    this.user = process.getuid?.() === 0 ? unprivileged() : undefined;
    this.image = join((imageFolder ??= this.makeImage()), "image");
  }

  /** By initdb. */
  private makeImage(): string {
    const folder = mkdtempSync(join(tmpdir(), "bd-"));
    const image = join(folder, "image");
    chmodSync(folder, 0o755);
    mkdirSync(image, { mode: 0o700 });
    this.own(image);
    const args = ["-D", image, "-U", "rdsadmin", "-A", "trust", "-N", "-k", "-E", "UTF8"];
    const options = { ...this.user, cwd: folder, env: { ...process.env, LC_ALL: "C" } };
    execFileSync(join(this.bin, "initdb"), args, { ...options, stdio: "ignore" });
    return folder;
  }

  static async create(program: DriverProgram): Promise<DriverWorld> {
    const world = new DriverWorld(program, await NodeGroup.create(program.node, names));
    chmodSync(world.dir, 0o755);
    // pg_control begins with the system identifier, in the machine's byte order.
    const control = readFileSync(join(world.image, "global/pg_control"));
    world.systemId = control.readBigUInt64LE(0).toString();
    for (const node of world.group.nodes) node.start();
    return world;
  }

  get volumeNodes(): VolumeNode[] {
    return this.group.nodes.map(({ nodeId, socketPath }, index) => ({
      nodeId,
      name: names[index] ?? "",
      az: `az${Math.floor(index / 2) + 1}`,
      kind: index % 2 === 0 ? "full" : "tail",
      address: { kind: "unix", path: socketPath },
    }));
  }

  /** Gives files to the user that PostgreSQL runs as. */
  own(...paths: string[]): void {
    const { user } = this;
    if (!user) return;
    for (const path of paths) chownSync(path, user.uid, user.gid);
    execFileSync("chown", ["-R", `${user.uid}:${user.gid}`, ...paths]);
  }

  instance(name: string): Instance {
    const instance = new Instance(this, name);
    this.instances.push(instance);
    return instance;
  }

  driver(sender: string, options: { ringBytes?: number } = {}): LogDriverHandle {
    const driver = this.program.startLogDriver({
      nodes: this.volumeNodes,
      owner: { volumeId: this.group.volumeId, sender },
      leaseMs: 0,
      ringBytes: options.ringBytes ?? 16 * 1024 * 1024,
      logFile: undefined,
      logLevel: "info",
    });
    this.drivers.push(driver);
    return driver;
  }

  /** A writer from the image, with its driver attached. */
  async writer(options: { ringBytes?: number } = {}) {
    const driver = this.driver("instance-1", options);
    await driver.claim();
    await driver.open("new");
    const instance = this.instance("instance-1");
    const client = await instance.start();
    await driver.attach(this.target(instance));
    return { driver, instance, client };
  }

  target(instance: Instance) {
    return { address: instance.address, user: "rdsadmin", systemId: this.systemId };
  }

  signal(indexes: readonly number[], signal: "SIGSTOP" | "SIGCONT"): void {
    for (const index of indexes) process.kill(this.group.node(index).pid, signal);
  }

  async destroy(): Promise<void> {
    for (const instance of this.instances) {
      await instance.kill();
      await instance.feed?.close();
    }
    for (const driver of this.drivers) driver.stop();
    await this.group.destroy();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function unprivileged(): { uid: number; gid: number } {
  const id = (flag: string): number =>
    Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }));
  return { uid: id("-u"), gid: id("-g") };
}
