/** Write forwarding over a cluster: what a read waits for, however it comes, and what the loss of either side does. */
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestCluster } from "./helpers/cluster.ts";
import { cancelAt, codeOf } from "./helpers/endpoints.ts";

const mode = "apg_write_forward.consistency_mode";

describe("write forwarding on a cluster", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await TestCluster.create({ readers: 2 });
    await cluster.query("CREATE TABLE t (a int, part int)");
  });
  afterAll(() => cluster.destroy());

  const connect = (options: string): Promise<pg.Client> =>
    cluster.client("reader", { options: `-c ${mode}=session ${options}` });
  const whereIs = async (client: pg.Client): Promise<`instance-${number}`> =>
    (await client.query("SELECT current_setting('cluster_name') AS name")).rows[0].name;
  const countOn = async (client: pg.Client, a: number): Promise<number> =>
    (await client.query("SELECT count(*)::int AS n FROM t WHERE a = $1", [a])).rows[0].n;

  it("has settings that can be shown before anybody sets them", async () => {
    const shown = async (client: pg.Client, name: string): Promise<string> =>
      (await client.query(`SELECT current_setting('apg_write_forward.${name}') AS v`)).rows[0].v;
    for (const endpoint of ["writer", "reader"] as const) {
      const client = await cluster.client(endpoint);
      expect(await shown(client, "consistency_mode")).toBe("off");
      expect(await shown(client, "connect_timeout")).toBe("30");
      expect(await shown(client, "idle_session_timeout")).toBe("300000");
      await client.end();
    }
    const other = await connect("");
    expect(await shown(other, "consistency_mode")).toBe("session");
    await other.query(`SET ${mode} = DEFAULT`);
    expect(await shown(other, "consistency_mode")).toBe("session");
    await other.query(`SET ${mode} = off`);
    expect(await codeOf(other.query("INSERT INTO t VALUES (0)"))).toBe("25006");
    await other.end();
  });

  it("waits in READ ONLY transactions, can be cancelled, and lets a weaker mode be chosen", async () => {
    const client = await connect("-c borealis.hold_timeout=300ms");
    const patient = await connect("-c borealis.hold_timeout=120s");
    const paused = [await cluster.client("instance-2"), await cluster.client("instance-3")];
    const replay = (what: "pause" | "resume"): Promise<unknown> =>
      Promise.all(paused.map((one) => one.query(`SELECT pg_wal_replay_${what}()`)));
    await client.query("INSERT INTO t VALUES (1)");
    await patient.query("INSERT INTO t VALUES (2)");
    await countOn(client, 1);
    await countOn(patient, 2);
    await replay("pause");
    await client.query("INSERT INTO t VALUES (3)");
    await patient.query("INSERT INTO t VALUES (4)");
    await client.query("BEGIN READ ONLY");
    expect(await codeOf(countOn(client, 3))).toBe("57014");
    await client.query("ROLLBACK");
    await client.query(`SET ${mode} = eventual`);
    expect(await countOn(client, 3)).toBe(0);
    await client.query(`BEGIN; SET ${mode} = session; ROLLBACK`);
    expect(await countOn(client, 3)).toBe(0);

    const waiting = codeOf(countOn(patient, 4));
    const watch = setInterval(() => cancelAt(cluster.port + 1, patient), 50);
    expect(await waiting).toBe("57014");
    clearInterval(watch);
    await replay("resume");
    expect(await countOn(patient, 4)).toBe(1);
    await Promise.all([client, patient, ...paused].map((one) => one.end()));
  });

  /** Two rows, committed or not. `inside` runs between them. */
  async function writeTwo(
    client: pg.Client,
    a: number,
    inside: () => Promise<unknown> | void,
  ): Promise<string> {
    const code = await codeOf(
      (async () => {
        await client.query("BEGIN");
        await client.query("INSERT INTO t VALUES ($1, 1)", [a]);
        await inside();
        await client.query("INSERT INTO t VALUES ($1, 2)", [a]);
        await client.query("COMMIT");
      })(),
    );
    if (code !== "done") await client.query("ROLLBACK");
    return code;
  }

  it.each<[string, number, (client: pg.Client) => Promise<void>]>([
    [
      "its reader is killed",
      1000,
      async (client) => {
        // In a forwarded transaction the client talks to the writer.
        const other = await connect("");
        const { instances } = await cluster.status();
        const readers = instances.filter(({ role }) => role === "reader");
        for (const { postgresPid } of readers) process.kill(postgresPid ?? 0, "SIGKILL");
        await other.end();
        expect(await whereIs(client)).toBe((await cluster.status()).cluster.writer);
      },
    ],
    [
      "the writer is killed",
      2000,
      async () => {
        const { cluster: facts, instances } = await cluster.status();
        const writer = instances.find(({ id }) => id === facts.writer);
        process.kill(writer?.postgresPid ?? 0, "SIGKILL");
      },
    ],
    [
      "a reader is made the writer",
      3000,
      async () => {
        const { instances } = await cluster.status();
        const reader = instances.find(({ role }) => role === "reader");
        await cluster.cli("failover", "--target", reader?.id ?? "");
      },
    ],
  ])("loses nothing, and writes nothing twice, when %s amid a transaction", async (_, a, lose) => {
    await cluster.untilEverybody();
    const client = await connect("-c borealis.hold_timeout=60s");
    const codes: string[] = [];
    for (let n = 0; n < 10; n++)
      codes.push(await writeTwo(client, a + n, () => (n === 3 ? lose(client) : undefined)));
    for (const [n, code] of codes.entries()) {
      // In session mode the session sees what it wrote.
      const parts = await countOn(client, a + n);
      if (code === "done") expect([n, parts]).toEqual([n, 2]);
      else expect([n, code, parts]).toEqual([n, "40001", 0]);
    }
    expect(codes.filter((code) => code !== "done").length).toBeLessThanOrEqual(1);
    await client.end();
    await cluster.untilEverybody();
    const { rows } = await cluster.query(
      `SELECT a FROM t WHERE a >= ${a} AND a < ${a + 10} GROUP BY a HAVING count(*) <> 2`,
    );
    expect(rows).toEqual([]);
  });
});
