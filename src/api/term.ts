import { BorealisError, sqlState } from "../base/errors.ts";
import { parseValue, type SqlType, type SqlValue, typeFacts } from "./sql-types.ts";

/** What an expression is worked out over. */
export interface Context {
  /** Columns of all tables in FROM, side by side; null in those that a left join found no row for. */
  readonly row: readonly SqlValue[];
  readonly parameters: readonly SqlValue[];
  readonly nowUs: bigint;
  /** Of a grouped query: its aggregates' results, by slot. */
  readonly aggregates: readonly SqlValue[];
}

/** A compiled expression. */
export interface Term {
  readonly type: SqlType;
  readonly run: (context: Context) => SqlValue;
  /** A string literal that has not met a type. */
  readonly literal?: string;
  /** Likewise a parameter; the first is 1. */
  readonly parameter?: number;
}

/** The types of a statement's parameters: as declared, or as the first place that one stands in wants it. */
export class Parameters {
  private readonly types: (SqlType | undefined)[];

  constructor(declared: readonly (SqlType | undefined)[]) {
    this.types = declared.map((type) => (type === "unknown" ? undefined : type));
  }

  typeOf(number: number): SqlType | undefined {
    while (this.types.length < number) this.types.push(undefined);
    return this.types[number - 1];
  }

  settle(number: number, type: SqlType): void {
    this.types[number - 1] = type;
  }

  /** What nobody gave a type is text. */
  get settled(): SqlType[] {
    return this.types.map((type) => type ?? "text");
  }
}

const numbers: readonly SqlType[] = ["int4", "int8", "float8"];

export function isNumber(type: SqlType): boolean {
  return numbers.includes(type);
}

/** The type that both are brought to; undefined: there is none. */
export function commonType(a: SqlType, b: SqlType): SqlType | undefined {
  if (a === b) return a;
  if (a === "unknown") return b;
  if (b === "unknown") return a;
  if (!isNumber(a) || !isNumber(b)) return undefined;
  return numbers.indexOf(a) > numbers.indexOf(b) ? a : b;
}

/**
 * The same value as another type, where PostgreSQL does so by itself: literals and parameters become anything, numbers
 * wider ones. Undefined: it does not.
 */
export function toType(term: Term, type: SqlType, parameters: Parameters): Term | undefined {
  if (term.type === type) return term;
  if (term.parameter !== undefined) {
    const { parameter } = term;
    if (type !== "unknown") parameters.settle(parameter, type);
    return { type, run: term.run };
  }
  if (term.type === "unknown") {
    const { literal } = term;
    if (literal === undefined) return { type, run: term.run };
    const value = parseValue(type, literal);
    return { type, run: () => value };
  }
  if (commonType(term.type, type) !== type) return undefined;
  const { run } = term;
  if (type !== "float8") return { type, run };
  return {
    type,
    run: (context) => {
      const value = run(context);
      return value === null ? null : Number(value);
    },
  };
}

/** As a result column, or an argument of text: what has met no type is text. */
export function asResult(term: Term, parameters: Parameters): Term {
  return term.type === "unknown" ? (toType(term, "text", parameters) ?? term) : term;
}

/** As toType. Raises 42804 with `what` in its message. */
export function requireType(
  term: Term,
  type: SqlType,
  { parameters, what }: { readonly parameters: Parameters; readonly what: string },
): Term {
  const converted = toType(term, type, parameters);
  if (converted) return converted;
  const { spelled } = typeFacts(type);
  throw new BorealisError(
    sqlState.datatypeMismatch,
    `${what} must be type ${spelled}, not type ${typeFacts(term.type).spelled}`,
  );
}

/** Negative, 0 or positive; both of one type, neither null. Text is compared by code units (collation C). */
export function compareValues(a: SqlValue, b: SqlValue): number {
  if (Array.isArray(a) && Array.isArray(b)) {
    for (const [index, item] of a.entries()) {
      const other = b[index];
      if (other === undefined) return 1;
      if (item === other) continue;
      // A null is above everything else.
      if (item === null || other === null) return item === null ? 1 : -1;
      return item < other ? -1 : 1;
    }
    return a.length - b.length;
  }
  // PostgreSQL's NaN is equal to itself and above everything else.
  if (typeof a === "number" && typeof b === "number" && (Number.isNaN(a) || Number.isNaN(b)))
    return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  if (a === b) return 0;
  return (a as string) < (b as string) ? -1 : 1; // of one type, and every type's values have an order
}
