import { BorealisError, sqlState } from "../base/errors.ts";
import { type Aggregate, keyOf } from "./aggregates.ts";
import { columnNameOf } from "./column-name.ts";
import { columnKey, Expressions, type ExpressionWorld, type Place } from "./expression.ts";
import { Budget, compileFrom, walk } from "./from.ts";
import type { FunctionWorld } from "./functions.ts";
import { requireColumnsFit } from "./limits.ts";
import { ordering, sorted } from "./order.ts";
import type { Output, OutputRow, ResultColumn } from "./result-row.ts";
import { Scope } from "./scope.ts";
import { bigintOf, type SqlType, type SqlValue } from "./sql-types.ts";
import {
  errorAt,
  type Expr,
  fingerprint,
  type SelectedColumn,
  type SelectFromStatement,
} from "./syntax.ts";
import type { Sight, Source } from "./tables.ts";
import { asResult, type Context, requireType, type Term } from "./term.ts";

/** A SELECT that nothing is wrong with any more but values. */
export interface Query {
  readonly columns: readonly ResultColumn[];
  /** What must be in the sight. */
  readonly sources: ReadonlySet<Source>;
  /** Raises BorealisError for a value that an expression cannot take, 54000 for too much work. */
  readonly run: (sight: Sight, parameters: readonly SqlValue[]) => SqlValue[][];
}

/** Raises BorealisError for everything that is wrong with it, and 0A000 for what is not supported. */
export function compileSelect(
  node: SelectFromStatement,
  world: FunctionWorld & { readonly text: string },
): Query {
  refuseClauses(node);
  const scope = new Scope();
  const expressions = new Expressions({ ...world, scope });
  const steps = compileFrom(node.from ?? [], scope, expressions);
  const where = node.where
    ? expressions.condition(node.where, { kind: "rows", name: "WHERE" })
    : undefined;
  const grouping = groupingOf(node, expressions);
  const { place } = grouping;
  const outputs = (node.columns ?? []).flatMap((column) => outputsOf(column, expressions, place));
  requireColumnsFit(outputs.length);
  const having = node.having ? expressions.condition(node.having, place) : undefined;
  const keys = (node.orderBy ?? []).map((by) =>
    ordering(by, { outputs, expressions, place, isDistinct: node.distinct === "distinct" }),
  );
  const limits = limitsOf(node, expressions);
  const isGrouped = grouping.keys !== undefined;
  const run = (sight: Sight, parameters: readonly SqlValue[]): SqlValue[][] => {
    const base = { parameters, nowUs: sight.nowUs, aggregates: [] };
    const rows = walk(steps, { sight, base, where, budget: new Budget() });
    const contexts = isGrouped ? grouped(rows, grouping, { base, width: scope.width }) : rows;
    const kept = having ? contexts.filter((one) => having.run(one) === true) : contexts;
    let results: OutputRow[] = kept.map((context) => ({
      values: outputs.map(({ term }) => term.run(context)),
      context,
    }));
    if (node.distinct === "distinct") results = distinctRows(results);
    results = sorted(results, keys);
    const { offset, limit } = limits({ ...base, row: [] });
    return results
      .slice(offset, limit === undefined ? undefined : offset + limit)
      .map(({ values }) => values);
  };
  const sources = new Set(scope.relations.map(({ table }) => table.source));
  return { columns: outputs.map(({ name, type }) => ({ name, type })), sources, run };
}

function refuseClauses(node: SelectFromStatement): void {
  if (Array.isArray(node.distinct))
    throw errorAt(node, sqlState.notSupported, "DISTINCT ON is not supported here");
  if (node.for || node.skip)
    throw errorAt(node, sqlState.notSupported, "nothing can be locked here");
}

interface Grouping {
  readonly place: Place;
  readonly aggregates: readonly Aggregate[];
  /** Undefined: rows are not grouped. */
  readonly keys: readonly Term[] | undefined;
}

/** There are groups with GROUP BY, with HAVING, and where an aggregate stands. */
function groupingOf(node: SelectFromStatement, expressions: Expressions): Grouping {
  const aggregates: Aggregate[] = [];
  const by = (node.groupBy ?? []).map((item) =>
    groupedBy(item, node.columns ?? [], expressions.world.scope),
  );
  const isGrouped = node.groupBy || node.having || hasAggregate(node, expressions.world);
  if (!isGrouped)
    return { place: { kind: "groups", aggregates, keys: undefined }, aggregates, keys: undefined };
  const keys = by.map((item) => expressions.compile(item, { kind: "rows", name: "GROUP BY" }));
  const { scope } = expressions.world;
  const prints = new Set(by.map(fingerprint));
  // A column is the same under each of its names.
  for (const item of by) if (item.type === "ref") prints.add(columnKey(scope.column(item).index));
  return { place: { kind: "groups", aggregates, keys: prints }, aggregates, keys };
}

/** A number means a column of the result, and so does an alias that no column of a table has for its name. */
function groupedBy(item: Expr, columns: readonly SelectedColumn[], scope: Scope): Expr {
  if (item.type === "integer") {
    const column = columns[item.value - 1];
    if (column) return column.expr;
    throw errorAt(
      item,
      sqlState.invalidColumnReference,
      `GROUP BY position ${item.value} is not in select list`,
    );
  }
  if (item.type !== "ref" || item.table || scope.has(item.name)) return item;
  const { name } = item;
  const aliased = columns.find(({ alias }) => alias?.name === name);
  return aliased?.expr ?? item;
}

/** Found by compiling once as if there were no groups: only what compiles says what it is. */
function hasAggregate(node: SelectFromStatement, world: ExpressionWorld): boolean {
  const aggregates: Aggregate[] = [];
  const trial = new Expressions(world);
  const place: Place = { kind: "groups", aggregates, keys: undefined };
  for (const { expr } of node.columns ?? [])
    if (!(expr.type === "ref" && expr.name === "*")) trial.compile(expr, place);
  for (const { by } of node.orderBy ?? [])
    if (by.type !== "ref" && by.type !== "integer") trial.compile(by, place);
  return aggregates.length > 0;
}

function outputsOf(
  { expr, alias }: SelectedColumn,
  expressions: Expressions,
  place: Place,
): Output[] {
  const { scope, parameters } = expressions.world;
  if (expr.type === "ref" && expr.name === "*") {
    // By their places: two tables of a join may have a column of the same name.
    return scope.star(expr).map((column) => {
      const { name, alias } = column;
      const node: Expr = { type: "ref", table: { name: alias }, name };
      const position = expr._location && { _location: expr._location };
      return {
        name,
        node,
        ...typed(expressions.columnAt({ ...node, ...position }, column, place)),
      };
    });
  }
  const term = asResult(expressions.compile(expr, place), parameters);
  return [{ name: alias?.name ?? columnNameOf(expr), node: expr, ...typed(term) }];
}

function typed(term: Term): { term: Term; type: SqlType } {
  return { term, type: term.type };
}

function grouped(
  rows: readonly Context[],
  { keys = [], aggregates }: Grouping,
  { base, width }: { readonly base: Omit<Context, "row">; readonly width: number },
): Context[] {
  const groups = new Map<string, Context[]>();
  for (const row of rows) {
    const key = JSON.stringify(keys.map((term) => keyOf(term.run(row))));
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  // Without GROUP BY there is one group, also of nothing.
  if (groups.size === 0 && keys.length === 0) groups.set("", []);
  const none = { ...base, row: Array.from<SqlValue>({ length: width }).fill(null) };
  return [...groups.values()].map((group) => ({
    ...(group[0] ?? none),
    aggregates: aggregates.map(({ over }) => over(group)),
  }));
}

function distinctRows(rows: readonly OutputRow[]): OutputRow[] {
  const seen = new Map<string, OutputRow>();
  for (const row of rows) {
    const key = JSON.stringify(row.values.map(keyOf));
    if (!seen.has(key)) seen.set(key, row);
  }
  return [...seen.values()];
}

function limitsOf(
  { limit }: SelectFromStatement,
  expressions: Expressions,
): (context: Context) => { offset: number; limit: number | undefined } {
  const { parameters } = expressions.world;
  const make = (node: Expr | null | undefined, what: string): Term | undefined => {
    if (!node) return undefined;
    const term = expressions.compile(node, { kind: "rows", name: what });
    return requireType(term, "int8", { parameters, what: `argument of ${what}` });
  };
  const first = make(limit?.limit, "LIMIT");
  const skipped = make(limit?.offset, "OFFSET");
  return (context) => ({
    offset: countOf(skipped, context, "OFFSET") ?? 0,
    limit: countOf(first, context, "LIMIT"),
  });
}

function countOf(term: Term | undefined, context: Context, what: string): number | undefined {
  const value = term?.run(context) ?? null;
  if (value === null) return undefined;
  const count = Number(bigintOf(value));
  if (count >= 0) return count;
  throw new BorealisError(what === "LIMIT" ? "2201W" : "2201X", `${what} must not be negative`);
}
