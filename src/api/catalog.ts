import { BorealisError, sqlState } from "../base/errors.ts";
import { isAggregate } from "./aggregates.ts";
import { allOf, type Given } from "./catalog-conditions.ts";
import { nameOf, type Outline, outline } from "./catalog-outline.ts";
import { type CatalogRow, catalogRows } from "./catalog-rows.ts";
import type { SessionFacts } from "./functions.ts";
import { requireColumnsFit, requireParameter, requireQueryFits } from "./limits.ts";
import { type Prepared, textRows } from "./prepared.ts";
import type { SqlType, SqlValue } from "./sql-types.ts";
import { plainText, type Token } from "./statement-text.ts";

/**
 * What psql asks of PostgreSQL's catalogs for \l, \dt, \d, \dn and \du, and JDBC for its DatabaseMetaData and for types. Their
 * queries differ by version, and use what the parser does not know; so they are told by what they read, and each result column by its name. What is not understood
 * whole has no rows: a condition that was passed over would show what is not so.
 */

/** Whether a query reads a catalog. */
export function readsCatalog(tokens: readonly Token[]): boolean {
  return tokens.some(({ kind, text }, index) => {
    if (kind !== "word" || (text !== "from" && text !== "join")) return false;
    const name = tokens[index + 1];
    const after = tokens[index + 2]?.text === "." ? index + 4 : index + 2;
    const isCall = tokens[after]?.text === "(";
    return name?.kind === "word" && isCatalogName(name.text) && !isCall;
  });
}

function isCatalogName(name: string): boolean {
  return name.startsWith("pg_") || name === "information_schema";
}

/** `types`: of parameters, as the client declared them. */
export function answerCatalog(
  tokens: readonly Token[],
  session: SessionFacts,
  types: readonly (SqlType | undefined)[],
): Prepared {
  requireQueryFits(tokens.length);
  const query = outline(tokens);
  requireColumnsFit(query.items.length);
  // No rows would be an answer here, and a wrong one.
  if (query.items.some(isAggregateCall))
    throw new BorealisError(
      sqlState.notSupported,
      "aggregates over PostgreSQL's catalogs are not supported in the admin database",
    );
  const parameters = parametersOf(tokens, types);
  const columns = query.items.map((item) => ({ name: nameOf(item), valueOf: valueOf(item) }));
  const names = columns.map(({ name }) => name);
  const list = (values: readonly SqlValue[]): SqlValue[][] =>
    rowsOf(query, session, { types: parameters, values }).map((row) =>
      columns.map((column) => column.valueOf(row)),
    );
  return { ...textRows("SELECT", names, list), parameters };
}

function parametersOf(
  tokens: readonly Token[],
  types: readonly (SqlType | undefined)[],
): SqlType[] {
  let length = types.length;
  for (const { kind, text } of tokens) {
    if (kind !== "parameter") continue;
    const number = +text.slice(1);
    requireParameter(number);
    length = Math.max(length, number);
  }
  return Array.from({ length }, (_, index) => types[index] ?? "text");
}

/** By the name of the result column; or what is written there. */
function valueOf(item: readonly Token[]): (row: CatalogRow) => string | null {
  const [first] = item;
  if (first?.kind === "string" && (item.length === 1 || item[1]?.text === "as")) {
    const text = plainText(first);
    return () => text;
  }
  const name = nameOf(item).toLowerCase();
  const isNothingNull = /^nullif \( [\w .]* , '' \)/.test(textOf(item));
  return (row) => {
    const value = row.get(name) ?? null;
    return isNothingNull && value === "" ? null : value;
  };
}

function textOf(tokens: readonly Token[]): string {
  return tokens.map(({ text }) => text).join(" ");
}

/** At the level of the list itself. */
function isAggregateCall(item: readonly Token[]): boolean {
  const [first, dot] = item;
  const call = first?.text === "pg_catalog" && dot?.text === "." ? item.slice(2) : item;
  return call[1]?.text === "(" && isAggregate(call[0]?.text ?? "");
}

function rowsOf(query: Outline, session: SessionFacts, given: Given): CatalogRow[] {
  if (!query.isPlain) return [];
  const rows = catalogRows(query.relations, session);
  const test = allOf(query.conditions);
  if (!rows || !test) return [];
  return inOrder(
    rows.filter((row) => test(row, given)),
    query,
  );
}

/** By columns, named or by their number; by what else there may be they are not sorted. */
function inOrder(rows: readonly CatalogRow[], { items, order }: Outline): CatalogRow[] {
  const keys = order.flatMap((whole) => {
    const end = whole.findIndex(({ text }) => ["asc", "desc", "nulls"].includes(text));
    const item = end < 0 ? whole : whole.slice(0, end);
    const [first] = item;
    const meant = first?.kind === "number" ? items[Number(first.text) - 1] : item;
    const sign = whole[end]?.text === "desc" ? -1 : 1;
    return meant ? [{ name: nameOf(meant).toLowerCase(), sign }] : [];
  });
  return rows.toSorted((a, b) => {
    for (const { name, sign } of keys) {
      const found = compare(a.get(name) ?? "", b.get(name) ?? "");
      if (found !== 0) return sign * found;
    }
    return 0;
  });
}

function compare(a: string, b: string): number {
  const isNumber = /^\d+$/.test(a) && /^\d+$/.test(b);
  if (isNumber) return Number(a) - Number(b);
  return a < b ? -1 : Number(a > b);
}
