import { BorealisError, sqlState } from "../base/errors.ts";
import { type EncodedRows, resultBytesMax } from "./formats.ts";
import type { Prepared } from "./prepared.ts";
import type { SqlValue } from "./sql-types.ts";

/** A statement with its parameters, and what it has given. */
export interface Portal {
  readonly prepared: Prepared;
  readonly parameters: readonly SqlValue[];
  /** Of each column. */
  readonly isBinary: readonly boolean[];
  /** Undefined: it has not been run. */
  result: Result | undefined;
}

export interface Result {
  readonly rows: EncodedRows;
  /** Rows that the client has been given. */
  given: number;
}

/** Of rows; the client has to have read it before there is more. */
const portionBytes = 64 * 1024;

/** What is left of it, up to the row at `end`. */
export function* portionsOf(result: Result, end: number): Generator<Buffer> {
  const { bytes, ends } = result.rows;
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let from = ends[result.given - 1] ?? 0;
  let to = from;
  while (result.given < end) {
    to = ends[result.given++] ?? to;
    if (to - from < portionBytes && result.given < end) continue;
    yield all.subarray(from, to);
    from = to;
  }
}

export function sizeOf({ rows }: Result): number {
  return rows.bytes.length + 8 * rows.ends.length;
}

/** Raises 54000: what clients do not read to its end is the process's memory. */
export function requireResultsFit(portals: readonly Portal[]): void {
  const bytes = portals.reduce((sum, { result }) => sum + (result ? sizeOf(result) : 0), 0);
  if (bytes <= resultBytesMax) return;
  throw new BorealisError(
    sqlState.limitExceeded,
    `the results of a connection's portals have ${resultBytesMax} bytes at most`,
    { hint: "Read them to their end, or close them." },
  );
}
