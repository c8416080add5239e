/**
 * The gate of reads on the writer (quorum-protocol.md, section 14) on running processes: what a writer says is told
 * only while a blocking set of storage nodes stands behind it.
 */
import { parseAddress } from "../src/base/address.ts";
import { readFileSync, realpathSync } from "node:fs";
import { tmpdir } from "node:os";
import type pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { nodeId, volumeId } from "../src/base/ids.ts";
import { layoutOf, nodeAddress, postgresSocketDir, runtimeDirOf } from "../src/cluster/index.ts";
import { connectPg } from "../src/wire/index.ts";
import { childrenOf, TestCluster, until } from "./helpers/cluster.ts";
import { driverProgram, type DriverProgram } from "./helpers/driver-world.ts";
import { signalAll } from "./helpers/signals.ts";

const names = ["az1-full", "az1-tail", "az2-full", "az2-tail", "az3-full", "az3-tail"];

let cluster: TestCluster;
/** Processes that a test has frozen, thawed at its end. */
const frozen = new Set<number>();

/** Also such as may have gone: an autovacuum worker does at any moment. */
function freeze(...pids: number[]): void {
  for (const pid of pids) frozen.add(pid);
  signalAll(pids, "SIGSTOP");
}

function thaw(...pids: number[]): void {
  for (const pid of pids) frozen.delete(pid);
  signalAll(pids, "SIGCONT");
}

async function pidsOf(...wanted: string[]): Promise<number[]> {
  const pids = await cluster.pids();
  return wanted.map((name) => pids.get(name) ?? 0);
}

async function untilAvailable(): Promise<void> {
  await until("the cluster accepts writes", async () => {
    return (await cluster.status()).cluster.state === "available";
  });
}

/** What a query has come to, looked at whenever the test likes. */
function watch(query: Promise<pg.QueryResult>): { state: string; settled: Promise<string> } {
  const seen = { state: "held", settled: Promise.resolve("") };
  seen.settled = query.then(
    (result) => (seen.state = `told ${JSON.stringify(result.rows)}`),
    (error: { code?: string }) => (seen.state = `failed ${error.code ?? "without a code"}`),
  );
  return seen;
}

/** Reads again and again, one at a time. */
class Prober {
  told = 0;
  readonly client: pg.Client;
  /** The error that ended it. */
  readonly ended: Promise<string>;

  constructor(client: pg.Client) {
    this.client = client;
    this.ended = this.run();
  }

  private async run(): Promise<string> {
    try {
      for (;;) {
        await this.client.query("SELECT 'probe'");
        this.told++;
      }
    } catch (error) {
      return (error as { code?: string }).code ?? String(error);
    }
  }

  async untilHeld(): Promise<void> {
    let last = { told: -1, atMs: 0 };
    await until("reads are held", () => {
      const nowMs = performance.now();
      if (this.told !== last.told) last = { told: this.told, atMs: nowMs };
      return nowMs - last.atMs > 700;
    });
  }

  async untilTold(): Promise<void> {
    const before = this.told;
    await until("reads are told", () => this.told > before + 1);
  }
}

const layout = () => {
  const dataDir = realpathSync(cluster.dataDir);
  return layoutOf(dataDir, runtimeDirOf(tmpdir(), process.getuid?.() ?? 0, dataDir));
};

/** Waits, past the endpoints, until the session's backend has run `text` and has nothing more to do. */
async function untilAnswered(session: pg.Client, text: string): Promise<void> {
  const address = { socketDir: postgresSocketDir(layout(), "instance-1"), port: 5432, major: 18 };
  const client = await connectPg({
    address,
    user: "rdsadmin",
    database: "postgres",
    except: "all",
  });
  const { processID: pid } = session as unknown as { processID: number }; // pg's own
  await until("the backend has answered", async () => {
    const sql = `SELECT state FROM pg_stat_activity WHERE pid = ${pid} AND query LIKE '${text}%'`;
    return (await client.query(sql)).rows[0]?.[0] === "idle";
  });
  await client.close();
}

afterEach(() => thaw(...frozen));

describe.each(["lease", "round"])("with gate.mode %s", (mode) => {
  beforeAll(async () => {
    // A frozen writer is left alone.
    const settings = ["session.holdTimeoutMs=8000", "failover.detectionMs=600000"];
    const args = [`gate.mode=${mode}`, ...settings].map((setting) => `--set=${setting}`);
    cluster = await TestCluster.create({ readers: 0, args });
    await cluster.query("CREATE TABLE t AS SELECT 1 AS n");
  });
  afterAll(() => cluster.destroy());

  it("three frozen storage nodes hold writes and no reads, four hold reads until one is back", async () => {
    const nodes = await pidsOf(...names);
    const prober = new Prober(await cluster.client());
    const client = await cluster.client();
    freeze(...nodes.slice(0, 3));
    const write = watch(client.query("INSERT INTO t VALUES (2)"));
    const endMs = performance.now() + 3_000;
    await until("every lease from before is over", async () => {
      await prober.untilTold();
      return performance.now() > endMs;
    });
    expect(write.state).toBe("held");
    freeze(...nodes.slice(3, 4));
    await prober.untilHeld();
    thaw(...nodes.slice(3, 4));
    await prober.untilTold();
    expect(write.state).toBe("held");
    thaw(...nodes);
    expect(await write.settled).toBe("told []");
    await prober.client.end();
    await client.end();
  });

  it("what is held too long ends its session: 57P03 for a read, 08007 for what may be a commit", async () => {
    const prober = new Prober(await cluster.client());
    const client = await cluster.client();
    await client.query("SET synchronous_commit = off");
    freeze(...(await pidsOf(...names.slice(0, 4))));
    await prober.untilHeld();
    const write = watch(client.query("INSERT INTO t VALUES (3)"));
    expect(await prober.ended).toBe("57P03");
    expect(await write.settled).toBe("failed 08007");
    thaw(...frozen);
    await untilAvailable();
    const after = new Prober(await cluster.client());
    await after.untilTold();
    await after.client.end();
  });

  it("a frozen writer whose volume was taken over tells nothing any more", async () => {
    await untilAvailable();
    const session = await cluster.client();
    const startedSql = "pg_postmaster_start_time()::text AS started";
    const { started } = (await session.query(`SELECT ${startedSql}`)).rows[0];
    const [agent = 0, postmaster = 0] = await pidsOf("instance-1", "postgres:instance-1");
    const postgres = [postmaster, ...childrenOf(postmaster)];
    const program = await driverProgram();
    freeze(agent, ...postgres);
    const rival = rivalDriver(program);
    try {
      await rival.claim();
      await rival.open("keep");
      // PostgreSQL goes on as if nothing had happened.
      const read = watch(session.query(`SELECT 'stale', ${startedSql} FROM t`));
      thaw(...postgres);
      await untilAnswered(session, "SELECT ''stale''");
      expect(read.state).toBe("held");
      thaw(agent);
      // It ends, or is asked anew of the one that has started meanwhile: what the frozen one said is not told.
      const end = await read.settled;
      expect(end).toMatch(/^(failed 57P0[13]$|told .*"started")/);
      expect(end).not.toContain(started);
    } finally {
      rival.stop();
    }
    await untilAvailable();
    await cluster.query("SELECT 1");
  });
});

describe("with gate.mode off", () => {
  beforeAll(async () => {
    cluster = await TestCluster.create({ readers: 0, args: ["--set=gate.mode=off"] });
  });
  afterAll(() => cluster.destroy());

  it("says so, and serves reads with four storage nodes frozen", async () => {
    expect(cluster.output).toMatch(/gate\.mode +off/);
    const prober = new Prober(await cluster.client());
    freeze(...(await pidsOf(...names.slice(0, 4))));
    const endMs = performance.now() + 3_000;
    await until("any lease would be over", async () => {
      await prober.untilTold();
      return performance.now() > endMs;
    });
    await prober.client.end();
  });
});

/** The driver of another instance, of which the cluster knows nothing. */
function rivalDriver(program: DriverProgram) {
  const state = JSON.parse(readFileSync(layout().stateFile, "utf8")) as {
    volumeId: string;
    nodes: { id: string; nodeId: string; az: string; kind: "full" | "tail" }[];
  };
  return program.startLogDriver({
    nodes: state.nodes.map((node) => ({
      nodeId: nodeId(node.nodeId),
      name: node.id,
      az: node.az,
      kind: node.kind,
      address: parseAddress(nodeAddress(layout(), {}, node)),
    })),
    owner: { volumeId: volumeId(state.volumeId), sender: "rival" },
    leaseMs: 0,
    ringBytes: 1024 * 1024,
    logFile: undefined,
    logLevel: "warn",
  });
}
