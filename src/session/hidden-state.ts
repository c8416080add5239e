import * as patterns from "./source-patterns.ts";
import { calls, isUsers, literal, matches, sourceParts, trees, without } from "./source-sql.ts";

/** What the code in one database (functions, procedures, triggers) may do to the session that runs it. */
export interface HiddenState {
  /**
   * - likely: a source says so (set_config, SET, LISTEN, advisory locks ...), or a view, default, policy or check does
   * - perhaps: a source builds statements at run time, makes objects, or has a word of such commands
   */
  readonly changesSession: "no" | "perhaps" | "likely";
  /** Settings with a prefix that sources set by name, in lower case. */
  readonly customNames: readonly string[];
  /** Languages, or dblink, keep things in the session that no command of PostgreSQL's shows or takes away. */
  readonly keepsOwnState: boolean;
  /** Functions in C of extensions or users: what they do to a session is in no source. */
  readonly hasNative: boolean;
  /** A source asks for the values that its session drew from sequences. */
  readonly readsDrawn: boolean;
  /**
   * Sources leave in the session what nothing shows: settings under names built at run time, a seed, a backup.
   * - named: functions that have to be called by their names
   * - behind: views, triggers and their like may do so
   */
  readonly leavesUnseen: "no" | "named" | "behind";
}

export const unknownHiddenState: HiddenState = {
  changesSession: "likely",
  customNames: [],
  keepsOwnState: true,
  hasNative: true,
  readsDrawn: true,
  leavesUnseen: "behind",
};

const namesMax = 200;
/** Kept by C code where nobody sees it, and not reached by what cleans a connection. */
const keepers = ["dblink", "orafce", "pg_variables", "session_variable", "pgtt", "pg_background"];

/**
 * Gives one row for parseHiddenState. An extension's functions count only where they are likely to: PostGIS and others
 * build statements, and leave the session alone. Functions in C are not looked into.
 */
export const hiddenStateQuery = `
WITH functions AS (
  SELECT p.oid, p.proname, p.prorettype, p.proconfig, ${sourceParts.raw} AS raw,
    EXISTS (SELECT FROM pg_catalog.pg_depend
      WHERE classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND objid = p.oid AND deptype = 'e') AS is_extension
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
  WHERE ${isUsers} AND l.lanname NOT IN ('c', 'internal')),
sources AS (
  SELECT *, ${sourceParts.code} AS code, ${sourceParts.odd} AS odd FROM functions),
unseen AS (
  SELECT oid, proname, prorettype FROM sources
  WHERE ${matches("code", patterns.unseen)} OR ${matches("odd", patterns.unseen)}),
names AS (
  SELECT DISTINCT pg_catalog.lower(m[1]) AS name
  FROM (SELECT raw AS text FROM sources UNION ALL SELECT code FROM sources
    UNION ALL SELECT 'set ' || pg_catalog.unnest(proconfig) FROM sources) s,
    pg_catalog.regexp_matches(text, ${literal(patterns.customName)}, 'gi') m LIMIT ${namesMax + 1}),
trees AS (${trees})
SELECT pg_catalog.bool_or(${matches("code", patterns.likely)} OR ${matches("odd", patterns.likely)})
    OR EXISTS (SELECT FROM trees WHERE tree ~ ${calls("set_config|pg_(?:try_)?advisory_.*")}),
  pg_catalog.bool_or(NOT is_extension AND (${matches(without("code", patterns.updates, "gi"), patterns.perhaps)}
    OR ${matches(without("odd", patterns.updates, "gi"), patterns.perhaps)})),
  (SELECT pg_catalog.string_agg(name, ' ') FROM names),
  EXISTS (SELECT FROM pg_catalog.pg_language WHERE lanname NOT IN ('internal', 'c', 'sql', 'plpgsql'))
    OR EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname IN (${keepers.map(literal).join(", ")})),
  pg_catalog.bool_or(${matches("raw", patterns.drawn)}),
  EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    WHERE ${isUsers} AND l.lanname = 'c' AND p.prorettype <> ALL (ARRAY[
      'pg_catalog.language_handler', 'pg_catalog.fdw_handler', 'pg_catalog.index_am_handler']::pg_catalog.regtype[])),
  CASE WHEN (SELECT pg_catalog.count(*) > ${namesMax} FROM names)
    OR EXISTS (SELECT FROM trees WHERE tree ~ ${calls(`set_config|${patterns.backendFunctions}`)})
    OR EXISTS (SELECT FROM unseen u WHERE
      prorettype IN ('pg_catalog.trigger'::pg_catalog.regtype, 'pg_catalog.event_trigger'::pg_catalog.regtype)
      OR EXISTS (SELECT FROM pg_catalog.pg_depend
        WHERE refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND refobjid = u.oid)
      OR EXISTS (SELECT FROM sources s
        WHERE s.oid <> u.oid AND pg_catalog.strpos(pg_catalog.lower(s.raw), pg_catalog.lower(u.proname)) > 0))
    THEN 'behind'
  WHEN EXISTS (SELECT FROM unseen) OR EXISTS (SELECT FROM sources
    WHERE NOT is_extension AND (${matches("code", patterns.runsUnseen)} OR ${matches("odd", patterns.runsUnseen)}))
    THEN 'named' ELSE 'no' END
FROM sources`;

/** Of the row of hiddenStateQuery. */
export function parseHiddenState(row: readonly (string | null)[] | undefined): HiddenState {
  if (!row) return unknownHiddenState;
  const [isLikely, isPerhaps, names, keepsOwnState, readsDrawn, hasNative, leavesUnseen] = row;
  return {
    changesSession: isLikely === "t" ? "likely" : isPerhaps === "t" ? "perhaps" : "no",
    customNames: (names ?? "").split(" ").filter((name) => name !== ""),
    keepsOwnState: keepsOwnState === "t",
    readsDrawn: readsDrawn === "t",
    hasNative: hasNative === "t",
    leavesUnseen: leavesUnseen === "no" || leavesUnseen === "named" ? leavesUnseen : "behind",
  };
}
