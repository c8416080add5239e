import type { SqlType, SqlValue } from "./sql-types.ts";
import type { Expr } from "./syntax.ts";
import type { Context, Term } from "./term.ts";

/** A column of a result. */
export interface ResultColumn {
  readonly name: string;
  readonly type: SqlType;
}

/** A column, and what it is worked out by. */
export interface Output extends ResultColumn {
  readonly term: Term;
  readonly node: Expr;
}

/** A row of the result, and what it was worked out of. */
export interface OutputRow {
  readonly values: SqlValue[];
  readonly context: Context;
}
