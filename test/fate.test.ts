/** The fate of transactions whose writer died, told by the next one after its ids were given out again. */
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { postgresSocketDir, topologySchema } from "../src/cluster/index.ts";
import { fateOf, fateQuery, readFate, type WriterLife } from "../src/session/index.ts";
import { childrenOf, TestCluster, until } from "./helpers/cluster.ts";
import { signalAll } from "./helpers/signals.ts";
import { askControl } from "./helpers/control.ts";
import { layoutFor } from "./helpers/volume-log.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({ args: ["--set", "process.hangMs=0"] });
});
afterAll(() => cluster.destroy());

async function topology(): Promise<{ writer: string; incarnation: string; lives: WriterLife[] }> {
  const message = topologySchema.parse(await askControl(cluster, "topology"));
  const view = message.instances.find((one) => one.id === message.writer);
  if (!view) throw new Error("no writer now");
  const lives = message.lives.map((life) => ({ ...life, cutoff: BigInt(life.cutoff) }));
  return { writer: view.id, incarnation: `${view.id}.${view.incarnation}`, lives };
}

/** Past every endpoint: what is asked in the worst moment is asked of PostgreSQL itself. */
async function direct(instance: string): Promise<pg.Client> {
  const host = postgresSocketDir(layoutFor(cluster.dataDir), instance);
  const client = new pg.Client({ host, port: 5432, user: "rdsadmin", database: "postgres" });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

/** A transaction left open after `sql`; its xid, if it got one. */
async function begin(
  instance: string,
  ...sql: string[]
): Promise<{ client: pg.Client; xid: bigint }> {
  const client = await direct(instance);
  await client.query("BEGIN");
  for (const statement of sql) await client.query(statement);
  const { rows } = await client.query("SELECT pg_current_xact_id()::text AS xid");
  return { client, xid: BigInt(rows[0].xid) };
}

interface Case {
  readonly incarnation: string;
  readonly xid: bigint;
  /** Its row's number; what is true of it is whether that is there. */
  readonly n: number;
  readonly told?: string;
}

/** One life's transactions of every kind, and then the end of that life. */
async function liveAndDie(round: number): Promise<Case[]> {
  const { writer, incarnation } = await topology();
  const cases: Case[] = [];
  const row = (k: number): number => round * 100 + k;
  const insert = (k: number): string => `INSERT INTO fates VALUES (${row(k)})`;
  const note = (k: number, xid: bigint, told?: string): void => {
    cases.push({ incarnation, xid, n: row(k), ...(told === undefined ? {} : { told }) });
  };
  const committed = await begin(writer, insert(1));
  await committed.client.query("COMMIT");
  note(1, committed.xid, "committed");
  const rolledBack = await begin(writer, insert(2));
  await rolledBack.client.query("ROLLBACK");
  note(2, rolledBack.xid, "aborted");
  const open = await begin(writer, insert(3));
  note(3, open.xid, "aborted");
  const prepared = await begin(writer, insert(4));
  await prepared.client.query(`PREPARE TRANSACTION 'fate-${round}'`);
  note(4, prepared.xid, "prepared");
  // Brings all that into the log that the quorum has.
  await cluster.query(`INSERT INTO fates VALUES (${row(50)})`);
  const agent = (await cluster.pids()).get(writer) ?? 0;
  const postmaster = (await cluster.pids()).get(`postgres:${writer}`) ?? 0;
  // Its log goes nowhere any more: commits wait.
  process.kill(agent, "SIGSTOP");
  const waiting = await begin(writer, insert(5));
  waiting.client.query("COMMIT").catch(() => undefined);
  note(5, waiting.xid);
  const silent = await begin(writer);
  note(6, silent.xid);
  const local = await begin(writer, insert(7));
  note(7, local.xid);
  await until("the commit waits", async () => {
    const sql = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    return ((await local.client.query(sql)).rowCount ?? 0) > 0;
  });
  signalAll([postmaster, ...childrenOf(postmaster)], "SIGKILL");
  process.kill(agent, "SIGKILL");
  for (const { client } of [committed, rolledBack, open, prepared, waiting, silent, local]) {
    client.end().catch(() => undefined);
  }
  return cases;
}

it("is the truth for every kind of transaction, over several lives", async () => {
  await cluster.query("CREATE TABLE fates (n int)");
  const cases: Case[] = [];
  const outcomes = new Set<string>();
  for (let round = 1; round <= 4; round++) {
    const before = (await topology()).incarnation;
    // By itself each time: in place, or by another instance; and once asked for.
    cases.push(...(await liveAndDie(round)));
    const now = await until("there is a new writer", async () => {
      const found = await topology();
      return found.incarnation !== before && found;
    });
    const client = await direct(now.writer);
    // The numbers of what is gone are given out again, and committed.
    for (let k = 0; k < 40; k++) await client.query("INSERT INTO fates VALUES (0)");
    for (const { incarnation, xid, n, told } of cases) {
      const sight = fateOf(now.lives, incarnation, xid);
      let fate: string = sight;
      if (sight === "ask") {
        const { rows } = await client.query({ text: fateQuery(xid), rowMode: "array" });
        fate = readFate(now.lives, { incarnation, xid }, rows[0] ?? []);
      }
      const { rows } = await client.query(`SELECT count(*)::int AS n FROM fates WHERE n = ${n}`);
      const isThere = rows[0].n === 1;
      const facts = { n, xid, fate };
      expect({ ...facts, isThere }).toEqual({ ...facts, isThere: fate === "committed" });
      if (told) expect(facts).toEqual({ ...facts, fate: told });
      outcomes.add(fate);
    }
    await client.end();
  }
  expect([...outcomes].toSorted()).toEqual(["aborted", "committed", "neverHappened", "prepared"]);
});
