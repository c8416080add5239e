import { crc32c } from "../base/crc32c.ts";
import { quoteLiteral } from "./bootstrap.ts";
import { initialPrivilegesSql } from "./hot-blocks.ts";
import {
  type SurfaceFunction,
  surfaceFunctions,
  type ViewFunction,
  viewFunctions,
} from "./surface-functions.ts";

/** How long making anew may wait for a lock, and all others behind it: replacing a view waits for whoever reads it. */
const lockTimeoutMs = 250;

/** Aurora's settings, as rows that pg_settings has besides PostgreSQL's; SHOW has them from the command line. */
const shownSettings: readonly ShownSetting[] = [
  ["rds.extensions", "internal", "Extensions that a member of rds_superuser may create."],
  ["rds.logical_replication", "internal", "Whether the log holds what logical decoding needs."],
  ["rds.restrict_password_commands", "internal", "Whether only rds_password sets passwords."],
  ["rds.superuser_variables", "internal", "Settings that a member of rds_superuser may set."],
];
/** What sessions may set themselves: their own value counts. */
const sessionSettings: readonly ShownSetting[] = [
  [
    "apg_write_forward.consistency_mode",
    "user",
    "How far a read waits for forwarded writes, and whether writes are forwarded at all.",
  ],
];
type ShownSetting = readonly [name: string, context: string, description: string];

/** What the SQL depends on. */
export interface SurfaceFacts {
  /** The command line's values of the settings that are shown as they were there. */
  readonly settings: ReadonlyMap<string, string>;
}

/** What a database has is compared with this: it changes with anything that the SQL makes. */
export function surfaceVersion(facts: SurfaceFacts): string {
  const crc = crc32c(Buffer.from(statementsOf(facts).join("\n")));
  return `surface ${crc.toString(16).padStart(8, "0")}`;
}

/**
 * Makes Aurora's functions and settings in one database, whole or not at all, over what an older Borealis made there. Needs
 * PostgreSQL's own superuser. Leaves no trace in a dump: pg_dump has of pg_catalog only privileges that were changed.
 */
export function surfaceSql(facts: SurfaceFacts): string {
  const version = quoteLiteral(surfaceVersion(facts));
  return [
    "BEGIN",
    `SET LOCAL lock_timeout = ${lockTimeoutMs}`,
    "SET LOCAL allow_system_table_mods = on",
    "SET LOCAL search_path = pg_catalog",
    ...statementsOf(facts),
    `COMMENT ON FUNCTION pg_catalog.borealis_sight() IS ${version}`,
    "COMMIT",
  ].join(";\n");
}

/** One value: what surfaceSql has left here last; null: it was never run. */
export const surfaceVersionQuery =
  "SELECT pg_catalog.obj_description(pg_catalog.to_regprocedure('pg_catalog.borealis_sight()'), 'pg_proc')";

function statementsOf({ settings }: SurfaceFacts): string[] {
  return [
    ...surfaceFunctions.flatMap(functionStatements),
    ...viewFunctions.map(viewStatement),
    settingsView(settings),
    initialPrivilegesSql,
  ];
}

function functionStatements(one: SurfaceFunction): string[] {
  const { name, parameters, returns, attributes, body, description } = one;
  const create = `CREATE OR REPLACE FUNCTION pg_catalog.${name}${parameters} RETURNS ${returns} LANGUAGE sql ${attributes}`;
  // The helper's comment is the version.
  if (!name.startsWith("aurora_")) return [`${create} ${body}`];
  const signature = `pg_catalog.${name}`;
  return [`${create} ${body}`, `COMMENT ON FUNCTION ${signature} IS ${quoteLiteral(description)}`];
}

/** The view's columns are asked of the catalog where the function is made. */
function viewStatement({ name, view, more, returns, description }: ViewFunction): string {
  const outs = more.map(([column, type]) => `, OUT ${column} ${type}`).join("");
  const values = more.map(([, , value]) => `, ${value}`).join("");
  const body = `DECLARE
    outs text; names text;
  BEGIN
    SELECT string_agg(format('OUT %I %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum),
      string_agg(format('v.%I', attname), ', ' ORDER BY attnum) INTO outs, names
      FROM pg_attribute WHERE attrelid = 'pg_catalog.${view}'::regclass AND attnum > 0 AND NOT attisdropped;
    EXECUTE format($f$CREATE OR REPLACE FUNCTION pg_catalog.${name}(%s${outs}) RETURNS ${returns}
      LANGUAGE sql STABLE BEGIN ATOMIC SELECT %s${values} FROM pg_catalog.${view} v; END$f$, outs, names);
  END`;
  const comment = `COMMENT ON FUNCTION pg_catalog.${name} IS ${quoteLiteral(description)}`;
  return `DO ${quoteLiteral(body)};\n${comment}`;
}

/** As PostgreSQL's system_views.sql has it from 15 to 18, and more rows. Its rules for UPDATE stay. */
function settingsView(values: ReadonlyMap<string, string>): string {
  const rows = [
    ...shownSettings.map((one) => settingRow(one, quoteLiteral(values.get(one[0]) ?? ""))),
    ...sessionSettings.map((one) =>
      settingRow(one, `pg_catalog.current_setting(${quoteLiteral(one[0])}, true)`),
    ),
  ];
  return `CREATE OR REPLACE VIEW pg_catalog.pg_settings AS SELECT * FROM pg_catalog.pg_show_all_settings() AS a
    ${rows.map((row) => `UNION ALL SELECT ${row}`).join("\n    ")}`;
}

function settingRow([name, context, description]: ShownSetting, value: string): string {
  const text = "NULL::text";
  const fields = [
    quoteLiteral(name),
    value,
    text, // unit
    quoteLiteral("Customized Options"),
    quoteLiteral(description),
    text, // extra_desc
    quoteLiteral(context),
    quoteLiteral("string"),
    quoteLiteral("command line"),
    text, // min_val
    text, // max_val
    "NULL::text[]", // enumvals
    value, // boot_val
    value, // reset_val
    text, // sourcefile
    "NULL::integer", // sourceline
    "false", // pending_restart
  ];
  return fields.join(", ");
}
