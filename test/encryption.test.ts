/** Encryption at rest on a running cluster: nothing readable on disk, keys rotate under load, no key no data. */
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli, TestCluster, until } from "./helpers/cluster.ts";
import { Workload } from "./helpers/workload.ts";

const marker = "a-marker-that-nobody-may-find";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1 });
  await cluster.query("CREATE TABLE secrets (n int, t text)");
  await cluster.query(`INSERT INTO secrets SELECT n, '${marker}' FROM generate_series(1, 100) n`);
});
afterAll(() => cluster.destroy());

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** What is in the making has another name a moment later. */
function readIfThere(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch {
    return Buffer.alloc(0);
  }
}

function holding(text: string, folder: string): string[] {
  return filesUnder(folder).filter((file) => readIfThere(file).includes(text));
}

/** Data keys of the frames in a node's files, as their headers tell. */
function keyIdsOf(node: string): Set<number> {
  const ids = new Set<number>();
  for (const file of filesUnder(join(cluster.dataDir, "storage", node, "log"))) {
    const bytes = readFileSync(file);
    for (let at = bytes.indexOf("BFRM"); at >= 0; at = bytes.indexOf("BFRM", at + 1)) {
      // Flags and what is zero behind them: the same letters in ciphertext are no frame.
      if (bytes.readUInt32BE(at + 4) <= 1 << 16) ids.add(bytes.readUInt32BE(at + 40));
    }
  }
  return ids;
}

function dataKeysInClear(): string[] {
  const folder = join(cluster.dataDir, "keys");
  return filesUnder(folder).flatMap((file) => {
    const text = readFileSync(file, "utf8");
    return [...text.matchAll(/"key": "([^"]+)"/g)].map((match) => match[1] ?? "");
  });
}

async function secretsOn(endpoint: "writer" | "instance-2"): Promise<number> {
  const { rows } = await cluster.query(
    `SELECT count(*)::int AS n FROM secrets WHERE t = '${marker}'`,
    endpoint,
  );
  return rows[0].n;
}

describe("a cluster with encryption", () => {
  it("leaves nothing readable in any file of a storage node", () => {
    const storage = join(cluster.dataDir, "storage");
    expect(holding(marker, storage)).toEqual([]);
    expect(keyIdsOf("az1-full")).toEqual(new Set([1]));
    // The test would find it: a cache holds it in clear.
    expect(holding(marker, join(cluster.dataDir, "instances")).length).toBeGreaterThan(0);
  });

  it("keeps its key file from everybody else, and says no key in logs, environments or arguments", () => {
    const folder = join(cluster.dataDir, "keys");
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(join(folder, "master.json")).mode & 0o777).toBe(0o600);
    const secrets = dataKeysInClear();
    expect(secrets.length).toBeGreaterThan(0);
    for (const secret of secrets) {
      for (const place of ["log", "control", "storage"]) {
        expect(holding(secret, join(cluster.dataDir, place))).toEqual([]);
      }
      for (const pid of cluster.processesLeft()) {
        expect(readFileSync(`/proc/${pid}/cmdline`, "utf8")).not.toContain(secret);
        expect(readFileSync(`/proc/${pid}/environ`, "utf8")).not.toContain(secret);
      }
    }
  });

  it("rotates data keys under load, a node down or not, and reads all of it after a restart", async () => {
    const load = new Workload(cluster, 2);
    await load.start();
    const first = await cluster.cli("keys", "rotate", "--json");
    expect(JSON.parse(first.stdout)).toMatchObject({ current: 2, waiting: [] });
    await load.untilMore(50);
    expect(load.errors).toBe(0);
    await cluster.cli("storage", "stop", "az3-tail");
    const second = await cluster.cli("keys", "rotate", "--json");
    expect(JSON.parse(second.stdout)).toMatchObject({ current: 3, waiting: ["az3-tail"] });
    await load.untilMore(50);
    expect((await cluster.cli("storage", "start", "az3-tail")).code).toBe(0);
    await load.untilMore(50);
    expect((await cluster.cli("keys", "rotate", "--master")).code).toBe(0);
    await load.untilMore(50);
    await load.stop();
    expect(load.errors).toBe(0);
    await until("the node that was away writes with the newest key", () =>
      keyIdsOf("az3-tail").has(3),
    );
    expect(keyIdsOf("az1-full")).toEqual(new Set([1, 2, 3]));
    expect(holding(marker, join(cluster.dataDir, "storage"))).toEqual([]);
    await cluster.down();
    // Both caches are built again from the log: every frame, of every key, is read.
    for (const name of ["instance-1", "instance-2"]) {
      rmSync(join(cluster.dataDir, "instances", name), { recursive: true });
    }
    await cluster.up();
    expect(await secretsOn("writer")).toBe(100);
    expect(await load.missingOn("writer")).toEqual([]);
    await until("the reader has it", async () => (await secretsOn("instance-2")) === 100);
  });

  it("lists its keys without any secret", async () => {
    const { stdout, code } = await cluster.cli("keys", "list", "--json");
    expect(code).toBe(0);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ current: 3, keys: [{ id: 1 }, { id: 2 }, { isCurrent: true }] });
    for (const secret of dataKeysInClear()) expect(stdout).not.toContain(secret);
  });

  it("does not start without its key file, or with another's, and says why in one line", async () => {
    await cluster.down();
    const file = join(cluster.dataDir, "keys", "master.json");
    const start = (): ReturnType<typeof runCli> =>
      runCli(["up", "--data-dir", cluster.dataDir, "--port", String(cluster.port)]);
    renameSync(file, `${file}.away`);
    const missing = await start();
    expect(missing.code).toBe(1);
    expect(missing.stderr).toMatch(/key file .*master\.json cannot be used: it is missing/);
    expect(missing.stderr).toContain("put keys/ back from its backup");
    const other = {
      id: "0".repeat(32),
      createdAt: "",
      key: Buffer.alloc(32, 1).toString("base64"),
    };
    writeFileSync(file, JSON.stringify({ format: 1, keys: [other] }), { mode: 0o600 });
    const wrong = await start();
    expect(wrong.stderr).toMatch(/the key file .*master\.json is not the volume's/);
    rmSync(file);
    renameSync(`${file}.away`, file);
    chmodSync(file, 0o644);
    expect((await start()).stderr).toMatch(/may be used by others than its owner \(mode 644\)/);
    chmodSync(file, 0o600);
    await cluster.up();
    expect(await secretsOn("writer")).toBe(100);
  });

  it("finds its key ring beside any node's log when control/ has lost it", async () => {
    await cluster.down();
    const ring = join(cluster.dataDir, "control", "keyring.json");
    const copy = readFileSync(ring, "utf8");
    rmSync(ring);
    for (const node of ["az1-full", "az1-tail", "az2-full"]) {
      rmSync(join(cluster.dataDir, "storage", node, "keyring.json"));
    }
    writeFileSync(join(cluster.dataDir, "storage", "az2-tail", "keyring.json"), "rotten");
    await cluster.up();
    expect(readFileSync(ring, "utf8")).toBe(copy);
    const copies = filesUnder(join(cluster.dataDir, "storage")).filter((file) =>
      file.endsWith("keyring.json"),
    );
    expect(copies.map((file) => readFileSync(file, "utf8") === copy)).toEqual(
      Array.from({ length: 6 }, () => true),
    );
    expect(await secretsOn("writer")).toBe(100);
  });
});

describe("a cluster without encryption", () => {
  it("has no keys, and says so", async () => {
    const plain = await TestCluster.create({
      readers: 0,
      args: ["--set", "storage.encryption=off"],
    });
    try {
      await plain.query(`CREATE TABLE t AS SELECT '${marker}'::text AS t`);
      expect(holding(marker, join(plain.dataDir, "storage")).length).toBeGreaterThanOrEqual(4);
      expect(existsSync(join(plain.dataDir, "keys", "master.json"))).toBe(false);
      const { code, stderr } = await plain.cli("keys", "rotate");
      expect(code).toBe(1);
      expect(stderr).toContain("this volume is not encrypted");
      // The setting counts at creation only.
      await plain.down();
      await plain.up();
      expect((await plain.query("SELECT t FROM t")).rows).toEqual([{ t: marker }]);
    } finally {
      await plain.destroy();
    }
  });
});
