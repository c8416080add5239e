/** What the code in one database (functions, procedures, triggers) may do to the session that runs it. */
export interface HiddenState {
  /**
   * - likely: a source says so (set_config, SET, LISTEN, advisory locks ...)
   * - perhaps: a source builds statements at run time, or makes temporary objects
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
}

export const unknownHiddenState: HiddenState = {
  changesSession: "likely",
  customNames: [],
  keepsOwnState: true,
  hasNative: true,
  readsDrawn: true,
};

const commands = "set|reset|listen|unlisten|prepare|deallocate|discard|load";
const likely = `set_config|pg_settings|advisory|(^|;|\\mbegin|\\mthen|\\melse|\\mloop)\\s*(${commands})\\M`;
const perhaps = "\\mexecute\\M|\\mspi_|\\mplpy\\M|\\mtemp(orary)?\\M";
const drawn = "\\m(currval|lastval)\\M";
const settingName = "[a-z_][a-z0-9_$]*(?:\\.[a-z_][a-z0-9_$]*)+";
const customName = `(?:set_config\\s*\\(\\s*'|\\mset\\s+(?:session\\s+|local\\s+)?)(${settingName})`;

/**
 * Gives one row for parseHiddenState. An extension's functions count only where they are likely to: PostGIS and others
 * build statements, and leave the session alone. Functions in C are not looked into.
 */
export const hiddenStateQuery = `
WITH sources AS (
  SELECT prosrc, EXISTS (SELECT FROM pg_catalog.pg_depend
    WHERE classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND objid = p.oid AND deptype = 'e') AS is_extension
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
  WHERE p.oid >= 16384 AND l.lanname NOT IN ('c', 'internal'))
SELECT pg_catalog.bool_or(prosrc ~* ${literal(likely)}),
  pg_catalog.bool_or(NOT is_extension AND prosrc ~* ${literal(perhaps)}),
  (SELECT pg_catalog.string_agg(name, ' ') FROM (SELECT DISTINCT pg_catalog.lower(m[1])
    FROM sources, pg_catalog.regexp_matches(prosrc, ${literal(customName)}, 'gi') m LIMIT 200) x (name)),
  EXISTS (SELECT FROM pg_catalog.pg_language WHERE lanname NOT IN ('internal', 'c', 'sql', 'plpgsql'))
    OR EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'dblink'),
  pg_catalog.bool_or(prosrc ~* ${literal(drawn)}),
  EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    WHERE p.oid >= 16384 AND l.lanname = 'c' AND p.prorettype <> ALL (ARRAY[
      'pg_catalog.language_handler', 'pg_catalog.fdw_handler', 'pg_catalog.index_am_handler']::pg_catalog.regtype[]))
FROM sources`;

/** Of the row of hiddenStateQuery. */
export function parseHiddenState(row: readonly (string | null)[] | undefined): HiddenState {
  if (!row) return unknownHiddenState;
  const [isLikely, isPerhaps, names, keepsOwnState, readsDrawn, hasNative] = row;
  return {
    changesSession: isLikely === "t" ? "likely" : isPerhaps === "t" ? "perhaps" : "no",
    customNames: (names ?? "").split(" ").filter((name) => name !== ""),
    keepsOwnState: keepsOwnState === "t",
    readsDrawn: readsDrawn === "t",
    hasNative: hasNative === "t",
  };
}

/** For a connection with standard_conforming_strings on. */
function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
