import { split } from "./catalog-outline.ts";
import type { CatalogRow } from "./catalog-rows.ts";
import { matchesPattern } from "./like.ts";
import { printValue, type SqlType, type SqlValue } from "./sql-types.ts";
import { plainText, type Token } from "./statement-text.ts";

/** Of a statement's parameters. */
export interface Given {
  readonly types: readonly SqlType[];
  readonly values: readonly SqlValue[];
}

export type Test = (row: CatalogRow, given: Given) => boolean;

/** Conditions that hold of all that there is here: none of it is hidden or dropped, nor, but for types, the system's. */
const always = [
  /^(?:\w+ \. )?(?:rolname|relname|datname) (?:<>|< >|! =|!~|! ~) '(?:\^?pg_\w*|information_schema)'$/,
  /^(?:\w+ \. )?nspname (?:<>|< >|! =|!~|! ~) '\^?pg_(?:toast|temp)\w*'$/,
  /^pg_catalog \. pg_table_is_visible \( \w+ \. oid \)$/,
  /^(?:\w+ \. )?attnum > '?0'?$/,
  /^not (?:\w+ \. )?attisdropped$/,
  // No type is a table's.
  /^\w+ \. typrelid = 0$/,
  // What a join is by, where it stands among the conditions.
  /^\w+ \. (?:relnamespace|typnamespace) = \w+ \. oid$/,
  /^true$/,
];
const never = [/^false$/];
const ofSchema = /^(?:\w+ \. )?nspname (<>|< >|! =|!~|! ~|~) '(\^?)(pg_\w*|information_schema)'$/;
/** Names are shorter, and so is what is asked for them. */
const patternMax = 256;

const yes: Test = () => true;
const no: Test = () => false;

/** Brackets within brackets that are read. */
const depthMax = 64;

/** Undefined: it is not understood. */
function testOf(tokens: readonly Token[], depth: number): Test | undefined {
  if (depth > depthMax) return undefined;
  const condition = tokens.map(({ text }) => text).join(" ");
  if (always.some((one) => one.test(condition))) return yes;
  if (never.some((one) => one.test(condition))) return no;
  return (
    inBrackets(tokens, depth) ??
    schemaTest(condition) ??
    comparison(tokens, condition) ??
    regularExpression(condition)
  );
}

/** Alternatives in brackets, each of which may be several conditions. */
function inBrackets(tokens: readonly Token[], depth: number): Test | undefined {
  if (tokens[0]?.text !== "(" || tokens.at(-1)?.text !== ")") return undefined;
  const alternatives = split(tokens.slice(1, -1), "or").map((one) =>
    allOf(split(one, "and"), depth + 1),
  );
  // Whatever the others say.
  if (alternatives.includes(yes)) return yes;
  if (alternatives.includes(undefined)) return undefined;
  return (row, given) => alternatives.some((test) => test?.(row, given) === true);
}

export function allOf(conditions: readonly (readonly Token[])[], depth = 0): Test | undefined {
  const tests = conditions.map((one) => testOf(one, depth)).filter((test) => test !== yes);
  if (tests.length === 0) return yes;
  if (tests.length === 1) return tests[0];
  if (tests.includes(undefined)) return undefined;
  return (row, given) => tests.every((test) => test?.(row, given) === true);
}

/** Whether it is one of the system's, which types are in. */
function schemaTest(condition: string): Test | undefined {
  const [, operator = "", caret, name = ""] = ofSchema.exec(condition) ?? [];
  if (operator === "") return undefined;
  const isPattern = operator.includes("~");
  const isNegated = operator !== "~";
  return (row) => {
    const own = row.get("nspname") ?? "";
    const isBegun = caret === "" ? own.includes(name) : own.startsWith(name);
    return (isPattern ? isBegun : own === name) !== isNegated;
  };
}

/** Of a column with a literal or a parameter. */
function comparison(tokens: readonly Token[], condition: string): Test | undefined {
  const kinds = /^(?:\w+ \. )?relkind in \( ([^()]*) \)$/.exec(condition)?.[1];
  if (kinds !== undefined) return (row) => kinds.includes(`'${row.get("relkind")}'`);
  const [, column = "", operator] =
    /^(?:\w+ \. )?(oid|attrelid|nspname|relname|rolname|datname|attname|typname|relkind) (=|like) \S+$/.exec(
      condition,
    ) ?? [];
  const value = operator === undefined ? undefined : valueOf(tokens.at(-1));
  if (!value) return undefined;
  return (row, given) => {
    const own = row.get(column) ?? "";
    const wanted = value(given);
    if (wanted === null || wanted.length > patternMax) return false;
    return operator === "=" ? own === wanted : matchesPattern(own, wanted, false);
  };
}

function valueOf(token: Token | undefined): ((given: Given) => string | null) | undefined {
  if (token?.kind === "string" || token?.kind === "number") {
    const text = plainText(token);
    return () => text;
  }
  if (token?.kind !== "parameter") return undefined;
  const index = Number(token.text.slice(1)) - 1;
  return ({ types, values }) => {
    const value = values[index] ?? null;
    return value === null ? null : printValue(types[index] ?? "text", value);
  };
}

function regularExpression(condition: string): Test | undefined {
  const like =
    /^(?:\w+ \. )?(nspname|relname|rolname|datname) (?:operator \( pg_catalog \. ~ \)|~) '\^\((.*)\)\$'(?: collate pg_catalog \. default)?$/.exec(
      condition,
    );
  const pattern = like?.[2];
  // psql's own patterns have `.*` for a star, `.` for a question mark, and names; what else there may be is not read.
  if (pattern === undefined || !/^(?:[\w-]|\.\*?)*$/.test(pattern)) return undefined;
  const wildcards = pattern
    .replaceAll("_", String.raw`\_`)
    .replaceAll(".*", "%")
    .replaceAll(".", "_");
  return (row) => matchesPattern(row.get(like?.[1] ?? "") ?? "", wildcards, false);
}
