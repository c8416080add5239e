import { type Condition, type Expectation, FormatError, type Prefixes } from "./record.ts";

/** What follows `statement`: ok, count N, or error [SQLSTATE] [PATTERN]. */
export function parseExpectation(words: readonly string[], line: number): Expectation {
  const [kind, ...rest] = words;
  if (kind === "ok" && rest.length === 0) return { kind: "ok" };
  if (kind === "count" && rest.length === 1 && /^\d+$/.test(rest[0] ?? "")) {
    return { kind: "count", count: Number(rest[0]) };
  }
  if (kind === "error") {
    const [first = ""] = rest;
    const sqlState = /^[0-9A-Z]{5}$/.test(first) && /\d/.test(first) ? first : undefined;
    const pattern = rest.slice(sqlState ? 1 : 0).join(" ");
    return { kind: "error", sqlState, pattern: pattern === "" ? undefined : pattern };
  }
  throw new FormatError(line, `"${words.join(" ")}": ok, count N, or error [SQLSTATE] [PATTERN]`);
}

/** `postgresql`, `writer`, `version>=16`. Raises FormatError. */
export function parseCondition(word: string, isWanted: boolean, line: number): Condition {
  const version = /^version(<=|>=|=|<|>)(\d+)$/.exec(word);
  if (version) {
    const [, operator, number] = version;
    if (
      operator === "<" ||
      operator === "<=" ||
      operator === "=" ||
      operator === ">=" ||
      operator === ">"
    ) {
      return { kind: "version", operator, version: Number(number), isWanted };
    }
  }
  if (!/^[\w-]+$/.test(word)) throw new FormatError(line, `"${word}" is no condition`);
  return { kind: "word", word, isWanted };
}

interface PrefixLine {
  readonly line: string;
  readonly at: number;
  readonly prefixes: Prefixes;
}

/** The prefixes with those of one more line. Raises FormatError for an unknown word. */
export function parsePrefix(
  word: string,
  rest: readonly string[],
  { line, at, prefixes }: PrefixLine,
): Prefixes {
  const [value] = rest;
  const argument = line.slice(word.length).trim();
  if (value === undefined && word !== "background")
    throw new FormatError(at, `"${line}": not a record`);
  switch (word) {
    case "skipif":
    case "onlyif": {
      const condition = parseCondition(value ?? "", word === "onlyif", at);
      return { ...prefixes, conditions: [...prefixes.conditions, condition] };
    }
    case "connection":
      return { ...prefixes, connection: argument };
    case "background":
      return { ...prefixes, isBackground: true };
    case "bind":
      return { ...prefixes, bind: parseValues(argument, at) };
    case "prepared":
      return { ...prefixes, prepared: argument };
    case "fetch":
      if (!/^[1-9]\d*$/.test(argument)) throw new FormatError(at, "fetch N");
      return { ...prefixes, fetch: Number(argument) };
    case "notice":
      return { ...prefixes, notice: argument };
    default:
      throw new FormatError(at, `"${line}": not a record`);
  }
}

/** A JSON array: strings and numbers as their text, null as NULL. */
function parseValues(json: string, line: number): (string | null)[] {
  let values: unknown;
  try {
    values = JSON.parse(json);
  } catch (cause) {
    throw new FormatError(line, `bind takes a JSON array: ${String(cause)}`);
  }
  if (!Array.isArray(values)) throw new FormatError(line, "bind takes a JSON array");
  return values.map((value: unknown) => {
    if (value === null || typeof value === "string") return value;
    return JSON.stringify(value);
  });
}
