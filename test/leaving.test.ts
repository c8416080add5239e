/**
 * Sessions of a writer that is about to stop, and of a reader that hangs: what they keep, where they go, and what becomes of them if
 * it does not stop, or answers again.
 */
import type pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Target } from "../src/session/index.ts";
import {
  cancelAt,
  codeOf,
  connectTo,
  openEndpoints,
  targetOf,
  type TestEndpoints,
} from "./helpers/endpoints.ts";
import { eventually } from "./helpers/eventually.ts";
import { signalAll } from "./helpers/signals.ts";
import { findEngines, startStockPostgres, type StockPostgres } from "./helpers/stock-postgres.ts";

let postgres: StockPostgres;
let at: TestEndpoints;
let writer: Target | undefined;
beforeAll(async () => {
  const [engine] = findEngines();
  if (!engine) throw new Error("there is no PostgreSQL");
  postgres = await startStockPostgres(engine);
  await postgres.query("create role postgres superuser login password 'secret'");
  at = await openEndpoints(postgres, { limits: { holdTimeoutMs: 3_000 } });
  writer = at.topology.current.writer;
});
afterEach(() => at.topology.staysWriter(writer));
afterAll(async () => {
  await at?.close();
  await postgres?.stop();
});

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe("a hand-over that comes to nothing", () => {
  it("leaves who had left it for the same writer", async () => {
    const client = await connectTo(at.port);
    await client.query("SET work_mem = '7MB'");
    at.topology.handOver();
    await pause(200);
    at.topology.staysWriter(writer);
    const { rows } = await client.query("SHOW work_mem");
    expect(rows).toEqual([{ work_mem: "7MB" }]);
    await client.end();
  });

  it("leaves who had not come to an end where they are, with what they have", async () => {
    const client = await connectTo(at.port);
    await client.query("CREATE TEMPORARY TABLE own (a int)");
    const long = codeOf(client.query("SELECT pg_sleep(1)"));
    await pause(200);
    at.topology.handOver();
    expect(at.server.remainingOn("instance-1")).toEqual({ statements: 1, blocks: 0 });
    await pause(200);
    at.topology.staysWriter(writer);
    expect(await long).toBe("done");
    expect(await codeOf(client.query("SELECT * FROM own"))).toBe("done");
    await client.end();
  });
});

describe("while a writer is about to stop", () => {
  it("a session that listens hears what others notify there, and begins nothing", async () => {
    const listener = await connectTo(at.port);
    const heard: string[] = [];
    listener.on("notification", ({ payload = "" }) => heard.push(payload));
    await listener.query("LISTEN news");
    const other = await connectTo(at.port);
    const work = codeOf(other.query("BEGIN; SELECT pg_sleep(0.5); NOTIFY news, 'late'; COMMIT"));
    await pause(200);
    at.topology.handOver();
    const next = codeOf(listener.query("SELECT 1"));
    expect(await Promise.race([next, pause(100)])).toBeUndefined();
    expect(at.server.remainingOn("instance-1")).toEqual({ statements: 1, blocks: 0 });
    expect(await work).toBe("done");
    await pause(100);
    expect(heard).toEqual(["late"]);
    at.topology.staysWriter(writer);
    expect(await next).toBe("done");
    await listener.end();
    await other.end();
  });

  it("a transaction block goes on to its end, and its session leaves then", async () => {
    const client = await connectTo(at.port);
    await client.query("BEGIN");
    const { rows } = await client.query("SELECT pg_backend_pid() AS pid");
    at.topology.handOver();
    expect((await client.query("SELECT pg_backend_pid() AS pid")).rows).toEqual(rows);
    expect(await codeOf(client.query("COMMIT"))).toBe("done");
    const next = client.query("SELECT pg_backend_pid() AS pid");
    expect(await Promise.race([next, pause(200)])).toBeUndefined();
    at.topology.staysWriter(writer);
    expect((await next).rows).not.toEqual(rows);
    await client.end();
  });
});

describe("a reader that hangs", () => {
  const reader = (): Target => targetOf(postgres, "reader", "2");
  const pidOf = async (client: pg.Client): Promise<number> =>
    (await client.query("SELECT pg_backend_pid() AS pid")).rows[0].pid;

  it("is left by who is idle, by a read and by a transaction; nothing of it is told late", async () => {
    at.topology.set({ writer, reader: reader() });
    const config = { options: "-c borealis.pool=auto" };
    const [idle, reading, inBlock, pooled] = await Promise.all(
      [{}, {}, {}, config].map((one) => connectTo(at.readerPort, one)),
    );
    if (!idle || !reading || !inBlock || !pooled) throw new Error("four clients");
    await idle.query("SET work_mem = '7MB'");
    await pooled.query("SET work_mem = '8MB'");
    const pids = await Promise.all([idle, reading, inBlock, pooled].map(pidOf));
    await inBlock.query("BEGIN");
    await inBlock.query("SELECT 1 AS n");
    const asleep = reading.query("SELECT pg_sleep(0.5), 'told' AS word");
    await pause(100);
    try {
      signalAll(pids, "SIGSTOP");
      const early = idle.query("SHOW work_mem");
      at.topology.silence(reader());
      expect((await early).rows).toEqual([{ work_mem: "7MB" }]);
      expect((await pooled.query("SHOW work_mem")).rows).toEqual([{ work_mem: "8MB" }]);
      expect((await asleep).rows).toMatchObject([{ word: "told" }]);
      expect((await inBlock.query("SELECT 2 AS n")).rows).toEqual([{ n: 2 }]);
    } finally {
      signalAll(pids, "SIGCONT");
    }
    await eventually("what hung has ended, once it runs again", async () => {
      const sql = `SELECT FROM pg_stat_activity WHERE pid IN (${pids.join()})`;
      return (await postgres.query(sql)).rows.length === 0;
    });
    expect((await inBlock.query("SELECT 3 AS n")).rows).toEqual([{ n: 3 }]);
    await inBlock.query("COMMIT");
    for (const client of [idle, reading, inBlock, pooled]) {
      expect(pids).not.toContain(await pidOf(client));
      await client.end();
    }
  });

  it("is read on by whom it talks to, up to the end of that", async () => {
    at.topology.set({ writer, reader: reader() });
    const client = await connectTo(at.readerPort);
    const pid = await pidOf(client);
    let told = 0;
    client.connection.on("dataRow", () => told++);
    // More than could be run again, and compared; each row is sent as it comes.
    const sql = "SELECT repeat('x', 20000), pg_sleep(0.1) FROM generate_series(1, 30)";
    const flowing = client.query(sql);
    await eventually("rows flow", () => told > 3);
    at.topology.silence(reader());
    expect((await flowing).rowCount).toBe(30);
    await eventually("it has gone elsewhere then", async () => (await pidOf(client)) !== pid);
    await client.end();
  });

  it("is kept where there is nobody else, by whom it answers", async () => {
    at.topology.set({ writer: undefined, reader: reader() });
    const client = await connectTo(at.readerPort);
    const pid = await pidOf(client);
    await client.query("SELECT pg_advisory_lock(1)");
    at.topology.silence(reader());
    await pause(1_500);
    expect(await pidOf(client)).toBe(pid);
    await client.query("SELECT pg_sleep(1.2)");
    expect(await pidOf(client)).toBe(pid);
    await client.end();
  });

  it("is waited for where there is nobody else, and had again as it is when it answers", async () => {
    at.topology.set({ writer: undefined, reader: reader() });
    const client = await connectTo(at.readerPort);
    await client.query("SET work_mem = '7MB'");
    const pid = await pidOf(client);
    try {
      signalAll([pid], "SIGSTOP");
      at.topology.silence(reader());
      const next = client.query("SHOW work_mem");
      expect(await Promise.race([next, pause(2_500)])).toBeUndefined();
      at.topology.silence(undefined, reader());
      expect((await next).rows).toEqual([{ work_mem: "7MB" }]);
    } finally {
      signalAll([pid], "SIGCONT");
    }
    expect(await pidOf(client)).not.toBe(pid);
    await client.end();
  });

  it("is waited for no longer than for one that is gone", async () => {
    at.topology.set({ writer: undefined, reader: reader() });
    const client = await connectTo(at.readerPort);
    const pid = await pidOf(client);
    try {
      signalAll([pid], "SIGSTOP");
      at.topology.silence(reader());
      expect(await codeOf(client.query("SELECT 1"))).toBe("57P03");
    } finally {
      signalAll([pid], "SIGCONT");
    }
    await client.end().catch(() => undefined);
  });

  it("takes no cancel request with it, nor keeps whoever sent one from giving its next server back", async () => {
    at.topology.set({ writer, reader: reader() });
    const client = await connectTo(at.readerPort, { options: "-c borealis.pool=auto" });
    const pid = await pidOf(client);
    const endless = codeOf(client.query("SELECT pg_sleep(600)"));
    await pause(100);
    try {
      signalAll([pid], "SIGSTOP");
      cancelAt(at.readerPort, client);
      await pause(100);
      at.topology.silence(reader());
      expect(await endless).toBe("57014");
    } finally {
      signalAll([pid], "SIGCONT");
    }
    expect(await codeOf(client.query("SELECT 1"))).toBe("done");
    await eventually("it is given back", () =>
      at.server.sessionRows.every(({ keptBecause }) => keptBecause === null),
    );
    await client.end();
  });
});
