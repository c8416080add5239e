import { scan, type ScanToken } from "./parser.ts";
import { SettingValues } from "./setting-values.ts";

/** In place of what was left out. */
const leftOut = "'…'";
/** Names are no connection strings, but for who takes the wrong quotes. */
const connectionString = /^".*(?:=|:\/\/)/s;
const word = /^(?:[\p{L}_"]|[uU]&")/u;
const number = /^[\d.]*\d/;
const sign = /^[^\w\s'"$\\]+$/;
const parameter = /^\$\d+$/;

/**
 * A text of SQL without anything in it that may be a secret: no string of any kind, no comment, no value of SET; numbers only
 * where asked for. So it has no password, whoever takes it there: CREATE ROLE, CREATE SUBSCRIPTION, OPTIONS of a user mapping,
 * dblink, the body of a function. Told by PostgreSQL's own lexer, and what is kept is what is known to be harmless. For text
 * that PostgreSQL reads as the parser does, and that could be parsed. Undefined: it cannot be told.
 */
export function redacted(
  sql: string,
  { keepsNumbers }: { readonly keepsNumbers: boolean },
): string | undefined {
  const tokens = scan(sql);
  if (!tokens) return undefined;
  let text = "";
  let endOfLast = 0;
  const settings = new SettingValues();
  for (const token of tokens) {
    const kept = keptOf(token, keepsNumbers);
    // What stood apart by a comment does so still.
    if (kept === "") continue;
    const isGap = token.start > endOfLast;
    endOfLast = token.end;
    const { isValue, beginsValue } = settings.next(token.text.toLowerCase());
    if (isValue) continue;
    if (isGap && text !== "" && !text.endsWith(" ")) text += " ";
    text += kept;
    if (beginsValue) text += ` ${leftOut}`;
  }
  return text.trim();
}

/** "": a comment. */
function keptOf({ text, isComment }: ScanToken, keepsNumbers: boolean): string {
  if (isComment) return "";
  if (text.includes("'") || connectionString.test(text)) return leftOut;
  if (word.test(text) || sign.test(text) || parameter.test(text)) return text;
  if (number.test(text)) return keepsNumbers ? text : "0";
  return leftOut;
}
