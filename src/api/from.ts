import { BorealisError, sqlState } from "../base/errors.ts";
import type { Expressions } from "./expression.ts";
import type { Scope } from "./scope.ts";
import type { SqlValue } from "./sql-types.ts";
import { errorAt, type From } from "./syntax.ts";
import { findTable, type Sight, type Table, tables, tableSchema } from "./tables.ts";
import type { Context, Term } from "./term.ts";

/** One table of FROM, and how it is joined to what stands before it. */
export interface Step {
  readonly table: Table;
  /** Rows of before that find none are kept, with nulls. */
  readonly isLeft: boolean;
  /** Undefined: with every row. */
  readonly on: Term | undefined;
}

/** Raises 42P01 with the tables that there are, 0A000 for joins and sources that are not supported. */
export function compileFrom(from: readonly From[], scope: Scope, expressions: Expressions): Step[] {
  return from.map((item) => {
    if (item.type !== "table")
      throw errorAt(item, sqlState.notSupported, "FROM takes tables only here");
    const { name, schema, alias, columnNames } = item.name;
    if (columnNames)
      throw errorAt(item, sqlState.notSupported, "columns cannot be renamed in FROM here");
    const table = findTable(name, schema);
    if (!table) throw noTable(item, schema === undefined ? name : `${schema}.${name}`);
    const { join } = item;
    if (
      join &&
      join.type !== "INNER JOIN" &&
      join.type !== "LEFT JOIN" &&
      join.type !== "CROSS JOIN"
    )
      throw errorAt(join, sqlState.notSupported, `${join.type} is not supported here`, {
        hint: "Turn the tables round, and use LEFT JOIN.",
      });
    if (join?.using)
      throw errorAt(join, sqlState.notSupported, "USING is not supported here", {
        hint: "Name the condition with ON.",
      });
    if (join && join.type !== "CROSS JOIN" && !join.on)
      throw errorAt(item, sqlState.syntaxError, `${join.type} wants a condition`, {
        hint: "Name it with ON, or use CROSS JOIN.",
      });
    scope.add(table, alias);
    const on = join?.on
      ? expressions.condition(join.on, { kind: "rows", name: "JOIN conditions" })
      : undefined;
    return { table, isLeft: join?.type === "LEFT JOIN", on };
  });
}

function noTable(item: From, name: string): BorealisError {
  const there = tables.map((table) => table.name).join(", ");
  return errorAt(item, sqlState.undefinedTable, `relation "${name}" does not exist`, {
    hint: `Schema ${tableSchema} has ${there}.`,
  });
}

interface Walk {
  readonly sight: Sight;
  readonly base: Omit<Context, "row">;
  /** Of joined rows; undefined: all. */
  readonly where: Term | undefined;
  readonly budget: Budget;
}

/** How many rows one statement may make: before it is out of time it could be out of memory. */
export class Budget {
  private left = 1_000_000;

  /** Raises 54000. */
  spend(cost: number): void {
    this.left -= cost;
    if (this.left >= 0) return;
    throw new BorealisError(sqlState.limitExceeded, "the statement looks at too many rows", {
      hint: "Join fewer rows, or name a condition between the tables in ON.",
    });
  }
}

/** A row that is kept is copied, and worked on further. */
const keptCost = 10;

/** The joined rows that WHERE holds for. */
export function walk(steps: readonly Step[], { sight, base, where, budget }: Walk): Context[] {
  let rows: SqlValue[][] = [[]];
  for (const [index, { table, isLeft, on }] of steps.entries()) {
    const added = table.rows(sight);
    const nothing = table.columns.map((): SqlValue => null);
    const last = index === steps.length - 1 ? where : undefined;
    const joined: SqlValue[][] = [];
    for (const row of rows) {
      // One row for all attempts: most of them come to nothing.
      const attempt = [...row, ...nothing];
      const context = { ...base, row: attempt };
      const keep = (): void => {
        if (last && last.run(context) !== true) return;
        budget.spend(keptCost);
        joined.push([...attempt]);
      };
      let hasFound = false;
      for (const own of added) {
        budget.spend(1);
        for (const [at, value] of own.entries()) attempt[row.length + at] = value;
        if (on && on.run(context) !== true) continue;
        hasFound = true;
        keep();
      }
      if (!isLeft || hasFound) continue;
      attempt.fill(null, row.length);
      keep();
    }
    rows = joined;
  }
  const contexts = rows.map((row): Context => ({ ...base, row }));
  // Without FROM there is one row of nothing.
  return steps.length > 0 || !where ? contexts : contexts.filter((one) => where.run(one) === true);
}
