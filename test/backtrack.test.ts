/** The cluster goes back to an earlier moment, in place, and returns: on real processes. */
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CliResult, TestCluster, until } from "./helpers/cluster.ts";
import { documentIn } from "./helpers/json.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1 });
  await cluster.query("CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL)");
  await cluster.query("INSERT INTO accounts SELECT n, 1000 FROM generate_series(1, 20) n");
});
afterAll(() => cluster.destroy());

interface Report {
  to: { lsn: string; lastCommit: string };
  isReturn: boolean;
  undone: { transactions: number | null; from: string | null; to: string | null };
  window: { from: string; to: string };
  done: {
    writer: string;
    epoch: number;
    timeline: number;
    heldMs: number | null;
    abandonedEnd: string;
    returnableUntil: string;
  } | null;
}

function lastDocument(result: CliResult): unknown {
  expect(result.code, result.stdout + result.stderr).toBe(0);
  return documentIn(result.stdout);
}

async function backtrack(to: string, ...more: string[]): Promise<Report> {
  return lastDocument(await cluster.cli("backtrack", `--to=${to}`, "--json", ...more)) as Report;
}

async function refusal(to: string): Promise<{ code: string; message: string; hint: string }> {
  const result = await cluster.cli("backtrack", `--to=${to}`, "--json");
  expect(result.code).not.toBe(0);
  return (documentIn(result.stdout) as { error: { code: string; message: string; hint: string } })
    .error;
}

/** Moves money about in `count` transactions of four clients. */
async function move(count: number): Promise<void> {
  const clients = await Promise.all(Array.from({ length: 4 }, () => cluster.client()));
  try {
    await Promise.all(
      clients.map(async (client) => {
        for (let n = 0; n < count / 4; n++) await moveOnce(client);
      }),
    );
  } finally {
    await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
  }
}

async function moveOnce(client: pg.Client): Promise<void> {
  const [a, b] = [1, 2].map(() => 1 + Math.floor(Math.random() * 20)).toSorted((x, y) => x - y);
  await client.query(
    `UPDATE accounts SET balance = balance + CASE id WHEN ${a} THEN 7 ELSE -7 END
     WHERE id IN (${a}, ${b}) AND ${a} <> ${b}`,
  );
}

interface Moment {
  readonly time: string;
  readonly lsn: string;
  readonly balances: unknown[];
}

/** What the cluster shows now, and when "now" is; nobody writes meanwhile. */
async function remember(): Promise<Moment> {
  const balances = await balancesOn("writer");
  const { rows } = await cluster.query(
    `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time,
     pg_current_wal_lsn() AS lsn`,
  );
  return { time: rows[0].time, lsn: rows[0].lsn, balances };
}

async function balancesOn(endpoint: "writer" | `instance-${number}`): Promise<unknown[]> {
  return (await cluster.query("SELECT id, balance FROM accounts ORDER BY id", endpoint)).rows;
}

async function expectEverywhere(balances: unknown[]): Promise<void> {
  expect(await balancesOn("writer")).toEqual(balances);
  for (const endpoint of ["instance-1", "instance-2"] as const) {
    await until(
      `${endpoint} shows it`,
      async () => JSON.stringify(await balancesOn(endpoint)) === JSON.stringify(balances),
      60_000,
    );
  }
}

describe("a backtrack", () => {
  let first: Moment;
  let second: Moment;
  let end: Moment;
  let abandoned: string;
  let planned: Report;

  it("says what it would undo, and does nothing", async () => {
    await move(40);
    first = await remember();
    await move(40);
    second = await remember();
    await move(40);
    // More than a driver holds in memory, for the return.
    await cluster.query(
      "CREATE TABLE bulk AS SELECT n, repeat(md5(n::text), 32) AS text FROM generate_series(1, 60000) n",
    );
    end = await remember();
    const { epoch } = (await cluster.status()).cluster;
    const plan = await backtrack(second.time, "--dry-run");
    planned = plan;
    expect(plan.done).toBeNull();
    // Only what writes nothing of its own is left out: an UPDATE of one account is a commit as well.
    expect(plan.undone.transactions).toBeGreaterThan(20);
    // PostgreSQL's own autovacuum commits as well, before and after what was remembered.
    expect(plan.undone.transactions).toBeLessThanOrEqual(60);
    expect([plan.to.lastCommit < second.time, (plan.undone.from ?? "") > second.time]).toEqual([
      true,
      true,
    ]);
    expect((plan.undone.to ?? "") > (plan.undone.from ?? "")).toBe(true);
    expect(plan.window.from < first.time).toBe(true);
    expect((await cluster.status()).cluster).toMatchObject({ epoch, state: "available" });
    expect(await balancesOn("writer")).toEqual(end.balances);
  });

  it("shows the moment on every instance, and tells sessions that they are over", async () => {
    const before = (await cluster.status()).cluster;
    const idle = await cluster.client();
    const ended = new Promise<unknown>((resolve) => idle.once("error", resolve));
    const report = await backtrack(second.time);
    expect(report.done).toMatchObject({ timeline: before.timeline + 1 });
    expect(report.done?.epoch).toBeGreaterThan(before.epoch);
    expect(report.done?.heldMs).toBeGreaterThan(0);
    // What the plan said, and what was committed since.
    expect(report.undone.transactions).toBeGreaterThanOrEqual(planned.undone.transactions ?? 0);
    expect(report.undone).toMatchObject({ from: planned.undone.from });
    expect(await ended).toMatchObject({ code: "57P01" });
    await expectEverywhere(second.balances);
    abandoned = report.done?.abandonedEnd ?? "";
    await cluster.untilEverybody();
    await move(40);
    await expectEverywhere(await balancesOn("writer"));
  });

  it("goes back further, also by LSN", async () => {
    const report = await backtrack(first.lsn);
    expect(report.isReturn).toBe(false);
    await expectEverywhere(first.balances);
    await cluster.untilEverybody();
    await move(12);
  });

  it("returns to the future that was left, and to a moment in it", async () => {
    const report = await backtrack(abandoned);
    expect(report).toMatchObject({ isReturn: true, to: { lsn: abandoned } });
    await expectEverywhere(end.balances);
    await cluster.untilEverybody();
    await move(12);
    await expectEverywhere(await balancesOn("writer"));
    expect((await cluster.query("SELECT count(*)::int AS n FROM bulk")).rows[0].n).toBe(60_000);
    const { total } = (await cluster.query("SELECT sum(balance)::int AS total FROM accounts"))
      .rows[0];
    expect(total).toBe(20_000);
  });

  it("refuses what cannot be, in words", async () => {
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString();
    expect(await refusal(tomorrow)).toMatchObject({
      code: "22023",
      message: expect.stringContaining("in the future"),
    });
    const early = await refusal("-3d");
    expect(early.code).toBe("22023");
    expect(early.message).toMatch(/outside the backtrack window, which is from 20.*Z to 20.*Z/);
    expect(await refusal("-0s")).toMatchObject({
      message: expect.stringContaining("nothing to undo"),
    });
    expect(await refusal("yesterday")).toMatchObject({ code: "22023" });
  });

  it("survives a failover, and a restart of everything", async () => {
    const before = await balancesOn("writer");
    const pids = [...(await cluster.pids()).values(), cluster.supervisorPid];
    for (const pid of pids) process.kill(pid, "SIGKILL");
    await until("nothing of it runs", () => cluster.processesLeft().length === 0, 10_000);
    await cluster.up();
    expect(await balancesOn("writer")).toEqual(before);
    await cluster.untilEverybody();
    const result = await cluster.cli("failover", "--json");
    expect(result.code, result.stderr).toBe(0);
    await expectEverywhere(before);
  });
});
