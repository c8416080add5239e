/** As PostgreSQL quotes a literal; a backslash needs no care, since standard_conforming_strings is on. */
export function quoteLiteral(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

export function quoteIdentifier(text: string): string {
  return `"${text.replaceAll('"', '""')}"`;
}
