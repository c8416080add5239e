/** Clients of a real cluster through failovers: none is disconnected, and what was acknowledged adds up. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestCluster, until } from "./helpers/cluster.ts";
import { findEngines } from "./helpers/stock-postgres.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create();
});
afterAll(() => cluster.destroy());

const bin = findEngines()[0]?.bin ?? "";
const pgbench = join(bin, "pgbench");
const clients = 16;
/** Of each kind, for each mode of pgbench; the ten take minutes. */
const rounds = Number(process.env["BOREALIS_FAILOVERS"] ?? "1");

/** pgbench with these arguments, until it ends; it is asked to when `signal` aborts, and then tells what it did. */
function run(
  args: readonly string[],
  signal?: AbortSignal,
): Promise<{ code: number | null; text: string }> {
  return new Promise((resolve) => {
    const child = spawn(pgbench, [...args, cluster.url()], { stdio: ["ignore", "pipe", "pipe"] });
    signal?.addEventListener("abort", () => child.kill("SIGALRM"));
    let text = "";
    child.stdout.on("data", (chunk) => (text += String(chunk)));
    child.stderr.on("data", (chunk) => (text += String(chunk)));
    child.on("close", (code) => resolve({ code, text }));
  });
}

async function failOver(): Promise<void> {
  const { instances } = await cluster.status();
  const reader = instances.find(({ role, state }) => role === "reader" && state === "available");
  const result = await cluster.cli("failover", "--target", reader?.id ?? "");
  expect(result.code, result.stdout + result.stderr).toBe(0);
}

/** kill -9 of the writer's PostgreSQL; returns when another one, or that one again, takes writes. */
async function killWriter(): Promise<void> {
  const { cluster: facts, instances } = await cluster.status();
  const writer = instances.find(({ id }) => id === facts.writer);
  const { epoch } = facts;
  process.kill(writer?.postgresPid ?? 0, "SIGKILL");
  await until("there is a writer again", async () => {
    const { cluster: now } = await cluster.status();
    return now.writer !== null && now.epoch > epoch;
  });
}

async function number(sql: string): Promise<number> {
  const { rows } = await cluster.query(sql);
  return Number(Object.values(rows[0] as Record<string, unknown>)[0]);
}

describe.skipIf(!existsSync(pgbench))("pgbench", () => {
  it.each(["simple", "extended", "prepared"])(
    "with -M %s goes through failovers",
    async (mode) => {
      expect((await run(["-i", "-q", "-s", "4"])).code).toBe(0);
      const stop = new AbortController();
      const bench = run(
        ["-M", mode, "-c", String(clients), "-T", "3600", "--max-tries=0", "-n"],
        stop.signal,
      );
      let isOver = false;
      void bench.finally(() => (isOver = true));
      const disturbances = Array.from({ length: rounds }, () => [failOver, killWriter]).flat();
      for (const disturb of disturbances) {
        const before = await number("select count(*) from pgbench_history");
        const goesOn = async (): Promise<boolean> =>
          isOver || (await number("select count(*) from pgbench_history")) > before + clients;
        await until("it goes on", goesOn);
        await disturb();
        await cluster.untilEverybody();
      }
      expect(isOver).toBe(false);
      stop.abort();
      const { code, text } = await bench;
      expect(text).not.toMatch(/aborted|FATAL|lost connection|server closed|could not/);
      // Each has one transaction at most in flight when its writer goes.
      const retried = Number(/number of transactions retried: (\d+)/.exec(text)?.[1]);
      expect(retried, text).toBeLessThanOrEqual((clients * disturbances.length) / 100);
      expect(code, text).toBe(0);
      const processed = Number(/number of transactions actually processed: (\d+)/.exec(text)?.[1]);
      expect(processed, text).toBeGreaterThan(0);
      expect(await number("select count(*) from pgbench_history")).toBe(processed);
      const sums = await cluster.query(
        `select (select sum(abalance) from pgbench_accounts) a, (select sum(bbalance) from pgbench_branches) b,
        (select sum(tbalance) from pgbench_tellers) t, (select sum(delta) from pgbench_history) h`,
      );
      const { a, b, t, h } = sums.rows[0] as Record<string, string>;
      expect([a, b, t]).toEqual([h, h, h]);
    },
    120_000 * (1 + rounds),
  );
});

describe("an idle session", () => {
  const told = (client: pg.Client): string[] => {
    const errors: string[] = [];
    client.on("error", (error) => errors.push(error.message));
    client.on("end", () => errors.push("end"));
    return errors;
  };

  it("keeps its settings, its statements and its channels through a failover", async () => {
    const client = await cluster.client();
    const errors = told(client);
    const heard: string[] = [];
    client.on("notification", ({ payload }) => heard.push(payload ?? ""));
    await client.query("SET work_mem = '7MB'");
    await client.query("SET TIME ZONE 'Asia/Tokyo'");
    await client.query("LISTEN news");
    await client.query("PREPARE answer AS SELECT 42 AS n");
    const statement = { name: "named", text: "SELECT $1::int + 1 AS n", values: [1] };
    await client.query(statement);
    await failOver();
    const show = async (name: string): Promise<unknown> =>
      Object.values((await client.query(`SHOW ${name}`)).rows[0] as object)[0];
    expect(await show("work_mem")).toBe("7MB");
    expect(await show("timezone")).toBe("Asia/Tokyo");
    expect((await client.query("EXECUTE answer")).rows).toEqual([{ n: 42 }]);
    expect((await client.query(statement)).rows).toEqual([{ n: 2 }]);
    await cluster.query("NOTIFY news, 'hello'");
    await until("the notification is heard", () => heard.includes("hello"));
    expect(errors).toEqual([]);
    await client.end();
    await cluster.untilEverybody();
  });

  it("with a temporary table ends with 57P01", async () => {
    const client = await cluster.client();
    const ended = new Promise<unknown>((resolve) => client.once("error", resolve));
    await client.query("CREATE TEMPORARY TABLE mine (a int)");
    await failOver();
    expect(await ended).toMatchObject({ code: "57P01" });
    await cluster.untilEverybody();
  });

  it("with borealis.on_failover = disconnect is closed without a message", async () => {
    const client = await cluster.client("writer", {
      options: "-c borealis.on_failover=disconnect",
    });
    const ended = new Promise<Error>((resolve) => client.once("error", resolve));
    await failOver();
    expect((await ended).message).toBe("Connection terminated unexpectedly");
    await cluster.untilEverybody();
  });

  it("on the reader endpoint and on an instance's own goes on as well", async () => {
    const { cluster: facts, instances } = await cluster.status();
    const reader = instances.find(({ role }) => role === "reader");
    const id = reader?.id as "instance-1";
    const [atReader, atInstance] = [await cluster.client("reader"), await cluster.client(id)];
    const errors = [told(atReader), told(atInstance)];
    process.kill(reader?.postgresPid ?? 0, "SIGKILL");
    expect((await atReader.query("SELECT 1 AS n")).rows).toEqual([{ n: 1 }]);
    expect((await atInstance.query("SELECT 1 AS n")).rows).toEqual([{ n: 1 }]);
    expect(errors).toEqual([[], []]);
    expect((await cluster.status()).cluster.writer).toBe(facts.writer);
    await Promise.all([atReader.end(), atInstance.end()]);
    await cluster.untilEverybody();
  });
});
