/** Readers: fresh, fed only what is durable, and heard by the writer's vacuum. */
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestCluster, until } from "./helpers/cluster.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create();
});
afterAll(() => cluster.destroy());

describe("readers", () => {
  it("hold back vacuum on the writer while a query of theirs runs, and no longer", async () => {
    await cluster.query("CREATE TABLE watched (v int)");
    await until("the reader has it", async () => {
      await cluster.query("SELECT * FROM watched", "instance-2");
      return true;
    });
    const slot = "SELECT xmin::text FROM pg_replication_slots WHERE slot_name = 'borealis_log'";
    const reader = await cluster.client("instance-2");
    await reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
    await reader.query("SELECT * FROM watched");
    const own = await reader.query("SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS xmin");
    const held: string = own.rows[0].xmin;
    await cluster.query("INSERT INTO watched VALUES (1)");
    // It may hold an older one first: the other reader's, or of before this query.
    await until("the slot has the reader's horizon", async () => {
      await cluster.query("INSERT INTO watched VALUES (1)");
      return (await cluster.query(slot)).rows[0]?.xmin === held;
    });
    for (let n = 0; n < 5; n++) await cluster.query("INSERT INTO watched VALUES (2)");
    expect((await cluster.query(slot)).rows[0]?.xmin).toBe(held);
    await reader.query("COMMIT");
    await reader.end();
    await until("the horizon moves on", async () => {
      await cluster.query("INSERT INTO watched VALUES (3)");
      return (await cluster.query(slot)).rows[0]?.xmin !== held;
    });
  });

  it("never show what the quorum does not hold, even when the writer's sessions may see it", async () => {
    await cluster.query("CREATE TABLE ahead (v int)");
    await until("the readers have it", async () => {
      await cluster.query("SELECT * FROM ahead", "instance-2");
      await cluster.query("SELECT * FROM ahead", "instance-3");
      return true;
    });
    const three = ["az1-full", "az2-full", "az3-full"];
    await cluster.cli("storage", "stop", ...three);
    const hasty = await cluster.client();
    await hasty.query("SET borealis.force_durable_commit = off");
    await hasty.query("SET synchronous_commit = off");
    await hasty.query("INSERT INTO ahead VALUES (1)");
    expect((await cluster.query("SELECT * FROM ahead")).rowCount).toBe(1);
    // The log reaches the three nodes that are left; the readers are fed from them and must not see it.
    await until("the remaining nodes hold it", async () => {
      const { rows } = await cluster.query("SELECT pg_current_wal_flush_lsn() AS lsn");
      const { storage } = await cluster.status();
      return storage.some((row) => row.scl !== null && parse(row.scl) >= parse(rows[0].lsn));
    });
    for (const endpoint of ["instance-2", "instance-3", "reader"] as const) {
      expect((await cluster.query("SELECT * FROM ahead", endpoint)).rowCount).toBe(0);
    }
    await cluster.cli("storage", "start", ...three);
    for (const endpoint of ["instance-2", "instance-3"] as const) {
      await until("it appears when four nodes have it", async () => {
        return (await cluster.query("SELECT * FROM ahead", endpoint)).rowCount === 1;
      });
    }
    await hasty.end();
  });

  it("take turns at the reader endpoint", async () => {
    const seen = new Set<string>();
    const clients: pg.Client[] = [];
    // Those that are there count, so that a reader which is behind for a moment has its turn, too.
    for (let n = 0; n < 8; n++) clients.push(await cluster.client("reader"));
    for (const client of clients) {
      const { rows } = await client.query("SELECT current_setting('cluster_name') AS name");
      seen.add(rows[0].name);
      await client.end();
    }
    expect(seen.size).toBe(2);
  });
});

function parse(text: string): bigint {
  const [high = "0", low = "0"] = text.split("/");
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`);
}
