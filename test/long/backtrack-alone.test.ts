/** A writer without readers goes back and returns: it is its own successor. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestCluster, until } from "../helpers/cluster.ts";
import { askControl } from "../helpers/control.ts";
import { killEverything, killOne, logged } from "../helpers/kills.ts";

let cluster: TestCluster;
let next = 1;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 0 });
  await cluster.query("CREATE TABLE steps (n int PRIMARY KEY)");
  await write(20);
});
afterAll(() => cluster.destroy());

async function write(count: number): Promise<void> {
  const client = await cluster.client();
  try {
    for (let i = 0; i < count; i++) await client.query("INSERT INTO steps VALUES ($1)", [next++]);
  } finally {
    await client.end().catch(() => undefined);
  }
}

interface Seen {
  readonly rows: number;
  readonly highest: number;
}

async function look(): Promise<Seen> {
  const sql = "SELECT count(*)::int AS rows, coalesce(max(n), 0) AS highest FROM steps";
  return (await cluster.query(sql)).rows[0] as Seen;
}

async function lsnNow(): Promise<string> {
  return (await cluster.query("SELECT pg_current_wal_lsn() AS lsn")).rows[0].lsn;
}

interface Job {
  readonly id: number;
  readonly phase: string;
}

interface Done {
  readonly isReturn: boolean;
  readonly done: { readonly abandonedEnd: string; readonly writer: string };
}

async function backtrack(to: string): Promise<Done> {
  const result = await cluster.cli("backtrack", `--to=${to}`, "--json");
  expect(result.code, result.stdout + result.stderr).toBe(0);
  return JSON.parse(result.stdout) as Done;
}

function isPending(): boolean {
  const text = readFileSync(join(cluster.dataDir, "control/state.json"), "utf8");
  return (JSON.parse(text) as { backtrack?: unknown }).backtrack !== undefined;
}

/** Goes back over 30 rows and writes 5; gives what was before and after, and where the first ended. */
async function leave(): Promise<{ far: Seen; near: Seen; end: string }> {
  await write(10);
  const fork = await lsnNow();
  await write(30);
  const far = await look();
  const { done } = await backtrack(fork);
  next = (await look()).highest + 1;
  await write(5);
  return { far, near: await look(), end: done.abandonedEnd };
}

describe("a writer without readers", () => {
  it("undoes what was acknowledged a moment ago", async () => {
    for (let n = 0; n < 3; n++) {
      const to = { kind: "lsn", at: await lsnNow() };
      await write(1);
      const { id } = (await askControl(cluster, "backtrack", { to, isDryRun: true })) as Job;
      const job = await until("it is over", async () => {
        const now = (await askControl(cluster, "backtrackProgress", { id })) as Job;
        return now.phase === "done" || now.phase === "failed" ? now : undefined;
      });
      expect(job).toMatchObject({ phase: "done", report: { undone: { transactions: 1 } } });
    }
  });

  it("goes back, returns, and goes on after a restart", async () => {
    const { far, near, end } = await leave();
    expect(near.rows).toBe(far.rows - 25);
    const back = await backtrack(end);
    expect(back).toMatchObject({ isReturn: true, done: { writer: "instance-1" } });
    expect(await look()).toEqual(far);
    const again = await backtrack(back.done.abandonedEnd);
    expect(again.isReturn).toBe(true);
    expect(await look()).toEqual(near);
    next = near.highest + 1;
    await write(5);
    await cluster.down();
    await cluster.up();
    expect((await look()).rows).toBe(near.rows + 5);
  });

  const steps = [
    ["instance-1", "backtrack.planned"],
    ["everything", "backtrack.planned"],
    ["instance-1", "backtrack.refilled"],
    ["everything", "backtrack.refilled"],
    ["everything", "recovery.replayed"],
    ["control-plane", "backtrack.planned"],
  ] as const;
  it.each(steps)(
    "returns though kill -9 of %s comes at %s",
    async (victim, step) => {
      const { far, end } = await leave();
      const pids = await cluster.pids();
      const before = logged(cluster, step);
      const command = cluster.cli("backtrack", `--to=${end}`, "--json");
      await until(`${step} is logged`, () => logged(cluster, step) > before, 90_000);
      if (victim === "everything") await killEverything(cluster);
      else killOne(pids.get(victim));
      await command;
      await until("nothing is pending", () => !isPending(), 90_000);
      expect(await until("the writer is back", look, 90_000)).toEqual(far);
      next = far.highest + 1;
      await write(1);
    },
    300_000,
  );
});
