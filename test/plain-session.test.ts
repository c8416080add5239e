/** Sessions of Borealis's own on PostgreSQL where somebody has set all that he could for everybody. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { realClock } from "../src/io/index.ts";
import {
  connectPg,
  connectReplication,
  type PgClient,
  plainSettings,
  takeBaseBackup,
} from "../src/wire/index.ts";
import {
  enginesForFile,
  startStockPostgres,
  type StockPostgres,
} from "./helpers/stock-postgres.ts";

/** For everybody, and unkind. */
const unkind: Readonly<Record<string, string>> = {
  default_transaction_isolation: "serializable",
  default_transaction_read_only: "on",
  default_transaction_deferrable: "on",
  statement_timeout: "1ms",
  lock_timeout: "1ms",
  idle_session_timeout: "1ms",
  idle_in_transaction_session_timeout: "1ms",
  exit_on_error: "on",
  search_path: "evil",
  row_security: "off",
  session_replication_role: "replica",
  standard_conforming_strings: "off",
  client_encoding: "LATIN1",
  bytea_output: "escape",
  DateStyle: "German",
  IntervalStyle: "iso_8601",
  TimeZone: "Asia/Tokyo",
  extra_float_digits: "-15",
  xmlbinary: "hex",
  quote_all_identifiers: "on",
  transform_null_equals: "on",
};
/** It counts from the first moment on, before PostgreSQL reads what a session wants: less keeps everybody out (parameters.ts). */
const since17 = { transaction_timeout: "1s" };

/** Those of these groups are all ours to say, but for what is here. */
const groups =
  /^(?:Client Connection Defaults \/ (?:Statement Behavior|Locale and Formatting)|Version and Platform Compatibility.*|Error Handling)$/;
const ofNoMatter = new Set([
  // Of one transaction, or of what is stored.
  "transaction_deferrable",
  "transaction_isolation",
  "transaction_read_only",
  "default_toast_compression",
  "default_text_search_config",
  "gin_fuzzy_search_limit",
  "gin_pending_list_limit",
  "icu_validation_level",
  "timezone_abbreviations",
  // Of vacuum and files.
  "synchronize_seqscans",
  "vacuum_failsafe_age",
  "vacuum_freeze_min_age",
  "vacuum_freeze_table_age",
  "vacuum_multixact_failsafe_age",
  "vacuum_multixact_freeze_min_age",
  "vacuum_multixact_freeze_table_age",
  "vacuum_cleanup_index_scale_factor",
  "escape_string_warning",
  "lo_compat_privileges",
]);

describe.each(enginesForFile())("PostgreSQL $version", (engine) => {
  const major = Number(engine.version);
  let postgres: StockPostgres;
  let client: PgClient;
  const user = "rdsadmin";
  beforeAll(async () => {
    postgres = await startStockPostgres(engine);
    await postgres.query("CREATE SCHEMA evil");
    for (const [name, value] of Object.entries({ ...unkind, ...(major >= 17 ? since17 : {}) }))
      await postgres.query(`ALTER SYSTEM SET ${name} = '${value}'`);
    // Of a database too, which outranks what is for everybody.
    await postgres.query("ALTER DATABASE postgres SET extra_float_digits = 0");
    await postgres.query("SELECT pg_reload_conf()");
    const { address } = postgres;
    client = await connectPg({ address, user, database: "postgres" });
  });
  afterAll(async () => {
    client?.destroy();
    await postgres.stop();
  });

  it("a session of ours has what it needs, whatever was set", async () => {
    for (const { name, value } of plainSettings(major)) {
      const { rows } = await client.query(
        `SELECT pg_catalog.current_setting('${name}'), (SELECT source FROM pg_catalog.pg_settings WHERE name = '${name}')`,
      );
      expect(rows[0]?.[0]?.toLowerCase(), name).toBe(value.toLowerCase());
      // Those of a library that is not loaded are in no list.
      expect([null, undefined, "client"], name).toContain(rows[0]?.[1]);
    }
    await client.query("BEGIN; CREATE TABLE public.t (n int); SELECT pg_catalog.pg_sleep(1.1)");
    await new Promise((resolve) => setTimeout(resolve, 20));
    await client.query("COMMIT");
    const { rows } = await client.query("SELECT E'\\\\x41'::pg_catalog.bytea, '\\'");
    expect(rows).toEqual([["\\x41", "\\"]]);
  });

  it("a replication connection and a backup are as before", async () => {
    const { address } = postgres;
    const facts = { address, user, applicationName: "ours", clock: realClock };
    const replication = await connectReplication(facts);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect((await replication.identifySystem()).systemId).toMatch(/^\d+$/);
    replication.destroy();
    let bytes = 0;
    const take = (piece: Buffer): Promise<void> => {
      bytes += piece.length;
      return Promise.resolve();
    };
    const sink = { onTar: take, onManifest: take };
    await takeBaseBackup({ ...facts, sink, signal: AbortSignal.timeout(120_000) });
    expect(bytes).toBeGreaterThan(1_000_000);
  });

  it("nothing that a session may set, and that matters, is left out", async () => {
    const { rows } = await client.query(
      "SELECT name, category FROM pg_catalog.pg_settings WHERE context IN ('user', 'superuser', 'backend', 'superuser-backend')",
    );
    const plain = new Set(plainSettings(major).map(({ name }) => name));
    const left = rows.filter(
      ([name, category]) =>
        groups.test(category ?? "") && !plain.has(name ?? "") && !ofNoMatter.has(name ?? ""),
    );
    expect(left.map(([name]) => name)).toEqual([]);
  });
});
