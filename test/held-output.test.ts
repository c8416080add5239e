/** A writer whose gate a test opens and closes, behind the real endpoint, with a stock PostgreSQL. */
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { ReadGate, ReadGates, Target } from "../src/session/index.ts";
import { connectPg, type PgClient } from "../src/wire/index.ts";
import { connectTo, openEndpoints, targetOf, type TestEndpoints } from "./helpers/endpoints.ts";
import { eventually } from "./helpers/eventually.ts";
import { lifeOf } from "./helpers/lives.ts";
import { findEngines, startStockPostgres, type StockPostgres } from "./helpers/stock-postgres.ts";

class HandGate implements ReadGates, ReadGate {
  isShut = false;
  private watchers: (() => void)[] = [];

  find(target: Target): ReadGate | undefined {
    return target.role === "writer" ? this : undefined;
  }
  arrive(): number {
    return 0;
  }
  isOpen(): boolean {
    return !this.isShut;
  }
  onceMoved(fn: () => void): () => void {
    this.watchers.push(fn);
    return () => (this.watchers = this.watchers.filter((other) => other !== fn));
  }
  open(): void {
    this.isShut = false;
    for (const fn of this.watchers.splice(0)) fn();
  }
  get held(): number {
    return this.watchers.length;
  }
}

const engine = findEngines()[0];
const gate = new HandGate();
let stock: StockPostgres;
let ends: TestEndpoints;
let admin: PgClient;

async function open(limitMs: number): Promise<void> {
  await ends?.close();
  ends = await openEndpoints(stock, { gates: gate, limits: { holdTimeoutMs: limitMs } });
}

beforeAll(async () => {
  if (!engine) throw new Error("this machine has no stock PostgreSQL");
  stock = await startStockPostgres(engine);
  admin = await connectPg({
    address: stock.address,
    user: "rdsadmin",
    database: "postgres",
    except: "all",
  });
  await admin.query("create role postgres superuser login password 'secret'");
  await admin.query("create table t(v int unique)");
  await open(60_000);
});
beforeEach(() => gate.open());
afterAll(async () => {
  await admin.close();
  await ends.close();
  await stock.stop();
});

const codeOf = (query: Promise<unknown>): Promise<string | undefined> =>
  query.then(
    () => "told",
    (error: { code?: string }) => error.code,
  );
const pidOf = (client: pg.Client): number => (client as unknown as { processID: number }).processID; // pg's own
const stateOf = async (pid: number): Promise<string> => {
  const sql = `select state || ' ' || coalesce(wait_event, '') from pg_stat_activity where pid = ${pid}`;
  return (await admin.query(sql)).rows[0]?.[0] ?? "gone";
};

describe("while the writer's gate is shut", () => {
  it("rows, errors and notices are held, and told in order when it opens", async () => {
    const client = await connectTo(ends.port);
    await client.query("insert into t values (1)");
    const heard: string[] = [];
    client.on("notice", ({ message }) => heard.push(message ?? ""));
    gate.isShut = true;
    const queries = [
      client.query("do $$begin raise notice 'first'; end$$").then(() => heard.push("done")),
      codeOf(client.query("insert into t values (1)")).then((code) => heard.push(String(code))),
      client.query("select 7 as n").then(({ rows }) => heard.push(JSON.stringify(rows))),
    ];
    await eventually("the answer is held", () => gate.held === 1);
    await eventually("the backend is idle", async () =>
      (await stateOf(pidOf(client))).startsWith("idle"),
    );
    expect(heard).toEqual([]);
    gate.open();
    await Promise.all(queries);
    expect(heard).toEqual(["first", "done", "23505", '[{"n":7}]']);
    await client.end();
  });

  it("a long result stops at its backend, not in the endpoint's memory", async () => {
    const client = await connectTo(ends.port);
    gate.isShut = true;
    const query = client.query("select repeat('x', 1000) from generate_series(1, 50000)");
    await eventually("the backend cannot write", async () =>
      (await stateOf(pidOf(client))).includes("ClientWrite"),
    );
    expect(gate.held).toBe(1);
    gate.open();
    expect((await query).rows.length).toBe(50_000);
    await client.end();
  });

  it("readers are not held", async () => {
    const reader = { ...targetOf(stock, "reader") };
    ends.topology.set({ writer: undefined, reader });
    const client = await connectTo(ends.readerPort);
    gate.isShut = true;
    expect((await client.query("select 1 as n")).rows).toEqual([{ n: 1 }]);
    await client.end();
    ends.topology.set({ writer: targetOf(stock), reader: undefined });
  });

  it("a client that leaves takes its backend along", async () => {
    const client = await connectTo(ends.port);
    const pid = pidOf(client);
    gate.isShut = true;
    const query = codeOf(client.query("select 1"));
    await eventually("the answer is held", () => gate.held === 1);
    (
      client as unknown as { connection: { stream: { destroy(): void } } }
    ).connection.stream.destroy(); // pg's own
    expect(await query).not.toBe("told");
    await eventually("the backend is gone", async () => (await stateOf(pid)) === "gone");
  });

  it("a writer that goes takes what was held along: a read is run again, a commit told by its fate", async () => {
    const [reads, writes] = [await connectTo(ends.port), await connectTo(ends.port)];
    gate.isShut = true;
    const outcomes = [
      codeOf(reads.query("select 1")),
      codeOf(writes.query("insert into t values (2)")),
    ];
    await eventually("both answers are held", () => gate.held === 2);
    const life = await lifeOf(stock, 2);
    ends.topology.known = [{ ...life, incarnation: "1", epoch: 1, postmaster: "before" }, life];
    ends.topology.set({ writer: targetOf(stock, "writer", "2"), reader: undefined });
    expect(await outcomes[1]).toBe("told");
    await eventually("the answer of the new one is held, too", () => gate.held > 0);
    gate.open();
    expect(await outcomes[0]).toBe("told");
    const { rows } = await stock.query("select count(*) from t where v = 2");
    expect(rows).toEqual([["1"]]);
    await Promise.all([reads.end(), writes.end()]);
    ends.topology.set({ writer: targetOf(stock), reader: undefined });
  });

  it("for longer than hold_timeout, sessions end: 57P03, or 08007 where it may have been a commit", async () => {
    await open(300);
    const [reads, writes] = [await connectTo(ends.port), await connectTo(ends.port)];
    gate.isShut = true;
    const outcomes = [
      codeOf(reads.query("select 1")),
      codeOf(writes.query("insert into t values (3)")),
    ];
    expect(await Promise.all(outcomes)).toEqual(["57P03", "08007"]);
    await open(60_000);
  });
});
