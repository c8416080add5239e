import { BorealisError, sqlState } from "../base/errors.ts";
import { printJson } from "./jsonb.ts";
import { fitting } from "./limits.ts";
import {
  bigintOf,
  checkedInteger,
  findType,
  parseValue,
  printValue,
  type SqlType,
  type SqlValue,
  typeFacts,
} from "./sql-types.ts";
import { errorAt, type ExprCast, type ExprMember } from "./syntax.ts";
import { isNumber, type Parameters, type Term, toType } from "./term.ts";

/** `term::type`. Raises 42704 for a type that is none of ours, 42846 for a cast that is none. */
export function castTerm(term: Term, to: ExprCast["to"], parameters: Parameters): Term {
  const type = typeOf(to);
  const direct = toType(term, type, parameters);
  if (direct) return direct;
  const convert = conversion(term.type, type);
  if (!convert)
    throw new BorealisError(
      sqlState.cannotCoerce,
      `cannot cast type ${typeFacts(term.type).spelled} to ${typeFacts(type).spelled}`,
    );
  const { run } = term;
  return {
    type,
    run: (context) => {
      const value = run(context);
      return value === null ? null : convert(value);
    },
  };
}

function typeOf(to: ExprCast["to"]): SqlType {
  if (to.kind === "array") {
    if (typeOf(to.arrayOf) === "text") return "text[]";
    throw errorAt(to, sqlState.notSupported, "arrays are of text only here");
  }
  const type = findType(to.name.toLowerCase());
  if (type) return type;
  throw errorAt(to, sqlState.undefinedObject, `type "${to.name}" does not exist`, {
    hint: "The admin database has bool, int4, int8, float8, text, timestamptz, interval, pg_lsn, jsonb and text[].",
  });
}

function conversion(from: SqlType, to: SqlType): ((value: SqlValue) => SqlValue) | undefined {
  if (to === "text") {
    // Only here PostgreSQL spells it out.
    if (from === "bool") return String;
    // Each level of an array in an array doubles its backslashes.
    return (value) => fitting(printValue(from, value));
  }
  if (from === "text") return (value) => parseValue(to, String(value));
  if (to === "int4" || to === "int8") {
    if (from === "float8") return (value) => checkedInteger(to, roundEven(Number(value)));
    if (isNumber(from)) return (value) => checkedInteger(to, bigintOf(value));
    if (from === "bool" && to === "int4") return (value) => (value === true ? 1n : 0n);
  }
  if (to === "bool" && from === "int4") return (value) => value !== 0n;
  return undefined;
}

/** Halves go to the even neighbour, as in PostgreSQL's casts of float8. */
function roundEven(value: number): bigint {
  if (!Number.isFinite(value))
    throw new BorealisError(sqlState.numberOutOfRange, "integer out of range");
  const rounded = Math.round(value);
  const isHalf = Math.abs(value % 1) === 0.5;
  return BigInt(isHalf && rounded % 2 !== 0 ? rounded - 1 : rounded);
}

/** `json -> 'key'`, `json ->> 'key'`. */
export function memberOf(term: Term, { op, member }: Pick<ExprMember, "op" | "member">): Term {
  if (term.type !== "jsonb")
    throw new BorealisError(
      sqlState.undefinedFunction,
      `operator does not exist: ${typeFacts(term.type).spelled} ${op} unknown`,
    );
  const isText = op === "->>";
  return {
    type: isText ? "text" : "jsonb",
    run: (context) => {
      const value = term.run(context);
      const found = value === null ? undefined : findMember(JSON.parse(String(value)), member);
      if (found === undefined || (isText && found === null)) return null;
      return isText && typeof found === "string" ? found : printJson(found);
    },
  };
}

function findMember(json: unknown, member: string | number): unknown {
  if (typeof json !== "object" || json === null) return undefined;
  if (typeof member === "number") return Array.isArray(json) ? json.at(member) : undefined;
  if (Array.isArray(json)) return undefined;
  return new Map<string, unknown>(Object.entries(json)).get(member);
}
