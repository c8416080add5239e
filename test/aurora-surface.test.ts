/** What makes Aurora's functions, settings and roles in SQL, on stock PostgreSQL, without a cluster. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeSurface } from "../src/instance/surface-shell.ts";
import { openLogger, realClock, realRng } from "../src/io/index.ts";
import {
  enginesForFile,
  startPostgresOn,
  startStockPostgres,
  type StockPostgres,
} from "./helpers/stock-postgres.ts";

const settings = {
  cluster_name: "instance-2",
  "rds.extensions": "aurora_stat_utils, hstore",
  "rds.logical_replication": "off",
  "rds.restrict_password_commands": "off",
  "rds.superuser_variables": "session_replication_role",
};
const logger = openLogger({ file: undefined, process: "test" });

describe.each(enginesForFile())("PostgreSQL $version", (engine) => {
  let postgres: StockPostgres;
  let dataDir: string;
  beforeAll(async () => {
    postgres = await startStockPostgres(engine, settings);
    dataDir = join(postgres.dir, "data");
  });
  afterAll(async () => {
    await postgres.stop();
    rmSync(postgres.dir, { recursive: true, force: true });
  });

  const make = (): Promise<string> =>
    makeSurface(
      {
        postgres,
        deps: { clock: realClock, logger, rng: realRng, pid: process.pid },
        signal: new AbortController().signal,
      },
      new Set(),
    );
  const valuesOf = async (sql: string, database?: string): Promise<unknown[]> =>
    (await postgres.query(sql, database)).rows.map((row) => row[0]);

  it("makes everything, in every database", async () => {
    await postgres.query("CREATE DATABASE other");
    expect(await make()).toBe("");
    for (const database of ["postgres", "template1", "other"])
      expect(await valuesOf("SELECT aurora_db_instance_identifier()", database)).toEqual([
        "instance-2",
      ]);
  });

  it("lets PostgreSQL itself say who writes, whatever an old file says", async () => {
    const row = { is_current: true, cpu: 1 };
    const instances = [
      { ...row, server_id: "instance-1", session_id: "MASTER_SESSION_ID" },
      { ...row, server_id: "instance-2", session_id: "two", replica_lag_in_msec: 3 },
    ];
    const sql =
      "SELECT concat_ws(' ', server_id, session_id, replica_lag_in_msec) FROM aurora_replica_status()";
    const told = (): Promise<unknown[]> => {
      const file = join(dataDir, "borealis_sight.json");
      writeFileSync(file, JSON.stringify({ instances, volume: null }));
      return valuesOf(sql);
    };
    expect(await told()).toEqual(["instance-1", "instance-2 MASTER_SESSION_ID"]);
    // The same as a standby.
    const { dir } = postgres;
    writeFileSync(join(dataDir, "standby.signal"), "");
    await postgres.shutDownInPlace();
    postgres = await startPostgresOn(engine, { dir, data: dataDir, isOwnDir: true }, settings);
    expect(await told()).toEqual(["instance-1 MASTER_SESSION_ID", "instance-2 two 3"]);
    for (const one of instances) one.session_id = "MASTER_SESSION_ID";
    expect(await told()).toEqual(["instance-1 MASTER_SESSION_ID", "instance-2 3"]);
    await postgres.shutDownInPlace();
    rmSync(join(dataDir, "standby.signal"));
    postgres = await startPostgresOn(engine, { dir, data: dataDir, isOwnDir: true }, settings);
  });
});
