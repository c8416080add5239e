import { BorealisError, type ErrorFacts } from "../base/errors.ts";
import type { Expr, PGNode } from "pgsql-ast-parser";

/** What pgsql-ast-parser makes of a text; the only file that names its types. */
export type {
  Expr,
  ExprBinary,
  ExprCall,
  ExprCase,
  ExprCast,
  ExprMember,
  ExprRef,
  ExprUnary,
  From,
  OrderByStatement,
  SelectedColumn,
  SelectFromStatement,
  Statement,
} from "pgsql-ast-parser";

/** Where a node begins, as an error tells it: the first character is 1. */
export function positionOf(node: PGNode): number | undefined {
  const start = node._location?.start;
  return start === undefined ? undefined : start + 1;
}

/** An error that points at a node. */
export function errorAt(
  node: PGNode,
  code: string,
  message: string,
  facts: ErrorFacts = {},
): BorealisError {
  const position = positionOf(node);
  return new BorealisError(code, message, {
    ...facts,
    ...(position === undefined ? {} : { position }),
  });
}

/** Equal for expressions that were written alike, wherever they stand. */
export function fingerprint(expression: Expr): string {
  return JSON.stringify(expression, (key, value: unknown) =>
    key === "_location" ? undefined : value,
  );
}
