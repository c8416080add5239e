import type { Node } from "libpg-query";
import type { Grammar } from "./grammar.ts";
import { nests } from "./nesting.ts";
import { isTree, list, type Tree } from "./tree.ts";

export type { Node } from "libpg-query";

/**
 * The statements of a text as PostgreSQL's grammar sees them, or why there are none:
 * - failed: it is not one that the grammar knows; the server will say so, in its own words
 * - tooDeep: it nests too deep to be parsed here; the server may well run it
 * - broken: the parser has given up; the next moment it may not
 */
export type ParseResult =
  | { readonly kind: "parsed"; readonly statements: readonly Node[] }
  | { readonly kind: "failed" }
  | { readonly kind: "tooDeep" }
  | { readonly kind: "broken" };

/** One for the process, like its code. */
let grammar: Grammar | undefined;

export function hasGrammar(): boolean {
  return grammar !== undefined;
}

export function useGrammar(loaded: Grammar): void {
  grammar = loaded;
}

function loadedGrammar(): Grammar {
  if (!grammar) throw new Error("loadParser() was not called");
  return grammar;
}

/** Parses with PostgreSQL 18's own grammar. parser-shell.ts must have loaded it. */
export function parse(sql: string): ParseResult {
  const parsed = parseRaw(sql);
  if (!Array.isArray(parsed)) return parsed;
  return { kind: "parsed", statements: parsed.flatMap(({ stmt }) => (stmt ? [stmt] : [])) };
}

interface RawStatement {
  readonly stmt?: Node;
  readonly stmt_location?: number;
  readonly stmt_len?: number;
}

function parseRaw(sql: string): RawStatement[] | Exclude<ParseResult, { kind: "parsed" }> {
  if (nests(sql)) return { kind: "tooDeep" };
  const answer = loadedGrammar().parse(sql);
  if (answer.kind !== "answer") return { kind: answer.kind };
  return isTree(answer.value) ? (list(answer.value, "stmts") as RawStatement[]) : [];
}

/** As long as a client's text that is looked at. */
const preparedCharsMax = 256 * 1024;

/** Of one statement all of the text is the PREPARE's ("whole"); of several each has its own, and nobody may be able to tell. */
export type PrepareTextsOf = ReadonlyMap<string, string> | "whole" | "unknown";

/** The texts of the PREPAREs in `sql`, by name; none of a name that has several of them. */
export function findPrepares(sql: string): PrepareTextsOf {
  const statements = sql.length > preparedCharsMax ? undefined : parseRaw(sql);
  // Whatever it is, it may be one statement: of several, the others would be run again, too.
  if (!Array.isArray(statements)) return mayBeSeveral(sql) ? "unknown" : "whole";
  // PostgreSQL shows a text of one statement as a whole, with the comments around it.
  if (statements.length === 1) return "whole";
  const found = new Map<string, string>();
  const several = new Set<string>();
  const bytes = Buffer.from(sql);
  for (const { stmt, stmt_location: from = 0, stmt_len: length } of statements) {
    const name = stmt && "PrepareStmt" in stmt ? (stmt.PrepareStmt.name ?? "") : undefined;
    if (name === undefined) continue;
    if (found.has(name)) several.add(name);
    // In bytes; no length: up to the end.
    found.set(name, bytes.toString("utf8", from, length ? from + length : bytes.length));
  }
  for (const name of several) found.delete(name);
  return found;
}

/** There is a semicolon before the end. */
function mayBeSeveral(sql: string): boolean {
  let end = sql.length;
  while (end > 0 && /[\s;]/.test(sql[end - 1] ?? "")) end--;
  return sql.lastIndexOf(";", end - 1) >= 0;
}

/** One word, number, string, sign or comment of a text, as PostgreSQL's lexer sees it. In bytes. */
export interface ScanToken {
  readonly start: number;
  readonly end: number;
  readonly text: string;
  readonly isComment: boolean;
}

/** All of them, in order; undefined: the text cannot be read. */
export function scan(sql: string): readonly ScanToken[] | undefined {
  const answer = loadedGrammar().scan(sql);
  if (answer.kind !== "answer" || !isTree(answer.value)) return undefined;
  const bytes = Buffer.from(sql);
  return list(answer.value, "tokens").map((token) => scanToken(bytes, isTree(token) ? token : {}));
}

function scanToken(bytes: Buffer, token: Tree): ScanToken {
  const [start, end] = [Number(token["start"]), Number(token["end"])];
  const isComment = token["tokenName"] === "SQL_COMMENT" || token["tokenName"] === "C_COMMENT";
  return { start, end, text: bytes.toString("utf8", start, end), isComment };
}
