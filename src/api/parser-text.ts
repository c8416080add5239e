import { BorealisError, sqlState } from "../base/errors.ts";
import { plainText, type Token } from "./statement-text.ts";

/** A statement as the parser is given it. */
export interface ParserText {
  readonly text: string;
  /** Where something at this place of it stands in the statement; both in UTF-16 units. */
  readonly originalOf: (at: number) => number;
}

interface Piece {
  readonly start: number;
  readonly token: Token;
}

/**
 * The same statement in words that pgsql-ast-parser 12 reads rightly: it takes `2 -1` for two expressions, `1e3` for 1 by the
 * name of e3, and fails at `s.user`, at dollar quotes and at most of E'…'. Comments are left out. Raises 42601 for a number that runs into a word.
 */
export function forParser(tokens: readonly Token[]): ParserText {
  const pieces: Piece[] = [];
  let text = "";
  for (const [index, token] of tokens.entries()) {
    const before = tokens[index - 1];
    if (before && needsSpace(before, token)) text += " ";
    pieces.push({ start: text.length, token });
    text += spelled(token, before);
  }
  return { text, originalOf: (at) => originalOf(pieces, at) };
}

function needsSpace(before: Token, token: Token): boolean {
  if (token.start > before.end) return true;
  if (before.kind === "number" && token.kind === "word")
    throw new BorealisError(
      sqlState.syntaxError,
      `trailing junk after numeric literal at or near "${before.text}${token.text}"`,
      { position: before.start + 1 },
    );
  return token.kind === "number" && (before.text === "-" || before.text === "+");
}

function spelled(token: Token, before: Token | undefined): string {
  const { kind, text } = token;
  if (kind === "string" && /^(?:['$]|e')/i.test(text))
    return `'${plainText(token).replaceAll("'", "''")}'`;
  if (kind === "number" && /e/i.test(text)) return `('${text}'::float8)`;
  if (kind === "word" && text === "user" && before?.text === ".") return '"user"';
  return text;
}

function originalOf(pieces: readonly Piece[], at: number): number {
  const piece = pieces.findLast(({ start }) => start <= at);
  if (!piece) return 0;
  const { start, end } = piece.token;
  return Math.min(start + at - piece.start, end);
}
