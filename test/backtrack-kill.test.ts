/** kill -9 in the middle of a backtrack: what comes up is at the moment, or where it was, whole in either case. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { TestCluster, until } from "./helpers/cluster.ts";
import { someOf } from "./helpers/thorough.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1 });
  await cluster.query("CREATE TABLE steps (n int PRIMARY KEY, filler text)");
  await write(200);
});
afterAll(() => cluster.destroy());

let next = 1;
/** Rows in order, each a transaction of its own. */
async function write(count: number): Promise<void> {
  const client = await cluster.client();
  try {
    for (let i = 0; i < count; i++)
      await client.query("INSERT INTO steps VALUES ($1, repeat('x', 500))", [next++]);
  } finally {
    await client.end().catch(() => undefined);
  }
}

interface Seen {
  readonly rows: number;
  readonly highest: number;
}

async function look(endpoint: "writer" | `instance-${number}` = "writer"): Promise<Seen> {
  const { rows } = await cluster.query(
    "SELECT count(*)::int AS rows, coalesce(max(n), 0) AS highest FROM steps",
    endpoint,
  );
  return rows[0] as Seen;
}

async function lsnNow(): Promise<string> {
  return (await cluster.query("SELECT pg_current_wal_lsn() AS lsn")).rows[0].lsn;
}

function keptState(): { backtrack?: unknown; abandoned?: { end: string }[] } {
  return JSON.parse(readFileSync(join(cluster.dataDir, "control/state.json"), "utf8"));
}

async function untilSettled(): Promise<void> {
  await until(
    "nothing is pending, and all instances are available",
    async () => {
      if (keptState().backtrack !== undefined) return false;
      const { instances, cluster: facts } = await cluster.status();
      return facts.state === "available" && instances.every((row) => row.state === "available");
    },
    90_000,
  );
}

const victims = ["control-plane", "instance-1", "instance-2", "everything"] as const;
type Victim = (typeof victims)[number];

async function kill(victim: Victim): Promise<void> {
  const pids = await cluster.pids().catch(() => new Map<string, number>());
  if (victim !== "everything") {
    const pid = pids.get(victim);
    if (pid !== undefined) process.kill(pid, "SIGKILL");
    return;
  }
  // The supervisor's command line has been replaced by its title: it is known by its pid.
  for (const pid of [cluster.supervisorPid, ...cluster.processesLeft()]) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // Gone meanwhile.
    }
  }
  await until("nothing of it runs", () => cluster.processesLeft().length === 0, 15_000);
  await cluster.up();
}

interface Case {
  readonly victim: Victim;
  readonly afterMs: number;
}

/** Each kind, at moments that spread over staging, the held window and what follows. */
const cases: Case[] = [400, 900, 1_400, 2_000, 2_700, 3_500].flatMap((afterMs) =>
  victims.map((victim) => ({ victim, afterMs })),
);
const order = cases.toSorted((a, b) => ((a.afterMs * 7) % 11) - ((b.afterMs * 7) % 11));

describe("kill -9 in the middle of a backtrack", () => {
  someOf(order, 4)("of $victim after $afterMs ms", async ({ victim, afterMs }) => {
    await write(30);
    const moment = { ...(await look()), lsn: await lsnNow() };
    await write(30);
    const now = await look();
    const command = cluster.cli("backtrack", `--to=${moment.lsn}`, "--json");
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    await kill(victim);
    await command;
    await untilSettled();
    const seen = await look();
    expect([moment, now].map(({ rows, highest }) => ({ rows, highest }))).toContainEqual(seen);
    for (const endpoint of ["instance-1", "instance-2"] as const) {
      await until(`${endpoint} shows the same`, async () => {
        return JSON.stringify(await look(endpoint)) === JSON.stringify(seen);
      });
    }
    next = seen.highest + 1;
    await write(1);
    expect((await look()).highest).toBe(seen.highest + 1);
  });
});

describe("kill -9 in the middle of a return", () => {
  someOf(order, 4)("of $victim after $afterMs ms", async ({ victim, afterMs }) => {
    await write(10);
    const fork = await lsnNow();
    await write(40);
    const far = await look();
    const gone = await cluster.cli("backtrack", `--to=${fork}`, "--json");
    expect(gone.code, gone.stdout + gone.stderr).toBe(0);
    next = (await look()).highest + 1;
    await write(5);
    const now = await look();
    await untilSettled();
    const end = keptState().abandoned?.at(-1)?.end ?? "";
    const command = cluster.cli("backtrack", `--to=${end}`, "--json");
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    await kill(victim);
    await command;
    await untilSettled();
    const seen = await look();
    expect([far, now]).toContainEqual(seen);
    for (const endpoint of ["instance-1", "instance-2"] as const) {
      await until(`${endpoint} shows the same`, async () => {
        return JSON.stringify(await look(endpoint)) === JSON.stringify(seen);
      });
    }
    next = seen.highest + 1;
    await write(1);
  });
});
