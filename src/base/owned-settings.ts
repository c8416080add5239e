/**
 * PostgreSQL's settings that are Borealis's to set, and why: ALTER SYSTEM and parameters refuse them with these words. What
 * their values are, engine/settings.ts says.
 */
import { BorealisError, sqlState } from "./errors.ts";

const ended = "a reader would stop there";
const waits = "nobody would get in in time, Borealis neither";
const preloaded =
  "a library that is missing would keep everybody out, Borealis too; ALTER ROLE and ALTER DATABASE set it for some";

const reasons: ReadonlyMap<string, string> = new Map([
  [
    "fsync",
    "the data directory is a cache; the storage nodes sync, and a cache from before a crash of the operating system is thrown away",
  ],
  ["full_page_writes", "heals pages torn by a killed process, and backups from readers require it"],
  [
    "synchronous_standby_names",
    "commits return when the quorum holds them; the same on readers, so that a promotion leaves no gap",
  ],
  ["synchronous_commit", "commits wait for the quorum unless a session says otherwise"],
  ["wal_level", "everything must be in the log: minimal would skip bulk loads"],
  ["restart_after_crash", "after a crash the control plane decides who writes, not PostgreSQL"],
  ["max_slot_wal_keep_size", "log that the quorum does not hold yet must never be removed"],
  ["idle_replication_slot_timeout", "the slot of the log driver must never be invalidated"],
  ["wal_recycle", "old segments are not rewritten: smaller caches"],
  ["wal_init_zero", "new segments stay sparse: durability is elsewhere"],
  ["archive_mode", "the log leaves through the log driver"],
  [
    "archive_timeout",
    "there is no archive of PostgreSQL's own: each switch would fill a segment for nothing",
  ],
  [
    "restore_command",
    "the log comes through the feed; each probe of a command would cost a fork during a promotion",
  ],
  ["hot_standby", "readers serve reads"],
  ["primary_conninfo", "a reader follows its own agent, which stops at the durable end"],
  ["primary_slot_name", "the feed knows no slots"],
  ["wal_receiver_create_temp_slot", "the feed knows no slots"],
  ["recovery_target_timeline", "readers follow a failover"],
  ["recovery_min_apply_delay", "a delay would delay promotions too"],
  [
    "hot_standby_feedback",
    "the writer keeps rows that readers still look at: fewer cancelled queries",
  ],
  ["wal_receiver_status_interval", "how fresh feedback and lag are"],
  [
    "wal_retrieve_retry_interval",
    "how long a reader is blind after its feed restarted; the default is 5 s",
  ],
  ["max_wal_senders", "log driver and backups; equal on all instances, or readers pause replay"],
  ["max_replication_slots", "log driver and logical clients; equal on all instances"],
  ["max_active_replication_origins", "as max_replication_slots; equal on all instances"],
  ["listen_addresses", "users come through the endpoints only"],
  ["port", "part of the name of the socket file"],
  ["unix_socket_directories", "a directory that only Borealis can enter: trust inside it is safe"],
  ["unix_socket_permissions", "nobody but Borealis connects directly"],
  ["unix_socket_group", "nobody but Borealis connects directly"],
  ["db_user_namespace", "names of users would mean others in each database, Borealis's own too"],
  ["ssl", "TLS ends at the endpoints"],
  ["cluster_name", "tells the instances of one host apart in ps"],
  ["max_connections", "equal on all instances, or readers pause replay"],
  ["superuser_reserved_connections", "Borealis itself always gets in"],
  [
    "max_prepared_transactions",
    "prepared transactions survive a failover; equal on all instances, or readers pause replay",
  ],
  ["max_worker_processes", "equal on all instances, or readers pause replay"],
  ["max_locks_per_transaction", "equal on all instances, or readers pause replay"],
  ["log_destination", "the agent owns the log file"],
  ["logging_collector", "the agent owns the log file"],
  [
    "lc_messages",
    "the agent reads why PostgreSQL ended; SET, ALTER ROLE and ALTER DATABASE set it for sessions",
  ],
  // Not on the command line: nothing of Borealis's sets them, and nobody may.
  ["allow_alter_system", "it is how the agent tells PostgreSQL what users set"],
  ["track_activities", "a switchover waits for what runs, and would not see it"],
  ["recovery_target", ended],
  ["recovery_target_action", ended],
  ["recovery_target_inclusive", ended],
  ["recovery_target_lsn", ended],
  ["recovery_target_name", ended],
  ["recovery_target_time", ended],
  ["recovery_target_xid", ended],
  ["recovery_end_command", "who is promoted waits for nothing"],
  ["archive_cleanup_command", "there is no archive of PostgreSQL's own"],
  ["archive_command", "the log leaves through the log driver"],
  ["archive_library", "the log leaves through the log driver"],
  ["promote_trigger_file", "the control plane decides who writes"],
  [
    "application_name",
    "a name that all sessions have tells nobody apart, and one of them is reserved",
  ],
  [
    "client_min_messages",
    "endpoints hear of a commit's broken-off wait by a warning; of sessions, users and databases they know who has none",
  ],
  ["wal_sender_timeout", "a log driver that is taken for dead ends the writer"],
  ["wal_receiver_timeout", "a feed that is taken for dead makes readers lag"],
  ["pre_auth_delay", waits],
  ["post_auth_delay", waits],
  [
    "dynamic_library_path",
    "a reader finds in it what receives the log; ALTER ROLE and ALTER DATABASE set it for some",
  ],
  ["hba_file", "the endpoints authenticate users"],
  ["ident_file", "the endpoints authenticate users"],
  ["external_pid_file", "the agent knows its PostgreSQL"],
  ["session_preload_libraries", preloaded],
  ["local_preload_libraries", preloaded],
]);

const endpointSetting =
  "the endpoints read it of sessions, users and databases: SET, ALTER ROLE and ALTER DATABASE change it";
const auroraSetting = "it says what is the case here";

/** Why nobody but Borealis sets it for a cluster or an instance; undefined: it is anybody's. As PostgreSQL, whatever its case. */
export function ownedReason(setting: string): string | undefined {
  const name = setting.toLowerCase();
  if (/^(?:borealis|apg_write_forward)\./.test(name)) return endpointSetting;
  if (name.startsWith("rds.")) return auroraSetting;
  return reasons.get(name);
}

const unitsMs: ReadonlyMap<string, number> = new Map([
  ["us", 0.001],
  ["ms", 1],
  ["s", 1_000],
  ["min", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
]);
const transactionTimeoutMsMin = 1_000;

/** Why a setting that is anybody's does not have this value for everybody; undefined: it may. */
export function valueReason(setting: string, value: string): string | undefined {
  switch (setting.toLowerCase()) {
    case "transaction_timeout":
      return timeoutReason(value);
    case "log_min_messages":
      // Why PostgreSQL did not start is a FATAL, which the agent reads.
      return value.trim().toLowerCase() === "panic" ? "panic leaves out why it ended." : undefined;
    default:
      return undefined;
  }
}

function timeoutReason(value: string): string | undefined {
  const [, number, unit = "ms"] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]+)?\s*$/.exec(value) ?? [];
  const ms = Number(number) * (unitsMs.get(unit) ?? Number.NaN);
  if (Number.isNaN(ms)) return "Write it as a plain number, as 90s or 5min.";
  // PostgreSQL counts from before it reads what a session of ours wants.
  return ms > 0 && ms < transactionTimeoutMsMin
    ? "Less than 1s would end logins, Borealis's own too; SET, ALTER ROLE and ALTER DATABASE take less."
    : undefined;
}

/** Names of what has PostgreSQL run programs or code, or read and write files: of its own, and of what extensions call such. */
const hostNames =
  /(?:_command|_librar(?:y|ies)|_file|_path|_dir|_directory|_filename|_tablespaces|_keyfile)$|^ssl_|[._](?:init|start_proc)$/;
const hostSettings: ReadonlySet<string> = new Set([
  "jit_provider",
  "log_file_mode",
  // What a superuser alone may do, or harms all data.
  "allow_in_place_tablespaces",
  "allow_system_table_mods",
  "ignore_checksum_failure",
  "ignore_invalid_pages",
  "ignore_system_indexes",
  "lo_compat_privileges",
  "zero_damaged_pages",
]);
/** These are ordinary, for all their names. */
const harmless: ReadonlySet<string> = new Set(["search_path", "temp_tablespaces"]);

/**
 * Why a master user who is no superuser does not set it: it would make one of him, on a machine that is not his. Undefined: it is
 * anybody's.
 */
export function superuserReason(setting: string): string | undefined {
  const name = setting.toLowerCase();
  if (harmless.has(name)) return undefined;
  const reachesHost = hostSettings.has(name) || hostNames.test(name);
  return reachesHost
    ? "The master user is no superuser, and it reaches the machine, or what only superusers may change."
    : undefined;
}

/** Raised to whoever sets what is not theirs. */
export function notAnybodys(
  name: string,
  hint = `Borealis sets it: ${ownedReason(name) ?? "it is its own"}.`,
): BorealisError {
  return new BorealisError(sqlState.cannotChange, `parameter "${name}" cannot be changed`, {
    hint,
  });
}
