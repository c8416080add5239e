import { BorealisError, sqlState } from "../base/errors.ts";
import { requireNoZero } from "./limits.ts";

/** In PostgreSQL's own spelling; what clients are told at the start, and at each change. */
const reportedNames = [
  "server_version",
  "server_encoding",
  "client_encoding",
  "application_name",
  "default_transaction_read_only",
  "in_hot_standby",
  "is_superuser",
  "session_authorization",
  "DateStyle",
  "IntervalStyle",
  "TimeZone",
  "integer_datetimes",
  "standard_conforming_strings",
  "search_path",
] as const;

/** What can be said and changes nothing here. */
const changeable: Readonly<Record<string, string>> = {
  application_name: "",
  bytea_output: "hex",
  default_transaction_isolation: "read committed",
  default_transaction_read_only: "off",
  extra_float_digits: "1",
  idle_in_transaction_session_timeout: "0",
  lock_timeout: "0",
  row_security: "on",
  search_path: "borealis, public",
  statement_timeout: "0",
  transaction_isolation: "read committed",
  transaction_read_only: "off",
};

/** Settings of one connection that can change, and how long each may be: nobody has so many. */
const namesMax = 100;
const lengthMax = 4_096;

export interface SettingRow {
  readonly name: string;
  readonly value: string;
}

/** What came of a SET. */
export interface SettingChange {
  /** What the client is told of it by a ParameterStatus. */
  readonly report: SettingRow | undefined;
  /** It stays as it is, and the client should know. */
  readonly warning: BorealisError | undefined;
}

/** The settings of one connection: what drivers ask for and set. Nothing depends on them. */
export class Settings {
  private readonly fixed: ReadonlyMap<string, SettingRow>;
  private readonly initial: ReadonlyMap<string, SettingRow>;
  private current: Map<string, SettingRow>;

  /** `wishes`: of the start-up packet, by lower-case name. */
  constructor(
    { serverVersion, user }: { readonly serverVersion: string; readonly user: string },
    wishes: ReadonlyMap<string, string>,
  ) {
    this.fixed = byName({
      client_encoding: "UTF8",
      DateStyle: "ISO, MDY",
      in_hot_standby: "off",
      integer_datetimes: "on",
      IntervalStyle: "postgres",
      is_superuser: "off",
      max_identifier_length: "63",
      max_index_keys: "32",
      server_encoding: "UTF8",
      server_version: serverVersion,
      server_version_num: versionNumber(serverVersion),
      session_authorization: user,
      standard_conforming_strings: "on",
      TimeZone: "UTC",
    });
    const initial = byName(changeable);
    for (const [name, value] of wishes) {
      if (name.length > lengthMax || value.length > lengthMax) continue;
      const known = initial.get(name);
      if (known) initial.set(name, { name: known.name, value });
      else if (name.includes(".") && initial.size < namesMax) initial.set(name, { name, value });
    }
    this.initial = initial;
    this.current = new Map(initial);
  }

  get(name: string): string | undefined {
    const key = aliases.get(name.toLowerCase()) ?? name.toLowerCase();
    return (this.fixed.get(key) ?? this.current.get(key))?.value;
  }

  /** What a client is told when it has logged in. */
  get reported(): SettingRow[] {
    return reportedNames.flatMap((name) => this.reportOf(name.toLowerCase()) ?? []);
  }

  get all(): SettingRow[] {
    const rows = [...this.fixed.values(), ...this.current.values()];
    return rows.toSorted((a, b) => (a.name.toLowerCase() < b.name.toLowerCase() ? -1 : 1));
  }

  /** Raises 0A000 for an encoding that we do not speak, 54000 for what is too much to keep. */
  set(written: string, value: string): SettingChange {
    requireNoZero(written + value);
    if (written.length > lengthMax || value.length > lengthMax)
      throw new BorealisError(
        sqlState.limitExceeded,
        `a setting and its name have ${lengthMax} characters at most`,
      );
    const key = aliases.get(written.toLowerCase()) ?? written.toLowerCase();
    const fixed = this.fixed.get(key);
    if (fixed) return { report: undefined, warning: stays(fixed, value) };
    const known = this.current.get(key);
    if (!known && this.current.size >= namesMax)
      throw new BorealisError(
        sqlState.limitExceeded,
        `a connection keeps ${namesMax} settings at most`,
        { hint: "RESET ALL forgets those that were set." },
      );
    const name = known?.name ?? key;
    this.current.set(key, { name, value });
    return { report: this.reportOf(key), warning: undefined };
  }

  /** Undefined: all. */
  reset(name?: string): SettingRow[] {
    const before = new Map(this.current);
    const key = name?.toLowerCase();
    if (key === undefined) this.current = new Map(this.initial);
    else {
      const initial = this.initial.get(key);
      if (initial) this.current.set(key, initial);
      else this.current.delete(key);
    }
    return this.reported.filter((row) => {
      const old = before.get(row.name.toLowerCase());
      return old !== undefined && old.value !== row.value;
    });
  }

  private reportOf(key: string): SettingRow | undefined {
    if (!reportedNames.some((one) => one.toLowerCase() === key)) return undefined;
    return this.fixed.get(key) ?? this.current.get(key);
  }
}

const aliases = new Map([
  ["time zone", "timezone"],
  ["names", "client_encoding"],
  ["transaction isolation level", "transaction_isolation"],
  ["session authorization", "session_authorization"],
]);

function byName(values: Readonly<Record<string, string>>): Map<string, SettingRow> {
  return new Map(
    Object.entries(values).map(([name, value]) => [name.toLowerCase(), { name, value }]),
  );
}

/** ASCII is UTF-8, too, and no answer of ours is read otherwise in it than in that. */
const sameEncodings = new Set(["utf8", "utf-8", "unicode", "sql_ascii"]);

function stays({ name, value }: SettingRow, wanted: string): BorealisError | undefined {
  if (name === "client_encoding") {
    if (sameEncodings.has(wanted.toLowerCase())) return undefined;
    throw new BorealisError(
      sqlState.notSupported,
      `the admin database speaks UTF8, not "${wanted}"`,
    );
  }
  if (wanted.toLowerCase() === value.toLowerCase() || wanted.toLowerCase() === "default")
    return undefined;
  return new BorealisError("01000", `"${name}" stays "${value}" in the admin database`);
}

/** 180004 for 18.4. */
function versionNumber(version: string): string {
  const [major = 0, minor = 0] = version.split(".").map((part) => Number.parseInt(part, 10) || 0);
  return String(major * 10_000 + minor);
}
