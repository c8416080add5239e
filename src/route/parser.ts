import { parseSync, scanSync, type Node } from "libpg-query";

export type { Node } from "libpg-query";

/** The statements of a text as PostgreSQL's grammar sees them, or that it is not one it knows. */
export type ParseResult =
  | { readonly kind: "parsed"; readonly statements: readonly Node[] }
  | { readonly kind: "failed" };

/**
 * Parses with PostgreSQL 18's own grammar. parser-shell.ts must have loaded it. A text that cannot be parsed is not an
 * error here: the server answers it, in its own words. That includes text nested so deeply that the parser gives up.
 */
export function parse(sql: string): ParseResult {
  // The package refuses the empty string, which PostgreSQL answers with EmptyQueryResponse.
  if (sql === "") return { kind: "parsed", statements: [] };
  try {
    const statements: Node[] = [];
    for (const { stmt } of parseSync(sql).stmts ?? []) if (stmt) statements.push(stmt);
    return { kind: "parsed", statements };
  } catch (error) {
    if (error instanceof Error && error.message.startsWith("WASM module not initialized"))
      throw error;
    return { kind: "failed" };
  }
}

/**
 * The texts of the PREPAREs in `sql`, by name. None of a name that has several of them, nor where `sql` is one statement, or
 * cannot be parsed: then all of it is the text.
 */
export function findPrepares(sql: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  try {
    const statements = parseSync(sql).stmts ?? [];
    // PostgreSQL shows a text of one statement as a whole, with the comments around it.
    if (statements.length === 1) return found;
    const bytes = Buffer.from(sql);
    const several = new Set<string>();
    for (const { stmt, stmt_location: from = 0, stmt_len: length } of statements) {
      const name = stmt && "PrepareStmt" in stmt ? (stmt.PrepareStmt.name ?? "") : undefined;
      if (name === undefined) continue;
      if (found.has(name)) several.add(name);
      // In bytes; no length: up to the end.
      found.set(name, bytes.toString("utf8", from, length ? from + length : bytes.length));
    }
    for (const name of several) found.delete(name);
  } catch {
    found.clear();
  }
  return found;
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
  try {
    const bytes = Buffer.from(sql);
    return scanSync(sql).tokens.map(({ start, end, tokenName }) => ({
      start,
      end,
      text: bytes.toString("utf8", start, end),
      isComment: tokenName === "SQL_COMMENT" || tokenName === "C_COMMENT",
    }));
  } catch {
    return undefined;
  }
}
