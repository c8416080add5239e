/** Commits that wait for a quorum which is away, on a whole cluster, and what happens to them meanwhile. */
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { postgresSocketDir } from "../src/cluster/index.ts";
import {
  encodeBind,
  encodeExecute,
  encodeParse,
  encodeQuery,
  encodeSync,
} from "../src/wire/index.ts";
import { childrenOf, TestCluster, until } from "./helpers/cluster.ts";
import { RawClient } from "./helpers/raw-client.ts";
import { layoutFor } from "./helpers/volume-log.ts";

const nodes = ["az1-full", "az2-full", "az3-full"];

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1, args: ["--set", "process.hangMs=0"] });
  await cluster.query("CREATE TABLE t (n int, what text); CREATE TABLE parted (n int)");
  await cluster.query(
    "CREATE PROCEDURE commits(n int) LANGUAGE plpgsql AS 'BEGIN INSERT INTO t VALUES (n, ''call''); COMMIT; END'",
  );
});
afterAll(() => cluster.destroy());

/** Past every endpoint: endpoints have nothing to do with what this asks. */
async function direct(): Promise<pg.Client> {
  const writer = (await cluster.status()).cluster.writer ?? "";
  const host = postgresSocketDir(layoutFor(cluster.dataDir), writer);
  const client = new pg.Client({ host, port: 5432, user: "rdsadmin", database: "postgres" });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

const executed = (text: string): Buffer =>
  Buffer.concat([encodeParse("", text), encodeBind("", ""), encodeExecute(""), encodeSync()]);
const insert = (n: number): string => `INSERT INTO t VALUES (${n}, 'row')`;

interface Case {
  readonly name: string;
  readonly n: number;
  readonly before: readonly string[];
  readonly waiting: Buffer;
  /** Whose commits somebody breaks off, and how. */
  readonly strike?: "cancel" | "terminate" | "leave";
  /** Messages that it hears at once, since they tell nothing of the commit; none unless told. */
  readonly early?: number;
  /** What it hears when its commit is durable. */
  readonly told: string;
}

const ended = "E(57P01) closed";
const cases: readonly Case[] = [
  {
    name: "an INSERT with a statement_timeout",
    n: 1,
    before: ["SET statement_timeout = '200ms'"],
    waiting: encodeQuery(insert(1)),
    told: "C(INSERT 0 1) Z(I)",
  },
  {
    name: "COMMIT, cancelled",
    n: 2,
    before: ["BEGIN", insert(2)],
    waiting: encodeQuery("COMMIT"),
    strike: "cancel",
    told: "C(COMMIT) Z(I)",
  },
  {
    name: "COMMIT, its server ended",
    n: 3,
    before: ["BEGIN", insert(3)],
    waiting: encodeQuery("COMMIT"),
    strike: "terminate",
    told: `C(COMMIT) Z(I) ${ended}`,
  },
  {
    name: "an INSERT in extended messages, its server ended",
    n: 4,
    before: [],
    waiting: executed(insert(4)),
    strike: "terminate",
    told: `1 2 C(INSERT 0 1) Z(I) ${ended}`,
  },
  {
    name: "COMMIT AND CHAIN, cancelled",
    n: 5,
    before: ["BEGIN", insert(5)],
    waiting: encodeQuery("COMMIT AND CHAIN"),
    strike: "cancel",
    told: "C(COMMIT) Z(T)",
  },
  {
    name: "a procedure that commits, with a statement_timeout",
    n: 6,
    before: ["SET statement_timeout = '200ms'"],
    waiting: encodeQuery("CALL commits(6)"),
    told: "C(CALL) Z(I)",
  },
  {
    name: "COMMIT PREPARED in extended messages, cancelled",
    n: 7,
    before: ["BEGIN", insert(7), "PREPARE TRANSACTION 'seven'"],
    waiting: executed("COMMIT PREPARED 'seven'"),
    strike: "cancel",
    early: 2,
    told: "1 2 C(COMMIT PREPARED) Z(I)",
  },
  {
    name: "two statements in one Query, cancelled",
    n: 8,
    before: [],
    waiting: encodeQuery(`${insert(8)}; INSERT INTO parted VALUES (8)`),
    strike: "cancel",
    told: "C(INSERT 0 1) C(INSERT 0 1) Z(I)",
  },
  {
    name: "COMMIT, its client gone",
    n: 9,
    before: ["BEGIN", insert(9)],
    waiting: encodeQuery("COMMIT"),
    strike: "leave",
    told: "",
  },
];

interface Running extends Case {
  readonly client: RawClient;
  readonly pid: number;
}

/** Every case with its commit under way, which waits for the quorum. */
async function underWay(freeze: () => void, watch: pg.Client): Promise<Running[]> {
  const running: Running[] = [];
  for (const each of cases) {
    const client = await RawClient.open(cluster.port, cluster.password);
    for (const text of each.before) await client.ask(encodeQuery(text));
    const shown = await client.ask(encodeQuery("SELECT pg_backend_pid()"));
    running.push({ ...each, client, pid: Number(/D\((\d+)\)/.exec(shown)?.[1]) });
  }
  freeze();
  for (const { client, waiting } of running) client.send(waiting);
  const pids = running.map(({ pid }) => pid).join();
  await until("they wait, or were broken off by their own timeouts", async () => {
    const sql = `SELECT count(*)::int AS n FROM pg_stat_activity WHERE pid IN (${pids}) AND wait_event = 'SyncRep'`;
    const late = `SELECT count(*)::int AS n FROM pg_stat_activity WHERE pid IN (${pids}) AND now() - query_start > '500ms'`;
    const n = Number((await watch.query(sql)).rows[0].n);
    return n >= cases.length - 1 && Number((await watch.query(late)).rows[0].n) === cases.length;
  });
  return running;
}

async function strike(running: readonly Running[], watch: pg.Client): Promise<void> {
  for (const { strike: how, pid, client } of running) {
    if (how === "cancel") await watch.query("SELECT pg_cancel_backend($1)", [pid]);
    if (how === "terminate") await watch.query("SELECT pg_terminate_backend($1)", [pid]);
    if (how === "leave") client.end();
  }
  const pids = running
    .filter(({ strike: how }) => how === "cancel" || how === "terminate")
    .map(({ pid }) => pid);
  await until("none of those waits any more", async () => {
    const sql = "SELECT 1 FROM pg_stat_activity WHERE pid = ANY($1) AND wait_event = 'SyncRep'";
    return (await watch.query(sql, [pids])).rowCount === 0;
  });
}

const rowsOf = async (endpoint: "writer" | "instance-2" = "writer"): Promise<number[]> =>
  (await cluster.query("SELECT n FROM t ORDER BY n", endpoint)).rows.map(({ n }) => Number(n));

describe("commits without a quorum", () => {
  it("are told of when there is one again, whatever broke their wait off, and not before", async () => {
    const pids = await cluster.pids();
    const frozen = nodes.map((id) => pids.get(id) ?? 0);
    const watch = await direct();
    let running: Running[] = [];
    try {
      running = await underWay(() => frozen.forEach((pid) => process.kill(pid, "SIGSTOP")), watch);
      await strike(running, watch);
      // A reader that shows none of it has been asked behind all that.
      expect(await rowsOf("instance-2")).toEqual([]);
      expect(running.map(({ name, client }) => [name, client.heardCount])).toEqual(
        cases.map(({ name, early = 0 }) => [name, early]),
      );
    } finally {
      for (const pid of frozen) process.kill(pid, "SIGCONT");
    }
    for (const { name, client, told } of running) {
      if (told === "") continue;
      const heard = await client.answer();
      const rest = told.endsWith("closed") ? ` ${await client.answer()}` : "";
      expect([name, heard + rest]).toEqual([name, told]);
      client.end();
    }
    await until("that of the client which is gone is there, too", async () => {
      return (await rowsOf()).length === cases.length;
    });
    expect(await rowsOf()).toEqual(cases.map(({ n }) => n));
    await watch.end();
  });

  it("that can never be durable are not told as done unless they were run again", async () => {
    await cluster.query("TRUNCATE t; TRUNCATE parted");
    const { writer } = (await cluster.status()).cluster;
    const pids = await cluster.pids();
    const agent = pids.get(writer ?? "") ?? 0;
    const postmaster = pids.get(`postgres:${writer}`) ?? 0;
    const watch = await direct();
    // Its log goes nowhere from here on.
    const running = await underWay(() => process.kill(agent, "SIGSTOP"), watch);
    const backends = childrenOf(postmaster);
    const struck = running.filter(({ strike: how }) => how !== undefined);
    for (const { strike: how, pid, client } of struck) {
      if (how === "leave") client.end();
      else await watch.query(`SELECT pg_${how}_backend($1)`, [pid]);
    }
    for (const pid of [postmaster, ...backends]) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // One that was ended.
      }
    }
    process.kill(agent, "SIGKILL");
    await watch.end().catch(() => undefined);
    const heard = new Map<number, string>();
    for (const { n, client, told } of running) {
      if (told !== "") heard.set(n, await client.answer());
      client.end();
    }
    const there = await rowsOf();
    expect(new Set(there).size, "nothing was run twice").toBe(there.length);
    for (const [n, answer] of heard) {
      const isDone = /C\((INSERT 0 1|COMMIT|CALL|COMMIT PREPARED)\)/.test(answer);
      const isUnknown = answer.includes("E(08007)");
      if (!isUnknown) expect([n, answer, there.includes(n)]).toEqual([n, answer, isDone]);
    }
    // What each has to hear: only where nobody can know, 08007.
    const unknown = [...heard].filter(([, answer]) => answer.includes("08007")).map(([n]) => n);
    expect(unknown.every((n) => n === 6 || n === 8)).toBe(true);
  });
});
