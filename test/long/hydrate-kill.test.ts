/**
 * kill -9 while caches are built anew, of everything or of one agent; then `up`. No acknowledged row is missing, and nothing is
 * left of what was built halfway, nor of extents that no snapshot names.
 */
import { readdirSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestCluster, until } from "../helpers/cluster.ts";
import { StoredExtents } from "../helpers/extents.ts";
import { killAll, killEverything, killOne, logged } from "../helpers/kills.ts";
import { killsWanted, randomMoments, untilTimeIsUp } from "../helpers/thorough.ts";
import { Workload } from "../helpers/workload.ts";

const killTimeoutMs = 360_000;

let cluster: TestCluster;
let workload: Workload;
let instances: string;
let extents: StoredExtents;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1 });
  instances = realpathSync(join(cluster.dataDir, "instances"));
  // Big enough for an interruption: a fraction of a second to fetch, and log to replay behind it.
  await cluster.query(
    "CREATE TABLE filler AS SELECT n, repeat(md5(n::text), 8) AS text FROM generate_series(1, 150000) n",
  );
  await cluster.cli("snapshot", "create", "whole");
  extents = await StoredExtents.open(cluster);
  workload = new Workload(cluster, 2);
  await workload.start();
});
afterAll(async () => {
  await workload.stop();
  await cluster.destroy();
});

const victims = ["everything", "instance-1", "instance-2"] as const;
type Victim = (typeof victims)[number];

/** Everything is killed and all caches are deleted; then the start that builds them is interrupted. */
async function interrupted(victim: Victim, afterMs: number): Promise<void> {
  await workload.stop();
  await killAll(cluster);
  for (const name of readdirSync(instances)) rmSync(join(instances, name), { recursive: true });
  const before = logged(cluster, "cache.hydrated");
  const starting = cluster.up().catch(() => undefined);
  const [id] = victim === "everything" ? ["instance-1"] : [victim];
  // A reader lets the writer go first, which has all log of the rounds before to replay.
  await until(`the cache of ${id} is begun`, () => hasFiles(id), 240_000);
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  if (victim === "everything") await killEverything(cluster);
  else killOne(await until(`${id} has told its pid`, async () => (await cluster.pids()).get(id)));
  await starting;
  await cluster.untilEverybody(90_000);
  expect(logged(cluster, "cache.hydrated")).toBeGreaterThan(before);
}

function hasFiles(id: string): boolean {
  const there = readdirSync(instances);
  return there.includes(id) && readdirSync(join(instances, id)).length > 0;
}

describe("kill -9 while caches are built", () => {
  const moments = randomMoments();
  const mayBegin = untilTimeIsUp();
  const count = killsWanted(100) || victims.length;
  const rounds = Array.from({ length: count }, (_, round) => {
    const victim = victims[round % victims.length] ?? "everything";
    // Most early: fetching takes less than the replay and the start behind it.
    return { round, victim, afterMs: Math.floor(moments.next() ** 2 * 1_500) };
  });

  it.for(rounds)(
    "in round $round, of $victim after $afterMs ms, loses nothing",
    { timeout: killTimeoutMs },
    async ({ victim, afterMs }, context) => {
      mayBegin(context);
      await interrupted(victim, afterMs);
      workload = await workload.goOn();
      expect(await workload.missingOn("writer")).toEqual([]);
      await until("the reader shows all of it", async () => {
        return (await workload.missingOn("instance-2")).length === 0;
      });
      const { rows } = await cluster.query("SELECT count(*)::int AS n FROM filler", "instance-2");
      expect(rows).toEqual([{ n: 150_000 }]);
      expect(readdirSync(instances).toSorted()).toEqual(["instance-1", "instance-2"]);
      await extents.expectNoLeak();
    },
  );
});
