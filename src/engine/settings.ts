/**
 * Every PostgreSQL setting that Borealis has an opinion on, and why. What must hold goes on the command line, which
 * outranks postgresql.conf and ALTER SYSTEM (base/owned-settings.ts says why); it is the same for writer and reader,
 * because a promotion does not restart the process. What is only a default goes into postgresql.conf; what users choose
 * (docs/parameters.md) goes into postgresql.auto.conf, which outranks that.
 */
import { ownedReason } from "../base/owned-settings.ts";

export type Role = "writer" | "reader";

/** The name under which the log driver attaches; as the one synchronous standby it decides when commits return. */
export const logDriverName = "borealis_log";
/** The port in the name of every socket file; nothing listens on TCP. */
export const socketPort = 5432;
/** The bootstrap superuser: Borealis itself, never a user. */
export const bootstrapUser = "rdsadmin";

const connections = 300;
const reservedConnections = 10;
/** How many connections the endpoints may hand to users, so that Borealis's own always find room. */
export const userConnectionsMax = connections - reservedConnections;

/** What a value may depend on. */
export interface SettingContext {
  /** Name of the instance. */
  readonly instance: string;
  /** The directory of PostgreSQL's socket. */
  readonly socketDir: string;
  /** The directory of the socket at which the agent serves the log to a reader. */
  readonly feedDir: string;
  /** Those that somebody may create who is no superuser; null: Aurora's settings are not there. */
  readonly extensions: readonly string[] | null;
  /** Endpoints take nobody in without TLS. */
  readonly forcesTls: boolean;
}

export interface Setting {
  readonly name: string;
  readonly value: string | ((context: SettingContext) => string);
  /** Whose; settings on the command line are always for both. */
  readonly role: Role | "both";
  /** "holds": on the command line, nobody may change it. "default": in postgresql.conf, overrides may. */
  readonly strength: "holds" | "default";
  /** The majors that know it; all of 15 to 18 if absent. */
  readonly from?: number;
  readonly reason: string;
}

function holds(name: string, value: Setting["value"], from?: number): Setting {
  return {
    name,
    value,
    role: "both",
    strength: "holds",
    reason: ownedReason(name) ?? "",
    ...(from === undefined ? {} : { from }),
  };
}

function byDefault(
  name: string,
  value: string,
  reason: string,
  limits: { role?: Role; from?: number } = {},
): Setting {
  const { role = "both", from } = limits;
  return {
    name,
    value,
    role,
    strength: "default",
    reason,
    ...(from === undefined ? {} : { from }),
  };
}

const durability: readonly Setting[] = [
  holds("fsync", "off"),
  holds("full_page_writes", "on"),
  holds("synchronous_standby_names", `FIRST 1 (${logDriverName})`),
  holds("synchronous_commit", "on"),
  holds("wal_level", "replica"),
  holds("restart_after_crash", "off"),
  holds("max_slot_wal_keep_size", "-1"),
  holds("idle_replication_slot_timeout", "0", 18),
  holds("wal_recycle", "off"),
  holds("wal_init_zero", "off"),
  holds("archive_mode", "off"),
  holds("restore_command", ""),
];

const replication: readonly Setting[] = [
  holds("hot_standby", "on"),
  holds("primary_conninfo", (context) => primaryConninfo(context.feedDir, context.instance)),
  holds("primary_slot_name", ""),
  holds("wal_receiver_create_temp_slot", "off"),
  holds("recovery_target_timeline", "latest"),
  holds("recovery_min_apply_delay", "0"),
  holds("hot_standby_feedback", "on"),
  holds("wal_receiver_status_interval", "1s"),
  holds("wal_retrieve_retry_interval", "100ms"),
  holds("max_wal_senders", "10"),
  holds("max_replication_slots", "10"),
  byDefault(
    "wal_sender_timeout",
    "60s",
    "the log driver answers keepalives; its death is noticed by the agent",
  ),
  byDefault(
    "max_standby_streaming_delay",
    "30s",
    "what feedback does not cover may hold up replay for so long",
  ),
  byDefault("summarize_wal", "on", "incremental snapshots need to know which blocks changed", {
    from: 17,
  }),
];

const access: readonly Setting[] = [
  holds("listen_addresses", ""),
  holds("port", String(socketPort)),
  holds("unix_socket_directories", (context) => quotedPath(context.socketDir)),
  holds("unix_socket_permissions", "0700"),
  holds("ssl", "off"),
  holds("cluster_name", (context) => context.instance),
  holds("max_connections", String(connections)),
  holds("superuser_reserved_connections", String(reservedConnections)),
  holds("max_prepared_transactions", "64"),
  holds("max_worker_processes", "8"),
  holds("max_locks_per_transaction", "64"),
  byDefault(
    "client_connection_check_interval",
    "1s",
    "frees the backend of a client that went away during a long query",
  ),
];

const footprint: readonly Setting[] = [
  byDefault(
    "shared_buffers",
    "128MB",
    "touched only as it fills: a whole cluster idles on a laptop",
  ),
  byDefault("huge_pages", "off", "huge pages would be taken at once, whether used or not"),
  byDefault("io_method", "sync", "saves the worker processes of each instance", { from: 18 }),
  byDefault("checkpoint_timeout", "15min", "rare checkpoints put fewer full pages into the log", {
    role: "writer",
  }),
  byDefault("max_wal_size", "2GB", "rare checkpoints put fewer full pages into the log", {
    role: "writer",
  }),
  byDefault(
    "checkpoint_timeout",
    "5min",
    "restartpoints bound how much a reader replays when it starts",
    { role: "reader" },
  ),
  byDefault("max_wal_size", "1GB", "restartpoints bound the size of a reader's cache", {
    role: "reader",
  }),
];

const logging: readonly Setting[] = [
  holds("log_destination", "stderr"),
  holds("logging_collector", "off"),
  holds("lc_messages", "C"),
  byDefault("log_line_prefix", "%m [%p] ", "when and who"),
  byDefault(
    "log_min_messages",
    "log",
    "what concerns the server; errors of statements go to their clients, and may quote what they sent",
  ),
  byDefault("log_min_error_statement", "panic", "statements may hold passwords"),
  byDefault(
    "log_error_verbosity",
    "terse",
    "the detail of a backend's crash is the statement that it ran, which may hold a password",
  ),
  byDefault("log_statement", "none", "statements may hold passwords"),
  byDefault("log_parameter_max_length", "0", "parameters may hold secrets"),
  byDefault("log_parameter_max_length_on_error", "0", "parameters may hold secrets"),
  byDefault("log_checkpoints", "off", "noise"),
  byDefault("log_autovacuum_min_duration", "-1", "noise"),
];

const language: readonly Setting[] = [
  byDefault("timezone", "UTC", "as on Aurora, and the same on every host"),
  byDefault("log_timezone", "UTC", "as on Aurora, and the same on every host"),
  byDefault("datestyle", "iso, mdy", "what initdb chooses"),
  byDefault("lc_monetary", "C", "the same on every host"),
  byDefault("lc_numeric", "C", "the same on every host"),
  byDefault("lc_time", "C", "the same on every host"),
  byDefault("default_text_search_config", "pg_catalog.english", "what initdb chooses"),
];

/** Of the endpoints: to PostgreSQL they are names that SHOW knows, and that SET, ALTER ROLE and ALTER DATABASE change. */
const forwarding: readonly Setting[] = [
  holds("apg_write_forward.consistency_mode", "off"),
  holds("apg_write_forward.connect_timeout", "30"),
  holds("apg_write_forward.idle_session_timeout", "300000"),
];

/** By which AWS's client wrappers tell Aurora from other PostgreSQL: in rds.extensions, though nobody needs to create it. */
const auroraMark = "aurora_stat_utils";

/** Aurora's: to PostgreSQL they are names that SHOW knows. They say what is the case here; pg_settings shows them, too. */
const aurora: readonly Setting[] = [
  holds("rds.extensions", ({ extensions }) =>
    [...(extensions ?? []), auroraMark].toSorted().join(", "),
  ),
  holds("rds.force_ssl", ({ forcesTls }) => (forcesTls ? "on" : "off")),
  holds("rds.logical_replication", "off"),
  holds("rds.restrict_password_commands", "off"),
  holds("rds.superuser_variables", "session_replication_role"),
];
const auroraNames: readonly string[] = aurora.map(({ name }) => name);

/** What pg_settings shows besides PostgreSQL's own, as it is on the command line. */
export function auroraSettings(context: SettingContext): ReadonlyMap<string, string> {
  return new Map(aurora.map((setting) => [setting.name, valueOf(setting, context)]));
}

export const settings: readonly Setting[] = [
  ...durability,
  ...replication,
  ...access,
  ...footprint,
  ...logging,
  ...language,
  ...forwarding,
  ...aurora,
];

/** The settings that must hold, as arguments of `postgres`: `-c name=value` each. */
export function commandLineSettings(major: number, context: SettingContext): string[] {
  const isWanted = (name: string): boolean =>
    context.extensions !== null || !auroraNames.includes(name);
  return settingsOf("holds", "writer", major).flatMap((setting) =>
    isWanted(setting.name) ? ["-c", `${setting.name}=${valueOf(setting, context)}`] : [],
  );
}

/** The defaults of an instance in this role, with their reasons, and then `overrides` (a later line wins). */
export function configurationFile(options: {
  readonly role: Role;
  readonly major: number;
  readonly context: SettingContext;
  readonly overrides?: ReadonlyMap<string, string>;
}): string {
  const { role, major, context, overrides } = options;
  const lines = [
    `# Written by Borealis at each start of ${context.instance} as a ${role}: changes here are lost.`,
  ];
  for (const setting of settingsOf("default", role, major)) {
    lines.push(`${setting.name} = ${quotedValue(valueOf(setting, context))}  # ${setting.reason}`);
  }
  for (const [name, value] of overrides ?? []) {
    if (mayOverride(name)) lines.push(`${name} = ${quotedValue(value)}`);
  }
  return `${lines.join("\n")}\n`;
}

/** Whether a user's value for `name` may count: a setting's name, and not one that is Borealis's. */
export function mayOverride(name: string): boolean {
  const isName = /^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$/i.test(name);
  return isName && ownedReason(name) === undefined;
}

/** Who may connect: whoever can enter the socket directory. The endpoints authenticate users (D15). */
export function hbaFile(): string {
  return [
    "# Written by Borealis at each start: changes here are lost. Only Borealis can enter the socket directory.",
    "local all all trust",
    "local replication all trust",
    "",
  ].join("\n");
}

/** How a reader's walreceiver finds its agent. */
export function primaryConninfo(feedDir: string, instance: string): string {
  const parts = {
    host: feedDir,
    port: String(socketPort),
    user: bootstrapUser,
    application_name: instance,
    sslmode: "disable",
    gssencmode: "disable",
  };
  return Object.entries(parts)
    .map(([key, value]) => `${key}='${value.replace(/[\\']/g, "\\$&")}'`)
    .join(" ");
}

function settingsOf(strength: Setting["strength"], role: Role, major: number): Setting[] {
  return settings.filter(
    (setting) =>
      setting.strength === strength &&
      (setting.role === "both" || setting.role === role) &&
      (setting.from ?? 0) <= major,
  );
}

function valueOf(setting: Setting, context: SettingContext): string {
  return typeof setting.value === "string" ? setting.value : setting.value(context);
}

/** One entry of a comma-separated list of paths. */
function quotedPath(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `"${path.replaceAll('"', '""')}"`;
}

function quotedValue(value: string): string {
  return `'${value.replaceAll("\\", "\\\\").replaceAll("'", "''").replaceAll("\n", " ")}'`;
}
