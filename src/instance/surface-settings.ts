/** Aurora's settings as pg_settings shows them: rows that it has besides PostgreSQL's; SHOW has them from the command line. */
import { quoteLiteral } from "./quoting.ts";
import type { SurfaceFunction } from "./surface-functions.ts";

interface ShownSetting {
  readonly name: string;
  readonly context: "internal" | "user";
  readonly description: string;
}

const fixed: readonly ShownSetting[] = [
  {
    name: "rds.extensions",
    context: "internal",
    description: "Extensions that a member of rds_superuser may create.",
  },
  {
    name: "rds.force_ssl",
    context: "internal",
    description: "Whether sessions without TLS are refused.",
  },
  {
    name: "rds.logical_replication",
    context: "internal",
    description: "Whether the log holds what logical decoding needs.",
  },
  {
    name: "rds.restrict_password_commands",
    context: "internal",
    description: "Whether only rds_password sets passwords.",
  },
  {
    name: "rds.superuser_variables",
    context: "internal",
    description: "Settings that a member of rds_superuser may set.",
  },
];
/** What sessions may set themselves: their own value counts. */
const ofSessions: ShownSetting = {
  name: "apg_write_forward.consistency_mode",
  context: "user",
  description:
    "How far a read waits for forwarded writes, and whether writes are forwarded at all.",
};
/** On the command line. */
const modeAtFirst = "off";

/** Of pg_settings, as PostgreSQL 15 to 18 have it. */
const columns = `name text, setting text, unit text, category text, short_desc text, extra_desc text, context text,
  vartype text, source text, min_val text, max_val text, enumvals text[], boot_val text, reset_val text,
  sourcefile text, sourceline integer, pending_restart boolean`;

/** As PostgreSQL's system_views.sql has it from 15 to 18, and more rows. Its rules for UPDATE stay. */
export const settingsViewSql = `CREATE OR REPLACE VIEW pg_catalog.pg_settings AS
  SELECT * FROM pg_catalog.pg_show_all_settings() AS a UNION ALL SELECT * FROM pg_catalog.borealis_settings() AS b`;

/**
 * In the order in which they can be made. `values`: the command line's. The last is simple enough for PostgreSQL to put it in the
 * place of its call, and to leave out rows that nobody asks for.
 */
export function settingsFunctions(
  values: ReadonlyMap<string, string>,
): readonly [SurfaceFunction, SurfaceFunction] {
  return [kept, shownFunction(values)];
}

/**
 * What is kept of the mode for the session's user or database: with its owner's rights, as pg_settings must not fail where somebody
 * has taken from others the right to read pg_roles.
 */
const kept: SurfaceFunction = {
  name: "borealis_kept_mode",
  parameters: "(OUT value text, OUT source text)",
  returns: "record",
  attributes: "STABLE PARALLEL SAFE SECURITY DEFINER",
  body: `BEGIN ATOMIC SELECT substr(c.entry, ${ofSessions.name.length + 2}),
      CASE WHEN s.setrole <> 0 AND s.setdatabase <> 0 THEN 'database user' WHEN s.setrole <> 0 THEN 'user'
        WHEN s.setdatabase <> 0 THEN 'database' ELSE 'global' END
    FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS c (entry)
    WHERE starts_with(c.entry, '${ofSessions.name}=')
      AND s.setrole IN (0, (SELECT r.oid FROM pg_roles r WHERE r.rolname = SESSION_USER))
      AND s.setdatabase IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
    ORDER BY s.setrole = 0, s.setdatabase = 0 LIMIT 1; END`,
  description: "What is kept of apg_write_forward.consistency_mode",
};

function shownFunction(values: ReadonlyMap<string, string>): SurfaceFunction {
  const rows = [
    ...fixed.map((one) => {
      const value = quoteLiteral(values.get(one.name) ?? "");
      const from = { source: "'command line'", boot: value, reset: value };
      return `SELECT ${rowOf(one, { value, ...from })}`;
    }),
    ofSessionsSql,
  ];
  return {
    name: "borealis_settings",
    parameters: `(${columns
      .split(/,\s*/)
      .map((column) => `OUT ${column}`)
      .join(", ")})`,
    returns: "SETOF record",
    attributes: `STABLE PARALLEL SAFE ROWS ${rows.length}`,
    body: `BEGIN ATOMIC ${rows.join(" UNION ALL ")}; END`,
    description: "Aurora's settings",
  };
}

/**
 * Where a session's value is from PostgreSQL tells of its own settings alone. What is kept for the user or the database is in
 * the catalogs; whatever differs from that was set since (or by an option of the start, which leaves no trace).
 */
const ofSessionsSql = `SELECT ${rowOf(ofSessions, {
  value: "v.value",
  source: "CASE WHEN v.value = v.reset THEN v.source ELSE 'session' END",
  boot: quoteLiteral(modeAtFirst),
  reset: "v.reset",
})} FROM (
    SELECT current_setting('${ofSessions.name}', true) AS value,
      coalesce(k.value, '${modeAtFirst}') AS reset, coalesce(k.source, 'command line') AS source
    FROM borealis_kept_mode() AS k) AS v`;

/** Expressions. */
interface Shown {
  readonly value: string;
  readonly source: string;
  readonly boot: string;
  readonly reset: string;
}

function rowOf({ name, context, description }: ShownSetting, shown: Shown): string {
  const { value, source, boot, reset } = shown;
  const texts = {
    name: quoteLiteral(name),
    setting: value,
    unit: "NULL",
    category: quoteLiteral("Customized Options"),
    short_desc: quoteLiteral(description),
    extra_desc: "NULL",
    context: quoteLiteral(context),
    vartype: quoteLiteral("string"),
    source,
    min_val: "NULL",
    max_val: "NULL",
  };
  const fields = [
    ...Object.values(texts).map((text) => `(${text})::text`),
    "NULL::text[]", // enumvals
    ...[boot, reset, "NULL"].map((text) => `(${text})::text`), // boot_val, reset_val, sourcefile
    "NULL::integer", // sourceline
    "false", // pending_restart
  ];
  return fields.join(", ");
}
