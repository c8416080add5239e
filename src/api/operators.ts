import { BorealisError, sqlState } from "../base/errors.ts";
import { matchesPattern } from "./like.ts";
import { requireTextFits } from "./limits.ts";
import {
  bigintOf,
  checkedInteger,
  listOf,
  printValue,
  type SqlType,
  type SqlValue,
  typeFacts,
} from "./sql-types.ts";
import {
  asResult,
  commonType,
  compareValues,
  isNumber,
  type Parameters,
  type Term,
  toType,
} from "./term.ts";

type Verdict = (order: number) => boolean;

const comparisons: Readonly<Record<string, Verdict>> = {
  "=": (order) => order === 0,
  "!=": (order) => order !== 0,
  "<": (order) => order < 0,
  "<=": (order) => order <= 0,
  ">": (order) => order > 0,
  ">=": (order) => order >= 0,
};

export function isComparison(operator: string): boolean {
  return Object.hasOwn(comparisons, operator);
}

/** A binary operator but AND, OR, IN. Raises 42883 if there is none for these types. */
export function binary(operator: string, sides: readonly [Term, Term], book: Parameters): Term {
  const [left, right] = sides;
  if (isComparison(operator)) return comparison(operator, sides, book);
  const like = /^(NOT )?(I?)LIKE$/.exec(operator);
  if (like) {
    const texts = bothAs("text", sides, book);
    if (!texts) throw noOperator(operator, left.type, right.type);
    const ignoresCase = like[2] === "I";
    return strict("bool", texts, (text, pattern) => {
      const isMatch = matchesPattern(String(text), String(pattern), ignoresCase);
      return isMatch !== (like[1] !== undefined);
    });
  }
  if (operator === "||") return concatenation(sides, book);
  return arithmetic(operator, sides, book);
}

/** Null if one of the two is. */
function strict(
  type: SqlType,
  [left, right]: readonly [Term, Term],
  work: (a: SqlValue, b: SqlValue) => SqlValue,
): Term {
  return {
    type,
    run: (context) => {
      // Both, as PostgreSQL does: what is wrong with the second is told whatever the first is.
      const a = left.run(context);
      const b = right.run(context);
      return a === null || b === null ? null : work(a, b);
    },
  };
}

function bothAs(
  type: SqlType,
  [left, right]: readonly [Term, Term],
  book: Parameters,
): readonly [Term, Term] | undefined {
  const a = toType(left, type, book);
  const b = toType(right, type, book);
  return a && b && [a, b];
}

/** Both sides as the type that they have in common: text, if neither has one. Raises 42883. */
export function unify(
  operator: string,
  sides: readonly [Term, Term],
  book: Parameters,
): readonly [Term, Term] {
  const [left, right] = sides;
  const common = commonType(left.type, right.type);
  const type = common === "unknown" ? "text" : common;
  const both = type && bothAs(type, sides, book);
  if (!both) throw noOperator(operator, left.type, right.type);
  return both;
}

function comparison(operator: string, sides: readonly [Term, Term], book: Parameters): Term {
  const verdict = comparisons[operator] ?? (() => false);
  return strict("bool", unify(operator, sides, book), (a, b) => verdict(compareValues(a, b)));
}

/** `= ANY (array)`, and its kin with ALL. */
export function overArray(
  operator: string,
  { element, array, isAll }: { element: Term; array: Term; isAll: boolean },
  book: Parameters,
): Term {
  const verdict = comparisons[operator];
  const list = toType(array, "text[]", book);
  const text = toType(element, "text", book);
  if (!verdict || !list || !text) throw noOperator(operator, element.type, array.type);
  return strict("bool", [text, list], (value, items) => {
    const list = listOf(items);
    const holds = (item: string | null): boolean =>
      item !== null && verdict(compareValues(value, item));
    // The one that settles it may be anywhere; without it a null leaves it open.
    const isSettled = isAll ? list.some((item) => item !== null && !holds(item)) : list.some(holds);
    if (isSettled) return !isAll;
    return list.includes(null) ? null : isAll;
  });
}

function concatenation(sides: readonly [Term, Term], book: Parameters): Term {
  const [left, right] = sides;
  if (left.type !== "text" && left.type !== "unknown" && right.type !== "text")
    if (right.type !== "unknown") throw noOperator("||", left.type, right.type);
  const a = asResult(left, book);
  const b = asResult(right, book);
  // A cast to text, which spells a boolean out.
  const print = (type: SqlType, value: SqlValue): string =>
    type === "bool" ? String(value) : printValue(type, value);
  return strict("text", [a, b], (x, y) => {
    const first = print(a.type, x);
    const second = print(b.type, y);
    requireTextFits(first.length + second.length);
    return first + second;
  });
}

const timeSums: readonly (readonly [string, SqlType, SqlType, SqlType])[] = [
  ["-", "timestamptz", "timestamptz", "interval"],
  ["-", "timestamptz", "interval", "timestamptz"],
  ["+", "timestamptz", "interval", "timestamptz"],
  ["+", "interval", "timestamptz", "timestamptz"],
  ["+", "interval", "interval", "interval"],
  ["-", "interval", "interval", "interval"],
  ["-", "pg_lsn", "pg_lsn", "int8"],
];

function arithmetic(operator: string, sides: readonly [Term, Term], book: Parameters): Term {
  const [left, right] = sides;
  const common = commonType(left.type, right.type);
  if (common && isNumber(common)) {
    const both = bothAs(common, sides, book);
    const work = common === "float8" ? floats[operator] : integers(operator, common);
    if (both && work) return strict(common, both, work);
  }
  const fits = (own: SqlType, wanted: SqlType): boolean => own === wanted || own === "unknown";
  for (const [sign, first, second, result] of timeSums) {
    if (sign !== operator || !fits(left.type, first) || !fits(right.type, second)) continue;
    if (left.type === "unknown" && right.type === "unknown") continue;
    const a = toType(left, first, book);
    const b = toType(right, second, book);
    if (!a || !b) continue;
    return strict(result, [a, b], (x, y) =>
      checkedInteger(result, sign === "+" ? bigintOf(x) + bigintOf(y) : bigintOf(x) - bigintOf(y)),
    );
  }
  throw noOperator(operator, left.type, right.type);
}

type Work = (a: SqlValue, b: SqlValue) => SqlValue;

const floats: Readonly<Record<string, Work>> = {
  "+": checkedFloat((a, b) => a + b),
  "-": checkedFloat((a, b) => a - b),
  "*": checkedFloat((a, b) => a * b),
  "/": checkedFloat((a, b) => a / Number(requireDivisor(b))),
};

/** What was finite stays so. */
function checkedFloat(work: (a: number, b: number) => number): Work {
  return (x, y) => {
    const [a, b] = [Number(x), Number(y)];
    const result = work(a, b);
    if (Number.isFinite(result) || !Number.isFinite(a) || !Number.isFinite(b)) return result;
    throw new BorealisError(sqlState.numberOutOfRange, "value out of range: overflow");
  };
}

function integers(operator: string, type: SqlType): Work | undefined {
  const work = integerWork[operator];
  return work && ((a, b) => checkedInteger(type, work(bigintOf(a), bigintOf(b))));
}

const integerWork: Readonly<Record<string, (a: bigint, b: bigint) => bigint>> = {
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "/": (a, b) => a / bigintOf(requireDivisor(b)),
  "%": (a, b) => a % bigintOf(requireDivisor(b)),
};

function requireDivisor(value: SqlValue): SqlValue {
  if (value !== 0n && value !== 0) return value;
  throw new BorealisError(sqlState.divisionByZero, "division by zero");
}

function noOperator(operator: string, left: SqlType, right: SqlType): BorealisError {
  const spelled = operator === "!=" ? "<>" : operator;
  return new BorealisError(
    sqlState.undefinedFunction,
    `operator does not exist: ${typeFacts(left).spelled} ${spelled} ${typeFacts(right).spelled}`,
    { hint: "The admin database has few operators; a cast to text may help." },
  );
}
