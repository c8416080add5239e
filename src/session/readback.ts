import { encodeBind, encodeClose, encodeExecute, encodeParse, encodeSync } from "../wire/index.ts";

/** What the server itself says of its session, outside a transaction. */
export interface Readback {
  /** Those that were set in the session, in pg_settings' units. */
  readonly settings: readonly (readonly [name: string, value: string])[];
  /** Among them are some that only superusers may set, and its login may be none. */
  readonly hasSettingsOfOthers: boolean;
  /** Those that were asked for by name; null: never set. */
  readonly custom: readonly (readonly [name: string, value: string | null])[];
  readonly sessionUser: string;
  /** "none" without SET ROLE. */
  readonly role: string;
  readonly prepared: readonly PreparedName[];
  readonly channels: readonly string[];
  /** Something lives in its temporary schema. */
  readonly hasTemporary: boolean;
  readonly hasHeldCursor: boolean;
  /** Undefined: not asked. */
  readonly hasAdvisoryLock: boolean | undefined;
}

/** All that are set, but user and role; those of `base` where the session has no other value. */
export function settingsOf(
  known: Readback | undefined,
  base: ReadonlyMap<string, string>,
): [string, string][] {
  const settings: [string, string][] = known?.settings.map(([n, v]) => [n, v]) ?? [];
  for (const [name, value] of known?.custom ?? []) if (value !== null) settings.push([name, value]);
  const isSet = (name: string): boolean => settings.some(([other]) => other === name);
  return [...settings, ...[...base].filter(([name]) => !isSet(name))];
}

export interface PreparedName {
  readonly name: string;
  /** The text of one made by PREPARE; undefined for one of the protocol. */
  readonly sql: string | undefined;
}

/** Names of ours begin so; the client does not see them, and they are nobody's state. */
export const ownPrefix = "borealis ";
const name = `${ownPrefix}readback`;

/** Answers that end a step: CloseComplete, ParseComplete, BindComplete, CommandComplete, CloseComplete twice. */
export const readbackSteps = 6;

/**
 * The question, as extended messages with their Sync: a simple Query would destroy the client's unnamed statement.
 * Texts travel as hexadecimal and base64 of UTF-8, so that no setting of the session changes how they are read.
 * What is behind pg_settings costs most of it (0.7-2 ms); the view may have rows that are not PostgreSQL's. pg_locks takes a
 * lock on each part of the lock table, and is asked only where somebody may have taken one.
 */
export function encodeReadback(customNames: readonly string[], asksLocks: boolean): Buffer {
  const locks =
    "(SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'advisory'" +
    " AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())";
  const sql =
    "SELECT pg_catalog.encode(pg_catalog.convert_to(pg_catalog.json_build_object(" +
    "'settings',(SELECT pg_catalog.json_agg(pg_catalog.json_build_array(name, setting, context))" +
    " FROM pg_catalog.pg_show_all_settings() WHERE source OPERATOR(pg_catalog.=) 'session')," +
    "'custom',(SELECT pg_catalog.json_agg(pg_catalog.json_build_array(n, pg_catalog.current_setting(n, true)))" +
    ` FROM pg_catalog.json_array_elements_text(${jsonLiteral(customNames)}) n),` +
    "'super',pg_catalog.current_setting('is_superuser'),'user',SESSION_USER,'role',pg_catalog.current_setting('role')," +
    "'prepared',(SELECT pg_catalog.json_agg(pg_catalog.json_build_array(name, from_sql," +
    " CASE WHEN from_sql THEN statement END)) FROM pg_catalog.pg_prepared_statements)," +
    "'channels',(SELECT pg_catalog.json_agg(c) FROM pg_catalog.pg_listening_channels() c)," +
    // Every kind of object in a schema depends on it; 2615 is pg_namespace. The schema itself outlives its objects.
    "'temporary',CASE WHEN pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.=) '0' THEN 0 ELSE" +
    " (SELECT pg_catalog.count(*) FROM pg_catalog.pg_depend WHERE refclassid OPERATOR(pg_catalog.=) '2615'" +
    " AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) END," +
    "'held',(SELECT pg_catalog.count(*) FROM pg_catalog.pg_cursors WHERE is_holdable)" +
    `${asksLocks ? `,'locks',${locks}` : ""})::pg_catalog.text,'UTF8'),'base64')`;
  return Buffer.concat([encodeOwnQuery(name, sql), encodeSync()]);
}

/**
 * Parse, Bind, Execute and Close of one statement under a name of ours; without Sync. An error before its Close (a timeout, a
 * late cancel) leaves the statement there: so it is closed first, too.
 */
export function encodeOwnQuery(own: string, sql: string): Buffer {
  return Buffer.concat([
    encodeClose("statement", own),
    encodeParse(own, sql),
    encodeBind(own, own),
    encodeExecute(own),
    encodeClose("portal", own),
    encodeClose("statement", own),
  ]);
}

/** A JSON value as an SQL expression that is plain ASCII without a backslash. */
export function jsonLiteral(value: unknown): string {
  const hex = Buffer.from(JSON.stringify(value)).toString("hex");
  return `pg_catalog.convert_from(pg_catalog.decode('${hex}','hex'),'UTF8')::pg_catalog.json`;
}

/** Of the one row of the answer; undefined if it is not what was asked for. */
export function parseReadback(values: readonly (string | null)[]): Readback | undefined {
  const [text] = values;
  if (typeof text !== "string") return undefined;
  let row: unknown;
  try {
    row = JSON.parse(Buffer.from(text, "base64").toString("utf8"));
  } catch {
    return undefined;
  }
  const fields = isRecord(row) ? row : {};
  const { user, role, locks } = fields;
  if (typeof user !== "string" || typeof role !== "string") return undefined;
  // What another role of it says is not its login's.
  const isSuperuser = fields["super"] === "on" && role === "none";
  return {
    hasSettingsOfOthers: !isSuperuser && listOf(fields["settings"]).some(isForSuperusers),
    settings: pairs(fields["settings"]).map(([setting, value]) => [setting, value ?? ""]),
    custom: pairs(fields["custom"]),
    sessionUser: user,
    role,
    prepared: listOf(fields["prepared"]).flatMap((item) => {
      if (!Array.isArray(item) || typeof item[0] !== "string") return [];
      const sql: unknown = item[2];
      return [{ name: item[0], sql: typeof sql === "string" ? sql : undefined }];
    }),
    channels: listOf(fields["channels"]).filter((channel) => typeof channel === "string"),
    hasTemporary: fields["temporary"] !== 0,
    hasHeldCursor: fields["held"] !== 0,
    hasAdvisoryLock: locks === undefined ? undefined : locks !== 0,
  };
}

/** "superuser" or "superuser-backend". */
function isForSuperusers(item: unknown): boolean {
  return Array.isArray(item) && String(item[2]).startsWith("superuser");
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** json_agg of nothing is null. */
function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function pairs(value: unknown): [string, string | null][] {
  return listOf(value).flatMap((item) => {
    if (!Array.isArray(item) || typeof item[0] !== "string") return [];
    const second: unknown = item[1];
    return [
      [item[0], typeof second === "string" ? second : null] satisfies [string, string | null],
    ];
  });
}
