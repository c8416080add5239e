/** Readers that may be promoted have in memory what the writer works with. */
import { spawnSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestCluster, until } from "./helpers/cluster.ts";

/** Bytes of a file in the page cache (util-linux); undefined: nobody says. */
function residentBytes(file: string): number | undefined {
  const { status, stdout } = spawnSync("fincore", ["--bytes", "--noheadings", "-o", "RES", file], {
    encoding: "utf8",
  });
  return status === 0 ? Number(stdout.trim()) : undefined;
}

/** Takes a file out of the page cache, as far as the file system does that. */
function evict(file: string): void {
  spawnSync("sync", [file]);
  spawnSync("dd", [`of=${file}`, "oflag=nocache", "conv=notrunc,fdatasync", "count=0"]);
}

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({
    readers: 2,
    args: ["--set", "reader.warmEveryMs=500"],
  });
});
afterAll(() => cluster.destroy());

const logOf = (name: string): string => readFileSync(`${cluster.dataDir}/log/${name}.log`, "utf8");

describe("cluster cache management", () => {
  it("reads ahead on a reader what the writer has in its buffers", async (context) => {
    await cluster.query(
      "CREATE TABLE hot AS SELECT n, repeat(md5(n::text), 8) AS filler FROM generate_series(1, 60000) n",
    );
    await cluster.query("CREATE INDEX hot_n ON hot (n)");
    // All of it, twice: one use may have been a scan that nobody repeats.
    for (let round = 0; round < 2; round++) await cluster.query("SELECT count(filler) FROM hot");
    await cluster.query("CHECKPOINT");
    const path = "SELECT pg_relation_filepath('hot') AS path";
    const [{ path: name }] = (await cluster.query(path)).rows;
    const rows = "SELECT count(*)::int AS n FROM hot";
    await until("the reader has it", async () => {
      return (await cluster.query(rows, "instance-2")).rows[0].n === 60_000;
    });
    // Its pages are written at its own restartpoint; as superuser, since this one is.
    await cluster.query("CHECKPOINT", "instance-2");
    const file = `${cluster.dataDir}/instances/instance-2/data/${name}`;
    const wholeBytes = statSync(file).size;
    expect(wholeBytes).toBeGreaterThan(15 * 1024 * 1024);
    evict(file);
    const left = residentBytes(file);
    if (left === undefined || left > wholeBytes / 2) {
      context.skip("this file system keeps everything in memory, or nobody says what it keeps");
    }
    await until("it is in memory again", () => (residentBytes(file) ?? 0) > wholeBytes * 0.9);
    expect(logOf("instance-2")).toMatch(/"event":"cache.warmed","bytes":[1-9]/);
  });

  it("goes on with whoever writes, and costs nobody anything who was removed or is far", async () => {
    expect((await cluster.cli("instance", "modify", "instance-3", "--tier", "5")).code).toBe(0);
    const path = "SELECT pg_relation_filepath('hot') AS path";
    const [{ path: name }] = (await cluster.query(path)).rows;
    const file = `${cluster.dataDir}/instances/instance-2/data/${name}`;
    const hotPart = (): number | undefined => {
      const resident = residentBytes(file);
      return resident === undefined ? undefined : resident / statSync(file).size;
    };
    expect((await cluster.cli("failover", "--target", "instance-2")).code).toBe(0);
    // Nobody has read it there: the new writer does not begin from cold.
    expect(hotPart() ?? 1, "the part of it that is in memory").toBeGreaterThan(0.9);
    await until("the one that was the writer is kept warm", () =>
      /"event":"reader.available"[\s\S]*"event":"cache.warmed"/.test(logOf("instance-1")),
    );
    await cluster.query("DROP TABLE hot");
    await cluster.query("CREATE TABLE later AS SELECT 1 AS n");
    expect((await cluster.query("SELECT n FROM later")).rows).toEqual([{ n: 1 }]);
    for (const name of ["instance-1", "instance-2", "instance-3"])
      expect(logOf(name)).not.toMatch(/"event":"role.failed"/);
  });
});
