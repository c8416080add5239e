/**
 * What users set for everybody, for a database or for a role must not end sessions of Borealis's own, hinder them, or change
 * what their statements and answers mean: these outrank all of that. All that a session may set, and that matters to ours;
 * test/plain-session.test.ts compares them with what PostgreSQL has.
 */
interface PlainSetting {
  readonly name: string;
  readonly value: string;
  /** The first and the last major that know it; all that there are if absent. */
  readonly from?: number;
  readonly to?: number;
}

const firstMajor = 15;

const settings: readonly PlainSetting[] = [
  ...plain({
    // A reader refuses serializable, and with it each statement.
    default_transaction_isolation: "read committed",
    default_transaction_read_only: "off",
    default_transaction_deferrable: "off",
    // What ends sessions and statements.
    statement_timeout: "0",
    lock_timeout: "0",
    idle_session_timeout: "0",
    idle_in_transaction_session_timeout: "0",
    exit_on_error: "off",
    temp_file_limit: "-1",
    // Which names, roles and rows there are, and where new things go.
    search_path: "pg_catalog",
    role: "none",
    row_security: "on",
    session_replication_role: "origin",
    default_table_access_method: "heap",
    default_tablespace: "",
    temp_tablespaces: "",
    restrict_nonsystem_relation_kind: "",
    check_function_bodies: "on",
    // How texts are read ...
    standard_conforming_strings: "on",
    backslash_quote: "safe_encoding",
    array_nulls: "on",
    transform_null_equals: "off",
    xmloption: "content",
    "plpgsql.variable_conflict": "error",
    "plpgsql.extra_errors": "none",
    // ... and written.
    client_encoding: "UTF8",
    client_min_messages: "notice",
    bytea_output: "hex",
    DateStyle: "ISO, MDY",
    IntervalStyle: "postgres",
    TimeZone: "UTC",
    extra_float_digits: "1",
    lc_messages: "C",
    lc_monetary: "C",
    lc_numeric: "C",
    lc_time: "C",
    quote_all_identifiers: "off",
    xmlbinary: "base64",
    // Small queries, in a hurry.
    jit: "off",
    max_parallel_workers_per_gather: "0",
  }),
  { name: "force_parallel_mode", value: "off", to: 15 },
  { name: "debug_parallel_query", value: "off", from: 16 },
  { name: "createrole_self_grant", value: "", from: 16 },
  { name: "transaction_timeout", value: "0", from: 17 },
  // Of logins, too.
  { name: "event_triggers", value: "off", from: 17 },
];

function plain(values: Readonly<Record<string, string>>): PlainSetting[] {
  return Object.entries(values).map(([name, value]) => ({ name, value }));
}

/** Those that a server of this major knows. */
export function plainSettings(major: number): readonly PlainSetting[] {
  return settings.filter(({ from = firstMajor, to = major }) => from <= major && major <= to);
}

/**
 * As `options` of a start-up packet, and then those of this session's own. `except`: what is to be the server's. For a superuser:
 * others may not set all of them.
 */
export function plainSession(
  major: number,
  own: { readonly options?: string; readonly except?: readonly string[] | "all" } = {},
): string {
  const { except = [] } = own;
  const options = (except === "all" ? [] : plainSettings(major))
    .filter(({ name }) => !except.includes(name))
    .map(({ name, value }) => `-c ${name}=${value.replaceAll(" ", "\\ ")}`);
  return [...options, ...(own.options === undefined ? [] : [own.options])].join(" ");
}
