import { BorealisError, sqlState } from "../base/errors.ts";
import { bigintOf, checkedInteger, type SqlType, type SqlValue } from "./sql-types.ts";
import {
  asResult,
  compareValues,
  type Context,
  type Parameters,
  type Term,
  toType,
} from "./term.ts";

/** One call of an aggregate. */
export interface Aggregate {
  readonly type: SqlType;
  /** Over the rows of a group. */
  readonly over: (group: readonly Context[]) => SqlValue;
}

export interface AggregateCall {
  readonly name: string;
  /** Undefined: `*`. */
  readonly arg: Term | undefined;
  readonly isDistinct: boolean;
  /** Rows for which it is not true do not count. */
  readonly filter: Term | undefined;
}

const names = new Set(["count", "min", "max", "sum", "avg"]);

export function isAggregate(name: string): boolean {
  return names.has(name);
}

/** Undefined: there is no such aggregate for this argument. */
export function makeAggregate(call: AggregateCall, parameters: Parameters): Aggregate | undefined {
  const { name, isDistinct, filter } = call;
  const kept = (group: readonly Context[]): readonly Context[] =>
    filter ? group.filter((row) => filter.run(row) === true) : group;
  if (name === "count" && !call.arg)
    return { type: "int8", over: (group) => BigInt(kept(group).length) };
  const arg = call.arg && argumentOf(name, call.arg, parameters);
  const fold = arg && folds(arg.type)[name];
  if (!arg || !fold) return undefined;
  const over = (group: readonly Context[]): SqlValue => {
    const values = kept(group)
      .map((row) => arg.run(row))
      .filter((value) => value !== null);
    return fold.over(isDistinct ? distinct(values) : values);
  };
  return { type: fold.type, over };
}

function argumentOf(name: string, arg: Term, parameters: Parameters): Term | undefined {
  if (name === "sum" || name === "avg") {
    if (arg.type === "unknown") return toType(arg, "float8", parameters);
  }
  return asResult(arg, parameters);
}

interface Fold {
  readonly type: SqlType;
  readonly over: (values: readonly SqlValue[]) => SqlValue;
}

function folds(type: SqlType): Readonly<Record<string, Fold>> {
  const has: Readonly<Record<string, Fold>> = {
    count: { type: "int8", over: countOf },
    ...(type !== "jsonb" && extremes(type)),
  };
  switch (type) {
    case "int4":
    case "int8":
      return {
        ...has,
        sum: { type: "int8", over: sumAs("int8") },
        avg: { type: "float8", over: meanOf },
      };
    case "float8":
      return { ...has, sum: { type, over: floatSum }, avg: { type, over: meanOf } };
    case "interval":
      return { ...has, sum: { type, over: sumAs("interval") } };
    default:
      return has;
  }
}

const countOf: Fold["over"] = (values) => BigInt(values.length);

function extremes(type: SqlType): Readonly<Record<string, Fold>> {
  // PostgreSQL has no smallest boolean.
  if (type === "bool") return {};
  const best =
    (sign: number): Fold["over"] =>
    (values) =>
      values.reduce(
        (found, value) =>
          found === null || compareValues(value, found) * sign > 0 ? value : found,
        null,
      );
  return { min: { type, over: best(-1) }, max: { type, over: best(1) } };
}

function sumAs(type: SqlType): Fold["over"] {
  return (values) => {
    if (values.length === 0) return null;
    const sum = values.reduce<bigint>((total, value) => total + bigintOf(value), 0n);
    return checkedInteger(type, sum);
  };
}

const floatSum: Fold["over"] = (values) =>
  values.length === 0 ? null : values.reduce<number>((sum, value) => sum + Number(value), 0);

const meanOf: Fold["over"] = (values) =>
  values.length === 0
    ? null
    : values.reduce<number>((sum, value) => sum + Number(value), 0) / values.length;

function distinct(values: readonly SqlValue[]): SqlValue[] {
  return [...new Map(values.map((value) => [keyOf(value), value])).values()];
}

/** The same for values that are not distinct. */
export function keyOf(value: SqlValue): string {
  // Of one type each, so that no text can be taken for a number; lists may hold anything.
  return Array.isArray(value) ? JSON.stringify(value) : `${typeof value}:${String(value)}`;
}

export function misplaced(where: string): BorealisError {
  return new BorealisError(
    sqlState.groupingError,
    `aggregate functions are not allowed in ${where}`,
  );
}
