/** The reader endpoint and custom endpoints, on real processes: who gets a session, and what becomes of it. */
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { messageOf } from "../src/base/errors.ts";
import { childrenOf, freeBasePort, isAlive, TestCluster, until } from "./helpers/cluster.ts";
import { signalAll } from "./helpers/signals.ts";

const whereSql = "SELECT current_setting('cluster_name') AS name";
const lagMaxMs = 3_000;

let cluster: TestCluster;
beforeAll(async () => {
  const args = ["--set", `reader.lagMaxMs=${lagMaxMs}`];
  cluster = await TestCluster.create({ readers: 2, port: await freeBasePort(), args });
  await cluster.query("CREATE TABLE ticks (n int)");
});
afterAll(() => cluster.destroy());

/** A session at that endpoint, by its offset from the writer's port. */
async function connectAt(offset: number): Promise<pg.Client> {
  const url = new URL(cluster.url());
  url.port = String(cluster.port + offset);
  const client = new pg.Client({ connectionString: url.href, application_name: ownName });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}
const readerAt = 1;
const ownName = "spread";

async function whereIs(client: pg.Client): Promise<string> {
  return (await client.query(whereSql)).rows[0].name;
}

function connectMany(count: number, offset = readerAt): Promise<pg.Client[]> {
  return Promise.all(Array.from({ length: count }, () => connectAt(offset)));
}

/** How many are at each instance, in the order of names. */
async function spreadOf(clients: readonly pg.Client[]): Promise<Record<string, number>> {
  const names = await Promise.all(clients.map(whereIs));
  const entries = [...new Set(names)]
    .toSorted()
    .map((name) => [name, names.filter((one) => one === name).length]);
  return Object.fromEntries(entries);
}

/** How many sessions of this file are at that instance; 0 where nobody answers. */
async function countAt(id: `instance-${number}`): Promise<number> {
  const sql = `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = '${ownName}'`;
  const result = await cluster.query(sql, id).catch(() => undefined);
  return result?.rows[0].n ?? 0;
}

/** They have left when this is done: nobody counts them any more. */
async function endAll(clients: readonly pg.Client[]): Promise<void> {
  const ids = ["instance-1", "instance-2", "instance-3"] as const;
  const total = async (): Promise<number> =>
    (await Promise.all(ids.map(countAt))).reduce((sum, count) => sum + count, 0);
  const before = await total();
  await Promise.all(clients.map((client) => client.end()));
  await until("they have left", async () => (await total()) <= before - clients.length);
}

/** A session that came in at that endpoint and is at that instance. Where it cannot be had: who was there to choose from. */
async function sessionOn(name: string, offset = readerAt): Promise<pg.Client> {
  // They stay meanwhile: who has fewer sessions is chosen.
  const others: pg.Client[] = [];
  try {
    return await until(`a session is at ${name}`, async () => {
      const one = await connectAt(offset);
      if ((await whereIs(one)) === name) return one;
      others.push(one);
      return undefined;
    });
  } catch (error) {
    throw new Error(`${messageOf(error)}; ${await sight()}`, { cause: error });
  } finally {
    await endAll(others);
  }
}

/** What the cluster says of instances and of who is led where. */
async function sight(): Promise<string> {
  const { instances, endpoints } = await cluster.status();
  const members = endpoints.map(({ id, members: ids }) => `${id}: ${ids.join(" ")}`);
  return [...instances.map((one) => JSON.stringify(one)), ...members].join("; ");
}

async function membersOf(id: string): Promise<string[] | undefined> {
  return (await cluster.status()).endpoints.find((one) => one.id === id)?.members;
}

/** Writes meanwhile: where nothing is written, nobody lags. */
function untilMembers(id: string, ...wanted: string[]): Promise<boolean> {
  return until(`${id} leads to ${wanted.join(", ") || "nobody"}`, async () => {
    await cluster.query("INSERT INTO ticks VALUES (1)");
    return String(await membersOf(id)) === String(wanted);
  });
}

async function postgresOf(id: string): Promise<number> {
  const pid = (await cluster.pids()).get(`postgres:${id}`);
  if (pid === undefined) throw new Error(`${id} has no PostgreSQL`);
  return pid;
}

/** Another PostgreSQL than those runs there, and takes sessions. */
function untilRestarted(id: string, before: readonly number[]): Promise<boolean> {
  return until(`${id} has started again`, async () => {
    const { instances } = await cluster.status();
    const { state, postgresPid = null } = instances.find((one) => one.id === id) ?? {};
    return state === "available" && postgresPid !== null && !before.includes(postgresPid);
  });
}

/** Kills that instance's PostgreSQL; what is returned is to be awaited at the end: it is there again. */
async function killPostgres(id: string): Promise<() => Promise<boolean>> {
  const pid = await postgresOf(id);
  process.kill(pid, "SIGKILL");
  return () => untilRestarted(id, [pid]);
}

describe("the reader endpoint", () => {
  it("gives new sessions to the reader that has the fewest, also when many come in at once", async () => {
    const many = await connectMany(10);
    expect(await spreadOf(many)).toEqual({ "instance-2": 5, "instance-3": 5 });
    const names = await Promise.all(many.map(whereIs));
    const there = many.filter((_, k) => names[k] === "instance-3");
    const others = many.filter((client) => !there.includes(client));
    await endAll(there);
    const more = await connectMany(5);
    expect(await spreadOf(more)).toEqual({ "instance-3": 5 });
    await endAll([...others, ...more]);
  });

  it("leaves out a reader that lags, and leads to the writer when all do", async () => {
    const [two, three] = [await sessionOn("instance-2"), await sessionOn("instance-3")];
    const others: pg.Client[] = [];
    try {
      await three.query("SELECT pg_wal_replay_pause()");
      await untilMembers("reader", "instance-2");
      others.push(...(await connectMany(4)));
      expect(await spreadOf(others)).toEqual({ "instance-2": 4 });
      // Who is there stays.
      expect(await whereIs(three)).toBe("instance-3");
      await two.query("SELECT pg_wal_replay_pause()");
      await untilMembers("reader", "instance-1");
      const last = await connectAt(readerAt);
      others.push(last);
      expect(await whereIs(last)).toBe("instance-1");
      await last.query("INSERT INTO ticks VALUES (2)");
    } finally {
      // Whatever was found, those that follow find two readers.
      for (const client of [two, three]) await client.query("SELECT pg_wal_replay_resume()");
      await untilMembers("reader", "instance-2", "instance-3");
      await endAll([two, three, ...others]);
    }
  });

  it("does not wait for a reader that accepts connections and says nothing; who was there moves", async () => {
    const client = await sessionOn("instance-3");
    await client.query("SET app.who = 'me'");
    const postmaster = await postgresOf("instance-3");
    const frozen = [postmaster, ...childrenOf(postmaster)];
    signalAll(frozen, "SIGSTOP");
    const many: pg.Client[] = [];
    try {
      const stuck = client.query(`${whereSql}, current_setting('app.who') AS who`);
      many.push(...(await connectMany(4)));
      expect(await spreadOf(many)).toEqual({ "instance-2": 4 });
      // It is ended, and started again.
      expect((await stuck).rows).toEqual([{ name: "instance-2", who: "me" }]);
    } finally {
      await until("the frozen PostgreSQL is gone", () => !isAlive(postmaster));
      await endAll([client, ...many]);
      await untilRestarted("instance-3", [postmaster]);
    }
  });

  it("moves an idle session off a reader that is killed, with its settings", async () => {
    const client = await sessionOn("instance-3");
    await client.query("SET app.who = 'me'");
    await client.query("PREPARE answer AS SELECT 42 AS n");
    const untilBack = await killPostgres("instance-3");
    await until("it is elsewhere", async () => (await whereIs(client)) === "instance-2");
    const { rows } = await client.query("SELECT current_setting('app.who') AS who");
    expect(rows).toEqual([{ who: "me" }]);
    expect((await client.query("EXECUTE answer")).rows).toEqual([{ n: 42 }]);
    await client.end();
    await untilBack();
  });

  it("runs a read of which no row was sent again elsewhere", async () => {
    const client = await sessionOn("instance-3");
    const answer = client.query(`${whereSql} FROM pg_sleep(2)`);
    await until("it runs", async () => {
      const running =
        "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(2)' AND state = 'active'";
      return (await cluster.query(running, "instance-3")).rowCount === 1;
    });
    const untilBack = await killPostgres("instance-3");
    expect((await answer).rows).toEqual([{ name: "instance-2" }]);
    await client.end();
    await untilBack();
  });

  it("moves sessions to the writer when no reader is left", async () => {
    const many = await connectMany(2);
    expect(await spreadOf(many)).toEqual({ "instance-2": 1, "instance-3": 1 });
    const readers = [await postgresOf("instance-2"), await postgresOf("instance-3")];
    const pids = await cluster.pids();
    const agents = ["instance-2", "instance-3"].map((id) => pids.get(id) ?? 0);
    // Frozen, they start no reader again meanwhile.
    for (const pid of agents) process.kill(pid, "SIGSTOP");
    // And what they had begun to answer ends with them.
    const killed = readers.flatMap((one) => [one, ...childrenOf(one)]);
    signalAll(killed, "SIGKILL");
    await until("they are gone", () => killed.every((pid) => !isAlive(pid)));
    const names = await Promise.all(many.map(whereIs));
    for (const pid of agents) process.kill(pid, "SIGCONT");
    expect(names).toEqual(["instance-1", "instance-1"]);
    await endAll(many);
    for (const id of ["instance-2", "instance-3"]) await untilRestarted(id, readers);
  });
});

describe("borealis endpoint", () => {
  it("creates an endpoint that listens, at a port of its own", async () => {
    const created = await cluster.cli(
      "endpoint",
      "create",
      "reports",
      "--type",
      "reader",
      "--static",
      "instance-2,instance-3",
      "--json",
    );
    expect([created.code, created.stderr]).toEqual([0, ""]);
    expect(JSON.parse(created.stdout)).toEqual({
      id: "reports",
      type: "reader",
      host: "127.0.0.1",
      port: cluster.port + 31,
      static: ["instance-2", "instance-3"],
      excluded: null,
      members: ["instance-2", "instance-3"],
    });
    const many = await connectMany(4, 31);
    expect(await spreadOf(many)).toEqual({ "instance-2": 2, "instance-3": 2 });
    await endAll(many);
    const rest = await cluster.cli(
      "endpoint",
      "create",
      "rest",
      "--type",
      "any",
      "--exclude",
      "instance-3",
    );
    expect([rest.code, rest.stdout]).toEqual([
      0,
      `rest listens at 127.0.0.1:${cluster.port + 32}; new sessions go to instance-1, instance-2\n`,
    ]);
    const both = await connectMany(10, 32);
    const spread = await spreadOf(both);
    // A session that a test has ended may count for a moment yet.
    expect(Object.keys(spread)).toEqual(["instance-1", "instance-2"]);
    expect(Math.min(...Object.values(spread))).toBeGreaterThan(2);
    await endAll(both);
  });

  it("is in status, and has a URL", async () => {
    const { endpoints } = await cluster.status();
    expect(endpoints.find((one) => one.id === "rest")).toEqual({
      id: "rest",
      type: "custom",
      host: "127.0.0.1",
      port: cluster.port + 32,
      loopback: "127.0.0.32",
      members: ["instance-1", "instance-2"],
      allow: null,
      custom: { type: "any", static: null, excluded: ["instance-3"] },
    });
    const { stdout } = await cluster.cli("url", "rest");
    expect(new URL(stdout.trim()).port).toBe(String(cluster.port + 32));
  });

  it.each([
    {
      args: ["create", "x", "--type", "reader", "--static", "a", "--exclude", "b"],
      exit: 2,
      says: /cannot be combined/,
    },
    { args: ["create", "x", "--type", "writer"], exit: 2, says: /--type takes reader or any/ },
    { args: ["create", "x"], exit: 2, says: /--type/ },
    {
      args: ["create", "reports", "--type", "any"],
      exit: 1,
      says: /there is an endpoint "reports" already/,
    },
    {
      args: ["create", "x", "--type", "any", "--static", "instance-9"],
      exit: 2,
      says: /no instance "instance-9"; there are instance-1/,
    },
    { args: ["modify", "reports"], exit: 2, says: /nothing to change/ },
    { args: ["delete", "writer"], exit: 2, says: /"writer" is no custom endpoint/ },
  ])("refuses $args in one line", async ({ args, exit, says }) => {
    const { code, stderr } = await cluster.cli("endpoint", ...args);
    expect([code, stderr]).toEqual([exit, expect.stringMatching(says)]);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stderr).toMatch(/; ./);
  });

  it("changes who is meant, and leaves sessions where they are", async () => {
    const client = await sessionOn("instance-3", 31);
    const { code, stdout } = await cluster.cli(
      "endpoint",
      "modify",
      "reports",
      "--static",
      "instance-2",
    );
    expect([code, stdout]).toEqual([0, "new sessions of reports go to instance-2\n"]);
    const fresh = await until("the proxy has heard", async () => {
      const many = await connectMany(2, 31);
      const spread = await spreadOf(many);
      await endAll(many);
      return spread["instance-2"] === 2;
    });
    expect(fresh).toBe(true);
    expect(await whereIs(client)).toBe("instance-3");
    await client.end();
  });
});

describe("custom endpoints in a failover", () => {
  it("for readers drop who becomes the writer; others keep it; sessions go on at members", async () => {
    await cluster.cli("endpoint", "create", "fresh", "--type", "reader", "--exclude", "");
    const atFresh = await sessionOn("instance-2", 33);
    expect((await cluster.cli("failover", "--target", "instance-2")).code).toBe(0);
    expect(await whereIs(atFresh)).toMatch(/^instance-[13]$/);
    await atFresh.end();
    await untilMembers("fresh", "instance-1", "instance-3");
    await untilMembers("rest", "instance-1", "instance-2");
    await untilMembers("reports");
    const writing = await sessionOn("instance-2", 32);
    await writing.query("INSERT INTO ticks VALUES (3)");
    await writing.end();
    // Nobody else is reports, and everybody says why; who comes in waits, and is let in when its member reads again.
    const why = "it leads to readers only, and instance-2 is the writer now";
    const modified = await cluster.cli("endpoint", "modify", "reports", "--static", "instance-2");
    expect([modified.code, modified.stdout]).toEqual([0, `new sessions of reports wait: ${why}\n`]);
    const waiting = connectAt(31);
    expect((await cluster.cli("failover", "--target", "instance-1")).code).toBe(0);
    const client = await waiting;
    expect(await whereIs(client)).toBe("instance-2");
    await client.end();
    await untilMembers("reports", "instance-2");
  });
});

describe("custom endpoints", () => {
  it("are there after kill -9 of the control plane and the proxy", async () => {
    const created = await cluster.cli("endpoint", "create", "late", "--type", "any");
    const pids = await cluster.pids();
    for (const name of ["control-plane", "proxy"]) {
      const pid = pids.get(name);
      if (pid !== undefined && isAlive(pid)) process.kill(pid, "SIGKILL");
    }
    expect(created.code).toBe(0);
    const client = await until("it listens", () => connectAt(34));
    expect(await whereIs(client)).toMatch(/^instance-/);
    await client.end();
  });

  it("take in a reader that is added, if they exclude others", async () => {
    expect((await cluster.cli("instance", "add")).code).toBe(0);
    await untilMembers("rest", "instance-1", "instance-2", "instance-4");
    await untilMembers("reports", "instance-2");
    const client = await sessionOn("instance-4", 32);
    expect((await cluster.cli("instance", "remove", "instance-4")).code).toBe(0);
    expect(await whereIs(client)).toMatch(/^instance-[12]$/);
    await client.end();
  });

  it("survive a restart, at the same ports, and can be listed meanwhile", async () => {
    expect(await cluster.down()).toBe(0);
    const listed = await cluster.cli("endpoint", "list", "--json");
    expect(JSON.parse(listed.stdout)).toMatchObject(
      ["reports", "rest", "fresh", "late"].map((id, k) => ({ id, port: cluster.port + 31 + k })),
    );
    await cluster.up();
    expect(cluster.output).toMatch(/^\s*reports\s+postgresql:/m);
    const client = await connectAt(31);
    expect(await whereIs(client)).toBe("instance-2");
    await client.end();
  });

  it("end their sessions, and leave their port, when they are deleted", async () => {
    const client = await connectAt(31);
    const told = new Promise<{ code?: string }>((resolve) => client.once("error", resolve));
    const { code, stdout } = await cluster.cli("endpoint", "delete", "reports");
    expect([code, stdout]).toEqual([0, "reports is deleted\n"]);
    expect((await told).code).toBe("57P01");
    await expect(connectAt(31)).rejects.toThrow(/ECONNREFUSED/);
    const again = await cluster.cli("endpoint", "create", "next", "--type", "any", "--json");
    expect(JSON.parse(again.stdout)).toMatchObject({ port: cluster.port + 31 });
  });
});
