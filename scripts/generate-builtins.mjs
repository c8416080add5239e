// Writes src/route/builtins.generated.ts from the catalogs of stock PostgreSQL servers, one URL each (15 and 18):
//   node scripts/generate-builtins.mjs postgres://postgres@localhost:7415/postgres postgres://postgres@localhost:7418/postgres
// A name is listed only if every server has it and every overload on every server passes: what only one version has
// is, on another, the name of a function of a user's.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { root } from "./prepare.mjs";

// Volatile, yet it neither writes nor sets anything: running it again costs at most time.
const harmlessVolatile = `
  clock_timestamp currval gen_random_uuid lastval pg_blocking_pids pg_collation_actual_version pg_control_checkpoint
  pg_control_init pg_control_recovery pg_control_system pg_current_logfile pg_current_wal_flush_lsn
  pg_current_wal_insert_lsn pg_current_wal_lsn pg_database_collation_actual_version pg_database_size
  pg_get_backend_memory_contexts pg_get_shmem_allocations pg_get_wal_replay_pause_state pg_get_wal_resource_managers
  pg_indexes_size pg_is_in_recovery pg_is_wal_replay_paused pg_jit_available pg_last_committed_xact
  pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_lock_status
  pg_notification_queue_usage pg_partition_ancestors pg_partition_tree pg_prepared_xact pg_relation_size
  pg_safe_snapshot_blocking_pids pg_sequence_last_value pg_sleep pg_sleep_for pg_sleep_until
  pg_stat_get_recovery_prefetch pg_stat_get_xact_blocks_fetched pg_stat_get_xact_blocks_hit
  pg_stat_get_xact_function_calls pg_stat_get_xact_function_self_time pg_stat_get_xact_function_total_time
  pg_stat_get_xact_numscans pg_stat_get_xact_tuples_deleted pg_stat_get_xact_tuples_fetched
  pg_stat_get_xact_tuples_hot_updated pg_stat_get_xact_tuples_inserted pg_stat_get_xact_tuples_returned
  pg_stat_get_xact_tuples_updated pg_stat_have_stats pg_table_size pg_tablespace_size pg_total_relation_size
  pg_xact_commit_timestamp pg_xact_commit_timestamp_origin pg_xact_status random timeofday txid_status
`;
// Stable by their label, yet they assign a transaction id, or run SQL over whatever a user's schema holds.
const harmfulStable = `
  txid_current pg_current_xact_id table_to_xml table_to_xmlschema table_to_xml_and_xmlschema schema_to_xml
  schema_to_xmlschema schema_to_xml_and_xmlschema database_to_xml database_to_xmlschema
  database_to_xml_and_xmlschema domain_in domain_recv
`;

const words = (text) => text.trim().split(/\s+/);
const allowedVolatile = new Set(words(harmlessVolatile));
const excluded = new Set(words(harmfulStable));

async function catalogOf(url) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const names = async (sql, ...values) =>
    (await client.query(sql, values)).rows.map((row) => row.name);
  // Functions over pseudo-types such as internal are the engine's own: no statement can call them.
  const functions = await names(
    `SELECT proname AS name FROM pg_catalog.pg_proc
      WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind IN ('f', 'a', 'w')
      GROUP BY proname
     HAVING bool_and((provolatile <> 'v' OR proname = ANY ($1))
        AND NOT 'internal'::regtype = ANY (proargtypes::oid[])
        AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype))`,
    [...allowedVolatile],
  );
  const operators = await names(
    `SELECT DISTINCT oprname AS name FROM pg_catalog.pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace`,
  );
  const types = await names(
    `SELECT typname AS name FROM pg_catalog.pg_type
      WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') AND typcategory <> 'A'`,
  );
  const { rows } = await client.query("SHOW server_version");
  await client.end();
  return { version: rows[0].server_version.split(" ")[0], functions, operators, types };
}

const catalogs = [];
for (const url of process.argv.slice(2)) catalogs.push(await catalogOf(url));
if (catalogs.length === 0) {
  console.error("give the URL of at least one server");
  process.exit(2);
}

function inAll(kind) {
  const [first, ...others] = catalogs.map((catalog) => new Set(catalog[kind]));
  return [...first]
    .filter((name) => others.every((other) => other.has(name)))
    .toSorted((a, b) => (a < b ? -1 : 1));
}

function asText(names) {
  const lines = [];
  let line = "";
  for (const name of names) {
    if (line.length + name.length > 96) {
      lines.push(line);
      line = "";
    }
    line += line ? ` ${name}` : name;
  }
  return [...lines, line].join("\n");
}

// An operator may hold a backtick: escaped, since the lists are template literals.
const literal = (names) =>
  `\`\n${asText(names)
    .replace(/[\\`]/g, String.raw`\$&`)
    .replaceAll("${", "\\${")}\n\``;
const functions = inAll("functions").filter((name) => !excluded.has(name));
writeFileSync(
  join(root, "src", "route", "builtins.generated.ts"),
  `// Generated by scripts/generate-builtins.mjs from PostgreSQL ${catalogs.map((c) => c.version).join(" and ")}; do not edit.

function setOf(names: string): ReadonlySet<string> {
  return new Set(names.trim().split(/\\s+/));
}

/** Functions of pg_catalog that neither write nor set anything, whatever their arguments. */
export const harmlessFunctions = setOf(${literal(functions)});

/** Operators of pg_catalog. */
export const builtinOperators = setOf(${literal(inAll("operators"))});

/** Base, range and multirange types of pg_catalog, by their catalog names. */
export const builtinTypes = setOf(${literal(inAll("types"))});
`,
);
console.log(
  `${functions.length} functions, ${inAll("operators").length} operators, ${inAll("types").length} types`,
);
