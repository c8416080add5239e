import { BorealisError, sqlState } from "../base/errors.ts";
import { requireNoZero } from "./limits.ts";

/** SQL text as far as it can be told without a grammar: where statements end, and which words they begin with. */

export interface Token {
  readonly kind: "word" | "quoted" | "string" | "number" | "parameter" | "other";
  /** As written; of a word: in lower case. */
  readonly text: string;
  /** In the text, in UTF-16 units. */
  readonly start: number;
  readonly end: number;
}

const pattern = new RegExp(
  [
    String.raw`(?<space>\s+|--[^\n\r]*)`,
    String.raw`(?<string>[eE]'(?:[^'\\]|\\[\s\S]|'')*'|[bBxXnN]?'(?:[^']|'')*')`,
    String.raw`(?<dollar>\$(?<tag>(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?)\$[\s\S]*?\$\k<tag>\$)`,
    String.raw`(?<quoted>"(?:[^"]|"")*")`,
    String.raw`(?<parameter>\$\d+)`,
    String.raw`(?<word>[a-z_\u0080-\uffff][\w$\u0080-\uffff]*)`,
    String.raw`(?<number>\d+\.?\d*(?:e[-+]?\d+)?|\.\d+)`,
    String.raw`(?<other>[^])`,
  ].join("|"),
  "iy",
);

/** Of something whose end was not found. */
const opening = /^(?:['"]|\/\*|\$(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$)/i;

/** The parser takes seconds for so many, and this is read before it, on the loop that carries every session. */
const tokensMax = 16_384;

/** All tokens but white space and comments. Raises 54000 for too many. What is not closed (a quote, a comment) goes to the end as one token. */
export function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    const commentEnd = blockCommentEnd(text, at);
    if (commentEnd !== undefined) {
      at = commentEnd;
      continue;
    }
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    const groups = found?.groups;
    if (!found || !groups) break;
    // Not one by one: each of many openings would be looked for its end again.
    const isOpen = groups["other"] !== undefined && opening.test(text.slice(at, at + 80));
    const written = isOpen ? text.slice(at) : found[0];
    const end = at + written.length;
    if (groups["space"] === undefined) {
      const kind = kindOf(groups);
      if (tokens.length >= tokensMax) throw tooManyTokens;
      tokens.push({
        kind,
        text: kind === "word" ? written.toLowerCase() : written,
        start: at,
        end,
      });
    }
    at = end;
  }
  return tokens;
}

const tooManyTokens = new BorealisError(
  sqlState.limitExceeded,
  `a text of the admin database has ${tokensMax} words and signs at most`,
);

function kindOf(groups: Readonly<Record<string, string | undefined>>): Token["kind"] {
  if (groups["string"] !== undefined || groups["dollar"] !== undefined) return "string";
  if (groups["quoted"] !== undefined) return "quoted";
  if (groups["parameter"] !== undefined) return "parameter";
  if (groups["word"] !== undefined) return "word";
  return groups["number"] === undefined ? "other" : "number";
}

/** Comments nest. Undefined: none begins here, or it has no end. */
function blockCommentEnd(text: string, start: number): number | undefined {
  if (!text.startsWith("/*", start)) return undefined;
  let depth = 0;
  const edge = /\/\*|\*\//g;
  edge.lastIndex = start;
  for (let found = edge.exec(text); found; found = edge.exec(text)) {
    depth += found[0] === "/*" ? 1 : -1;
    if (depth === 0) return edge.lastIndex;
  }
  return undefined;
}

/** One statement of a text, without its semicolon. */
export interface StatementText {
  readonly text: string;
  /** Where it begins in the whole text. */
  readonly start: number;
  readonly tokens: readonly Token[];
}

/** The statements of a text that have anything in them; tokens keep their places in the statement. */
export function splitStatements(text: string): StatementText[] {
  const statements: StatementText[] = [];
  let tokens: Token[] = [];
  const finish = (): void => {
    const [first] = tokens;
    const end = tokens.at(-1)?.end ?? 0;
    if (!first) return;
    const { start } = first;
    statements.push({
      text: text.slice(start, end),
      start,
      tokens: tokens.map((one) => ({ ...one, start: one.start - start, end: one.end - start })),
    });
    tokens = [];
  };
  for (const token of tokensOf(text)) {
    if (token.kind === "other" && token.text === ";") finish();
    else tokens.push(token);
  }
  finish();
  return statements;
}

/** What a quoted or plain name, a string or a bare value means. Raises 22021 for a zero byte. */
export function plainText({ kind, text }: Token): string {
  if (kind === "quoted") return text.slice(1, -1).replaceAll('""', '"');
  if (kind !== "string") return text;
  const dollar = /^\$\w*\$/.exec(text)?.[0];
  if (dollar !== undefined) return text.slice(dollar.length, -dollar.length);
  const inner = text
    .replace(/^[a-z]?'/i, "")
    .slice(0, -1)
    .replaceAll("''", "'");
  return /^e/i.test(text) ? requireNoZero(unescaped(inner)) : inner;
}

const escapes: Readonly<Record<string, string>> = {
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

/** Of E'…': a letter, an octal or hexadecimal number, or the character itself. */
function unescaped(text: string): string {
  const escape = /\\(?:([0-7]{1,3})|x([\da-f]{1,2})|u([\da-f]{4})|([\s\S]))/gi;
  return text.replaceAll(escape, (_, octal?: string, hex?: string, unit?: string, one = "") => {
    if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8));
    const code = hex ?? unit;
    if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16));
    return (Object.hasOwn(escapes, one) ? escapes[one] : undefined) ?? one;
  });
}

/** The same error with its place in the whole text, in characters; `start` is where its statement begins there. */
export function placed(error: BorealisError, text: string, start: number): BorealisError {
  return moved(error, (at) => Array.from(text.slice(0, start + at)).length);
}

/** The same error elsewhere; `to` counts from 0. */
export function moved(error: BorealisError, to: (at: number) => number): BorealisError {
  if (error.position === undefined) return error;
  const { code, message, detail, hint, cause } = error;
  return new BorealisError(code, message, {
    ...(detail !== undefined && { detail }),
    ...(hint !== undefined && { hint }),
    cause,
    position: to(error.position - 1) + 1,
  });
}
