/**
 * kill -9 while a clone is made, and while one is deleted: of the command, or of everything of the parent as well. Repeating the
 * command then ends it; the parent loses nothing, keeps nothing for what is gone, neither log nor extents, and a clone has what
 * was there at its branch.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { beside, clone, count, keptBy, pins, start, startedCommand } from "../helpers/clones.ts";
import { TestCluster, until } from "../helpers/cluster.ts";
import { StoredExtents } from "../helpers/extents.ts";
import { killAll } from "../helpers/kills.ts";
import { killsWanted, randomMoments, untilTimeIsUp } from "../helpers/thorough.ts";
import { Workload } from "../helpers/workload.ts";

const killTimeoutMs = 180_000;
const nodes = ["az1-full", "az1-tail", "az2-full", "az2-tail", "az3-full", "az3-tail"];

let parent: TestCluster;
let workload: Workload;
let extents: StoredExtents;
beforeAll(async () => {
  parent = await TestCluster.create({ readers: 0 });
  await parent.query("CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 20000) n");
  // Its log begins behind the volume's beginning from here on, as that of any volume that has lived for a while.
  await parent.cli("snapshot", "create", "first");
  extents = await StoredExtents.open(parent);
  workload = new Workload(parent, 2);
  await workload.start();
});
afterAll(async () => {
  await workload.stop();
  await parent.destroy();
});

const phases = ["clone", "delete"] as const;
const victims = ["command", "everything"] as const;

interface Case {
  readonly phase: (typeof phases)[number];
  readonly victim: (typeof victims)[number];
  readonly afterMs: number;
}

/** Kills what the case says, `afterMs` after the command has written down what it is at. */
async function killed({ victim, afterMs }: Case, begun: string, ...args: string[]): Promise<void> {
  const command = startedCommand(...args);
  let isOver = false;
  const over = command.over.then(() => (isOver = true));
  await until(`${begun} is there`, () => isOver || existsSync(begun), 60_000);
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  command.kill();
  if (victim === "everything") await killAll(parent);
  await over;
  if (victim === "everything") await parent.up();
}

async function expectWhole(dataDir: string): Promise<void> {
  const made = await start(dataDir);
  try {
    expect(await count(made)).toBe(20_000);
    await made.query("INSERT INTO t VALUES (0)");
    expect(await count(made)).toBe(20_001);
  } finally {
    await made.down();
  }
}

/** Names of the extents that the parent has, in each store. */
function extentsOf(folder: string): string[] {
  const shelves = readdirSync(folder, { withFileTypes: true, recursive: true });
  return shelves
    .filter((one) => one.isFile() && one.parentPath.includes("/extents/"))
    .map((one) => one.name);
}

describe("kill -9 while a clone comes or goes", () => {
  const moments = randomMoments();
  const mayBegin = untilTimeIsUp();
  const rounds = Array.from(
    { length: killsWanted(100) || 3 },
    (_, round): Case & { round: number } => {
      const phase = phases[round % 2] ?? "clone";
      const victim = victims[Math.floor(round / 2) % 2] ?? "command";
      return { round, phase, victim, afterMs: Math.floor(moments.next() ** 2 * 1_200) };
    },
  );

  it.for(rounds)(
    "in round $round, of $victim $afterMs ms into $phase, loses and leaks nothing",
    { timeout: killTimeoutMs },
    async (one, context) => {
      mayBegin(context);
      const into = beside(parent, `clone-${one.round}`);
      const making = ["clone", "--data-dir", parent.dataDir, "--into", into, "--readers", "0"];
      const deleting = ["delete", "--data-dir", into, "--yes"];
      const before = extentsOf(join(parent.dataDir, "storage/az1-full/objects")).length;
      if (one.victim === "everything") await workload.stop();
      if (one.phase === "clone") {
        await killed(one, join(into, "control/clone.json"), ...making);
        if (!existsSync(join(into, "control/state.json")))
          await clone(parent, `clone-${one.round}`);
        await expectWhole(into);
      } else {
        await clone(parent, `clone-${one.round}`);
        await killed(one, join(into, "control/deleting.json"), ...deleting);
      }
      if (existsSync(into)) expect(await startedCommand(...deleting).over).toBe(0);
      expect(existsSync(into)).toBe(false);
      if (one.victim === "everything") workload = await workload.goOn();
      expect(await workload.missingOn("writer")).toEqual([]);
      expect(await count(parent)).toBe(20_000);
      expect(await pins(parent)).toEqual([]);
      for (const node of nodes)
        await until(`${node} keeps nothing`, () => keptBy(parent, node).length === 0);
      // More may have come with a snapshot; none went with the clone.
      const now = extentsOf(join(parent.dataDir, "storage/az1-full/objects")).length;
      expect(now).toBeGreaterThanOrEqual(before);
      await extents.expectNoLeak();
    },
  );
});
