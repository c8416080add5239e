import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { BorealisError, ProtocolViolation, sqlState } from "../base/errors.ts";
import { findLsn, formatLsn, lsn } from "../base/lsn.ts";
import { printJson } from "./jsonb.ts";
import { formatInterval, formatTime, parseInterval, parseTime } from "./sql-times.ts";

/** `unknown` is a literal or parameter that has not met a type yet; as a result it is text. */
export type SqlType =
  | "bool"
  | "int4"
  | "int8"
  | "float8"
  | "text"
  | "timestamptz"
  | "interval"
  | "pg_lsn"
  | "jsonb"
  | "text[]"
  | "unknown";

/**
 * int4, int8: bigint. timestamptz: microseconds since 1970, interval: microseconds, pg_lsn: the position, all bigint.
 * float8: number. jsonb: its text.
 */
export type SqlValue = null | boolean | bigint | number | string | readonly (string | null)[];

interface TypeFacts {
  readonly oid: number;
  readonly sizeBytes: number;
  /** As PostgreSQL's format_type spells it. */
  readonly spelled: string;
  readonly print: (value: SqlValue) => string;
  /** Undefined: the text is no such value. */
  readonly parse: (text: string) => SqlValue | undefined;
  readonly encode: (value: SqlValue) => Uint8Array;
  /** Undefined: not taken in binary. Raises ProtocolViolation. */
  readonly decode?: (reader: ByteReader) => SqlValue;
}

const int4Max = 2n ** 31n - 1n;
const int8Max = 2n ** 63n - 1n;
/** What we can print: four digits a year, and none that JavaScript takes for one of the last century. */
const timeMin = -59_011_459_200_000_000n;
const timeMax = 253_402_300_799_999_999n;

const ranges: Readonly<Partial<Record<SqlType, readonly [bigint, bigint]>>> = {
  int4: [-int4Max - 1n, int4Max],
  int8: [-int8Max - 1n, int8Max],
  interval: [-int8Max - 1n, int8Max],
  timestamptz: [timeMin, timeMax],
};
/** Between 1970 and 2000, where PostgreSQL's timestamps begin. */
const epochGapUs = 946_684_800_000_000n;
const dayUs = 86_400_000_000n;

const utf8 = (value: SqlValue): Uint8Array => Buffer.from(String(value), "utf8");
const restAsText = (reader: ByteReader): string => reader.rest().toString("utf8");

const facts: Record<SqlType, TypeFacts> = {
  bool: {
    oid: 16,
    sizeBytes: 1,
    spelled: "boolean",
    print: (value) => (value === true ? "t" : "f"),
    parse: (text) => booleans.get(text.trim().toLowerCase()),
    encode: (value) => Uint8Array.of(value === true ? 1 : 0),
    decode: (reader) => reader.u8() !== 0,
  },
  int4: {
    oid: 23,
    sizeBytes: 4,
    spelled: "integer",
    print: String,
    parse: (text) => parseInteger(text, int4Max),
    encode: (value) => new ByteWriter(4).i32(Number(value)).finish(),
    decode: decodeInteger,
  },
  int8: {
    oid: 20,
    sizeBytes: 8,
    spelled: "bigint",
    print: String,
    parse: (text) => parseInteger(text, int8Max),
    encode: (value) => encodeInt8(bigintOf(value)),
    decode: decodeInteger,
  },
  float8: {
    oid: 701,
    sizeBytes: 8,
    spelled: "double precision",
    print: (value) => printFloat(Number(value)),
    parse: parseFloat8,
    encode: (value) => {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleBE(Number(value));
      return bytes;
    },
    decode: (reader) =>
      reader.remainingBytes === 4 ? reader.view(4).readFloatBE(0) : reader.view(8).readDoubleBE(0),
  },
  text: {
    oid: 25,
    sizeBytes: -1,
    spelled: "text",
    print: String,
    parse: (text) => text,
    encode: utf8,
    decode: restAsText,
  },
  timestamptz: {
    oid: 1184,
    sizeBytes: 8,
    spelled: "timestamp with time zone",
    print: (value) => formatTime(bigintOf(value)),
    parse: parseTime,
    encode: (value) => encodeInt8(bigintOf(value) - epochGapUs),
    decode: (reader) => BigInt.asIntN(64, reader.u64()) + epochGapUs,
  },
  interval: {
    oid: 1186,
    sizeBytes: 16,
    spelled: "interval",
    print: (value) => formatInterval(bigintOf(value)),
    parse: parseInterval,
    encode: (value) => {
      const us = bigintOf(value);
      const time = new ByteWriter(16).raw(encodeInt8(us % dayUs));
      return time
        .i32(Number(us / dayUs))
        .i32(0)
        .finish();
    },
  },
  pg_lsn: {
    oid: 3220,
    sizeBytes: 8,
    spelled: "pg_lsn",
    print: (value) => formatLsn(lsn(bigintOf(value))),
    parse: (text) => findLsn(text.trim()),
    encode: (value) => new ByteWriter(8).u64(bigintOf(value)).finish(),
    decode: (reader) => reader.u64(),
  },
  jsonb: {
    oid: 3802,
    sizeBytes: -1,
    spelled: "jsonb",
    print: String,
    parse: parseJson,
    // A version number stands before the text.
    encode: (value) => Buffer.concat([Uint8Array.of(1), utf8(value)]),
  },
  "text[]": {
    oid: 1009,
    sizeBytes: -1,
    spelled: "text[]",
    print: (value) => printArray(listOf(value)),
    parse: parseArray,
    encode: (value) => encodeArray(listOf(value)),
  },
  unknown: {
    oid: 25,
    sizeBytes: -1,
    spelled: "unknown",
    print: String,
    parse: (text) => text,
    encode: utf8,
    decode: restAsText,
  },
};

/** Those that a value can be of in the end. */
export const sqlTypes = (Object.keys(facts) as SqlType[]).filter((type) => type !== "unknown"); // its own keys

export function typeFacts(type: SqlType): Pick<TypeFacts, "oid" | "sizeBytes" | "spelled"> {
  return facts[type];
}

/** Names in casts, and types that clients declare for parameters: what is kept as one of ours. */
const typeNames: Readonly<Record<string, SqlType>> = {
  bool: "bool",
  boolean: "bool",
  int: "int4",
  int2: "int4",
  smallint: "int4",
  int4: "int4",
  integer: "int4",
  oid: "int8",
  int8: "int8",
  bigint: "int8",
  float4: "float8",
  real: "float8",
  float: "float8",
  float8: "float8",
  "double precision": "float8",
  numeric: "float8",
  decimal: "float8",
  text: "text",
  varchar: "text",
  "character varying": "text",
  name: "text",
  regclass: "text",
  timestamptz: "timestamptz",
  "timestamp with time zone": "timestamptz",
  interval: "interval",
  pg_lsn: "pg_lsn",
  json: "jsonb",
  jsonb: "jsonb",
};

export function findType(name: string): SqlType | undefined {
  return Object.hasOwn(typeNames, name) ? typeNames[name] : undefined;
}

const byOid = new Map<number, SqlType>([
  [18, "text"],
  [19, "text"],
  [21, "int4"],
  [26, "int8"],
  [114, "jsonb"],
  [700, "float8"],
  [705, "unknown"],
  [1042, "text"],
  [1043, "text"],
  [1700, "float8"],
]);
for (const type of sqlTypes) byOid.set(facts[type].oid, type);

/** The type that a client declares for a parameter; undefined: none of ours. */
export function typeOfOid(oid: number): SqlType | undefined {
  return byOid.get(oid);
}

export function printValue(type: SqlType, value: SqlValue): string {
  return facts[type].print(value);
}

/** Raises 22P02 (22003 for a number that is too large). */
export function parseValue(type: SqlType, text: string): SqlValue {
  const value = facts[type].parse(text);
  if (typeof value === "bigint") return checkedInteger(type, value);
  if (value !== undefined) return value;
  const { spelled } = facts[type];
  if ((type === "int4" || type === "int8") && /^\s*[-+]?\d+\s*$/.test(text))
    throw new BorealisError(
      sqlState.numberOutOfRange,
      `value "${text}" is out of range for type ${spelled}`,
    );
  throw new BorealisError(
    sqlState.invalidText,
    `invalid input syntax for type ${spelled}: "${text}"`,
  );
}

export function encodeValue(type: SqlType, value: SqlValue): Uint8Array {
  return facts[type].encode(value);
}

/** A parameter's value in binary. Raises 0A000 for a type that is taken as text only, 22P03. */
export function decodeValue(type: SqlType, bytes: Buffer): SqlValue {
  const { decode, spelled } = facts[type];
  if (!decode)
    throw new BorealisError(
      sqlState.notSupported,
      `parameters of type ${spelled} are not taken in binary form`,
    );
  try {
    const reader = new ByteReader(bytes);
    const value = decode(reader);
    reader.end();
    return typeof value === "bigint" ? checkedInteger(type, value) : value;
  } catch (error) {
    if (!(error instanceof ProtocolViolation)) throw error;
    throw new BorealisError(
      sqlState.invalidBinary,
      `incorrect binary data format for type ${spelled}`,
      { cause: error },
    );
  }
}

/** Raises 22003, of times 22008, for a value that its type does not hold; what is not kept as bigint is not looked at. */
export function checkedInteger(type: SqlType, value: bigint): bigint {
  const range = Object.hasOwn(ranges, type) ? ranges[type] : undefined;
  if (!range || (value >= range[0] && value <= range[1])) return value;
  const isTime = type === "timestamptz" || type === "interval";
  throw new BorealisError(
    isTime ? sqlState.timeOutOfRange : sqlState.numberOutOfRange,
    `${type === "timestamptz" ? "timestamp" : facts[type].spelled} out of range`,
  );
}

/** Of a value whose type is kept as one. */
export function bigintOf(value: SqlValue): bigint {
  return typeof value === "bigint" ? value : BigInt(Math.trunc(Number(value)));
}

export function listOf(value: SqlValue): readonly (string | null)[] {
  return Array.isArray(value) ? value : [];
}

const booleans = new Map<string, boolean>([
  ...["t", "true", "y", "yes", "on", "1"].map((text): [string, boolean] => [text, true]),
  ...["f", "false", "n", "no", "off", "0"].map((text): [string, boolean] => [text, false]),
]);

function parseInteger(text: string, max: bigint): bigint | undefined {
  if (!/^\s*[-+]?\d{1,20}\s*$/.test(text)) return undefined;
  const value = BigInt(text.trim().replace(/^\+/, ""));
  return value <= max && value >= -max - 1n ? value : undefined;
}

/** Of any of PostgreSQL's widths: which one it is the client has declared. */
function decodeInteger(reader: ByteReader): bigint {
  switch (reader.remainingBytes) {
    case 2:
      return BigInt.asIntN(16, BigInt(reader.u16()));
    case 4:
      return BigInt(reader.i32());
    default:
      return BigInt.asIntN(64, reader.u64());
  }
}

function parseFloat8(text: string): number | undefined {
  const trimmed = text.trim();
  const word = /^([-+]?)(?:inf(?:inity)?|(nan))$/i.exec(trimmed);
  if (word?.[2] !== undefined) return Number.NaN;
  if (word) return word[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  // Digits are in one place of each branch only: in two, a long run of them would be cut in every way.
  if (!/^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?$/i.test(trimmed)) return undefined;
  const value = Number(trimmed);
  if (Number.isFinite(value)) return value;
  throw new BorealisError(
    sqlState.numberOutOfRange,
    `"${text}" is out of range for type double precision`,
  );
}

function printFloat(value: number): string {
  if (Object.is(value, -0)) return "-0";
  const [mantissa = "", exponent] = value.toExponential().split("e");
  // Not a number, or infinite.
  if (exponent === undefined) return String(value);
  const power = Number(exponent);
  if (power >= -4 && power < 15) return String(value);
  return `${mantissa}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}

function parseJson(text: string): string | undefined {
  let printed: string;
  try {
    printed = printJson(JSON.parse(text));
  } catch {
    return undefined; // it is none, or none that anybody could use
  }
  // An escape that stands for a zero byte, behind an even number of backslashes.
  if (!/(?<!\\)(?:\\\\)*\\u0000/.test(printed)) return printed;
  throw new BorealisError(sqlState.invalidEncoding, String.raw`\u0000 cannot be converted to text`);
}

function encodeInt8(value: bigint): Uint8Array {
  return new ByteWriter(8).u64(BigInt.asUintN(64, value)).finish();
}

function printArray(list: readonly (string | null)[]): string {
  const items = list.map((item) => {
    if (item === null) return "NULL";
    const isPlain = /^[\w.:-]+$/.test(item) && item.toLowerCase() !== "null";
    return isPlain ? item : `"${item.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
  });
  return `{${items.join(",")}}`;
}

/** One dimension. */
function parseArray(text: string): readonly (string | null)[] | undefined {
  const trimmed = text.trim();
  if (!trimmed.startsWith("{") || !trimmed.endsWith("}") || trimmed.length < 2) return undefined;
  const inner = trimmed.slice(1, -1);
  if (inner.trim() === "") return [];
  // White space is in one place of each branch only: in two, a long run of it would be tried in every way.
  const item = /(?:\s*"((?:[^"\\]|\\[\s\S])*)"\s*|([^,"{}\\]+))(,|$)/y;
  const list: (string | null)[] = [];
  for (;;) {
    const found = item.exec(inner);
    if (!found) return undefined;
    const bare = found[2]?.trim() ?? "";
    const isNull = found[2] !== undefined && bare.toLowerCase() === "null";
    list.push(isNull ? null : (found[1]?.replaceAll(/\\([\s\S])/g, "$1") ?? bare));
    if (found[3] === "") return list;
  }
}

function encodeArray(list: readonly (string | null)[]): Uint8Array {
  const bytes = new ByteWriter(64).u32(list.length === 0 ? 0 : 1);
  bytes.u32(list.includes(null) ? 1 : 0).u32(facts.text.oid);
  if (list.length > 0) bytes.u32(list.length).u32(1);
  for (const item of list) {
    if (item === null) bytes.i32(-1);
    else bytes.u32(Buffer.byteLength(item)).text(item);
  }
  return bytes.finish();
}
