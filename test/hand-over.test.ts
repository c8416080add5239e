/** A failover or a reboot that is asked for cuts nothing off: what has begun ends, and the rest waits for the next writer. */
import { readFileSync } from "node:fs";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestCluster, until } from "./helpers/cluster.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1 });
  await cluster.query("CREATE TABLE steps (client int, n int, step int)");
  await cluster.query("CREATE SEQUENCE numbers");
});
afterAll(() => cluster.destroy());

/** None of them can be run again once it may have begun. */
const forms: readonly ((client: number, n: number) => string)[] = [
  (client, n) =>
    `INSERT INTO steps VALUES (${client}, ${n}, 1); INSERT INTO steps VALUES (${client}, ${n}, 2)`,
  (client, n) => `DO $$ BEGIN
     INSERT INTO steps VALUES (${client}, ${n}, 1); INSERT INTO steps VALUES (${client}, ${n}, 2); END $$`,
  // In one Query; the transaction's values cannot be had a second time.
  (client, n) =>
    `BEGIN; INSERT INTO steps VALUES (${client}, ${n}, 1); SELECT nextval('numbers');
     INSERT INTO steps VALUES (${client}, ${n}, 2); COMMIT`,
];

/** Clients that have no pause, each with one of the forms, and what they were told. */
class Clients {
  readonly errors: string[] = [];
  readonly done = new Set<string>();
  private readonly running: Promise<void>[] = [];
  private isStopping = false;

  constructor(count: number, numberOf: () => number) {
    for (let k = 0; k < count; k++) this.running.push(this.run(numberOf(), k));
  }

  private async run(client: number, form: number): Promise<void> {
    const connection: pg.Client = await cluster.client("writer");
    for (let n = 0; !this.isStopping; n++) {
      const text = forms[form % forms.length]?.(client, n) ?? "";
      try {
        await connection.query(text);
        this.done.add(`${client} ${n}`);
      } catch (error) {
        const { code = "closed" } = error as { code?: string };
        this.errors.push(`${code} ${text.slice(0, 12)}`);
        if (code === "closed") return;
      }
    }
    await connection.end();
  }

  async until(count: number): Promise<void> {
    const goal = this.done.size + count;
    await until(
      `${count} more are done (${this.errors.slice(0, 3).join("; ")})`,
      () => this.done.size >= goal,
      20_000,
    );
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.running);
  }
}

let clientsSoFar = 0;

async function expectEachOnce(done: ReadonlySet<string>): Promise<void> {
  const { rows } = await cluster.query(
    "SELECT client || ' ' || n AS key, string_agg(step::text, ',' ORDER BY step) AS steps FROM steps GROUP BY client, n",
  );
  const there = new Map(rows.map((row: { key: string; steps: string }) => [row.key, row.steps]));
  const wrong = [...done].filter((key) => there.get(key) !== "1,2");
  expect(wrong).toEqual([]);
  expect(there.size, "nothing else is there").toBe(done.size);
}

describe("sessions that never rest", () => {
  const all = new Set<string>();

  it("hear nothing of failovers that are asked for", async () => {
    const clients = new Clients(9, () => clientsSoFar++);
    for (let round = 0; round < 3; round++) {
      await clients.until(30);
      const { instances } = await cluster.status();
      const target = instances.find((one) => one.role === "reader" && one.state === "available");
      const { code, stderr } = await cluster.cli("failover", "--target", target?.id ?? "");
      expect([code, stderr]).toEqual([0, ""]);
      await cluster.untilEverybody();
    }
    await clients.until(30);
    await clients.stop();
    expect(clients.errors).toEqual([]);
    for (const key of clients.done) all.add(key);
    await expectEachOnce(all);
  });

  it("hear nothing of the writer's reboot", async () => {
    const clients = new Clients(9, () => clientsSoFar++);
    await clients.until(30);
    const { writer } = (await cluster.status()).cluster;
    const { code, stderr } = await cluster.cli("instance", "reboot", writer ?? "");
    expect([code, stderr]).toEqual([0, ""]);
    await clients.until(30);
    await clients.stop();
    expect(clients.errors).toEqual([]);
    for (const key of clients.done) all.add(key);
    await expectEachOnce(all);
    await cluster.untilEverybody();
  });

  it("keep what they have set, also when that was their last word before it", async () => {
    const client = await cluster.client("writer");
    await client.query("CREATE TEMPORARY TABLE own (a int)");
    await client.query("DROP TABLE own");
    await client.query("SET application_name = 'kept'");
    const { writer } = (await cluster.status()).cluster;
    const rebooted = cluster.cli("instance", "reboot", writer ?? "");
    await client.query("SET work_mem = '7MB'");
    await rebooted;
    const { rows } = await client.query("SHOW work_mem");
    expect(rows).toEqual([{ work_mem: "7MB" }]);
    await client.end();
    await cluster.untilEverybody();
  });

  it("hear nothing of it that are in a Query of several statements, and longer than is waited: it was undone, and runs again where the writer says so", async () => {
    const client = await cluster.client("writer");
    await client.query("CREATE TABLE longer (n int)");
    const long = client.query("INSERT INTO longer VALUES (1); SELECT pg_sleep(2)");
    await until("it runs", async () => {
      const sql = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
      return (await cluster.query(sql)).rowCount === 1;
    });
    const { instances } = await cluster.status();
    const target = instances.find((one) => one.role === "reader");
    expect((await cluster.cli("failover", "--target", target?.id ?? "")).code).toBe(0);
    // A PostgreSQL that does not end in time is killed before it has said that it ends: then nobody knows.
    const code = await long.then(
      () => "done",
      (error: pg.DatabaseError) => error.code,
    );
    expect(["done", "08007"]).toContain(code);
    const { rows } = await client.query("SELECT n FROM longer");
    expect(rows).toEqual(code === "done" ? [{ n: 1 }] : []);
    const log = readFileSync(`${cluster.dataDir}/log/control-plane.log`, "utf8");
    expect(log).toMatch(/"event":"drain.cut".*"statements":1/);
    await client.end();
  });
});
