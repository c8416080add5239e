/** A reader that hangs: who is there goes on elsewhere within a bounded time, and it comes back when it has caught up. */
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { childrenOf, isAlive, type Status, TestCluster, until } from "./helpers/cluster.ts";
import { cancelAt, codeOf } from "./helpers/endpoints.ts";
import { signalAll } from "./helpers/signals.ts";

let cluster: TestCluster;
let customPort = 0;
beforeAll(async () => {
  cluster = await TestCluster.create();
  await cluster.query("CREATE TABLE shown (n int)");
  await cluster.query("INSERT INTO shown VALUES (0)");
  await cluster.cli("endpoint", "create", "reports", "--type", "reader");
  customPort = (await cluster.status()).endpoints.find((one) => one.id === "reports")?.port ?? 0;
});
afterAll(() => cluster.destroy());

type Instance = Status["instances"][number];
type Id = `instance-${number}`;
type Part = "its agent and all of its PostgreSQL" | "all of its PostgreSQL";

/** Silence is noticed after two seconds; what is run again takes its time; and this machine may have other work. */
const boundMs = 40_000;
const whereSql = "SELECT current_setting('cluster_name') AS name";
const pidSql = "SELECT pg_backend_pid() AS pid";
const toRead = "SELECT current_setting('cluster_name') AS name, count(*)::int AS n FROM shown";

async function readers(): Promise<Instance[]> {
  const { instances } = await cluster.status();
  return instances.filter((one) => one.role === "reader");
}

async function instanceOf(client: pg.Client): Promise<string> {
  return (await client.query(whereSql)).rows[0].name;
}

/** Clients of an endpoint that are on this reader now. */
async function clientsOn(
  id: string,
  count: number,
  { port, options }: { port?: number; options?: string } = {},
): Promise<pg.Client[]> {
  const found: pg.Client[] = [];
  await until(`${count} clients are on ${id}`, async () => {
    const client = await cluster.client("reader", {
      ...(port !== undefined && {
        connectionString: cluster.url().replace(/:\d+\/(?=\w+$)/, `:${port}/`),
      }),
      ...(options !== undefined && { options }),
    });
    if ((await instanceOf(client)) === id) found.push(client);
    else others.push(client);
    return found.length === count;
  });
  return found;
}
const others: pg.Client[] = [];

function pidsOf({ agentPid, postgresPid }: Instance, part: Part): number[] {
  const agent = part === "all of its PostgreSQL" ? [] : [agentPid ?? 0];
  const postmaster = postgresPid ?? 0;
  return [...agent, postmaster, ...childrenOf(postmaster)];
}

/** What it comes to, or that it takes too long. */
async function within<T>(what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: no answer in ${boundMs} ms`)), boundMs);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

async function whileFrozen(frozen: readonly number[], work: () => Promise<void>): Promise<void> {
  try {
    signalAll(frozen, "SIGSTOP");
    await work();
  } finally {
    signalAll(frozen.toReversed(), "SIGCONT");
  }
}

async function untilServed(): Promise<void> {
  await cluster.untilEverybody();
  await until("all readers take new sessions", async () => {
    const { endpoints } = await cluster.status();
    return endpoints.find((one) => one.id === "reader")?.members.length === 2;
  });
}

describe.each<Part>(["its agent and all of its PostgreSQL", "all of its PostgreSQL"])(
  "when %s is frozen",
  (part) => {
    it("sessions go on elsewhere, and nothing old is shown when it is back", async () => {
      await untilServed();
      const [victim] = await readers();
      if (!victim) throw new Error("there is no reader");
      const id = victim.id as Id;
      type Four = [pg.Client, pg.Client, pg.Client, pg.Client];
      const [idle, reading, inBlock, cancelled] = (await clientsOn(id, 4)) as Four;
      const [custom] = (await clientsOn(id, 1, { port: customPort })) as [pg.Client];
      const [pooled] = (await clientsOn(id, 1, { options: "-c borealis.pool=auto" })) as [
        pg.Client,
      ];
      const atInstance = await cluster.client(id, {
        options: "-c borealis.hold_timeout=120s",
      });
      await idle.query("SET work_mem = '7MB'");
      await idle.query({ name: "kept", text: toRead });
      await pooled.query("SET work_mem = '8MB'");
      await inBlock.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
      expect((await inBlock.query("SELECT n FROM shown ORDER BY n")).rows[0]).toEqual({ n: 0 });
      const pidBefore = (await atInstance.query(pidSql)).rows[0].pid;
      const endless = codeOf(cancelled.query("SELECT pg_sleep(600)"));
      const sleeping = reading.query(
        `SELECT pg_sleep(1.5), current_setting('cluster_name') AS name`,
      );
      sleeping.catch(() => undefined);
      await until("they sleep", async () => {
        const sql = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        return (await cluster.query(sql, id)).rows[0].n === 2;
      });
      let told = 0;
      reading.connection.on("dataRow", () => told++);
      await whileFrozen(pidsOf(victim, part), async () => {
        const startMs = performance.now();
        const since = (): number => Math.round(performance.now() - startMs);
        const asked = {
          idle: idle.query({ name: "kept", text: toRead }),
          custom: custom.query(toRead),
          pooled: pooled.query(toRead),
          inBlock: inBlock.query(whereSql.replace("cluster_name", "application_name")),
          reading: sleeping,
        };
        // Its own server may never hear of it.
        cancelAt(cluster.port + 1, cancelled);
        const times: string[] = [];
        for (const [name, work] of Object.entries(asked)) {
          const { rows } = await within(name, work);
          times.push(`${name} ${since()} ms`);
          if (name !== "inBlock") expect(rows[0].name, name).not.toBe(id);
        }
        expect(await within("what was cancelled", endless)).toBe("57014");
        console.log(`${part}: ${times.join(", ")}`);
        // Its agent, where that lives, kills its PostgreSQL after ten seconds, and has it serve again.
        const late = await within("a new session", cluster.client("reader"));
        expect(await instanceOf(late)).not.toBe(id);
        await late.end();
        if (part !== "all of its PostgreSQL") expect(isAlive(victim.postgresPid ?? 0)).toBe(true);
        await until("who was idle has moved", async () => (await instanceOf(idle)) !== id);
        expect((await idle.query("SHOW work_mem")).rows).toEqual([{ work_mem: "7MB" }]);
        expect((await pooled.query("SHOW work_mem")).rows).toEqual([{ work_mem: "8MB" }]);
        await inBlock.query("COMMIT");
        for (let n = 1; n <= 5; n++) await cluster.query(`INSERT INTO shown VALUES (${n})`);
      });
      const count = (await cluster.query("SELECT count(*)::int AS n FROM shown")).rows[0].n;
      // Its first answer to a new session is as new as what was committed before it was thawed.
      expect((await cluster.query(toRead, id)).rows).toEqual([{ name: id, n: count }]);
      expect(
        (await within("at the instance's own endpoint", atInstance.query(toRead))).rows[0],
      ).toEqual({
        name: id,
        n: count,
      });
      // Who has nowhere else to go, and waits for nothing, is left where it is; unless its PostgreSQL was killed meanwhile.
      if (part !== "all of its PostgreSQL")
        expect((await atInstance.query(pidSql)).rows).toEqual([{ pid: pidBefore }]);
      await untilServed();
      const [again] = (await clientsOn(id, 1)) as [pg.Client];
      expect((await again.query(toRead)).rows).toEqual([{ name: id, n: count }]);
      expect(told, "nothing was told twice").toBe(1);
      const all = [
        idle,
        reading,
        inBlock,
        cancelled,
        custom,
        pooled,
        atInstance,
        again,
        ...others.splice(0),
      ];
      for (const client of all) await client.end();
      await cluster.query("DELETE FROM shown WHERE n > 0");
    });
  },
);

it("is found by a control plane that has begun since, and never heard of it", async () => {
  await untilServed();
  const [victim] = await readers();
  if (!victim) throw new Error("there is no reader");
  const [idle] = (await clientsOn(victim.id, 1)) as [pg.Client];
  const control = (await cluster.pids()).get("control-plane") ?? 0;
  await whileFrozen(pidsOf(victim, "its agent and all of its PostgreSQL"), async () => {
    process.kill(control, "SIGKILL");
    const { rows } = await within("idle", idle.query(toRead));
    expect(rows[0].name).not.toBe(victim.id);
  });
  await untilServed();
  for (const client of [idle, ...others.splice(0)]) await client.end();
});
