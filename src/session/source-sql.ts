import { blockComment, lineComment } from "./source-patterns.ts";

/** Pieces of queries that look into the sources of users' functions. */

/** For a connection with standard_conforming_strings on. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

export const matches = (text: string, pattern: string): string => `${text} ~* ${literal(pattern)}`;

export const without = (text: string, pattern: string, flags: string): string =>
  `pg_catalog.regexp_replace(${text}, ${literal(pattern)}, ' ', ${literal(flags)})`;

/** A comment's beginning within a string would hide what stands behind it. */
const oddComment = "'[^\\n]*(?:--|/\\*)";

/**
 * - raw: the source of p, a row of pg_proc
 * - code: without what seem to be its comments; `odd`: all of it, where what seems one may be none. Both of a column raw.
 */
export const sourceParts = {
  raw: `pg_catalog.concat_ws(';', p.prosrc, CASE WHEN p.prosqlbody IS NOT NULL
    THEN pg_catalog.pg_get_function_sqlbody(p.oid) END)`,
  code: without(without("raw", blockComment, "g"), lineComment, "g"),
  odd: `CASE WHEN ${matches("raw", oddComment)} THEN raw ELSE '' END`,
};

/**
 * Of p, a row of pg_proc: neither PostgreSQL's own nor Borealis's, which leave the session alone. The bootstrap superuser's in
 * pg_catalog are not all ours: anybody with a database of theirs may have a trusted extension put there. 16384 is
 * FirstNormalObjectId.
 */
export const isUsers = `p.oid >= 16384 AND NOT (p.proowner = 10 AND p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
    AND ${matches("p.proname", "^(?:aurora|borealis)_")})`;

/** Expressions and rules of users, as the catalogs keep them. */
export const trees = `
  SELECT ev_action::pg_catalog.text AS tree FROM pg_catalog.pg_rewrite WHERE oid >= 16384
  UNION ALL SELECT adbin::pg_catalog.text FROM pg_catalog.pg_attrdef WHERE oid >= 16384
  UNION ALL SELECT pg_catalog.concat(polqual, polwithcheck) FROM pg_catalog.pg_policy
  UNION ALL SELECT conbin::pg_catalog.text FROM pg_catalog.pg_constraint WHERE oid >= 16384
  UNION ALL SELECT tgqual::pg_catalog.text FROM pg_catalog.pg_trigger WHERE oid >= 16384`;

/** An expression that finds calls of built-in functions in those: they have their numbers there. */
export const calls = (names: string): string =>
  `(SELECT pg_catalog.format(':(?:op)?funcid (?:%s)\\M', pg_catalog.string_agg(oid::pg_catalog.text, '|'))
    FROM pg_catalog.pg_proc WHERE oid < 16384 AND ${matches("proname", `^(?:${names})$`)})`;
