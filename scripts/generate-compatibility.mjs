// Writes docs/compatibility.md from a run: each function is called on a writer and on a reader, by a role that may do
// nothing, of a cluster that is up. Takes the master user's URLs of both (`borealis url writer`, `borealis url reader`):
//   node scripts/generate-compatibility.mjs WRITER_URL READER_URL
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { root } from "./prepare.mjs";

export const compatibilityFile = join(root, "docs", "compatibility.md");

/** What somebody may run into. */
const limits = [
  "A user's own function that has the name of one of these is found with its schema alone: `pg_catalog` comes first",
  "A cluster of before that has it made, and one that another version of Borealis makes it for, waits for whoever reads `pg_settings` just then, a quarter of a second at a time; on readers, queries of `pg_settings` may wait for that as for any other replaced view",
  "On PostgreSQL 15 who has CREATEROLE may drop or rename the roles, which are made again when a writer opens",
  "`pg_settings` shows `apg_write_forward.consistency_mode` as set by the session where an option of its start has set it",
  "`pg_dumpall` has the roles; where that is restored here, `CREATE ROLE` says that they exist",
  "Each instance writes a file of a kilobyte or two once a second, also while nobody works",
  "Where somebody has dropped plpgsql, the functions that inject faults are missing; dropping it takes CASCADE",
];

/** What Aurora has, and why it is not here. */
const absent = [
  [
    "aurora_stat_system_waits, aurora_stat_backend_waits, aurora_stat_wait_event, aurora_wait_report",
    "stock PostgreSQL does not count waits, nor does it number its wait events; sampling and numbers of ours would give other figures under the same names",
  ],
  ["aurora_stat_dml_activity", "nothing counts statements and their times by kind and database"],
  ["aurora_stat_get_db_commit_latency", "nothing sums up commit times by database"],
  [
    "aurora_stat_database, aurora_stat_statements, aurora_stat_file, aurora_stat_optimized_reads_cache",
    "what they add is told by Aurora's storage engine and its local cache, which are not here; PostgreSQL's own views are",
  ],
  ["aurora_stat_plans, apg_plan_mgmt", "a stock engine has no place for what they do"],
  [
    "aurora_stat_memctx_usage",
    "a stock session sees its own memory only: pg_backend_memory_contexts",
  ],
  [
    "aurora_stat_logical_wal_cache, aurora_stat_reset_wal_cache",
    "there is no such cache, and no logical replication (wal_level is replica)",
  ],
  ["aurora_ccm_status", "readers are kept warm in another way, which has no such figures"],
  [
    "aurora_limitless_router_endpoints, get_blue_green_fast_switchover_metadata, rds_tools.*",
    "their presence would tell wrappers that this is another kind of cluster",
  ],
  ["aws_commons, aws_s3, aws_lambda, aws_ml", "they call services of AWS"],
];

/** Functions; and schemas, which have others in them. */
export const absentNames = absent.flatMap(([names]) => names.split(", "));

const absentRows = absent.map(([names, why]) => [
  names
    .split(", ")
    .map((name) => `\`${name}\``)
    .join(", "),
  why,
]);

/** What a function's answer means here, where that is not all that Aurora's documentation says. */
const notes = {
  aurora_version: "PostgreSQL's version and `.0`: Borealis has no patches of its own",
  aurora_replica_status:
    "Columns that nothing here backs are null: `cur_replay_latency_in_usec`, `active_txns`, `last_transport_error`, `last_error_timestamp`, `log_stream_speed_in_kib_per_second`, `log_buffer_sequence_number`, `oldest_read_view_trx_id`, `oldest_read_view_lsn`, `pending_read_ios`, `read_ios`, `iops`. `cpu`: percent of one processor; 0 outside Linux, in an instance's first second, and of one that was never heard of. `current_read_lsn` is what that instance has replayed, and so is a reader's `durable_lsn`: nothing that is not durable comes to it. `is_current` is always true. An instance that is away stays listed, with the time when it was last heard of by the control plane that runs now, or 1970; once that is five seconds ago, `replica_lag_in_msec` is the lag that it had then and the time since, or null if none was known. For a second or three after its start an instance may show the others as it last knew them, and none of them as the writer. `server_id` is the address of the instance's endpoint for who came in at one of those ([wrappers.md](wrappers.md))",
  aurora_db_instance_identifier:
    "The address of its endpoint for who came in at one of those ([wrappers.md](wrappers.md))",
  aurora_global_db_status: "No rows: there are no global databases",
  aurora_global_db_instance_status: "No rows: there are no global databases",
  aurora_show_volume_status:
    "`disks`: protection groups, of which a volume has one here. Both are null until the control plane has told the instance of the volume",
  aurora_stat_activity: "`plan_id` is null, as with aurora_compute_plan_id off",
  aurora_stat_bgwriter: "The cache's figures are 0, as without Optimized Reads",
  aurora_stat_wait_type: "PostgreSQL's types; not LSN, which Aurora's engine adds",
};

/** What the faults are here. */
const faultNotes = {
  aurora_inject_crash:
    "`instance`: its PostgreSQL is killed. `dispatcher`: the writer's log driver ends, and takes its PostgreSQL along; 55000 on a reader, which has none. `node`: both, and the agent of the instance",
  aurora_inject_replica_failure:
    "Of the pieces of log that come for the reader so many in a hundred are kept back; half a second later they are asked for again. An empty name means all readers. It ends early for a reader that is promoted",
  aurora_inject_disk_failure:
    "So many in a hundred of a storage node's requests are refused, as by one without room. `is_disk` false: `index` 0 to 5 are the nodes in the order of `borealis status`; true: 0 is the protection group, all six nodes",
  aurora_inject_disk_congestion:
    "So many in a hundred of a storage node's requests wait for a random time between `minimum` and `maximum` milliseconds, which are from 0.0 to 100.0. `is_disk` and `index` as of aurora_inject_disk_failure",
};

const roleNotes = {
  rds_superuser:
    "pg_monitor, pg_signal_backend, pg_checkpoint, rds_password and rds_replication, with ADMIN OPTION; may set session_replication_role; creates the extensions in rds.extensions where it has CREATE. A cluster made with `--no-superuser` has its master user in it",
  rds_replication: "nothing yet: there are no logical slots (wal_level is replica)",
  rds_password:
    "nothing beyond PostgreSQL's rules: rds.restrict_password_commands cannot be turned on",
  rds_iam:
    "where `iam.enabled` is on, members log in by tokens, and by no password ([iam.md](iam.md)); else it is nothing. Members of rds_superuser (before PostgreSQL 16: who has CREATEROLE) may grant it",
};

const rolesText = `A role that somebody else has made under one of these names, before or in the place of ours, stays as it is: it is granted
nothing, and granted to nobody. The log says so (\`surface.notMade\`, \`roles\`); once that role is renamed or dropped, Aurora's
is made within five minutes. Ours are known by their numbers, in a comment on tablespace \`pg_global\`: whoever replaces
that comment makes them somebody else's. One that is missing is made again when a writer opens, with its grants; what a
superuser has granted or revoked otherwise stays until another version grants differently.`;

/** As AWS's wrappers send them, and how many rows each gives; null: that depends on where. */
export const wrapperStatements = [
  ["PostgreSQL?", "SELECT 1 FROM pg_catalog.pg_proc LIMIT 1", 1],
  [
    "Aurora?",
    "SELECT (setting LIKE '%aurora_stat_utils%') AS aurora_stat_utils FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=) 'rds.extensions'",
    1,
  ],
  [
    "Aurora? (JDBC)",
    "SELECT (setting OPERATOR(pg_catalog.~~) '%aurora_stat_utils%') AS aurora_stat_utils FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=) 'rds.extensions'",
    1,
  ],
  ["Aurora, second test", "SELECT 1 FROM pg_catalog.aurora_replica_status() LIMIT 1", 1],
  [
    "Multi-AZ cluster? (no row: no)",
    "SELECT 1 AS tmp FROM information_schema.routines WHERE routine_schema = 'rds_tools' AND routine_name = 'multi_az_db_cluster_source_dbi_resource_id'",
    0,
  ],
  [
    "topology",
    "SELECT server_id, CASE WHEN SESSION_ID OPERATOR(pg_catalog.=) 'MASTER_SESSION_ID' THEN TRUE ELSE FALSE END AS is_writer, CPU, COALESCE(REPLICA_LAG_IN_MSEC, 0) AS lag, LAST_UPDATE_TIMESTAMP FROM pg_catalog.aurora_replica_status() WHERE EXTRACT(EPOCH FROM(pg_catalog.NOW() OPERATOR(pg_catalog.-) LAST_UPDATE_TIMESTAMP)) OPERATOR(pg_catalog.<=) 300 OR SESSION_ID OPERATOR(pg_catalog.=) 'MASTER_SESSION_ID' OR LAST_UPDATE_TIMESTAMP IS NULL",
    null,
  ],
  ["who am I", "SELECT pg_catalog.aurora_db_instance_identifier() as host", 1],
  [
    "am I the writer",
    "SELECT server_id FROM pg_catalog.aurora_replica_status() WHERE SESSION_ID OPERATOR(pg_catalog.=) 'MASTER_SESSION_ID' AND SERVER_ID OPERATOR(pg_catalog.=) pg_catalog.aurora_db_instance_identifier()",
    null,
  ],
  ["role", "SELECT pg_catalog.pg_is_in_recovery() as is_reader", 1],
  [
    "global?",
    "select 'pg_catalog.aurora_global_db_status'::pg_catalog.regproc, 'pg_catalog.aurora_global_db_instance_status'::pg_catalog.regproc",
    1,
  ],
  ["global? (0: no)", "SELECT pg_catalog.count(1) FROM pg_catalog.aurora_global_db_status()", 1],
  ["other tools", "SELECT aurora_version()", 1],
  ["other tools", "SELECT EXISTS (SELECT 1 FROM pg_settings WHERE name LIKE 'apg%')", 1],
];

const role = "compatibility_probe";

async function session(url, changes = {}) {
  const at = new URL(url);
  const client = new pg.Client({
    host: at.hostname,
    port: Number(at.port),
    user: at.username,
    password: decodeURIComponent(at.password),
    database: at.pathname.slice(1) || "postgres",
    ...changes,
  });
  await client.connect();
  return client;
}

/** Raises with the SQL in its message: whatever fails would be a false line in the document. */
async function rowsOf(client, text) {
  try {
    return (await client.query(text)).rows;
  } catch (error) {
    throw new Error(`${text}: ${error.message}`, { cause: error });
  }
}

/** One side's answers, by a role that may do nothing. */
async function askOne(url, password) {
  const client = await session(url, { user: role, password });
  try {
    const all = await rowsOf(client, "SELECT * FROM aurora_list_builtins()");
    const faults = all.filter((one) => one.Name in faultNotes);
    for (const { Name } of faults) {
      const may = `SELECT bool_or(has_function_privilege(oid, 'execute')) AS may FROM pg_proc WHERE proname = '${Name}'`;
      if ((await rowsOf(client, may))[0].may) throw new Error(`anybody may call ${Name}`);
    }
    const functions = all.filter((one) => !(one.Name in faultNotes));
    for (const one of functions) await rowsOf(client, `SELECT * FROM ${one.Name}()`);
    const settings = await rowsOf(
      client,
      "SELECT name, setting, short_desc FROM pg_settings WHERE name ~ '^(rds|apg)' ORDER BY name",
    );
    for (const one of settings) await rowsOf(client, `SHOW ${one.name}`);
    for (const [, text, rows] of wrapperStatements) {
      const found = (await rowsOf(client, text)).length;
      if (rows !== null && found !== rows) throw new Error(`${text}: ${found} rows`);
    }
    const roles = await rowsOf(
      client,
      "SELECT rolname FROM pg_roles WHERE rolname ~ '^rds_' ORDER BY rolname",
    );
    return { functions, faults, settings, roles: roles.map((one) => one.rolname) };
  } finally {
    await client.end();
  }
}

function table(head, rows) {
  const line = (cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

const short = (type) => (type.length > 60 ? `${type.slice(0, 57)}...` : type);

/** docs/compatibility.md as it is to be. Raises if anything does not answer, or if writer and reader differ. */
export async function compatibilityText(writerUrl, readerUrl) {
  const password = `p${Math.random()}`;
  const admin = await session(writerUrl);
  await admin.query(
    `DROP ROLE IF EXISTS ${role}; CREATE ROLE ${role} LOGIN PASSWORD '${password}'`,
  );
  const { rows } = await admin.query("SELECT pg_current_wal_lsn() AS at");
  try {
    const onWriter = await askOne(writerUrl, password);
    const reader = await session(readerUrl);
    for (let isThere = false; !isThere;) {
      const [{ there }] = await rowsOf(
        reader,
        `SELECT coalesce(pg_last_wal_replay_lsn() >= '${rows[0].at}', true) AS there`,
      );
      isThere = there;
    }
    await reader.end();
    const onReader = await askOne(readerUrl, password);
    if (JSON.stringify(onReader) !== JSON.stringify(onWriter))
      throw new Error("the reader has others than the writer");
    return textOf(onWriter);
  } finally {
    await admin.query(`DROP ROLE ${role}`);
    await admin.end();
  }
}

function limitsText() {
  return `## On unless turned off

    npx borealis config sql.aurora off              # then start again; or: up --set sql.aurora=off

A cluster of before has all of it some seconds after its next start; what is its own stays as it is. Off from its first start on,
nothing of what is listed here is made. Turned off later: what was made stays; the functions tell of no instance then, and the
roles and what \`pg_settings\` shows are as they were. What you may run into:

${limits.map((one) => `- ${one}.`).join("\n")}`;
}

function faultsText(faults) {
  return `## Faults

For superusers and members of \`rds_superuser\` (others are refused: 42501), on writer and readers, also in transactions that only
read. What is asked for is done, and nothing that was acknowledged is lost by it; \`test/aurora-inject.test.ts\` does all of it.
[operations.md](operations.md#injected-faults) tells how to see what lasts.

${table(
  ["function", "what"],
  faults.map((one) => [
    `\`${one.Name}(${one["Argument data types"]})\``,
    `${one.Description}. ${faultNotes[one.Name]}.`,
  ]),
)}

Not as on Aurora:

- After a crash of the writer a reader takes over, if there is one, as after any loss of the writer ([failover.md](failover.md)).
- Who calls \`aurora_inject_crash\` is told 40001 and goes on; with \`borealis.on_failover = disconnect\` the connection closes. Other
  sessions go on as after any loss ([sessions.md](sessions.md)). A call in a function or view is run again like its statement, on three
  servers at most.
- The others return when the fault is there, with a notice that says whom it is about and until when.
- A new fault of a kind takes the place of the last in the same part. A storage node's faults end with its process, too.`;
}

function textOf({ functions, faults, settings, roles }) {
  const unknown = roles.filter((name) => !(name in roleNotes));
  if (unknown.length > 0) throw new Error(`nothing is said here about ${unknown}`);
  const present = functions.map((one) => {
    const returns = short(one["Result data type"]);
    const note = notes[one.Name] ?? "";
    return [`\`${one.Name}()\``, returns, `${one.Description}.${note && ` ${note}.`}`];
  });
  return `# Compatibility with Aurora PostgreSQL

<!-- Written by scripts/generate-compatibility.mjs from a run; test/aurora-functions.test.ts asserts that it is current. -->

What is listed here as present was called on a writer and on a reader, by a role without any privileges, when this page was
made. It is in \`pg_catalog\` of every database, and no dump of a database has it.
The endpoints know these functions to be harmless where they are called with their schema (\`pg_catalog.aurora_version()\`, as AWS's
wrappers do); without it they count as any function of a user's.

${limitsText()}

## Functions

${table(["function", "gives", "what"], present)}

What a superuser drops is made again in each database when a writer opens (a start, a failover); what a superuser has changed
stays so until another version of Borealis makes all anew.

${faultsText(faults)}

## Absent functions

What cannot be backed by facts is left out, so that whoever asks is told 42883 (3F000 where it is a schema) rather than something
plausible.

${table(["Aurora has", "not here, because"], absentRows)}

## Settings

In \`pg_settings\` and \`SHOW\`, the same on all instances. \`rds.extensions\` also has \`aurora_stat_utils\`, by which AWS's
wrappers tell Aurora.

${table(
  ["setting", "here", "what"],
  settings.map((one) => [
    `\`${one.name}\``,
    one.name === "rds.extensions" ? "those of this PostgreSQL" : `\`${one.setting}\``,
    one.short_desc,
  ]),
)}

## Roles

${table(
  ["role", "allows"],
  roles.map((name) => [`\`${name}\``, roleNotes[name]]),
)}

${rolesText}

## Statements of AWS's wrappers

Each of these answers on both, as it stands.

${table(
  ["asks", "statement"],
  wrapperStatements.map(([what, text]) => [what, `\`${text}\``]),
)}
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [writerUrl, readerUrl] = process.argv.slice(2);
  if (readerUrl === undefined) {
    console.error("give the URLs of a writer and of a reader");
    process.exit(2);
  }
  writeFileSync(compatibilityFile, await compatibilityText(writerUrl, readerUrl));
}
