/**
 * kill -9 of everything while a snapshot is taken, deleted, or while extents are collected; then `up`. No acknowledged row is
 * missing, a snapshot is whole in each store that shows it, none that was deleted comes back, and a collection leaves in each
 * store what its snapshots name.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestCluster } from "../helpers/cluster.ts";
import { StoredExtents } from "../helpers/extents.ts";
import { killEverything } from "../helpers/kills.ts";
import { killsWanted, randomMoments, untilTimeIsUp } from "../helpers/thorough.ts";
import { Workload } from "../helpers/workload.ts";

const killTimeoutMs = 300_000;

let cluster: TestCluster;
let extents: StoredExtents;
let workload: Workload;

beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1 });
  extents = await StoredExtents.open(cluster);
  workload = new Workload(cluster, 2);
  await workload.start();
});
afterAll(async () => {
  await workload.stop();
  await cluster.destroy();
});

async function create(id: string): Promise<void> {
  await cluster.query(`DROP TABLE IF EXISTS filler`);
  await cluster.query(
    `CREATE TABLE filler AS SELECT md5(n::text || '${id}') FROM generate_series(1, 20000) n`,
  );
  await extents.create(id);
}

const phases = ["create", "delete", "collect"] as const;
type Phase = (typeof phases)[number];

/** Gives the snapshot whose fate nobody knows, or that is gone for sure. */
async function killedIn(phase: Phase, round: number, afterMs: number): Promise<void> {
  const id = `killed-${round}`;
  if (phase !== "create") await create(id);
  if (phase === "collect") extents.age();
  const asked = phase === "create" ? create(id) : extents.remove(id);
  if (phase === "collect") await asked;
  asked.catch(() => undefined);
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  await workload.stop();
  await killEverything(cluster);
  await asked.catch(() => undefined);
}

/** What was made before is collected, and nothing else. */
async function expectNothingLeft(round: number): Promise<void> {
  const id = `killed-${round}`;
  await extents.expectWhole();
  await extents.untilAllComplete();
  extents.age();
  if ((await extents.listed()).includes(id)) await extents.remove(id);
  await extents.remove(`kept-${round}`);
  await extents.untilCollected();
  for (const ids of await extents.shown()) expect(ids).not.toContain(id);
}

describe("kill -9 of everything", () => {
  const moments = randomMoments();
  const mayBegin = untilTimeIsUp();
  const count = killsWanted(100) || phases.length;
  const rounds = Array.from({ length: count }, (_, round) => {
    const phase = phases[round % phases.length] ?? "create";
    return { round, phase, afterMs: moments.below(2_000) };
  });

  it.for(rounds)(
    "in round $round, $afterMs ms into $phase, loses and leaks nothing",
    { timeout: killTimeoutMs },
    async ({ round, phase, afterMs }, context) => {
      mayBegin(context);
      await create(`kept-${round}`);
      await killedIn(phase, round, afterMs);
      if (phase === "collect") expect(await extents.listed()).not.toContain(`killed-${round}`);
      expect(await extents.listed()).toContain(`kept-${round}`);
      workload = await workload.goOn();
      expect(await workload.missingOn("writer")).toEqual([]);
      await expectNothingLeft(round);
    },
  );
});
