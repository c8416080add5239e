/**
 * Whether the code of one database may change the session that runs it, and which settings with a prefix it names: one
 * row of a boolean and a text array. By the sources of functions and procedures; a source that builds its statements at
 * run time counts if it executes anything that is no plain constant. Functions in C are not looked into.
 */
export const hiddenStateQuery = `
WITH sources AS (
  SELECT prosrc FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
  WHERE p.oid >= 16384 AND l.lanname NOT IN ('c', 'internal'))
SELECT COALESCE(pg_catalog.bool_or(prosrc ~* E'set_config|pg_settings|advisory|\\\\mexecute\\\\M|\\\\mspi_|\\\\mplpy\\\\M|\\\\mtemp(orary)?\\\\M'
    '|(^|;|\\\\mbegin|\\\\mthen|\\\\melse|\\\\mloop)\\\\s*(set|reset|listen|unlisten|prepare|deallocate|discard|load)\\\\M'), false),
  ARRAY(SELECT DISTINCT pg_catalog.lower(m[1]) FROM sources,
    pg_catalog.regexp_matches(prosrc, E'(?:set_config\\\\s*\\\\(\\\\s*''|\\\\mset\\\\s+(?:session\\\\s+|local\\\\s+)?)([a-z_][a-z0-9_$]*(?:\\\\.[a-z_][a-z0-9_$]*)+)', 'gi') m LIMIT 200)
FROM sources`;
