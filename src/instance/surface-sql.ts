import { crc32c } from "../base/crc32c.ts";
import { initialPrivilegesSql } from "./hot-blocks.ts";
import {
  type InjectFunction,
  injectFunctions,
  injectSql,
  requestFunction,
  signatureOf,
} from "./inject-functions.ts";
import { quoteLiteral } from "./quoting.ts";
import {
  type SurfaceFunction,
  surfaceFunctions,
  type ViewFunction,
  viewFunctions,
} from "./surface-functions.ts";
import { settingsFunctions, settingsViewSql } from "./surface-settings.ts";

/** Between a mark and the names of what was refused. */
const without = " without ";
/** How long making anew may wait for a lock, and all others behind it: replacing a view waits for whoever reads it. */
const lockTimeoutMs = 250;

/** What the SQL depends on. */
export interface SurfaceFacts {
  /** The command line's values of the settings that are shown as they were there. */
  readonly settings: ReadonlyMap<string, string>;
  /** rds_superuser is there, and ours: its members may do what that role allows. */
  readonly hasSuperuserRole: boolean;
}

/** One thing of a part. */
export interface SurfaceStep {
  readonly name: string;
  readonly sql: string;
  /** `sql` is a query that gives what is to be run: it depends on the version, and there may be no language but SQL. */
  readonly isAsked: boolean;
  /** Of the function of its name, with its parameters' types; undefined: it makes none. */
  readonly signature: string | undefined;
}

/**
 * What is made in one database in one transaction, over what an older Borealis made there. Needs PostgreSQL's own superuser.
 * Leaves no trace in a dump: pg_dump has of pg_catalog only privileges that were changed.
 */
export interface SurfacePart {
  readonly name: "functions" | "settings" | "pg_settings";
  /** What the database has is compared with this: it changes with anything that the steps make. */
  readonly mark: string;
  /** Gives the mark that was left last, without a name (null: it was never made), and the name of each function that is there. */
  readonly foundQuery: string;
  /** Whose comment the mark is. */
  readonly marked: string;
  readonly steps: readonly SurfaceStep[];
}

/** Gives the names of event triggers, quoted, that fire in every session: of those that are made before PostgreSQL 17 too. */
export const alwaysFiringQuery =
  "SELECT pg_catalog.quote_ident(evtname) FROM pg_catalog.pg_event_trigger WHERE evtenabled = 'A' ORDER BY evtname";

/** Has them fire, or not; no event trigger fires at that, and nobody sees it before the transaction ends. */
export function firingSql(names: readonly string[], fires: boolean): string {
  const how = fires ? "ENABLE ALWAYS" : "DISABLE";
  return names.map((name) => `ALTER EVENT TRIGGER ${name} ${how}`).join("; ");
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
  const isDue = ({ name, signature }: SurfaceStep): boolean =>
    refused.includes(name) || (signature !== undefined && !there.has(name));
  // A function that is made anew has no privileges that dumps leave out.
  return steps.some(isDue)
    ? steps.filter((step) => isDue(step) || step.signature === undefined)
    : [];
}

/** The last statement. `refused`: names of steps that were not possible; the mark tells of them, so that the next writer tries again. */
export function markSql({ mark, marked }: SurfacePart, refused: readonly string[]): string {
  const whole = [mark, ...refused].join(without);
  return `COMMENT ON ${marked} IS ${quoteLiteral(whole)}`;
}

/**
 * The functions do without the settings: replacing pg_settings waits for whoever reads it, and may go on doing so. The view has
 * no values in it: other extensions than before replace a function, for which nobody waits.
 */
export function surfaceParts({ settings, hasSuperuserRole }: SurfaceFacts): readonly SurfacePart[] {
  const grantee = hasSuperuserRole ? "rds_superuser" : undefined;
  const functions = [
    ...surfaceFunctions.map(functionStep),
    ...viewFunctions.map(viewStep),
    ...[requestFunction, ...injectFunctions].map((one) => injectStep(one, grantee)),
    stepOf("initial privileges", privilegesSql),
  ];
  const shown = settingsFunctions(settings).map(functionStep);
  const view = [stepOf("pg_settings", settingsViewSql)];
  return [
    {
      name: "functions",
      mark: markOf(functions),
      foundQuery: foundQueryOf("borealis_sight", functions),
      marked: "FUNCTION pg_catalog.borealis_sight()",
      steps: functions,
    },
    {
      name: "settings",
      mark: markOf(shown),
      foundQuery: foundQueryOf("borealis_settings", shown),
      marked: "FUNCTION pg_catalog.borealis_settings()",
      steps: shown,
    },
    {
      name: "pg_settings",
      mark: markOf(view),
      foundQuery: descriptionOf("'pg_catalog.pg_settings'::pg_catalog.regclass", "pg_class"),
      marked: "VIEW pg_catalog.pg_settings",
      steps: view,
    },
  ];
}

/** `marked`: the function whose comment is the mark. */
function foundQueryOf(marked: string, steps: readonly SurfaceStep[]): string {
  const wanted = steps.flatMap(({ name, signature }) =>
    signature === undefined ? [] : [`('${name}', 'pg_catalog.${signature}')`],
  );
  return (
    descriptionOf(`pg_catalog.to_regprocedure('pg_catalog.${marked}()')`, "pg_proc") +
    ` UNION ALL SELECT w.name, NULL FROM (VALUES ${wanted.join(", ")}) AS w (name, signature) ` +
    "WHERE pg_catalog.to_regprocedure(w.signature) IS NOT NULL"
  );
}

function descriptionOf(what: string, catalog: string): string {
  return `SELECT NULL, pg_catalog.obj_description(${what}, '${catalog}')`;
}

function stepOf(name: string, sql: string): SurfaceStep {
  return { name, sql, isAsked: false, signature: undefined };
}

function markOf(steps: readonly SurfaceStep[]): string {
  const crc = crc32c(Buffer.from(steps.map(({ sql }) => sql).join("\n")));
  return `borealis ${crc.toString(16).padStart(8, "0")}`;
}

/**
 * Removes what has its name in another shape, over which it cannot be put (42P13). A user's view may hold on to a function:
 * whoever changes a shape gives the new one a new name, and keeps the old one.
 */
export function dropSql({ signature }: SurfaceStep): string | undefined {
  return signature === undefined ? undefined : `DROP FUNCTION pg_catalog.${signature} RESTRICT`;
}

/** Whom a function of ours was granted to may have changed with what it is made of. */
const privilegesSql =
  "DELETE FROM pg_catalog.pg_init_privs i USING pg_catalog.pg_proc p WHERE i.objoid = p.oid AND i.objsubid = 0 " +
  "AND i.classoid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.proname ~ '^aurora_inject_' " +
  `AND p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace; ${initialPrivilegesSql}`;

function injectStep(one: InjectFunction, grantee: string | undefined): SurfaceStep {
  return { ...stepOf(one.name, injectSql(one, grantee)), signature: signatureOf(one) };
}

function functionStep(one: SurfaceFunction): SurfaceStep {
  const { name, parameters, returns, attributes, body, description } = one;
  const create = `CREATE OR REPLACE FUNCTION pg_catalog.${name}${parameters} RETURNS ${returns} LANGUAGE sql ${attributes}`;
  // A helper's comment is the mark.
  const comment = name.startsWith("aurora_") ? `; ${commentSql(name, description)}` : "";
  return { ...stepOf(name, `${create} ${body}${comment}`), signature: `${name}()` };
}

function commentSql(name: string, description: string): string {
  return `COMMENT ON FUNCTION pg_catalog.${name} IS ${quoteLiteral(description)}`;
}

/** The view's columns are asked of the catalog where the function is made. */
function viewStep({ name, view, more, returns, description }: ViewFunction): SurfaceStep {
  const outs = more.map(([column, type]) => `, OUT ${column} ${type}`).join("");
  const values = more.map(([, , value]) => `, ${value}`).join("");
  const create = `CREATE OR REPLACE FUNCTION pg_catalog.${name}(%s${outs}) RETURNS ${returns}
    LANGUAGE sql STABLE BEGIN ATOMIC SELECT %s${values} FROM pg_catalog.${view} v; END; %s`;
  const columns = [
    "string_agg(format('OUT %I %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)",
    "string_agg(format('v.%I', attname), ', ' ORDER BY attnum)",
    quoteLiteral(commentSql(name, description)),
  ];
  const sql = `SELECT format(${[quoteLiteral(create), ...columns].join(", ")}) FROM pg_attribute
    WHERE attrelid = 'pg_catalog.${view}'::regclass AND attnum > 0 AND NOT attisdropped`;
  return { name, sql, isAsked: true, signature: `${name}()` };
}
