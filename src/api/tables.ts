import type { ParameterRow, StatusReport } from "../cluster/index.ts";
import type { ClusterEvent } from "../events/index.ts";
import type { ListedSnapshot } from "../keeper/index.ts";
import type { SessionRow } from "../session/index.ts";
import { printJson } from "./jsonb.ts";
import { parseValue, type SqlType, type SqlValue } from "./sql-types.ts";

/** What has to be asked for, so that a table can be shown. */
export type Source = "status" | "snapshots" | "parameters" | "sessions" | "events";

/** The cluster at one moment; what a statement does not need is absent. */
export interface Sight {
  readonly nowUs: bigint;
  readonly status?: StatusReport;
  readonly snapshots?: readonly ListedSnapshot[];
  readonly parameters?: readonly ParameterRow[];
  readonly sessions?: readonly SessionRow[];
  /** The oldest first. */
  readonly events?: readonly ClusterEvent[];
}

export interface TableColumn {
  readonly name: string;
  readonly type: SqlType;
  readonly about: string;
}

export interface Table {
  readonly name: string;
  readonly about: string;
  readonly source: Source;
  readonly columns: readonly TableColumn[];
  readonly rows: (sight: Sight) => SqlValue[][];
}

/** A column, and where its value is; JSON's values are turned into the type's. */
interface Field<T> extends TableColumn {
  readonly of: (item: T) => unknown;
}

function field<T>(name: string, type: SqlType, about: string, of: (item: T) => unknown): Field<T> {
  return { name, type, about, of };
}

function table<T>(
  head: Pick<Table, "name" | "about" | "source">,
  fields: readonly Field<T>[],
  items: (sight: Sight) => readonly T[],
): Table {
  return {
    ...head,
    columns: fields.map(({ name, type, about }) => ({ name, type, about })),
    rows: (sight) =>
      items(sight).map((item) => fields.map(({ type, of }) => toValue(type, of(item)))),
  };
}

function toValue(type: SqlType, value: unknown): SqlValue {
  if (value === null || value === undefined) return null;
  if (type === "text[]") return Array.isArray(value) ? value.map(String) : null;
  if (type === "jsonb") return printJson(value);
  if (type === "bool") return value === true;
  if (type === "float8") return Number(value);
  if (type === "int4" || type === "int8") return BigInt(Math.trunc(Number(value)));
  // LSNs, times and words travel as text.
  return typeof value === "string" ? parseValue(type, value) : JSON.stringify(value);
}

type Row<K extends "endpoints" | "instances" | "storage"> = StatusReport[K][number];

const cluster = table<StatusReport>(
  { name: "cluster", about: "the cluster and its volume: one row", source: "status" },
  [
    field("id", "text", "its name", ({ cluster }) => cluster.id),
    field("state", "text", "as in borealis status", ({ cluster }) => cluster.state),
    field("engine_version", "text", "PostgreSQL's", ({ cluster }) => cluster.engineVersion),
    field("epoch", "int8", "ownership of the volume", ({ cluster }) => orNull(cluster.epoch)),
    field("timeline", "int8", "PostgreSQL's branch", ({ cluster }) => orNull(cluster.timeline)),
    field("vdl", "pg_lsn", "up to where all is durable", ({ cluster }) => cluster.vdl),
    field("writer", "text", "who takes writes; null: nobody", ({ cluster }) => cluster.writer),
    field("data_dir", "text", "the data directory", ({ cluster }) => cluster.dataDir),
    field("supervisor_pid", "int4", "process", ({ cluster }) => cluster.supervisorPid),
    field("bytes", "int8", "one copy of the volume", ({ volume }) => volume.bytes),
    field("log_bytes", "int8", "log that is kept", ({ volume }) => volume.logBytes),
    field("extent_bytes", "int8", "of all snapshots together", ({ volume }) => volume.extentBytes),
    field("shared_bytes", "int8", "shared with clones", ({ volume }) => volume.sharedBytes),
    field("log_start", "pg_lsn", "where the log begins", ({ volume }) => volume.logStart),
    field("snapshots", "int4", "how many", ({ volume }) => volume.snapshots),
    field("damage", "text", "what no store has whole", ({ volume }) => volume.damage),
    field(
      "problem",
      "text",
      "why the object store is not used, or snapshots do not go on",
      ({ volume }) => volume.problem,
    ),
    field(
      "earliest_restorable_time",
      "timestamptz",
      "restore can go back so far",
      ({ volume }) => volume.earliestRestorableTime,
    ),
    field(
      "latest_restorable_time",
      "timestamptz",
      "and up to here",
      ({ volume }) => volume.latestRestorableTime,
    ),
    field(
      "archived_lsn",
      "pg_lsn",
      "log in the object store; null: nobody archives",
      ({ volume }) => volume.archive?.archivedLsn,
    ),
    field("archive_lag_bytes", "int8", "not yet there", ({ volume }) => volume.archive?.lagBytes),
    field("archive_problem", "text", "why not", ({ volume }) => volume.archive?.problem),
  ],
  ({ status }) => (status ? [status] : []),
);

const endpoints = table<Row<"endpoints">>(
  { name: "endpoints", about: "where clients connect", source: "status" },
  [
    field("id", "text", "its name", (row) => row.id),
    field("type", "text", "writer, reader, instance or custom", (row) => row.type),
    field("host", "text", "where it listens", (row) => row.host),
    field("port", "int4", "and at which port", (row) => row.port),
    field(
      "loopback",
      "text",
      "a further address, where it answers at the writer's port; null: none",
      (row) => row.loopback,
    ),
    field("members", "text[]", "to whom new sessions go now", (row) => row.members),
    field("allow", "text[]", "from where; null: as access.allow says", (row) => row.allow),
    field("custom_type", "text", "of a custom one: reader or any", (row) => row.custom?.type),
    field("static", "text[]", "a custom one's list of members", (row) => row.custom?.static),
    field("excluded", "text[]", "a custom one's list of others", (row) => row.custom?.excluded),
  ],
  ({ status }) => status?.endpoints ?? [],
);

const instances = table<Row<"instances">>(
  { name: "instances", about: "PostgreSQLs and their agents", source: "status" },
  [
    field("id", "text", "its name", (row) => row.id),
    field("role", "text", "writer or reader", (row) => row.role),
    field("az", "text", "its availability zone", (row) => row.az),
    field("tier", "int4", "promoted first: the lowest", (row) => row.tier),
    field("state", "text", "as in borealis status", (row) => row.state),
    field("agent_pid", "int4", "process", (row) => row.agentPid),
    field("postgres_pid", "int4", "process", (row) => row.postgresPid),
    field("replay_lsn", "pg_lsn", "how far a reader is", (row) => row.replayLsn),
    field("lag_ms", "float8", "how far behind a reader is", (row) => row.lagMs),
    field("port", "int4", "its own endpoint's", (row) => row.port),
    field("building", "text", "what its cache waits for", (row) => row.building?.step),
    field("building_done_bytes", "int8", "done of that", (row) => row.building?.doneBytes),
    field("building_total_bytes", "int8", "of so many", (row) => row.building?.totalBytes),
    field("problem", "text", "why it is not available", (row) => row.problem),
    field("fault", "text", "an injected one, while it lasts", (row) => row.fault),
  ],
  ({ status }) => status?.instances ?? [],
);

const storage = table<Row<"storage">>(
  { name: "storage", about: "the six storage nodes", source: "status" },
  [
    field("id", "text", "its name", (row) => row.id),
    field("az", "text", "its availability zone", (row) => row.az),
    field("kind", "text", "full or tail", (row) => row.kind),
    field("node_id", "text", "who has the name now", (row) => row.nodeId),
    field("state", "text", "as in borealis status", (row) => row.state),
    field("pid", "int4", "process", (row) => row.pid),
    field("scl", "pg_lsn", "up to where it has all log", (row) => row.scl),
    field("base", "pg_lsn", "where its log begins", (row) => row.base),
    field("epoch", "int8", "the newest that it has accepted", (row) => row.epoch),
    field("bytes", "int8", "of its log", (row) => row.bytes),
    field("health", "text", "ok, full, damaged or failed", (row) => row.health),
    field("fault", "text", "injected ones, while they last", (row) => row.fault),
  ],
  ({ status }) => status?.storage ?? [],
);

const sessions = table<SessionRow>(
  { name: "sessions", about: "clients' sessions at the endpoints", source: "sessions" },
  [
    field("pid", "int4", "what the client knows as its server's", (row) => row.pid),
    field("user", "text", "who logged in", (row) => row.user),
    field("database", "text", "where", (row) => row.database),
    field("application_name", "text", "as the client says", (row) => row.applicationName),
    field("client_address", "text", "where it connects from", (row) => row.clientAddress),
    field("endpoint", "text", "where it connected to", (row) => row.endpoint),
    field("instance", "text", "where it is, or was last", (row) => row.instance),
    field("state", "text", "idle, active, in transaction, parked, waiting", (row) => row.state),
    field("since", "timestamptz", "when it began", (row) => isoTime(row.sinceMs)),
    field("backend_pid", "int4", "its server process; null: none", (row) => row.backendPid),
    field("is_pooled", "bool", "whether it shares connections", (row) => row.isPooled),
    field("outcomes", "jsonb", "how losses of its servers ended", (row) => row.outcomes),
    field("kept_because", "text", "why it keeps a pooled connection", (row) => row.keptBecause),
  ],
  ({ sessions: rows }) => rows ?? [],
);

const snapshots = table<ListedSnapshot>(
  { name: "snapshots", about: "snapshots of the volume", source: "snapshots" },
  [
    field("id", "text", "its name", (row) => row.id),
    field("kind", "text", "genesis, automatic or manual", (row) => row.kind),
    field("start_lsn", "pg_lsn", "log is needed from here", (row) => row.startLsn),
    field("end_lsn", "pg_lsn", "it is consistent from here", (row) => row.endLsn),
    field("taken_at", "timestamptz", "when", (row) => row.takenAt),
    field("data_bytes", "int8", "all files' bytes", (row) => row.dataBytes),
    field("stored_bytes", "int8", "as they are stored; shared", (row) => row.storedBytes),
    field("problem", "text", "why it cannot be read; null: it can", (row) => row.problem),
  ],
  ({ snapshots: rows }) => rows ?? [],
);

const parameters = table<ParameterRow>(
  { name: "parameters", about: "PostgreSQL's settings that were set", source: "parameters" },
  [
    field("name", "text", "the setting", (row) => row.name),
    field("value", "text", "as it was set", (row) => row.value),
    field("scope", "text", "cluster, or the instance that it is for", (row) => row.scope),
    field("apply_type", "text", "dynamic, or static: needs a reboot", (row) => row.applyType),
    field("state", "text", "in-sync, pending-reboot or unknown", (row) => row.state),
    field("pending", "text[]", "instances that are to be rebooted", (row) => row.pending),
  ],
  ({ parameters: rows }) => rows ?? [],
);

const events = table<ClusterEvent>(
  { name: "events", about: "what has happened to the cluster", source: "events" },
  [
    field("time", "timestamptz", "when", (row) => row.time),
    field(
      "source_type",
      "text",
      "cluster, instance, storage, snapshot, …",
      (row) => row.sourceType,
    ),
    field("source", "text", "to which of them it happened", (row) => row.source),
    field("category", "text", "failover, failure, backup, …", (row) => row.category),
    field("message", "text", "in words", (row) => row.message),
  ],
  ({ events: rows }) => rows ?? [],
);

/** In the order in which they are listed. */
export const tables: readonly Table[] = [
  cluster,
  endpoints,
  instances,
  storage,
  sessions,
  snapshots,
  parameters,
  events,
];

/** Where they are said to be; public does as well. */
export const tableSchema = "borealis";

/** Undefined: there is none of that name in that schema. */
export function findTable(name: string, schema?: string): Table | undefined {
  if (schema !== undefined && schema !== tableSchema && schema !== "public") return undefined;
  return tables.find((one) => one.name === name);
}

/** Status says 0 where there is no writer to have one. */
function orNull(count: number): number | null {
  return count === 0 ? null : count;
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
