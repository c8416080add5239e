/** Small file systems under storage nodes: full on two costs nothing, on three writes wait and say so, and go on with room. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeFolder, TestCluster, until } from "../helpers/cluster.ts";

const small = ["az1-full", "az2-full", "az3-tail"];

/** Whether this machine lets us mount; where it does not, the tests are skipped, and counted. */
function mayMount(): boolean {
  const folder = makeFolder();
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "none", folder], { stdio: "ignore" });
    execFileSync("umount", [folder], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function mount(folder: string, options: string): void {
  execFileSync("mount", ["-t", "tmpfs", "-o", options, "none", folder], { stdio: "ignore" });
}

describe.skipIf(!mayMount())("with small file systems under three nodes", () => {
  let cluster: TestCluster;
  const folderOf = (id: string): string => join(cluster.dataDir, "storage", id);
  beforeAll(async () => {
    cluster = await TestCluster.create({
      readers: 0,
      args: ["--set", "storage.segmentBytes=2097152"],
    });
    await cluster.down();
    for (const id of small) {
      const folder = folderOf(id);
      renameSync(folder, `${folder}.before`);
      mkdirSync(folder, { mode: 0o700 });
      mount(folder, "size=64m,mode=0700");
      cpSync(`${folder}.before`, folder, { recursive: true });
      rmSync(`${folder}.before`, { recursive: true });
    }
    await cluster.up();
  });
  afterAll(async () => {
    await cluster.down();
    for (const id of small) execFileSync("umount", [folderOf(id)], { stdio: "ignore" });
    await cluster.destroy();
  });

  /** Fills the rest of a node's file system, but for nothing. */
  const fill = (id: string): void => {
    try {
      execFileSync("dd", ["if=/dev/zero", `of=${folderOf(id)}/ballast`, "bs=64k"], {
        stdio: "ignore",
      });
    } catch {
      // It ends when there is no space, which is what it is for.
    }
  };
  const empty = (id: string): void => rmSync(`${folderOf(id)}/ballast`, { force: true });
  const write = (client: { query(sql: string): Promise<unknown> }) =>
    client.query("insert into filler select md5(random()::text) from generate_series(1, 20000)");
  const healthOf = async (id: string): Promise<string | null | undefined> => {
    const rows: { id: string; health?: string | null }[] = (await cluster.status()).storage;
    return rows.find((row) => row.id === id)?.health;
  };

  it("full ones cost nothing up to two; the third makes writes wait, by name, until there is room", async () => {
    const client = await cluster.client("writer");
    await client.query("create table filler (text text)");
    for (const id of small.slice(0, 2)) fill(id);
    for (let i = 0; i < 6; i++) await write(client);
    for (const id of small.slice(0, 2))
      await until(`${id} is full`, async () => (await healthOf(id)) === "full");
    expect((await cluster.status()).cluster.state).toBe("available");
    fill(small[2] ?? "");
    let isDone = false;
    const writing = (async () => {
      for (let i = 0; i < 6; i++) await write(client);
      isDone = true;
    })();
    await until("writes wait, and status says so", async () => {
      return (await cluster.status()).cluster.state === "degraded";
    });
    expect(await Promise.all(small.map(healthOf))).toEqual(["full", "full", "full"]);
    expect((await cluster.cli("status")).stdout).toContain("az3-tail is up, full");
    expect(isDone).toBe(false);
    for (const id of small) empty(id);
    await writing;
    await until("all is well", async () => {
      const { cluster: facts } = await cluster.status();
      const healths = await Promise.all(small.map(healthOf));
      return facts.state === "available" && healths.every((health) => health === "ok");
    });
    const { rows } = await client.query("select count(*)::int as count from filler");
    expect(rows).toEqual([{ count: 240_000 }]);
    await client.end();
  });

  it("a scrub on demand reads every node through, and finds all well", async () => {
    const { stdout, code } = await cluster.cli("storage", "scrub", "--json");
    const results: { node: string; unhealed: number; compared: number; objects: object | null }[] =
      JSON.parse(stdout);
    expect([code, results.map((one) => one.unhealed)], stdout).toEqual([0, Array(7).fill(0)]);
    // Six nodes, and the object store, which has no log to be compared.
    expect(results.filter((one) => one.compared > 0).length).toBe(6);
    expect(results.filter((one) => one.objects !== null).map((one) => one.node)).toEqual([
      "az1-full",
      "az2-full",
      "az3-full",
      "object-store",
    ]);
  });
});
