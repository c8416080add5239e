import { plainText, type Token } from "./statement-text.ts";

/** A query of PostgreSQL's catalogs, as far as it can be told without a grammar. */
export interface Outline {
  /** The list of results. */
  readonly items: readonly (readonly Token[])[];
  /** In FROM, without their schema. */
  readonly relations: readonly Relation[];
  /** All of them hold. */
  readonly conditions: readonly (readonly Token[])[];
  /** What the rows are sorted by. */
  readonly order: readonly (readonly Token[])[];
  /** One SELECT, without groups and limits. */
  readonly isPlain: boolean;
}

export interface Relation {
  readonly name: string;
  /** By LEFT JOIN: it takes no row away. */
  readonly isOptional: boolean;
}

/** The name of a relation that is a query itself. */
export const subquery = "(select)";

/** Words that end a clause, at the level of the query itself. */
const clauses = new Set(
  "from where group having order limit offset fetch union intersect except window".split(" "),
);

export function outline(tokens: readonly Token[]): Outline {
  const parts = new Map<string, Token[]>([["select", []]]);
  let clause = "select";
  // Behind WITH the query itself is the first that stands in no brackets.
  const start = topLevelSelect(tokens);
  let isPlain = start === 0;
  let depth = 0;
  for (const token of tokens.slice(start + 1)) {
    if (token.text === "(") depth++;
    else if (token.text === ")") depth--;
    else if (depth === 0 && token.kind === "word" && clauses.has(token.text)) {
      // Of a UNION the first SELECT names the columns.
      if (parts.has(token.text)) break;
      clause = token.text;
      if (clause !== "from" && clause !== "where" && clause !== "order") isPlain = false;
    }
    const part = parts.get(clause) ?? [];
    parts.set(clause, part);
    part.push(token);
  }
  const from = parts.get("from")?.slice(1) ?? [];
  const found: Outline = {
    items: split(parts.get("select") ?? [], ","),
    relations: relationsOf(from),
    conditions: [...split(parts.get("where")?.slice(1) ?? [], "and"), ...joinConditions(from)],
    order: split(parts.get("order")?.slice(2) ?? [], ","),
    isPlain,
  };
  return ofInner(found, from);
}

/** SELECT * FROM (a query) is that one, with more conditions and another order. */
function ofInner(outer: Outline, from: readonly Token[]): Outline {
  const isAll =
    outer.items.length === 1 && outer.items[0]?.map(({ text }) => text).join("") === "*";
  const end = from.findLastIndex(({ text }) => text === ")");
  if (!isAll || outer.relations.length !== 1 || from[0]?.text !== "(" || end < 0) return outer;
  const inner = outline(from.slice(1, end));
  return {
    ...inner,
    conditions: [...inner.conditions, ...outer.conditions],
    order: outer.order,
    isPlain: inner.isPlain && outer.isPlain,
  };
}

function topLevelSelect(tokens: readonly Token[]): number {
  let depth = 0;
  const found = tokens.findIndex(({ text }) => {
    if (text === "(") depth++;
    else if (text === ")") depth--;
    return depth === 0 && text === "select";
  });
  return Math.max(found, 0);
}

/** At the level of the list itself; nothing of nothing. */
export function split(tokens: readonly Token[], by: string): Token[][] {
  const parts: Token[][] = tokens.length > 0 ? [[]] : [];
  let depth = 0;
  for (const token of tokens) {
    if (token.text === "(") depth++;
    else if (token.text === ")") depth--;
    if (depth === 0 && token.text === by) parts.push([]);
    else parts.at(-1)?.push(token);
  }
  return parts;
}

function relationsOf(from: readonly Token[]): Relation[] {
  const found: Relation[] = [];
  let depth = 0;
  let isNext = true;
  let isOptional = false;
  for (const [index, { kind, text }] of from.entries()) {
    if (text === "(") {
      if (depth === 0 && isNext) {
        found.push({ name: subquery, isOptional });
        isNext = false;
      }
      depth++;
    } else if (text === ")") depth--;
    else if (depth > 0) continue;
    else if (text === "join" || text === ",") {
      isNext = true;
      isOptional = text === "join" && from[index - 1]?.text === "left";
    } else if (isNext && kind === "word" && from[index + 1]?.text !== ".") {
      found.push({ name: text, isOptional });
      isNext = false;
    }
  }
  return found;
}

const kindsOfJoin = new Set(["left", "inner", "cross", "right", "full", "natural"]);

/** What ON says beyond how rows belong together: which there are, but for LEFT JOIN. */
function joinConditions(from: readonly Token[]): Token[][] {
  const found: Token[][] = [];
  const joined = split(from, "join");
  for (const [index, tokens] of joined.entries()) {
    if (index === 0) continue;
    const isOptional = joined[index - 1]?.at(-1)?.text === "left";
    const on = tokens.findIndex(({ text }) => text === "on");
    if (isOptional || on < 0) continue;
    const [own = []] = split(tokens.slice(on + 1), ",");
    const end = own.findIndex(({ text }) => kindsOfJoin.has(text));
    const condition = end < 0 ? own : own.slice(0, end);
    found.push(...split(condition, "and").filter((one) => one.some(({ kind }) => isValue(kind))));
  }
  return found;
}

function isValue(kind: Token["kind"]): boolean {
  return kind === "string" || kind === "number" || kind === "parameter";
}

/** As PostgreSQL names a result column. */
export function nameOf(item: readonly Token[]): string {
  const as = item.findLastIndex(({ text }) => text === "as");
  const last = item.at(-1);
  const isOutside = item.slice(as + 1).every(({ text }) => text !== ")");
  if (as >= 0 && isOutside && last) return plainText(last);
  if (item[0]?.text === "case") return "case";
  if (item[0]?.text === "array") return "array";
  // A cast keeps the name; a call has its function's.
  const cast = item.findIndex(({ text }, at) => text === ":" && item[at + 1]?.text === ":");
  const own = cast > 0 ? item.slice(0, cast) : item;
  const call = own.findIndex(({ text }) => text === "(");
  const named = call < 0 ? own.at(-1) : own[call - 1];
  const isName = named?.kind === "word" || named?.kind === "quoted";
  return named && isName && named.text !== "null" ? plainText(named) : "?column?";
}
