/** Point-in-time restore of a real cluster, against a recorded history of commits. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseLsn } from "../src/base/lsn.ts";
import { untilArchived, volumeOf } from "./helpers/archive.ts";
import { makeFolder, runCli, startScript, TestCluster, until } from "./helpers/cluster.ts";
import { isWhole, someOf, wholeIt } from "./helpers/thorough.ts";
import { documentIn } from "./helpers/json.ts";

interface Point {
  /** Rows that were committed by then. */
  readonly rows: number;
  /** On the server's clock, after that commit and before the next. */
  readonly time: string;
  readonly lsn: string;
}

const folder = makeFolder();
const points: Point[] = [];
const pointsCount = 60;
let source: TestCluster;
let places = 0;

function place(): string {
  return join(folder, `restored-${++places}`, "data");
}

/** Commits, one after the other; what was committed when is known to the microsecond. */
async function write(cluster: TestCluster, count: number): Promise<void> {
  const client = await cluster.client();
  try {
    for (let i = 0; i < count; i++) {
      await client.query("insert into history values ($1, repeat('x', 3000))", [points.length + 1]);
      const { rows } = await client.query(
        `select (select count(*)::int from history) as rows, clock_timestamp()::text as time,
           pg_current_wal_flush_lsn()::text as lsn`,
      );
      points.push(rows[0]);
    }
  } finally {
    await client.end();
  }
}

async function rowsOf(cluster: TestCluster): Promise<number> {
  const { rows } = await cluster.query("select count(*)::int as n, max(id) as last from history");
  expect(rows[0].last ?? 0, "without a gap").toBe(rows[0].n);
  return rows[0].n;
}

interface RestoredDocument {
  readonly restored: {
    readonly dataDir: string;
    readonly lsn: string;
    readonly snapshot: string;
    readonly timeline: number;
    readonly lastCommitTime: string | null;
  };
}

async function restore(
  from: TestCluster,
  ...args: string[]
): Promise<RestoredDocument["restored"]> {
  const result = await from.cli("restore", "--json", "--readers", "0", ...args);
  expect(result.code, result.stdout + result.stderr).toBe(0);
  expect(result.stderr).toContain('{"progress":{"step":"unpacking snapshot');
  return (documentIn(result.stdout) as RestoredDocument).restored; // what the command prints
}

/** Starts what was restored, asks it, and takes it away. */
async function inside<T>(dataDir: string, work: (cluster: TestCluster) => Promise<T>, readers = 0) {
  const cluster = await TestCluster.create({ dataDir, readers });
  try {
    return await work(cluster);
  } finally {
    await cluster.destroy();
  }
}

/** Whether this machine lets us make small file systems; where it does not, what needs them is skipped, and counted. */
function mayMount(): boolean {
  const probe = makeFolder();
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "none", probe], { stdio: "ignore" });
    execFileSync("umount", [probe], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  } finally {
    rmSync(probe, { recursive: true, force: true });
  }
}

const hasEnded = (pid: number): boolean => !existsSync(`/proc/${pid}`);

beforeAll(async () => {
  source = await TestCluster.create({ readers: 1 });
  await source.query("create table history (id int primary key, payload text)");
  await write(source, pointsCount / 2);
  const taken = await source.cli("snapshot", "create", "half");
  expect(taken.code, taken.stderr).toBe(0);
  // The log goes on with another timeline, somewhere inside a segment.
  const failed = await source.cli("failover");
  expect(failed.code, failed.stderr).toBe(0);
  await write(source, pointsCount / 2);
});
afterAll(async () => {
  await source?.destroy();
  rmSync(folder, { recursive: true, force: true });
});

/**
 * Fractions of the history: fixed ones at first, so that a failure is found again. A time is looked for in the first half, so,
 * and a position in the second, which is of another timeline.
 */
const fractions = [0.45, 0.7, ...Array.from({ length: 48 }, () => Math.random())];
const pointAt = (fraction: number): Point => {
  const point = points[Math.floor(fraction * points.length)];
  if (!point) throw new Error("there is no such point");
  return point;
};

describe("a restore to a time", () => {
  someOf(fractions, 1)("has what was committed by then, at %f of the history", async (fraction) => {
    const { rows, time } = pointAt(fraction);
    const into = place();
    const told = await restore(source, "--to", time, "--into", into);
    const lastMs = Date.parse(told.lastCommitTime ?? "");
    expect(lastMs).toBeLessThanOrEqual(Date.parse(time.replace(" ", "T").replace("+00", "Z")));
    expect(await inside(into, rowsOf)).toBe(rows);
  });
});

describe("a restore to a position of the log", () => {
  someOf(
    fractions.slice(1),
    0,
    1,
  )("has what was committed by then, at %f of the history", async (fraction) => {
    const { rows, lsn } = pointAt(1 - fraction);
    const into = place();
    await restore(source, "--to", lsn, "--into", into);
    expect(await inside(into, rowsOf)).toBe(rows);
  });
});

describe("a restore from the object store alone", () => {
  someOf(
    fractions,
    0,
    1,
  )("has what was committed by then, at %f of the history", async (fraction) => {
    await untilArchived(source);
    const { rows, time, lsn } = pointAt(fraction);
    const { dataDir } = source;
    const ofStore = [
      ["--store", pathToFileURL(join(dataDir, "objects")).href],
      ["--volume", volumeOf(source)],
      ["--keys", join(dataDir, "keys/master.json")],
    ].flat();
    const into = place();
    // A time or a position: both are found in archived log.
    const to = places % 2 === 0 ? lsn : time;
    const args = [...ofStore, "--json", "--readers", "0", "--to", to, "--into", into];
    const result = await runCli(["restore", ...args]);
    expect(result.code, result.stdout + result.stderr).toBe(0);
    expect(await inside(into, rowsOf)).toBe(rows);
  });
});

describe("a restore from a snapshot that somebody keeps", () => {
  it("has what there was when it was taken, while the cluster runs and while it does not", async () => {
    for (const isDown of [false, true]) {
      if (isDown) await source.down();
      const into = place();
      const told = await restore(source, "--from", "half", "--into", into);
      expect(told).toMatchObject({ snapshot: "half" });
      expect(await inside(into, rowsOf)).toBe(pointsCount / 2);
    }
    await source.up();
  });
});

describe("a restored cluster", () => {
  it("is one of its own: it writes, fails over, starts again, and is restored itself", async () => {
    const { rows, lsn } = pointAt(0.2);
    const into = place();
    const args = ["--to", lsn, "--into", into, "--readers", "1"];
    const result = await source.cli("restore", ...args);
    expect(result.code, result.stderr).toBe(0);
    expect(result.stdout).toMatch(/start it: {2}borealis up --data-dir/);
    await inside(
      into,
      async (cluster) => {
        expect(await rowsOf(cluster)).toBe(rows);
        await cluster.query(
          "insert into history select g, 'own' from generate_series(1001, 1010) g",
        );
        await until("the reader has it", async () => {
          const { rows: seen } = await cluster.query(
            "select count(*)::int as n from history",
            "reader",
          );
          return seen[0].n === rows + 10;
        });
        // In the source instance-2 writes.
        const surface =
          "select server_id, session_id = 'MASTER_SESSION_ID' as writes, aurora_version() as version" +
          " from aurora_replica_status()";
        const version = `${(await source.query("show server_version")).rows[0].server_version}.0`;
        for (const endpoint of ["writer", "reader"] as const)
          await until(
            `Aurora's functions know the cluster's own instances at the ${endpoint}`,
            async () => {
              const { rows: own } = await cluster.query(surface, endpoint);
              const wanted = [
                { server_id: "instance-1", writes: true, version },
                { server_id: "instance-2", writes: false, version },
              ];
              return isDeepStrictEqual(own, wanted);
            },
          );
        const status = await cluster.status();
        expect(status.cluster.timeline).toBeGreaterThan(1);
        const failed = await cluster.cli("failover");
        expect(failed.code, failed.stderr).toBe(0);
        await cluster.query("insert into history values (2001, 'after')");
        await cluster.down();
        await cluster.up();
        const { rows: all } = await cluster.query("select count(*)::int as n from history");
        expect(all[0].n).toBe(rows + 11);
        const again = place();
        const told = await restore(cluster, "--to", "latest", "--into", again);
        expect(told.timeline).toBeGreaterThan(status.cluster.timeline);
        const count = await inside(again, async (third) => {
          const { rows: kept } = await third.query("select count(*)::int as n from history");
          return kept[0].n;
        });
        expect(count).toBe(rows + 11);
      },
      1,
    );
    expect(await rowsOf(source)).toBe(pointsCount);
  });

  wholeIt("is the first state, too", async () => {
    const first = place();
    const told = await restore(source, "--from", "genesis", "--into", first);
    expect(told).toMatchObject({ snapshot: "genesis", timeline: 1, lastCommitTime: null });
    await inside(first, async (cluster) => {
      const { rows } = await cluster.query("select to_regclass('history') as found");
      expect(rows[0].found).toBeNull();
    });
  });
});

describe("a restore of a volume without encryption, whose links are TLS", () => {
  wholeIt("makes one without, too", async () => {
    const args = ["--set", "storage.encryption=off", "--set", "storage.transport=tls"];
    const plain = await TestCluster.create({ readers: 0, args });
    try {
      await plain.query("create table history as select 1 as id");
      const into = place();
      await restore(plain, "--to", "latest", "--into", into);
      expect(await inside(into, rowsOf)).toBe(1);
    } finally {
      await plain.destroy();
    }
  });
});

describe("a restore", () => {
  it.each([
    [["--to", "-3d"], "22023", /is outside of what can be restored: \d{4}-.*Z to \d{4}-.*Z/],
    [["--to", "2099-01-01T00:00:00Z"], "22023", /is outside of what can be restored/],
    [["--to", "FF/0"], "22023", /is outside of what can be restored: 0\/[0-9A-F]+ to 0\/[0-9A-F]+/],
    [["--to", "0/100"], "22023", /is outside of what can be restored/],
    [["--to", "2026-01-01T00:00:00"], "22023", /does not say in which time zone/],
    [["--from", "nonesuch"], "22023", /there is no snapshot "nonesuch"/],
    [["--from", "genesis", "--to", "latest"], "22023", /exclude each other/],
    [[], "22023", /say what to restore/],
  ])("with %j says what is wrong, and leaves nothing", async (args, code, message) => {
    const above = place();
    const into = join(above, "deeper", "data");
    const result = await source.cli("restore", "--json", ...args, "--into", into);
    expect(result.code).toBe(2);
    const { error } = JSON.parse(result.stdout);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(error.hint).toBeTruthy();
    expect(existsSync(above)).toBe(false);
  });

  it("that fails leaves an empty directory that was there", async () => {
    const into = place();
    mkdirSync(into, { recursive: true });
    await source.cli("restore", "--from", "nonesuch", "--into", into);
    expect(readdirSync(into)).toEqual([]);
  });

  it("leaves alone what is not empty, and what lies within", async () => {
    const into = place();
    mkdirSync(into, { recursive: true });
    writeFileSync(join(into, "mine"), "precious");
    const full = await source.cli("restore", "--to", "latest", "--into", into);
    expect(full).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/is not empty; choose an empty/),
    });
    expect(readdirSync(into)).toEqual(["mine"]);
    const cluster = await source.cli("restore", "--to", "latest", "--into", source.dataDir);
    expect(cluster).toMatchObject({ code: 2, stderr: expect.stringMatching(/lie in each other/) });
    const inner = await source.cli(
      "restore",
      "--to",
      "latest",
      "--into",
      join(source.dataDir, "x"),
    );
    expect(inner.stderr).toMatch(/lie in each other/);
    expect(existsSync(join(source.dataDir, "x"))).toBe(false);
  });

  wholeIt("killed at any step is repeated, and is no cluster meanwhile", async () => {
    const into = place();
    const steps = [
      "unpacking snapshot",
      "laying out the log",
      "replaying the log",
      "putting it on the disk",
    ];
    for (const step of steps) {
      const args = ["restore", "--json", "--to", "latest", "--readers", "0", "--into", into];
      const child = spawn(process.execPath, [startScript, ...args, "--data-dir", source.dataDir], {
        stdio: ["ignore", "pipe", "pipe"],
      });
      let output = "";
      await new Promise<void>((resolve) => {
        child.stderr.on("data", (chunk) => {
          output += String(chunk);
          if (output.includes(`"step":"${step}`)) child.kill("SIGKILL");
        });
        child.on("exit", () => resolve());
      });
      expect(child.signalCode, output).toBe("SIGKILL");
      const up = await runCli(["up", "--data-dir", into, "--port", "1"]);
      expect(up.stderr).toMatch(/holds a restore that was interrupted; repeat the restore/);
    }
    const told = await restore(source, "--to", "latest", "--into", into);
    expect(parseLsn(told.lsn)).toBeGreaterThan(0n);
    expect(await inside(into, rowsOf)).toBe(pointsCount);
  });

  it.skipIf(!isWhole || !mayMount())(
    "says that the disk is full, before or in the middle of it",
    async () => {
      const disk = join(folder, "disk");
      mkdirSync(disk);
      const into = join(disk, "data");
      const full = async (
        size: string,
        step: string | undefined,
      ): Promise<{ message: string; code: string }> => {
        execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size},mode=0755`, "none", disk]);
        try {
          const args = ["restore", "--json", "--to", "latest", "--into", into];
          const child = spawn(
            process.execPath,
            [startScript, ...args, "--data-dir", source.dataDir],
            { stdio: ["ignore", "pipe", "pipe"] },
          );
          let output = "";
          let told = "";
          await new Promise<void>((resolve) => {
            let isFull = false;
            child.stdout.on("data", (chunk) => (output += String(chunk)));
            child.stderr.on("data", (chunk) => {
              told += String(chunk);
              if (isFull || step === undefined || !told.includes(`"step":"${step}`)) return;
              isFull = true;
              child.kill("SIGSTOP");
              spawnSync("dd", ["if=/dev/zero", `of=${disk}/ballast`, "bs=64k"]);
              child.kill("SIGCONT");
            });
            child.on("close", () => resolve());
          });
          expect(existsSync(into), output + told).toBe(false);
          return JSON.parse(output).error;
        } finally {
          execFileSync("umount", [disk]);
        }
      };
      const before = await full("100m", undefined);
      expect(before).toMatchObject({ code: "53100" });
      expect(before.message).toMatch(/the restore needs about .* and .* has .* left/);
      for (const step of ["unpacking snapshot", "replaying the log"]) {
        expect(await full("900m", step), step).toMatchObject({ code: "53100" });
      }
    },
  );

  it("interrupted by Ctrl-C leaves nothing behind", async () => {
    const into = place();
    const args = [
      "restore",
      "--json",
      "--to",
      "latest",
      "--into",
      into,
      "--data-dir",
      source.dataDir,
    ];
    const child = spawn(process.execPath, [startScript, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    const code = await new Promise<number | null>((resolve) => {
      child.stdout.on("data", (chunk) => (output += String(chunk)));
      child.stderr.on("data", (chunk) => {
        // Not while it ends, having told its error: then nobody is there any more to take a signal.
        if (String(chunk).includes('"step":"laying out the log')) child.kill("SIGINT");
      });
      child.on("close", (ended) => resolve(ended));
    });
    expect(code, output).toBe(1);
    expect(documentIn(output)).toMatchObject({ error: { code: "57014" } });
    await until("nothing runs there", () => hasEnded(child.pid ?? 0));
    expect(existsSync(dirname(into))).toBe(false);
  });
});
