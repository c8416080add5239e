/** Clones of a real cluster: what they share, what they do not, and what is left when something ends in the middle. */
import { type ChildProcess, spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli, startScript, TestCluster, until } from "./helpers/cluster.ts";

let parent: TestCluster;
const others: TestCluster[] = [];
beforeAll(async () => {
  parent = await TestCluster.create({ readers: 0 });
  await parent.query("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
});
afterAll(async () => {
  for (const one of others) await one.down();
  await parent.destroy();
});

const folder = (): string => dirname(parent.dataDir);

async function clone(name: string, from: TestCluster = parent, ...args: string[]): Promise<string> {
  const dataDir = join(folder(), name);
  const result = await from.cli("clone", "--into", dataDir, "--readers", "0", ...args);
  expect(result.stderr).toBe("");
  expect(result.code).toBe(0);
  return dataDir;
}

async function start(dataDir: string): Promise<TestCluster> {
  const cluster = await TestCluster.create({ readers: 0, dataDir });
  others.push(cluster);
  return cluster;
}

async function count(cluster: TestCluster): Promise<number> {
  const { rows } = await cluster.query("SELECT count(*)::int AS n FROM t");
  return rows[0].n;
}

async function remove(cluster: TestCluster): Promise<void> {
  await cluster.down();
  const { code, stderr } = await cluster.cli("delete", "--yes");
  expect(stderr).toBe("");
  expect(code).toBe(0);
  expect(existsSync(cluster.dataDir)).toBe(false);
}

interface PinRow {
  readonly pinId: string;
  readonly dataDir: string | null;
  readonly situation: string;
}

async function pins(cluster: TestCluster = parent): Promise<PinRow[]> {
  const { stdout } = await cluster.cli("storage", "list", "--json");
  return (JSON.parse(stdout) as { pins: PinRow[] }[])[0]?.pins ?? [];
}

/** Folders of pins that a node of the cluster has on its disk. */
function keptBy(cluster: TestCluster, node: string): string[] {
  return readdirSync(join(cluster.dataDir, "storage", node, "pins"));
}

/** Bytes that files under `dir` take which are not also under `than`. */
function ownBytes(dir: string, than: string): number {
  const known = new Set(filesUnder(than).map(({ inode }) => inode));
  const own = new Map(filesUnder(dir).map((file) => [file.inode, file.bytes]));
  return [...own].reduce((sum, [inode, bytes]) => (known.has(inode) ? sum : sum + bytes), 0);
}

function filesUnder(dir: string): { inode: number; bytes: number }[] {
  return readdirSync(dir, { withFileTypes: true, recursive: true }).flatMap((entry) => {
    if (!entry.isFile()) return [];
    const { ino, blocks } = statSync(join(entry.parentPath, entry.name));
    return [{ inode: ino, bytes: blocks * 512 }];
  });
}

/** Starts a command and kills it after a while; resolves when it is gone, with true if it had come to its end before. */
function interrupted(afterMs: number, ...args: string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const child: ChildProcess = spawn(process.execPath, [startScript, ...args], {
      stdio: "ignore",
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), afterMs);
    child.once("close", (_, signal) => {
      clearTimeout(timer);
      resolve(signal === null);
    });
  });
}

describe("a clone", () => {
  it("has what was acknowledged before, goes its own way, and takes hardly any room", async () => {
    const dataDir = await clone("one");
    await parent.query("INSERT INTO t VALUES (5000)");
    const one = await start(dataDir);
    expect(await count(one)).toBe(1000);
    await one.query("DELETE FROM t WHERE n <= 400");
    await one.query("CREATE TABLE own (x int)");
    expect(await count(one)).toBe(600);
    expect(await count(parent)).toBe(1001);
    await expect(parent.query("SELECT * FROM own")).rejects.toThrow(/does not exist/);
    // Of each node: a state file of 1 MiB, and log files of 2 MiB, one in use and one ahead.
    const own = ownBytes(join(dataDir, "storage"), join(parent.dataDir, "storage"));
    expect(own / 1_048_576).toBeLessThan(6 * 6);
    expect(ownBytes(join(dataDir, "objects"), join(parent.dataDir, "objects"))).toBeLessThan(1e6);
    expect(await pins()).toMatchObject([{ dataDir, situation: "in use" }]);
  });

  it("is scrubbed clean, and heals what rots in a file that it shares", async () => {
    const [one] = others;
    const log = join(one?.dataDir ?? "", "storage", "az1-full", "log");
    const shared = readdirSync(log).filter((name) => statSync(join(log, name)).nlink > 1);
    expect(shared.length).toBeGreaterThan(0);
    const file = openSync(join(log, shared[0] ?? ""), "r+");
    writeSync(file, "rot rot rot", 3000);
    closeSync(file);
    for (const cluster of [one, parent]) {
      const first = await cluster?.cli("storage", "scrub", "az1-full");
      expect(first?.stderr).toMatch(/az1-full/);
      await until("it is healed", async () => {
        return (await cluster?.cli("storage", "scrub"))?.code === 0;
      });
    }
    expect(await count(one ?? parent)).toBe(600);
    expect(await count(parent)).toBe(1001);
  });

  it("survives a kill of everything, and its own clone survives it", async () => {
    const one = others[0] ?? parent;
    for (const pid of [...(await one.pids()).values(), one.supervisorPid]) process.kill(pid, 9);
    await until("nothing of it runs", () => one.processesLeft().length === 0, 10_000);
    await one.up();
    expect(await count(one)).toBe(600);
    const two = await start(await clone("two", one));
    await two.query("INSERT INTO t VALUES (-1)");
    expect(await pins(one)).toHaveLength(1);
    await remove(one);
    await until("the parent has let go", () => keptBy(parent, "az1-full").length === 0);
    expect(await pins()).toEqual([]);
    expect(await count(two)).toBe(601);
    rmSync(join(two.dataDir, "instances"), { recursive: true });
    await two.down();
    await two.up();
    expect(await count(two)).toBe(601);
    await remove(two);
  });

  it("branches off at any position of the log", async () => {
    const { rows } = await parent.query("SELECT pg_current_wal_flush_lsn() AS lsn");
    const lsn = rows[0].lsn as string;
    await parent.query("INSERT INTO t SELECT generate_series(1, 500)");
    const early = await start(await clone("early", parent, "--to", lsn));
    expect(await count(early)).toBe(1001);
    expect(await count(parent)).toBe(1501);
    await remove(early);
  });

  it("is made while its parent is down, and outlives it", async () => {
    await parent.down();
    const dataDir = await clone("offline");
    expect(await pins()).toMatchObject([{ dataDir, situation: "in use" }]);
    const offline = await start(dataDir);
    expect(await count(offline)).toBe(1501);
    await remove(offline);
    expect(await pins()).toEqual([]);
    await parent.up();
    await until("the parent has let go", () => keptBy(parent, "az1-full").length === 0);
    expect(await count(parent)).toBe(1501);
  });
});

describe("a clone that cannot be", () => {
  it("is refused in words that say what to do", async () => {
    const into = join(folder(), "no");
    const refused = async (words: RegExp, ...args: string[]): Promise<void> => {
      const { code, stderr } = await parent.cli("clone", ...args);
      expect(stderr).toMatch(words);
      expect(code).toBeGreaterThan(0);
    };
    await refused(/above .* not beyond/, "--into", into, "--to", "FF/0");
    await refused(/cannot be made at a time yet/, "--into", into, "--to", "-5m");
    await refused(/is no position of the log/, "--into", into, "--to", "yesterday");
    await refused(/lie in each other/, "--into", join(parent.dataDir, "inner"));
    await refused(/holds a cluster already/, "--into", await clone("taken"));
    writeFileSync(join(into, "precious"), "");
    await refused(/is not empty/, "--into", into);
    await runCli(["delete", "--yes", "--data-dir", join(folder(), "taken")]);
    expect(await pins()).toEqual([]);
  });

  it("leaves nothing that stays for ever when it is interrupted, and is made when it is asked for again", async () => {
    const into = join(folder(), "broken");
    const args = ["clone", "--data-dir", parent.dataDir, "--into", into, "--readers", "0"];
    for (let afterMs = 150; afterMs < 1_500; afterMs += 150) {
      if (await interrupted(afterMs, ...args)) break;
      if (!existsSync(join(into, "control", "clone.json"))) continue;
      if (existsSync(join(into, "control", "state.json"))) break;
      expect((await runCli(["up", "--data-dir", into])).stderr).toMatch(/was not made to its end/);
    }
    if (!existsSync(join(into, "control", "state.json"))) await clone("broken");
    const broken = await start(into);
    expect(await count(broken)).toBe(1501);
    expect(await pins()).toMatchObject([{ dataDir: into, situation: "in use" }]);
    await until("one pin is left", () => keptBy(parent, "az2-tail").length === 1);
    await broken.down();
    // Its deletion, likewise.
    for (let afterMs = 150; existsSync(into) && afterMs < 2_000; afterMs += 50) {
      await interrupted(afterMs, "delete", "--data-dir", into, "--yes");
      if (existsSync(join(into, "control", "deleting.json"))) {
        const { stderr } = await runCli(["up", "--data-dir", into]);
        expect(stderr).toMatch(/was being deleted/);
      }
    }
    if (existsSync(into)) await runCli(["delete", "--data-dir", into, "--yes"]);
    expect(existsSync(into)).toBe(false);
    await until("no pin is left", () => keptBy(parent, "az2-tail").length === 0);
  });

  it("and one that was removed by hand is shown, and released", async () => {
    const dataDir = await clone("lost");
    const kept = await parent.cli("storage", "unpin", dataDir);
    expect(kept.stderr).toMatch(/is still there/);
    rmSync(dataDir, { recursive: true });
    expect(await pins()).toMatchObject([{ dataDir, situation: "orphaned" }]);
    expect((await parent.cli("storage", "list")).stdout).toMatch(/orphaned/);
    expect((await parent.cli("storage", "unpin", dataDir)).code).toBe(0);
    expect(await pins()).toEqual([]);
    await until("its log is let go", () => keptBy(parent, "az3-full").length === 0);
  });
});

describe("a deletion", () => {
  it("asks, does not touch what runs, and leaves clones what they share", async () => {
    const heir = await start(await clone("heir"));
    expect((await parent.cli("delete")).stderr).toMatch(/is running/);
    expect((await parent.cli("delete", "--force")).stderr).toMatch(/--yes/);
    expect(await count(parent)).toBe(1501);
    const { stdout } = await parent.cli("delete", "--force", "--yes", "--keep-snapshots");
    expect(stdout).toMatch(/1 clone go/);
    expect(readdirSync(parent.dataDir).toSorted()).toEqual(["keys", "objects"]);
    await heir.query("INSERT INTO t VALUES (0)");
    await heir.down();
    await heir.up();
    expect(await count(heir)).toBe(1502);
    await remove(heir);
  });
});
