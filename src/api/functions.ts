import { BorealisError, sqlState } from "../base/errors.ts";
import { fitting, requireTextFits } from "./limits.ts";
import {
  bigintOf,
  checkedInteger,
  listOf,
  printValue,
  type SqlType,
  type SqlValue,
  typeFacts,
} from "./sql-types.ts";
import {
  asResult,
  commonType,
  compareValues,
  type Context,
  isNumber,
  type Parameters,
  requireType,
  type Term,
  toType,
} from "./term.ts";

/** What functions know of the session. */
export interface SessionFacts {
  readonly user: string;
  readonly database: string;
  readonly pid: number;
  /** As version() says it. */
  readonly version: string;
  /** Of a setting, by lower-case name; undefined: there is none. */
  readonly setting: (name: string) => string | undefined;
}

export interface FunctionWorld {
  readonly parameters: Parameters;
  readonly session: SessionFacts;
}

type Make = (args: readonly Term[], world: FunctionWorld) => Term | undefined;

/** A call that is no aggregate; undefined: there is no such function for these arguments. */
export function callFunction(
  name: string,
  args: readonly Term[],
  world: FunctionWorld,
): Term | undefined {
  return Object.hasOwn(functions, name) ? functions[name]?.(args, world) : undefined;
}

/** Of the session, without arguments. */
function constant(type: SqlType, of: (session: SessionFacts) => SqlValue): Make {
  return (args, { session }) => (args.length === 0 ? { type, run: () => of(session) } : undefined);
}

/** Null if an argument is; the arguments are brought to `types`, the first `required` must be there. */
function strict(
  types: readonly SqlType[],
  result: SqlType,
  work: (...values: SqlValue[]) => SqlValue,
  required = types.length,
): Make {
  return (args, { parameters }) => {
    if (args.length < required || args.length > types.length) return undefined;
    const terms = args.map((arg, index) => toType(arg, types[index] ?? "text", parameters));
    if (terms.some((term) => term === undefined)) return undefined;
    return { type: result, run: (context) => strictly(terms, context, work) };
  };
}

function strictly(
  terms: readonly (Term | undefined)[],
  context: Context,
  work: (...values: SqlValue[]) => SqlValue,
): SqlValue {
  const values = terms.map((term) => term?.run(context) ?? null);
  return values.includes(null) ? null : work(...values);
}

/** The first of several makers that takes the arguments. */
function oneOf(...makers: readonly Make[]): Make {
  return (args, world) => {
    for (const make of makers) {
      const term = make(args, world);
      if (term) return term;
    }
    return undefined;
  };
}

/** All arguments as their common type (text, if they have none); undefined: they have nothing in common. */
export function alike(args: readonly Term[], parameters: Parameters): readonly Term[] | undefined {
  let type: SqlType | undefined = "unknown";
  for (const arg of args) type = type && commonType(type, arg.type);
  if (!type) return undefined;
  const common = type === "unknown" ? "text" : type;
  return args.flatMap((arg) => toType(arg, common, parameters) ?? []);
}

function ofAlike(work: (values: SqlValue[]) => SqlValue): Make {
  return (args, { parameters }) => {
    const terms = args.length === 0 ? undefined : alike(args, parameters);
    const type = terms?.[0]?.type;
    if (!terms || !type) return undefined;
    return { type, run: (context) => work(terms.map((term) => term.run(context))) };
  };
}

/** What stands behind the first that is not null is not worked out. */
const coalesce: Make = (args, { parameters }) => {
  const terms = args.length === 0 ? undefined : alike(args, parameters);
  const type = terms?.[0]?.type;
  if (!terms || !type) return undefined;
  const run = (context: Context): SqlValue => {
    for (const term of terms) {
      const value = term.run(context);
      if (value !== null) return value;
    }
    return null;
  };
  return { type, run };
};

function extreme(sign: 1 | -1): Make {
  return ofAlike((values) => {
    const there = values.filter((value) => value !== null);
    return there.reduce<SqlValue>(
      (best, value) => (best === null || compareValues(value, best) * sign > 0 ? value : best),
      null,
    );
  });
}

const now: Make = (args) =>
  args.length === 0 ? { type: "timestamptz", run: ({ nowUs }) => nowUs } : undefined;

const concat: Make = (args, { parameters }) => {
  const terms = args.map((arg) => asResult(arg, parameters));
  const run = (context: Context): string =>
    joined(
      terms.map((term) => {
        const value = term.run(context);
        return value === null ? "" : printValue(term.type, value);
      }),
      "",
    );
  return { type: "text", run };
};

/** Raises 54000 before it is made. */
function joined(parts: readonly string[], between: string): string {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  requireTextFits(length + between.length * Math.max(parts.length - 1, 0));
  return parts.join(between);
}

/** Raises 54000 before it is made: a thousand for each of a thousand characters is a million. */
function replaced(text: string, from: string, to: string): string {
  if (from === "") return text;
  let count = 0;
  for (let at = text.indexOf(from); at >= 0; at = text.indexOf(from, at + from.length)) count++;
  requireTextFits(text.length + count * (to.length - from.length));
  return text.replaceAll(from, () => to);
}

const currentSetting: Make = (args, { parameters, session }) => {
  const [name, missing] = args;
  const text = name && toType(name, "text", parameters);
  const isMissingOk = missing && requireType(missing, "bool", { parameters, what: "missing_ok" });
  if (!text || args.length > 2) return undefined;
  const run = (context: Context): SqlValue => {
    const wanted = text.run(context);
    if (wanted === null) return null;
    const value = session.setting(String(wanted).toLowerCase());
    if (value !== undefined || isMissingOk?.run(context) === true) return value ?? null;
    throw new BorealisError(
      sqlState.undefinedObject,
      `unrecognized configuration parameter "${String(wanted)}"`,
    );
  };
  return { type: "text", run };
};

const absolute: Make = ([arg, ...more]) => {
  if (!arg || more.length > 0 || !isNumber(arg.type)) return undefined;
  const run = (context: Context): SqlValue => {
    const value = arg.run(context);
    if (typeof value === "number") return Math.abs(value);
    return typeof value === "bigint" && value < 0n ? checkedInteger(arg.type, -value) : value;
  };
  return { type: arg.type, run };
};

function rounded(value: SqlValue, digits: SqlValue = 0n): number {
  const scale = 10 ** Math.max(0, Math.min(15, Number(digits)));
  const scaled = Number(value) * scale;
  // So large a number has no digits behind its point.
  return Number.isFinite(scaled) ? Math.round(scaled) / scale : Number(value);
}

/** Of text, in characters. */
function part(text: SqlValue, from: SqlValue, count?: SqlValue): string {
  const start = Number(from) - 1;
  const end = count === undefined ? undefined : start + Number(count);
  return Array.from(String(text))
    .slice(Math.max(start, 0), end && Math.max(end, 0))
    .join("");
}

/** Without spaces at its ends; other white space stays. */
function trimmed(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && text[start] === " ") start++;
  while (end > start && text[end - 1] === " ") end--;
  return text.slice(start, end);
}

const sizeUnits = ["kB", "MB", "GB", "TB", "PB"] as const;

/** As PostgreSQL's: up to 10239 of a unit, rounded half up. */
function prettySize(value: SqlValue): string {
  let size = bigintOf(value);
  const sign = size < 0n ? "-" : "";
  size = size < 0n ? -size : size;
  if (size < 10_240n) return `${sign}${size} bytes`;
  // One more bit than wanted, for the rounding.
  size >>= 9n;
  let unit = 0;
  while (size >= 20_479n && unit < sizeUnits.length - 1) {
    size >>= 10n;
    unit++;
  }
  return `${sign}${(size + 1n) / 2n} ${sizeUnits[unit]}`;
}

const substring = oneOf(
  strict(["text", "int4", "int4"], "text", part),
  strict(["text", "int4"], "text", (text, from) => part(text, from)),
);
const currentUser = constant("text", ({ user }) => user);
const currentDatabase = constant("text", ({ database }) => database);

/** By name; what PostgreSQL answers with its own state says what is true of the admin database. */
const functions: Readonly<Record<string, Make>> = {
  version: constant("text", ({ version }) => version),
  current_database: currentDatabase,
  current_catalog: currentDatabase,
  current_schema: constant("text", () => "borealis"),
  current_user: currentUser,
  current_role: currentUser,
  session_user: currentUser,
  user: currentUser,
  pg_backend_pid: constant("int4", ({ pid }) => BigInt(pid)),
  pg_is_in_recovery: constant("bool", () => false),
  // Pools call it when a connection comes back; there are no locks here.
  pg_advisory_unlock_all: constant("text", () => ""),
  inet_server_addr: constant("text", () => null),
  inet_server_port: constant("int4", () => null),
  current_setting: currentSetting,
  now,
  current_timestamp: now,
  transaction_timestamp: now,
  statement_timestamp: now,
  clock_timestamp: now,
  lower: strict(["text"], "text", (text) => String(text).toLowerCase()),
  // Some letters become three.
  upper: strict(["text"], "text", (text) => fitting(String(text).toUpperCase())),
  length: strict(["text"], "int4", (text) => BigInt(Array.from(String(text)).length)),
  trim: strict(["text"], "text", (text) => trimmed(String(text))),
  substring,
  substr: substring,
  replace: strict(["text", "text", "text"], "text", (text, from, to) =>
    replaced(String(text), String(from), String(to)),
  ),
  starts_with: strict(["text", "text"], "bool", (text, head) =>
    String(text).startsWith(String(head)),
  ),
  concat,
  coalesce,
  nullif: (args, world) =>
    args.length === 2
      ? ofAlike(([a = null, b = null]) =>
          a !== null && b !== null && compareValues(a, b) === 0 ? null : a,
        )(args, world)
      : undefined,
  greatest: extreme(1),
  least: extreme(-1),
  abs: absolute,
  round: strict(["float8", "int4"], "float8", rounded, 1),
  floor: strict(["float8"], "float8", (value) => Math.floor(Number(value))),
  ceil: strict(["float8"], "float8", (value) => Math.ceil(Number(value))),
  pg_size_pretty: strict(["int8"], "text", prettySize),
  pg_wal_lsn_diff: strict(["pg_lsn", "pg_lsn"], "int8", (a, b) =>
    checkedInteger("int8", bigintOf(a) - bigintOf(b)),
  ),
  cardinality: strict(["text[]"], "int4", (list) => BigInt(listOf(list).length)),
  array_to_string: strict(["text[]", "text"], "text", (list, between) =>
    joined(
      listOf(list).filter((item) => item !== null),
      String(between),
    ),
  ),
};

/** As PostgreSQL words it, with what there is. */
export function noFunction(name: string, args: readonly Term[]): BorealisError {
  const types = args.map(({ type }) => typeFacts(type).spelled).join(", ");
  const there = [...Object.keys(functions), "count", "min", "max", "sum", "avg"].toSorted();
  return new BorealisError(
    sqlState.undefinedFunction,
    `function ${name}(${types}) does not exist`,
    { hint: `The admin database has ${there.join(", ")}.` },
  );
}
