/**
 * Aurora's functions, as SQL over what stock PostgreSQL and the agent's file know. Signatures are those of the Amazon Aurora
 * User Guide; what nothing here can back is left out. Bodies are parsed when they are made, under a search_path of
 * pg_catalog alone, so that no caller's has a say in what they mean.
 */

/**
 * Of the file that an agent keeps in its data directory (sight.ts): in none of its folders, which PostgreSQL's user may replace.
 * A base backup has a copy, which is written over before anybody sees it.
 */
export const sightFile = "borealis_sight.json";
export const sightBytesMax = 1_000_000;

export interface SurfaceFunction {
  readonly name: string;
  /** As CREATE FUNCTION takes them, with the parentheses. */
  readonly parameters: string;
  readonly returns: string;
  /** Attributes, without the language. */
  readonly attributes: string;
  /** RETURN or BEGIN ATOMIC. */
  readonly body: string;
  readonly description: string;
}

interface Column {
  readonly name: string;
  readonly type: string;
}

function columns(text: string): Column[] {
  return text
    .trim()
    .split(/,\s*/)
    .map((column) => {
      const [name = "", ...type] = column.split(" ");
      return { name, type: type.join(" ") };
    });
}

const replicaStatus =
  columns(`server_id text, session_id text, durable_lsn bigint, highest_lsn_rcvd bigint,
  current_read_lsn bigint, cur_replay_latency_in_usec bigint, active_txns integer, is_current boolean,
  last_transport_error integer, last_error_timestamp timestamp with time zone,
  last_update_timestamp timestamp with time zone, feedback_xmin bigint, feedback_epoch bigint,
  replica_lag_in_msec double precision, log_stream_speed_in_kib_per_second double precision,
  log_buffer_sequence_number bigint, oldest_read_view_trx_id bigint, oldest_read_view_lsn bigint,
  pending_read_ios integer, read_ios integer, iops integer, cpu double precision`);
const globalStatus =
  columns(`aws_region text, highest_lsn_written bigint, durability_lag_in_msec double precision,
  rpo_lag_in_msec double precision, last_lag_calculation_time timestamp with time zone, feedback_epoch bigint,
  feedback_xmin bigint`);
const globalInstanceStatus =
  columns(`server_id text, session_id text, aws_region text, durable_lsn bigint,
  highest_lsn_rcvd bigint, feedback_epoch bigint, feedback_xmin bigint, oldest_read_view_lsn bigint,
  visibility_lag_in_msec double precision`);
const builtins =
  columns(`"Name" text, "Result_data_type" text, "Argument_data_types" text, "Type" text,
  "Volatility" text, "Parallel" text, "Security" text, "Description" text`).map(
    ({ name, type }) => ({
      name: name.replaceAll("_", " "),
      type,
    }),
  );

function outParameters(of: readonly Column[]): string {
  return `(${of.map(({ name, type }) => `OUT ${name} ${type}`).join(", ")})`;
}

/** A stock view's rows with columns behind them; its own columns differ from version to version. */
export interface ViewFunction {
  readonly name: string;
  /** Of pg_catalog. */
  readonly view: string;
  /** Name, type and value. */
  readonly more: readonly (readonly [string, string, string])[];
  readonly returns: "SETOF record" | "record";
  readonly description: string;
}

const read = "STABLE PARALLEL SAFE";
/** No rows: there is nothing of the kind here. */
function noRows(of: readonly Column[]): string {
  const values = of.map(({ type }) => `NULL::${type}`).join(", ");
  return `BEGIN ATOMIC SELECT ${values} WHERE false; END`;
}

function sightOf(...path: string[]): string {
  const keys = path.map((key) => `, '${key}'`).join("");
  return `json_extract_path(borealis_sight()${keys})`;
}

function sightText(...path: string[]): string {
  const keys = path.map((key) => `, '${key}'`).join("");
  return `json_extract_path_text(borealis_sight()${keys})`;
}

/** As AWS's wrappers know the writer. */
export const writerSession = "MASTER_SESSION_ID";
const isOwn = "s.server_id = current_setting('cluster_name')";
/** Of one that lives this is a second or two, which is how old the news is and no lag. */
const silentMsMax = 5_000;
/**
 * Asked where the file is read, as its writer may be who is silent. Wrappers choose by lag: who has gone would else be the best
 * reader for five minutes.
 */
const silentMs =
  "(extract(epoch FROM statement_timestamp() - s.last_update_timestamp) * 1000)::double precision";
/**
 * Who writes is what PostgreSQL itself says where it can: the file may be old (a full disk, an agent that hangs), and a new
 * writer must never call another one the writer.
 */
const shownColumns: Readonly<Record<string, string>> = {
  server_id:
    "CASE WHEN borealis_shows_addresses() THEN coalesce(s.address, s.server_id) ELSE s.server_id END",
  session_id: `CASE WHEN pg_is_in_recovery() AND NOT ${isOwn} THEN s.session_id
      WHEN NOT pg_is_in_recovery() AND ${isOwn} THEN '${writerSession}'
      ELSE nullif(s.session_id, '${writerSession}') END`,
  replica_lag_in_msec: `CASE WHEN pg_is_in_recovery() OR NOT ${isOwn} THEN s.replica_lag_in_msec
      + CASE WHEN ${silentMs} > ${silentMsMax} THEN ${silentMs} ELSE 0 END END`,
};

/** In the order in which they can be made. */
export const surfaceFunctions: readonly SurfaceFunction[] = [
  {
    name: "borealis_sight",
    parameters: "()",
    returns: "json",
    attributes: `${read} SECURITY DEFINER`,
    body: `RETURN pg_read_file('${sightFile}', 0, ${sightBytesMax}, true)::json`,
    description: "What this instance's agent knows of the cluster",
  },
  {
    name: "borealis_shows_addresses",
    parameters: "()",
    returns: "boolean",
    attributes: read,
    // The proxy says where a session came in (session/start-options.ts).
    body: `RETURN CASE lower(current_setting('borealis.server_ids', true)) WHEN 'name' THEN false
      WHEN 'address' THEN true
      ELSE coalesce(current_setting('borealis.endpoint_address', true), '') <> '' END`,
    description: "Whether this session knows instances by the addresses of their endpoints",
  },
  {
    name: "aurora_version",
    parameters: "()",
    returns: "text",
    attributes: read,
    body: `RETURN format('%s.%s.0', current_setting('server_version_num')::int / 10000,
      current_setting('server_version_num')::int % 10000)`,
    description: "Version of Aurora PostgreSQL that this is compatible with",
  },
  {
    name: "aurora_db_instance_identifier",
    parameters: "()",
    returns: "character varying",
    attributes: read,
    body: `RETURN coalesce(CASE WHEN borealis_shows_addresses() THEN (SELECT s.address
      FROM json_to_recordset(${sightOf("instances")}) AS s (server_id text, address text) WHERE ${isOwn}) END,
      current_setting('cluster_name'))::character varying`,
    description: "Name of the instance that the session is connected to",
  },
  {
    name: "aurora_replica_status",
    parameters: outParameters(replicaStatus),
    returns: "SETOF record",
    attributes: `${read} ROWS 4`,
    body: `BEGIN ATOMIC SELECT ${replicaStatus.map(({ name }) => shownColumns[name] ?? `s.${name}`).join(", ")}
      FROM json_to_recordset(${sightOf("instances")})
      AS s (${[...replicaStatus, { name: "address", type: "text" }].map(({ name, type }) => `${name} ${type}`).join(", ")}); END`,
    description: "Each instance of the cluster, the writer included",
  },
  {
    name: "aurora_global_db_status",
    parameters: outParameters(globalStatus),
    returns: "SETOF record",
    attributes: read,
    body: noRows(globalStatus),
    description: "Clusters of the global database that this cluster is a member of",
  },
  {
    name: "aurora_global_db_instance_status",
    parameters: outParameters(globalInstanceStatus),
    returns: "SETOF record",
    attributes: read,
    body: noRows(globalInstanceStatus),
    description: "Instances of the global database that this cluster is a member of",
  },
  {
    name: "aurora_show_volume_status",
    parameters: "(OUT disks integer, OUT nodes integer)",
    returns: "record",
    attributes: read,
    body: `BEGIN ATOMIC SELECT ${sightText("volume", "protectionGroups")}::integer, ${sightText("volume", "nodes")}::integer; END`,
    description: "Protection groups of the volume, and its storage nodes",
  },
  {
    name: "aurora_volume_logical_start_lsn",
    parameters: "()",
    returns: "pg_lsn",
    attributes: read,
    body: `RETURN ${sightText("volume", "branchLsn")}::pg_lsn`,
    description: "Of a clone, where it branched off; null otherwise",
  },
  {
    name: "aurora_stat_wait_type",
    parameters: "(OUT type_id smallint, OUT type_name text)",
    returns: "SETOF record",
    attributes: "IMMUTABLE PARALLEL SAFE ROWS 9",
    // The upper byte of a wait event's number (wait_classes.h).
    body: `BEGIN ATOMIC SELECT t.id::smallint, t.name FROM (VALUES (1, 'LWLock'), (3, 'Lock'), (4, 'BufferPin'),
      (5, 'Activity'), (6, 'Client'), (7, 'Extension'), (8, 'IPC'), (9, 'Timeout'), (10, 'IO')) AS t (id, name); END`,
    description: "Types of wait events, and their numbers",
  },
  {
    name: "aurora_list_builtins",
    parameters: `(${builtins.map(({ name, type }) => `OUT ${name} ${type}`).join(", ")})`,
    returns: "SETOF record",
    attributes: read,
    body: `BEGIN ATOMIC SELECT p.proname::text, pg_get_function_result(p.oid),
      pg_get_function_arguments(p.oid), 'func',
      CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END,
      CASE p.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END,
      CASE WHEN p.prosecdef THEN 'definer' ELSE 'invoker' END, obj_description(p.oid, 'pg_proc')
      FROM pg_proc p
      WHERE p.pronamespace = 'pg_catalog'::regnamespace
        AND p.proname ~ '^aurora_' ORDER BY p.proname; END`,
    description: "Aurora's functions that are here",
  },
];

export const viewFunctions: readonly ViewFunction[] = [
  {
    name: "aurora_stat_activity",
    view: "pg_stat_activity",
    // As on Aurora where aurora_compute_plan_id is off: nothing computes one here.
    more: [["plan_id", "bigint", "NULL::bigint"]],
    returns: "SETOF record",
    description: "One row for each server process, as pg_stat_activity has it",
  },
  {
    name: "aurora_stat_bgwriter",
    view: "pg_stat_bgwriter",
    // As on Aurora without Optimized Reads: there is no such cache.
    more: [
      ["orcache_blks_written", "bigint", "0::bigint"],
      ["orcache_blk_write_time", "double precision", "0::double precision"],
    ],
    returns: "record",
    description: "What pg_stat_bgwriter has, and what was written to an Optimized Reads cache",
  },
];

/** Every function whose name begins with aurora_, sorted. */
export const auroraNames: readonly string[] = [...surfaceFunctions, ...viewFunctions]
  .map(({ name }) => name)
  .filter((name) => name.startsWith("aurora_"))
  .toSorted();
