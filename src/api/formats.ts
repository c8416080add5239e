import { BorealisError, sqlState } from "../base/errors.ts";
import { encodeDataRow, encodeRowDescription } from "../wire/index.ts";
import { requireNoZero } from "./limits.ts";
import type { ResultColumn } from "./result-row.ts";
import {
  decodeValue,
  encodeValue,
  parseValue,
  printValue,
  type SqlType,
  type SqlValue,
  typeFacts,
  typeOfOid,
} from "./sql-types.ts";

/** Its binary form is none of our types'. */
const numericOid = 1700;

/** What a client declares a parameter to be; undefined: it does not. Raises 0A000 for a type that we do not have. */
export function declaredType(oid: number): SqlType | undefined {
  if (oid === 0) return undefined;
  const type = typeOfOid(oid);
  if (type) return type;
  throw new BorealisError(
    sqlState.notSupported,
    `parameters of the type with OID ${oid} are not supported here`,
  );
}

/** Of the one at `index`: none are all text, one is for all. */
export function formatOf(formats: readonly number[], index: number): boolean {
  return (formats.length === 1 ? formats[0] : formats[index]) === 1;
}

/** Raises 22P02, 22P03, 22021, 0A000. */
export function parameterOf(
  value: Buffer | null,
  { type, typeOid, isBinary }: { type: SqlType; typeOid: number; isBinary: boolean },
): SqlValue {
  if (value === null) return null;
  if (!isBinary) return parseValue(type, requireNoZero(value.toString("utf8")));
  if (typeOid === numericOid)
    throw new BorealisError(sqlState.notSupported, "numeric is not taken in binary form");
  const decoded = decodeValue(type, value);
  return typeof decoded === "string" ? requireNoZero(decoded) : decoded;
}

/** None are all text, one is for all. Raises 08P01 for any other number than that of what they are for. */
export function requireFormats(
  formats: readonly number[],
  count: number,
  what: "parameters" | "result columns",
): void {
  if (formats.length <= 1 || formats.length === count) return;
  throw new BorealisError(
    sqlState.protocolViolation,
    `bind message has ${formats.length} formats for ${count} ${what}`,
  );
}

export function describeRows(
  columns: readonly ResultColumn[],
  isBinary: readonly boolean[],
): Buffer {
  return encodeRowDescription(
    columns.map(({ name, type }, index) => {
      const { oid, sizeBytes } = typeFacts(type);
      return { name, typeOid: oid, sizeBytes, isBinary: isBinary[index] ?? false };
    }),
  );
}

/** DataRow messages, one behind the other. */
export interface EncodedRows {
  readonly bytes: Uint8Array;
  /** Where each ends in `bytes`. */
  readonly ends: readonly number[];
}

/** Of one result; a client that does not read has the process keep it. */
export const resultBytesMax = 8 * 1024 * 1024;

/** Raises 54000 for a result that is too large. */
export function encodeRows(
  rows: readonly (readonly SqlValue[])[],
  columns: readonly ResultColumn[],
  isBinary: readonly boolean[],
): EncodedRows {
  const messages: Buffer[] = [];
  const ends: number[] = [];
  let end = 0;
  for (const row of rows) {
    const message = encodeRow(row, columns, isBinary);
    end += message.length;
    if (end > resultBytesMax) throw resultTooLarge;
    messages.push(message);
    ends.push(end);
  }
  // Not out of Buffer's pool, all of which would pass between threads.
  const bytes = new Uint8Array(end);
  let at = 0;
  for (const message of messages) {
    bytes.set(message, at);
    at += message.length;
  }
  return { bytes, ends };
}

const resultTooLarge = new BorealisError(
  sqlState.limitExceeded,
  `the result is larger than ${resultBytesMax} bytes`,
  { hint: "Add LIMIT, or select fewer columns." },
);

/** Whose binary form is their text. */
function isText(type: SqlType): boolean {
  return type === "text" || type === "unknown";
}

function encodeRow(
  row: readonly SqlValue[],
  columns: readonly ResultColumn[],
  isBinary: readonly boolean[],
): Buffer {
  let length = 0;
  return encodeDataRow(
    columns.map(({ type }, index) => {
      const value = row[index] ?? null;
      if (value === null) return null;
      const isOwnForm = isBinary[index] === true && !isText(type);
      const printed = isOwnForm ? encodeValue(type, value) : requireNoZero(printValue(type, value));
      // Before it is made: one parameter may stand in every column.
      length += printed.length;
      if (length > resultBytesMax) throw resultTooLarge;
      return printed;
    }),
  );
}
