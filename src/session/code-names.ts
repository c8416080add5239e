import type { DatabaseTraits, Names } from "./traits.ts";
import { notifyWords, outside, outsideFunctions, outsideWords } from "./source-patterns.ts";
import { calls, isUsers, literal, matches, sourceParts, trees } from "./source-sql.ts";

/** Whatever they are used for, it reaches other servers, or processes that no rollback stops. */
const outsideExtensions = "dblink http pg_net pg_cron postgres_fdw file_fdw";

/** Their C code stays in its transaction, or does no harm twice (random numbers, statistics), so far as we know. */
const insideExtensions = [
  "amcheck autoinc bloom btree_gin btree_gist citext cube dict_int dict_xsyn earthdistance",
  "fuzzystrmatch hstore insert_username intagg intarray isn lo ltree moddatetime pageinspect pg_buffercache",
  "pg_freespacemap pg_prewarm pg_stat_statements pg_trgm pg_visibility pg_walinspect pgcrypto pgrowlocks pgstattuple",
  "refint seg sslinfo tablefunc tcn tsm_system_rows tsm_system_time unaccent uuid-ossp xml2",
  "postgis postgis_raster postgis_sfcgal postgis_topology address_standardizer pgrouting vector pg_uuidv7 hypopg pgaudit plv8",
].join(" ");

const listed = (names: string): string => names.split(" ").map(literal).join(", ");

/** That nobody needs in a text, or calls: handlers of languages, support of the planner. */
const isCallable = `NOT 'pg_catalog.internal'::pg_catalog.regtype = ANY (p.proargtypes::pg_catalog.oid[])
    AND p.prorettype <> ALL (ARRAY['pg_catalog.language_handler', 'pg_catalog.fdw_handler', 'pg_catalog.index_am_handler',
      'pg_catalog.table_am_handler', 'pg_catalog.tsm_handler']::pg_catalog.regtype[])
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_language v WHERE v.lanvalidator = p.oid)`;

/** Of a, whose name is one that `pg_catalog.strpos` has found in s: as a word. */
const isNamed = (a: string, s: string): string =>
  `(${a}.proname !~ '^\\w+$' OR ${s}.raw ~ pg_catalog.concat('\\m', pg_catalog.lower(${a}.proname), '\\M'))`;

/**
 * Gives one row for parseCodeNames.
 *
 * risky: what a text may run that seems to call something built in. What an extension's function is labelled is believed, and a
 * user's in C; not what users' other functions are, since one that only reads may call one that writes. Of functions, those
 * that bear a built-in name, or may be meant by `t.f`. Casts, and operators that ORDER BY and its kin use, have no name there.
 *
 * acts: what acts beyond its transaction, by its own words, or as C code of which nothing is known; and, in turn, what names
 * those. Behind a trigger, a view, a default it runs without being named. Comments are taken out of few sources: it costs most.
 *
 * notifiers: what has the word NOTIFY, and what names those.
 */
export const codeNamesQuery = `
WITH RECURSIVE functions AS MATERIALIZED (
  SELECT p.oid, p.proname, p.prokind, p.provolatile, p.pronargs - p.pronargdefaults AS needed, p.pronargs, l.lanname, e.extname,
    ${isCallable} AS is_callable,
    CASE WHEN l.lanname <> 'c' THEN ${sourceParts.raw} ELSE '' END AS raw
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
      AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
    LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
  WHERE ${isUsers}),
risky AS MATERIALIZED (
  SELECT oid, proname, needed, pronargs FROM functions
  WHERE provolatile = 'v' OR (extname IS NULL AND (prokind = 'a' OR lanname <> 'c'))
  UNION ALL SELECT oid, NULL, NULL, NULL FROM pg_catalog.pg_proc WHERE oid < 16384 AND provolatile = 'v'),
operators AS MATERIALIZED (
  SELECT o.oid, o.oprname FROM pg_catalog.pg_operator o JOIN risky r ON r.oid = o.oprcode WHERE o.oid >= 16384),
named AS (
  SELECT proname AS name FROM risky r WHERE (needed <= 1 AND pronargs > 0)
    OR EXISTS (SELECT FROM pg_catalog.pg_proc b WHERE b.proname = r.proname AND b.oid < 16384)
    OR EXISTS (SELECT FROM pg_catalog.pg_type b WHERE b.typname = r.proname AND b.oid < 16384)
  UNION SELECT oprname FROM operators
  UNION SELECT t.typname FROM pg_catalog.pg_type t JOIN pg_catalog.pg_type b ON b.typname = t.typname AND b.oid < 16384
    WHERE t.oid >= 16384 AND t.typtype <> 'c'),
sources AS MATERIALIZED (
  SELECT oid, proname, pg_catalog.lower(raw) AS raw FROM functions WHERE raw <> ''),
suspects AS MATERIALIZED (
  SELECT oid, proname, ${sourceParts.code} AS code, ${sourceParts.odd} AS odd
  FROM (SELECT * FROM functions WHERE ${matches("raw", outsideWords)} OFFSET 0) f),
acts AS (
  SELECT oid, proname FROM suspects WHERE ${matches("code", outside)} OR ${matches("odd", outside)}
  UNION SELECT oid, proname FROM functions
    WHERE lanname = 'c' AND provolatile = 'v' AND is_callable
      AND (extname IS NULL OR extname NOT IN (${listed(insideExtensions)}))
  UNION SELECT s.oid, s.proname FROM acts a JOIN sources s
    ON pg_catalog.strpos(s.raw, pg_catalog.lower(a.proname)) > 0
      AND ${isNamed("a", "s")}),
notifiers AS (
  SELECT oid, proname FROM sources WHERE ${matches("raw", notifyWords)}
  UNION SELECT s.oid, s.proname FROM notifiers a JOIN sources s
    ON pg_catalog.strpos(s.raw, pg_catalog.lower(a.proname)) > 0 AND ${isNamed("a", "s")})
SELECT EXISTS (SELECT FROM pg_catalog.pg_cast c JOIN risky r ON r.oid = c.castfunc WHERE c.oid >= 16384)
    OR EXISTS (SELECT FROM pg_catalog.pg_amproc f JOIN risky r ON r.oid = f.amproc WHERE f.oid >= 16384)
    OR EXISTS (SELECT FROM pg_catalog.pg_amop f JOIN operators o ON o.oid = f.amopopr),
  (SELECT pg_catalog.string_agg(DISTINCT name::pg_catalog.text, E'\\n') FROM named WHERE name IS NOT NULL),
  EXISTS (SELECT FROM pg_catalog.pg_language WHERE NOT lanpltrusted AND lanname NOT IN ('internal', 'c'))
    OR EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname IN (${listed(outsideExtensions)}))
    OR EXISTS (SELECT FROM pg_catalog.pg_foreign_server)
    OR EXISTS (SELECT FROM (${trees}) t WHERE tree ~ ${calls(outsideFunctions)})
    OR EXISTS (SELECT FROM acts a JOIN pg_catalog.pg_depend d
      ON d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.refobjid = a.oid),
  (SELECT pg_catalog.string_agg(DISTINCT proname::pg_catalog.text, E'\\n') FROM acts),
  (SELECT pg_catalog.string_agg(DISTINCT proname::pg_catalog.text, E'\\n') FROM notifiers)`;

/** Of the row of codeNamesQuery. */
export function parseCodeNames(
  row: readonly (string | null)[] | undefined,
): Pick<DatabaseTraits, "codeNames" | "outsideNames" | "notifyNames"> {
  const [isNameless, names, isOutsideNameless, outsideNames, notifiers] = row ?? [];
  const notifyNames = namesOf("f", notifiers);
  return {
    ...(notifyNames !== "any" && { notifyNames }),
    codeNames: namesOf(isNameless, names),
    outsideNames: namesOf(isOutsideNameless, outsideNames),
  };
}

function namesOf(isAny: string | null | undefined, names: string | null | undefined): Names {
  if (isAny !== "f") return "any";
  return new Set((names ?? "").split("\n").filter((name) => name !== ""));
}
