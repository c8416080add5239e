import { crc32c } from "../base/crc32c.ts";
import { initialPrivilegesSql } from "./hot-blocks.ts";
import { quoteLiteral } from "./quoting.ts";
import {
  type SurfaceFunction,
  surfaceFunctions,
  type ViewFunction,
  viewFunctions,
} from "./surface-functions.ts";

/** Between a mark and the names of what was refused. */
const without = " without ";
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

/** One thing of a part. */
export interface SurfaceStep {
  readonly name: string;
  readonly sql: string;
  /** Whether it makes the function of its name. */
  readonly isFunction: boolean;
}

/**
 * What is made in one database in one transaction, over what an older Borealis made there. Needs PostgreSQL's own superuser.
 * Leaves no trace in a dump: pg_dump has of pg_catalog only privileges that were changed.
 */
export interface SurfacePart {
  readonly name: "functions" | "settings";
  /** What the database has is compared with this: it changes with anything that the steps make. */
  readonly mark: string;
  /** Gives the mark that was left last, without a name (null: it was never made), and the name of each function that is there. */
  readonly foundQuery: string;
  /** Whose comment the mark is. */
  readonly marked: string;
  readonly steps: readonly SurfaceStep[];
}

/** Begins the transaction of a part. */
export const beginPartSql = [
  "BEGIN",
  `SET LOCAL lock_timeout = ${lockTimeoutMs}`,
  "SET LOCAL allow_system_table_mods = on",
  "SET LOCAL search_path = pg_catalog",
].join("; ");

/**
 * Which steps are to be taken, given the rows of `foundQuery`: all where another version's mark is, else those that were refused,
 * or whose function is missing. What is there and has been changed since was meant.
 */
export function stepsDue(
  { mark, steps }: SurfacePart,
  rows: readonly (readonly (string | null)[])[],
): readonly SurfaceStep[] {
  const [left = ""] = rows.flatMap(([name, text]) => (name == null ? [text ?? ""] : []));
  const [made, ...refused] = left.split(without);
  if (made !== mark) return steps;
  const there = new Set(rows.flatMap(([name]) => name ?? []));
  const isDue = ({ name, isFunction }: SurfaceStep): boolean =>
    refused.includes(name) || (isFunction && !there.has(name));
  // A function that is made anew has no privileges that dumps leave out.
  return steps.some(isDue) ? steps.filter((step) => isDue(step) || !step.isFunction) : [];
}

/** Ends it. `refused`: names of steps that were not possible; the mark tells of them, so that the next writer tries again. */
export function endPartSql({ mark, marked }: SurfacePart, refused: readonly string[]): string {
  const whole = [mark, ...refused].join(without);
  return `COMMENT ON ${marked} IS ${quoteLiteral(whole)}; COMMIT`;
}

/** The functions do without the settings: replacing pg_settings waits for whoever reads it, and may go on doing so. */
export function surfaceParts({ settings }: SurfaceFacts): readonly SurfacePart[] {
  const functions = [
    ...surfaceFunctions.map(functionStep),
    ...viewFunctions.map(viewStep),
    { name: "initial privileges", sql: initialPrivilegesSql, isFunction: false },
  ];
  const view = [{ name: "pg_settings", sql: settingsView(settings), isFunction: false }];
  const names = functions.map(({ name }) => quoteLiteral(name)).join(", ");
  const descriptionOf = (what: string, catalog: string): string =>
    `SELECT NULL, pg_catalog.obj_description(${what}, '${catalog}')`;
  return [
    {
      name: "functions",
      mark: markOf(functions),
      foundQuery:
        descriptionOf("pg_catalog.to_regprocedure('pg_catalog.borealis_sight()')", "pg_proc") +
        " UNION ALL SELECT proname, NULL FROM pg_catalog.pg_proc WHERE pronargs = 0 " +
        `AND pronamespace = 'pg_catalog'::pg_catalog.regnamespace AND proname IN (${names})`,
      marked: "FUNCTION pg_catalog.borealis_sight()",
      steps: functions,
    },
    {
      name: "settings",
      mark: markOf(view),
      foundQuery: descriptionOf("'pg_catalog.pg_settings'::pg_catalog.regclass", "pg_class"),
      marked: "VIEW pg_catalog.pg_settings",
      steps: view,
    },
  ];
}

function markOf(steps: readonly SurfaceStep[]): string {
  const crc = crc32c(Buffer.from(steps.map(({ sql }) => sql).join("\n")));
  return `borealis ${crc.toString(16).padStart(8, "0")}`;
}

/**
 * Removes what has its name in another shape, over which it cannot be put (42P13). A user's view may hold on to a function:
 * whoever changes a shape gives the new one a new name, and keeps the old one.
 */
export function dropSql({ name, isFunction }: SurfaceStep): string | undefined {
  return isFunction ? `DROP FUNCTION pg_catalog.${name}() RESTRICT` : undefined;
}

function functionStep(one: SurfaceFunction): SurfaceStep {
  const { name, parameters, returns, attributes, body, description } = one;
  const create = `CREATE OR REPLACE FUNCTION pg_catalog.${name}${parameters} RETURNS ${returns} LANGUAGE sql ${attributes}`;
  // The helper's comment is the mark.
  const comment = name.startsWith("aurora_")
    ? `; COMMENT ON FUNCTION pg_catalog.${name} IS ${quoteLiteral(description)}`
    : "";
  return { name, sql: `${create} ${body}${comment}`, isFunction: true };
}

/** The view's columns are asked of the catalog where the function is made. */
function viewStep({ name, view, more, returns, description }: ViewFunction): SurfaceStep {
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
  return { name, sql: `DO ${quoteLiteral(body)}; ${comment}`, isFunction: true };
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
