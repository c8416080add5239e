/** From which transaction id on a PostgreSQL gives out its own: as exact as pg_xact_status is, on stock servers. */
import { execFileSync } from "node:child_process";
import { chownSync, mkdtempSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readCutoff, readStartCutoff } from "../src/instance/cutoff-shell.ts";
import { connectPg, type PgClient } from "../src/wire/index.ts";
import { eventually } from "./helpers/eventually.ts";
import {
  enginesForFile,
  startPostgresOn,
  startStockPostgres,
  type StockPostgres,
} from "./helpers/stock-postgres.ts";

const engines = enginesForFile();

function connect(postgres: StockPostgres): Promise<PgClient> {
  return connectPg({
    address: postgres.address,
    user: "rdsadmin",
    database: "postgres",
    except: "all",
  });
}

/** pg_xact_status fails from the next xid on, and not before. */
async function isFuture(client: PgClient, xid: bigint): Promise<boolean> {
  try {
    await client.query(`SELECT pg_xact_status('${xid}'::xid8)`);
    return false;
  } catch (error) {
    expect(error).toMatchObject({ code: "22023" });
    return true;
  }
}

async function expectExact(client: PgClient): Promise<bigint> {
  const { nextXid } = await readCutoff(client);
  const [last, next] = [await isFuture(client, nextXid - 1n), await isFuture(client, nextXid)];
  expect({ nextXid, last, next }).toEqual({ nextXid, last: false, next: true });
  return nextXid;
}

/** The data directory of one that is down, again beside it. */
function copyOf(down: StockPostgres): { dir: string; data: string; isOwnDir: true } {
  const dir = mkdtempSync(join(tmpdir(), "borealis-pg-"));
  const { uid, gid } = statSync(join(down.dir, "data"));
  if (process.getuid?.() === 0) chownSync(dir, uid, gid);
  execFileSync("cp", ["-a", join(down.dir, "data"), join(dir, "data")]);
  return { dir, data: join(dir, "data"), isOwnDir: true };
}

const everythingKept = { autovacuum: "off", wal_level: "replica", wal_keep_size: "1GB" };

describe.each(engines)("on PostgreSQL $version", (engine) => {
  let primary: StockPostgres;
  const started: StockPostgres[] = [];
  const place = () => ({ dir: primary.dir, data: join(primary.dir, "data"), isOwnDir: true });

  beforeAll(async () => {
    primary = await startStockPostgres(engine, everythingKept);
    started.push(primary);
    await primary.query("CREATE TABLE t (n int)");
  });
  afterAll(async () => {
    for (const postgres of started.toReversed()) await postgres.stop();
  });

  it("a standby knows it before its promotion, and gives out that one first", async () => {
    await primary.shutDownInPlace();
    const copy = copyOf(primary);
    primary = await startPostgresOn(engine, place(), everythingKept);
    started[0] = primary;
    writeFileSync(join(copy.data, "standby.signal"), "");
    const standby = await startPostgresOn(engine, copy, {
      ...everythingKept,
      primary_conninfo: `host=${primary.dir} port=5432 user=rdsadmin`,
    });
    started.push(standby);
    const [writer, reader] = [await connect(primary), await connect(standby)];
    const workloads = [
      "INSERT INTO t VALUES (1)",
      // Ids that leave nothing in the log.
      "BEGIN; SELECT pg_current_xact_id(); ROLLBACK",
      "BEGIN; INSERT INTO t VALUES (2); SAVEPOINT a; INSERT INTO t VALUES (3); ROLLBACK TO a; COMMIT",
      "BEGIN; INSERT INTO t VALUES (4); PREPARE TRANSACTION 'kept'",
      "DO $$ BEGIN FOR i IN 1..40 LOOP BEGIN INSERT INTO t VALUES (i); EXCEPTION WHEN others THEN END; END LOOP; END $$",
      "BEGIN; INSERT INTO t SELECT generate_series(1, 1000)",
    ];
    let last = 0n;
    for (const sql of workloads) {
      await writer.query(sql);
      await writer.query("CHECKPOINT").catch(() => undefined); // the last one is a transaction
      const { rows } = await primary.query("SELECT pg_current_wal_flush_lsn()");
      await eventually("the standby has replayed it", async () => {
        const at = await reader.query(`SELECT pg_last_wal_replay_lsn() >= '${rows[0]?.[0]}'`);
        return at.rows[0]?.[0] === "t";
      });
      const next = await expectExact(reader);
      expect(next).toBeGreaterThan(last);
      last = next;
    }
    // Replay goes on for a while: no more comes.
    await primary.kill();
    await eventually("replay is over", async () => {
      const before = await expectExact(reader);
      await new Promise((resolve) => setTimeout(resolve, 300));
      return before === (await expectExact(reader));
    });
    const cutoff = await expectExact(reader);
    await reader.query("SELECT pg_promote()");
    const given = await reader.query("SELECT pg_current_xact_id()::text");
    expect(given.rows).toEqual([[cutoff.toString()]]);
    expect((await readCutoff(reader)).nextXid).toBe(cutoff + 1n);
    primary = await startPostgresOn(engine, place(), everythingKept);
    started[0] = primary;
  });

  it.each(["crash", "clean stop"])(
    "one that starts after a %s knows it from its control file, whatever was taken since",
    async (how) => {
      const writer = await connect(primary);
      await writer.query("INSERT INTO t SELECT generate_series(1, 5000)");
      await writer.query("CHECKPOINT");
      await writer.query("DELETE FROM t");
      for (let n = 0; n < 50; n++) await writer.query("SELECT pg_current_xact_id()");
      await writer.query("INSERT INTO t VALUES (7)");
      if (how === "crash") await primary.kill();
      else await primary.shutDownInPlace();
      const quiet = await startPostgresOn(engine, copyOf(primary), everythingKept);
      started.push(quiet);
      const truth = await expectExact(await connect(quiet));
      primary = await startPostgresOn(engine, place(), everythingKept);
      started[0] = primary;
      const client = await connect(primary);
      // As autovacuum does, in the moment in which nobody else is let in.
      for (let n = 0; n < 10; n++) await client.query("SELECT pg_current_xact_id()");
      expect((await readCutoff(client)).nextXid).toBe(truth + 10n);
      const told = await readStartCutoff(client, join(primary.dir, "data"));
      expect(told.nextXid).toBe(truth);
      expect(told.postmaster).toBe((await readCutoff(client)).postmaster);
      await client.query("CHECKPOINT");
      await expect(readStartCutoff(client, join(primary.dir, "data"))).rejects.toMatchObject({
        code: "55000",
      });
    },
  );
});
