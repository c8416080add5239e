/** What can be said of a text without parsing it. */
export interface Outline {
  /** The first word, in lower case; empty if the text starts with something else. */
  readonly firstWord: string;
  /** At most one statement: nothing but space and comments follows the first top-level semicolon. */
  readonly isSingle: boolean;
}

const word = /[A-Za-z_]*/y;
const dollarTag = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
const identifierPart = /[\w$\u0080-\uffff]/;
// Everything that could open a literal, a comment, or end a statement; the rest is skipped by the regex engine.
const interesting = /['"$;/-]/g;

/**
 * Outlines a text of any size in one pass: parsing costs 4 ms for each 10 kB on the loop that all sessions share.
 * Follows PostgreSQL's lexical rules with standard_conforming_strings on.
 */
export function outline(sql: string): Outline {
  const start = skipBlank(sql, 0);
  word.lastIndex = start;
  const firstWord = (word.exec(sql)?.[0] ?? "").toLowerCase();
  let at = start;
  for (;;) {
    interesting.lastIndex = at;
    const found = interesting.exec(sql);
    if (!found) return { firstWord, isSingle: true };
    if (found[0] === ";") return { firstWord, isSingle: isBlankFrom(sql, found.index + 1) };
    at = skipToken(sql, found.index);
  }
}

/** The end of the literal or comment that starts here, or the next character if none does. */
export function skipToken(sql: string, at: number): number {
  switch (sql[at]) {
    case '"':
      return endOfQuoted(sql, at, '"', false);
    case "'":
      return endOfQuoted(sql, at, "'", isEscapeString(sql, at));
    case "$": {
      if (at > 0 && identifierPart.test(sql[at - 1] ?? "")) return at + 1;
      dollarTag.lastIndex = at;
      const tag = dollarTag.exec(sql)?.[0];
      if (tag === undefined) return at + 1;
      const end = sql.indexOf(tag, at + tag.length);
      return end < 0 ? sql.length : end + tag.length;
    }
    default:
      return endOfComment(sql, at) ?? at + 1;
  }
}

function isEscapeString(sql: string, at: number): boolean {
  const before = sql[at - 1];
  return (before === "e" || before === "E") && !identifierPart.test(sql[at - 2] ?? " ");
}

/** A doubled quote reads as the end of one literal and the start of the next, which comes to the same. */
function endOfQuoted(sql: string, at: number, quote: string, hasEscapes: boolean): number {
  let end = at + 1;
  for (;;) {
    end = sql.indexOf(quote, end);
    if (end < 0) return sql.length;
    if (!hasEscapes) return end + 1;
    let backslashes = 0;
    while (sql[end - 1 - backslashes] === "\\") backslashes++;
    const isEscaped = backslashes % 2 === 1;
    const isDoubled = sql[end + 1] === quote;
    if (!isEscaped && !isDoubled) return end + 1;
    end += isEscaped ? 1 : 2;
  }
}

function endOfComment(sql: string, at: number): number | undefined {
  if (sql.startsWith("--", at)) {
    const end = sql.indexOf("\n", at);
    return end < 0 ? sql.length : end + 1;
  }
  if (!sql.startsWith("/*", at)) return undefined;
  let depth = 1;
  let end = at + 2;
  let [close, open] = [0, 0];
  while (depth > 0) {
    // Only what is behind us is looked for anew: a text of many openings would take time by its square.
    if (close < end) close = sql.indexOf("*/", end);
    if (close < 0) return sql.length;
    if (open >= 0 && open < end) open = sql.indexOf("/*", end);
    const isNested = open >= 0 && open < close;
    depth += isNested ? 1 : -1;
    end = (isNested ? open : close) + 2;
  }
  return end;
}

function skipBlank(sql: string, from: number): number {
  let at = from;
  for (;;) {
    while (at < sql.length && /\s/.test(sql[at] ?? "")) at++;
    const end = endOfComment(sql, at);
    if (end === undefined) return at;
    at = end;
  }
}

function isBlankFrom(sql: string, from: number): boolean {
  let at = skipBlank(sql, from);
  while (sql[at] === ";") at = skipBlank(sql, at + 1);
  return at >= sql.length;
}
