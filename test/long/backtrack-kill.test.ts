/** kill -9 in the middle of a backtrack: what comes up is at the moment, or where it was, whole in either case. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestCluster, until } from "../helpers/cluster.ts";
import { StoredExtents } from "../helpers/extents.ts";
import { killEverything, killOne, logged } from "../helpers/kills.ts";
import { killsWanted, randomMoments, untilTimeIsUp } from "../helpers/thorough.ts";

/** Two backtracks, a restart of everything and two caches built anew: on a busy machine more than the usual. */
const killTimeoutMs = 300_000;

let cluster: TestCluster;
let extents: StoredExtents;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1 });
  extents = await StoredExtents.open(cluster);
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
  await until("nothing is pending", () => keptState().backtrack === undefined, 90_000);
  await cluster.untilEverybody(90_000);
}

const mayBegin = untilTimeIsUp();

/** `successor`: who is to write when the backtrack is done; `former`: who wrote before. */
const victims = ["control-plane", "former", "successor", "everything"] as const;
type Victim = (typeof victims)[number];

interface Case {
  readonly victim: Victim;
  /** What is logged first, of the successor or the control plane. */
  readonly step: string;
  readonly afterMs: number;
}

/** In their order. The last three come once for each epoch. */
const steps = [
  "backtrack.begun",
  "backtrack.staged",
  "failover.begun",
  "backtrack.planned",
  "backtrack.refilled",
  "epoch.opened",
  "recovery.replayed",
  "driver.attached",
  "writer.available",
] as const;

/** With BOREALIS_TEST=thorough: BOREALIS_KILLS of each kind, at random moments from BOREALIS_SEED. */
function casesFrom(few: readonly Case[]): readonly Case[] {
  const count = killsWanted(25);
  if (count === 0) return few;
  const rng = randomMoments();
  const oneOf = <T>(from: readonly [T, ...T[]]): T => from[rng.below(from.length)] ?? from[0];
  return Array.from({ length: count }, (): Case => {
    // Most right behind the step, some as far as the next ones.
    const afterMs = Math.floor(rng.next() ** 3 * 1_500);
    return { victim: oneOf(victims), step: oneOf(steps), afterMs };
  });
}

async function killDuring(to: string, { victim, step, afterMs }: Case): Promise<void> {
  // Asked for before, since asking takes longer than many a step that the kill is to fall into.
  const pids = await cluster.pids();
  const { writer } = (await cluster.status()).cluster;
  const [former, successor] = writer === "instance-1" ? [1, 2] : [2, 1];
  const names = { former: `instance-${former}`, successor: `instance-${successor}` };
  const before = logged(cluster, step);
  let isOver = false;
  const command = cluster.cli("backtrack", `--to=${to}`, "--json");
  void command.then(() => (isOver = true));
  await until(`${step} is logged`, () => isOver || logged(cluster, step) > before, 90_000);
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  if (victim === "everything") await killEverything(cluster);
  else killOne(pids.get(victim === "control-plane" ? victim : names[victim]));
  await command;
}

async function expectOneOf(outcomes: readonly Seen[]): Promise<void> {
  await untilSettled();
  const seen = await look();
  expect(outcomes).toContainEqual(seen);
  for (const endpoint of ["instance-1", "instance-2"] as const) {
    await until(`${endpoint} shows the same`, async () => {
      return JSON.stringify(await look(endpoint)) === JSON.stringify(seen);
    });
  }
  next = seen.highest + 1;
  await write(1);
  expect((await look()).highest).toBe(seen.highest + 1);
}

describe("kill -9 in the middle of a backtrack", () => {
  const few: Case[] = [
    { victim: "control-plane", step: "backtrack.begun", afterMs: 300 },
    { victim: "former", step: "failover.begun", afterMs: 0 },
    { victim: "successor", step: "epoch.opened", afterMs: 0 },
    { victim: "everything", step: "backtrack.planned", afterMs: 0 },
  ];
  it.for(casesFrom(few))(
    "of $victim $afterMs ms after $step",
    { timeout: killTimeoutMs },
    async (one, context) => {
      mayBegin(context);
      await write(30);
      const [moment, lsn] = [await look(), await lsnNow()];
      await write(30);
      const now = await look();
      await killDuring(lsn, one);
      await expectOneOf([moment, now]);
    },
  );

  it("leaks no extent", () => extents.expectNoLeak());
});

/** The writer's next life opens while its successor is still being made ready: what is acknowledged there counts, too. */
describe("a writer that starts again before its successor is appointed", () => {
  /** Gives what it had acknowledged before the appointment, and how the command ended. */
  async function race(fork: string) {
    const pids = await cluster.pids();
    const { writer, epoch } = (await cluster.status()).cluster;
    const successor = pids.get(writer === "instance-1" ? "instance-2" : "instance-1") ?? 0;
    const [staged, begun] = [
      logged(cluster, "backtrack.staged"),
      logged(cluster, "failover.begun"),
    ];
    const isAppointed = (): boolean => logged(cluster, "failover.begun") > begun;
    let isOver = false;
    const command = cluster.cli("backtrack", `--to=${fork}`, "--json");
    void command.then(() => (isOver = true));
    // At once: what follows in the successor takes a fraction of a second.
    while (!isOver && logged(cluster, "backtrack.staged") === staged)
      await new Promise((resolve) => setTimeout(resolve, 2));
    if (isOver) throw new Error(`nothing was staged: ${(await command).stdout}`);
    process.kill(successor, "SIGSTOP");
    killOne(pids.get(`postgres:${writer}`));
    let acknowledged = 0;
    await until(
      "somebody writes",
      async () => {
        const now = (await cluster.status()).cluster;
        return isAppointed() || (now.epoch > epoch && now.state === "available");
      },
      60_000,
    );
    while (!isAppointed() && acknowledged < 5) {
      await write(1);
      if (!isAppointed()) acknowledged++;
    }
    process.kill(successor, "SIGCONT");
    return { acknowledged, result: await command };
  }

  /** Gives how many rows the next life had acknowledged, all of which are there at the end. */
  async function tried(): Promise<number> {
    await write(10);
    const fork = await lsnNow();
    await write(10);
    const before = await look();
    const { acknowledged, result } = await race(fork);
    await untilSettled();
    if (result.code === 0) {
      const { abandonedEnd } = JSON.parse(result.stdout).done;
      expect((await cluster.cli("backtrack", `--to=${abandonedEnd}`)).code).toBe(0);
      await untilSettled();
    } else {
      expect(result.stdout).toMatch(/nothing was undone/);
    }
    const seen = await look();
    next = seen.highest + 1;
    expect(seen.rows).toBeGreaterThanOrEqual(before.rows + acknowledged);
    return acknowledged;
  }

  it(
    "keeps all that it acknowledged",
    async () => {
      // The successor may be ready too soon: then nothing is acknowledged, and nothing was tried.
      for (let attempt = 0; attempt < 3; attempt++) if ((await tried()) > 0) return;
      throw new Error("the successor was always ready before it could be stopped");
    },
    killTimeoutMs,
  );
});

describe("kill -9 in the middle of a return", () => {
  const few: Case[] = [
    { victim: "successor", step: "backtrack.planned", afterMs: 0 },
    { victim: "successor", step: "backtrack.refilled", afterMs: 0 },
    { victim: "former", step: "failover.begun", afterMs: 0 },
    { victim: "everything", step: "recovery.replayed", afterMs: 0 },
  ];
  it.for(casesFrom(few))(
    "of $victim $afterMs ms after $step",
    { timeout: killTimeoutMs },
    async (one, context) => {
      mayBegin(context);
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
      await killDuring(end, one);
      await expectOneOf([far, now]);
    },
  );

  it("leaks no extent", () => extents.expectNoLeak());
});
