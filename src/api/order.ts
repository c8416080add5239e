import { sqlState } from "../base/errors.ts";
import type { Expressions, Place } from "./expression.ts";
import type { Output, OutputRow } from "./result-row.ts";
import type { SqlValue } from "./sql-types.ts";
import { errorAt, fingerprint, type OrderByStatement } from "./syntax.ts";
import { asResult, compareValues } from "./term.ts";

/** One key of ORDER BY. */
export interface SortKey {
  readonly of: (row: OutputRow) => SqlValue;
  readonly isDescending: boolean;
  readonly hasNullsFirst: boolean;
}

/** A number or an alias means a column of the result; anything else is worked out over the row. */
export function ordering(
  { by, order, nulls }: OrderByStatement,
  {
    outputs,
    expressions,
    place,
    isDistinct,
  }: {
    readonly outputs: readonly Output[];
    readonly expressions: Expressions;
    readonly place: Place;
    readonly isDistinct: boolean;
  },
): SortKey {
  const isDescending = order === "DESC";
  const direction = {
    isDescending,
    // PostgreSQL's default: null is above everything.
    hasNullsFirst: nulls ? nulls === "FIRST" : isDescending,
  };
  const column = columnOf(by, outputs);
  if (column >= 0) return { ...direction, of: ({ values }) => values[column] ?? null };
  if (by.type === "integer")
    throw errorAt(
      by,
      sqlState.invalidColumnReference,
      `ORDER BY position ${by.value} is not in select list`,
    );
  if (isDistinct)
    throw errorAt(
      by,
      sqlState.invalidColumnReference,
      "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
    );
  const term = asResult(expressions.compile(by, place), expressions.world.parameters);
  return { ...direction, of: ({ context }) => term.run(context) };
}

function columnOf(by: OrderByStatement["by"], outputs: readonly Output[]): number {
  if (by.type === "integer") return by.value >= 1 && by.value <= outputs.length ? by.value - 1 : -1;
  const own =
    by.type === "ref" && !by.table ? outputs.findIndex(({ name }) => name === by.name) : -1;
  if (own >= 0) return own;
  const print = fingerprint(by);
  return outputs.findIndex(({ node }) => fingerprint(node) === print);
}

/** Rows that are equal stay as they were. */
export function sorted(rows: readonly OutputRow[], keys: readonly SortKey[]): OutputRow[] {
  if (keys.length === 0) return [...rows];
  return rows
    .map((row) => ({ row, values: keys.map((key) => key.of(row)) }))
    .toSorted((a, b) => {
      for (const [index, key] of keys.entries()) {
        const order = compareKey(a.values[index] ?? null, b.values[index] ?? null, key);
        if (order !== 0) return order;
      }
      return 0;
    })
    .map(({ row }) => row);
}

function compareKey(a: SqlValue, b: SqlValue, key: SortKey): number {
  if (a === null || b === null) {
    if (a === b) return 0;
    return (a === null) === key.hasNullsFirst ? -1 : 1;
  }
  return key.isDescending ? -compareValues(a, b) : compareValues(a, b);
}
