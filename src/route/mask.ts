import { mentionsSynchronousCommit } from "./classify.ts";
import type { Classified } from "./statement-class.ts";

// Statements whose class comes from what they name alone. EXPLAIN (ANALYZE 0), SET and PREPARE TRANSACTION read values.
const maskable = /^[ \t\r\n\f]*(?:select|insert|update|delete|values|with|merge)\b/i;
// With what may not follow a number: 0x1F, 1_000, 5., 1..2 and 5a are left to the parser.
const decimal = /(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?(?![\w$.\u0080-\uffff])/y;
const blankEnd = /[ \t\r\n\f;]*$/y;
// The grammar itself makes of float(n) a float4, a float8 or an error.
const sizedFloat = /\bfloat\s*\(/i;

const integerMax = 2 ** 31 - 1;
/** So many digits are an integer to the grammar whatever they are; of more, the value tells. */
const integerDigitsMin = 9;
const mentionChars = "'synchronous_commit'".length;
const refused = -1;

/**
 * The text with its numbers and plain strings replaced by one of each sort, in one pass; undefined if there are none, or
 * if the text holds anything that needs a second look: several statements, comments, escape, bit, Unicode and
 * dollar-quoted strings, numbers other than decimal ones, a string that mentions synchronous_commit. Names, parameters
 * and all else stay as written. Texts with the same mask are the same tokens to PostgreSQL's grammar, integer for
 * integer and string for string (with standard_conforming_strings on, as for classify); whether they are also of the
 * same class, isClassOfMask says.
 */
export function maskLiterals(sql: string): string | undefined {
  // The parser ends at a NUL; this scan would go on.
  if (!maskable.test(sql) || sql.includes("\0")) return undefined;
  let masked = "";
  let copiedTo = 0;
  let at = 0;
  while (at < sql.length) {
    const code = sql.charCodeAt(at);
    if (isDigit(code) || (code === 0x2e && isDigit(sql.charCodeAt(at + 1)))) {
      const end = endOfNumber(sql, at);
      if (end === refused) return undefined;
      masked += sql.slice(copiedTo, at) + numberLike(sql, at, end);
      copiedTo = at = end;
    } else if (code === 0x27) {
      const end = endOfString(sql, at);
      if (end === refused) return undefined;
      masked += `${sql.slice(copiedTo, at)}''`;
      copiedTo = at = end;
    } else {
      at = endOfOther(sql, at, code);
      if (at === refused) return undefined;
    }
  }
  return copiedTo === 0 ? undefined : masked + sql.slice(copiedTo);
}

/**
 * Whether the class of one text is that of every text with the same mask: not if a value was read for it (set_config
 * and its kin), and not if it could not be parsed. Tells the same for each of them, up to the length that is parsed.
 */
export function isClassOfMask({ statements, parseFailed }: Classified, masked: string): boolean {
  return (
    !parseFailed &&
    statements.every(({ settings }) => settings.length === 0) &&
    !sizedFloat.test(masked)
  );
}

/** The end of what is kept as it is: a name with its digits, a parameter, a character of no meaning here. */
function endOfOther(sql: string, at: number, code: number): number {
  if (isNamePart(code) && code !== 0x24) return endOfName(sql, at + 1);
  const next = sql.charCodeAt(at + 1);
  switch (code) {
    case 0x22: {
      // A doubled quote reads as the end of one name and the start of the next, which comes to the same.
      const end = sql.charCodeAt(at - 1) === 0x26 ? refused : sql.indexOf('"', at + 1);
      return end === refused ? refused : end + 1;
    }
    case 0x24: {
      const end = endOfDigits(sql, at + 1);
      return end === at + 1 || isNamePart(sql.charCodeAt(end)) ? refused : end;
    }
    case 0x2d:
      return next === 0x2d ? refused : at + 1;
    case 0x2f:
      return next === 0x2a ? refused : at + 1;
    case 0x3b:
      blankEnd.lastIndex = at;
      return blankEnd.test(sql) ? sql.length : refused;
    default:
      return at + 1;
  }
}

function endOfNumber(sql: string, at: number): number {
  const end = endOfDigits(sql, at);
  const next = sql.charCodeAt(end);
  if (end > at && next !== 0x2e && !isNamePart(next)) return end;
  // Two dots are one token, and what follows them is an integer.
  if (sql.charCodeAt(at - 1) === 0x2e) return refused;
  decimal.lastIndex = at;
  return decimal.test(sql) ? decimal.lastIndex : refused;
}

/** Starts with a dot where the number does: "a.5" is a name and a number, "a0.0" would be a name. */
function numberLike(sql: string, at: number, end: number): string {
  if (sql.charCodeAt(at) === 0x2e) return ".0";
  if (endOfDigits(sql, at) < end) return "0.0";
  // The grammar takes an integer too large for int4 for a decimal number.
  return end - at <= integerDigitsMin || Number(sql.slice(at, end)) <= integerMax ? "0" : "0.0";
}

function endOfString(sql: string, at: number): number {
  const before = sql.charCodeAt(at - 1);
  // E'', B'', X'', N'', U&''
  if (isNamePart(before) || before === 0x26) return refused;
  let end = sql.indexOf("'", at + 1) + 1;
  while (end > 0 && sql.charCodeAt(end) === 0x27) end = sql.indexOf("'", end + 1) + 1;
  if (end === 0) return refused;
  const mentions = end - at >= mentionChars && mentionsSynchronousCommit(sql.slice(at, end));
  return mentions ? refused : end;
}

function endOfName(sql: string, from: number): number {
  let at = from;
  while (isNamePart(sql.charCodeAt(at))) at++;
  return at;
}

function endOfDigits(sql: string, from: number): number {
  let at = from;
  while (isDigit(sql.charCodeAt(at))) at++;
  return at;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** Letters, digits, _ and $; to PostgreSQL every byte above ASCII is a letter. False past the end. */
function isNamePart(code: number): boolean {
  return (
    (code >= 0x61 && code <= 0x7a) ||
    (code >= 0x41 && code <= 0x5a) ||
    isDigit(code) ||
    code === 0x5f ||
    code === 0x24 ||
    code >= 0x80
  );
}
