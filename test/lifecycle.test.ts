/** `up`, `status`, `url`, `down` and what they say when something is wrong, on real processes. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  childrenOf,
  freeBasePort,
  isAlive,
  makeFolder,
  runCli,
  TestCluster,
  until,
} from "./helpers/cluster.ts";
import { isWhole } from "./helpers/thorough.ts";

describe("a cluster's life", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await TestCluster.create();
  });
  afterAll(() => cluster.destroy());

  it("prints a URL for each endpoint, the status page's, and that it is ready", () => {
    for (const name of [
      "writer",
      "reader",
      "instance-1",
      "instance-2",
      "instance-3",
      "status page",
    ]) {
      expect(cluster.output).toMatch(new RegExp(`^\\s*${name}\\s+\\w+://`, "m"));
    }
    expect(cluster.output).toMatch(/^Borealis is ready/m);
  });

  it("shows itself in status --json as contract.md says", async () => {
    const status = await until("both readers are available", async () => {
      const now = await cluster.status();
      return now.instances.every((row) => row.state === "available") && now;
    });
    expect(status.cluster).toMatchObject({ state: "available", writer: "instance-1", timeline: 1 });
    expect(status.cluster.epoch).toBeGreaterThan(0);
    expect(status.instances.map((row) => row.role)).toEqual(["writer", "reader", "reader"]);
    expect(status.storage.map((row) => [row.id, row.state])).toEqual(
      ["az1-full", "az1-tail", "az2-full", "az2-tail", "az3-full", "az3-tail"].map((id) => [
        id,
        "up",
      ]),
    );
    expect(status.endpoints.find((row) => row.id === "reader")?.members).toEqual([
      "instance-2",
      "instance-3",
    ]);
  });

  it("gives URLs that work, for the writer, the reader and each instance", async () => {
    for (const [name, isReplica] of [
      ["writer", false],
      ["reader", true],
      ["instance-1", false],
      ["instance-3", true],
    ] as const) {
      const { stdout, code } = await cluster.cli("url", name);
      expect(code).toBe(0);
      expect(stdout.trim()).toBe(cluster.url(name));
      const { rows } = await cluster.query("SELECT pg_is_in_recovery() AS yes", name);
      expect(rows).toEqual([{ yes: isReplica }]);
    }
  });

  it("says that it is running when it is started twice", async () => {
    const again = await runCli([
      "up",
      "--data-dir",
      cluster.dataDir,
      "--port",
      String(cluster.port),
    ]);
    expect(again.code).toBe(1);
    expect(again.stderr).toMatch(/^borealis: a cluster is already running on .*; borealis status/);
  });

  it("answers /health to anyone, and the status page to who has the credentials", async () => {
    const base = `http://127.0.0.1:${cluster.port + 3000}`;
    const health = await fetch(`${base}/health`);
    expect([health.status, await health.json()]).toEqual([
      200,
      { status: "available", writer: "instance-1" },
    ]);
    expect((await fetch(base)).status).toBe(401);
    const credentials = readFileSync(join(cluster.dataDir, "credentials"), "utf8").trim();
    const page = await fetch(base, {
      headers: { authorization: `Basic ${Buffer.from(credentials).toString("base64")}` },
    });
    expect(page.status).toBe(200);
    expect(await page.text()).toContain("az3-tail");
  });

  it("keeps what was committed over down and up, in less than five seconds of start", async () => {
    await cluster.query("CREATE TABLE kept (v text)");
    await cluster.query("INSERT INTO kept VALUES ('still here')");
    const before = await cluster.status();
    expect(await cluster.down()).toBe(0);
    expect(cluster.processesLeft()).toEqual([]);
    const stopped = await cluster.cli("status", "--json");
    expect(JSON.parse(stopped.stdout).cluster.state).toBe("stopped");
    await cluster.up();
    expect((await cluster.query("SELECT v FROM kept")).rows).toEqual([{ v: "still here" }]);
    const after = await cluster.status();
    expect(after.cluster.epoch).toBeGreaterThan(before.cluster.epoch);
    expect(after.cluster.timeline).toBe(before.cluster.timeline);
    await until(
      "a reader shows it",
      async () => (await cluster.query("SELECT v FROM kept", "reader")).rows.length === 1,
    );
  });

  it("builds an instance again whose folder was deleted while it was down, on a new timeline", async () => {
    for (const timeline of isWhole ? [2, 3] : [2]) {
      await cluster.down();
      rmSync(join(cluster.dataDir, "instances", "instance-1"), { recursive: true });
      if (timeline === 3) rmSync(join(cluster.dataDir, "instances"), { recursive: true });
      await cluster.up();
      expect((await cluster.query("SELECT v FROM kept")).rows).toEqual([{ v: "still here" }]);
      await cluster.query(`CREATE TABLE after_${timeline} AS SELECT generate_series(1, 1000)`);
      expect((await cluster.status()).cluster.timeline).toBe(timeline);
      for (const reader of ["instance-2", "instance-3"] as const) {
        await until(`${reader} follows to timeline ${timeline}`, async () => {
          const { rows } = await cluster.query(
            `SELECT count(*)::int AS n FROM after_${timeline}`,
            reader,
          );
          return rows[0].n === 1000;
        });
      }
    }
  });

  it("leaves nothing behind five seconds after its supervisor was killed, and starts again", async () => {
    const children = childrenOf(cluster.supervisorPid);
    expect(children.length).toBeGreaterThanOrEqual(11);
    const pids = [...(await cluster.pids()).values()];
    process.kill(cluster.supervisorPid, "SIGKILL");
    await until("every process of it is gone", () => pids.every((pid) => !isAlive(pid)), 5_000);
    await cluster.up();
    expect((await cluster.query("SELECT v FROM kept")).rows).toEqual([{ v: "still here" }]);
  });
});

describe("a detached cluster", () => {
  it("returns when ready, and is stopped by down", async () => {
    const folder = makeFolder();
    const dataDir = join(folder, "data");
    const port = await freeBasePort(1);
    const up = await runCli([
      "up",
      "--detach",
      "--readers",
      "0",
      "--data-dir",
      dataDir,
      "--port",
      String(port),
    ]);
    expect(up.stderr).toBe("");
    expect(up.stdout).toMatch(/Borealis is ready/);
    const down = await runCli(["down", "--data-dir", dataDir]);
    expect([down.code, down.stdout.trim()]).toEqual([0, "stopped"]);
    rmSync(folder, { recursive: true });
  });
});

describe("a port that somebody takes while the cluster starts", () => {
  const folder = makeFolder();
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** Ports are looked at before the directory is taken, and opened when the cluster is made. */
  function untilLookedAt(dataDir: string): Promise<boolean> {
    return until("the ports were looked at", () => existsSync(join(dataDir, "control", "lock")));
  }

  it.each([
    [1, "the reader endpoint", "--port"],
    [3000, "the status page", "--http-port"],
  ])("and keeps, %i above the writer's: up says so, and fails", async (offset, what, option) => {
    const port = await freeBasePort(1);
    const dataDir = join(folder, `kept-${offset}`);
    const args = ["--data-dir", dataDir, "--port", String(port), "--readers", "0"];
    const starting = runCli(["up", ...args]);
    await untilLookedAt(dataDir);
    const squatter = createServer().listen({ host: "127.0.0.1", port: port + offset });
    const { code, stdout, stderr } = await starting;
    squatter.close();
    expect(stdout).not.toMatch(/ready/);
    expect(stderr).toMatch(
      `borealis: port ${port + offset} on 127.0.0.1 (${what}) is taken; choose another with ${option}\n`,
    );
    expect(code).toBe(1);
    expect((await runCli(["status", "--data-dir", dataDir, "--json"])).stdout).toMatch(/"stopped"/);
  });

  it("and leaves again: up waits for it", async () => {
    const port = await freeBasePort(1);
    const dataDir = join(folder, "left", "data");
    const starting = TestCluster.create({ readers: 0, port, dataDir });
    await untilLookedAt(dataDir);
    const squatter = createServer().listen({ host: "127.0.0.1", port });
    const log = join(dataDir, "log", "proxy.log");
    await until("the proxy has tried", () =>
      readFileSync(log, "utf8").includes('"event":"endpoint.notOpened"'),
    );
    squatter.close();
    const cluster = await starting;
    expect((await cluster.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
    await cluster.destroy();
  });
});

describe("what goes wrong before a start is told in one line", () => {
  const folder = makeFolder();
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("a taken port, with the option that chooses another", async () => {
    const port = await freeBasePort(1);
    const squatter = createServer().listen({ host: "127.0.0.1", port });
    const result = await runCli(["up", "--data-dir", join(folder, "a"), "--port", String(port)]);
    squatter.close();
    expect(result.code).toBe(1);
    expect(result.stderr).toBe(
      `borealis: port ${port} on 127.0.0.1 (the writer endpoint) is taken; choose another with --port\n`,
    );
  });

  it("a data directory of a newer version", async () => {
    const dataDir = join(folder, "newer");
    mkdirSync(join(dataDir, "control"), { recursive: true });
    writeFileSync(join(dataDir, "control", "state.json"), JSON.stringify({ format: 99 }));
    const result = await runCli([
      "up",
      "--data-dir",
      dataDir,
      "--port",
      String(await freeBasePort(1)),
    ]);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(
      /^borealis: the data directory .* was written by a newer Borealis \(format 99.*\n$/,
    );
  });

  it("a directory that holds something else", async () => {
    const dataDir = join(folder, "other");
    mkdirSync(dataDir);
    writeFileSync(join(dataDir, "thesis.txt"), "mine");
    const result = await runCli([
      "up",
      "--data-dir",
      dataDir,
      "--port",
      String(await freeBasePort(1)),
    ]);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(
      /is not empty and holds no Borealis cluster; choose another directory/,
    );
    expect(existsSync(join(dataDir, "thesis.txt"))).toBe(true);
  });

  it("a data directory that cannot be written", async () => {
    const file = join(folder, "a-file");
    writeFileSync(file, "");
    const result = await runCli([
      "up",
      "--data-dir",
      join(file, "data"),
      "--port",
      String(await freeBasePort(1)),
    ]);
    expect(result.code).toBe(1);
    expect(result.stderr.trim().split("\n")).toHaveLength(1);
    expect(result.stderr).toMatch(/data-dir/);
  });

  it.skipIf(process.getuid?.() !== 0)("a full disk", async () => {
    const mount = join(folder, "small");
    mkdirSync(mount);
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=20m", "tmpfs", mount]);
    if (mounted.status !== 0) return; // no right to mount here; the hint itself is covered by its unit test
    try {
      const result = await runCli([
        "up",
        "--data-dir",
        join(mount, "data"),
        "--port",
        String(await freeBasePort(1)),
      ]);
      expect(result.code).toBe(1);
      expect(result.stderr).toMatch(
        /MiB of disk space left; at least 600 MiB are needed; free some space/,
      );
      expect(result.stderr.trim().split("\n")).toHaveLength(1);
    } finally {
      spawnSync("umount", ["-l", mount]);
    }
  });

  it("wrong usage ends with exit code 2", async () => {
    expect((await runCli(["up", "--no-such-option"])).code).toBe(2);
    expect((await runCli(["conquer"])).code).toBe(2);
  });
});
