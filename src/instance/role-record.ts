/**
 * Which roles are ours: names alone do not tell, as somebody may have had a role of that name before. Their numbers are kept
 * in a comment that only a superuser can write and no dump has; a comment on the role itself is anybody's who may change that
 * role. Numbers, comments and roles are the same in all that is copied as it is: a reader, a restore, a clone.
 */
import { quoteLiteral } from "./quoting.ts";

export interface RoleRecord {
  /** Of what they were given last. */
  readonly mark: string;
  /** pg_authid's oid by name. */
  readonly oids: ReadonlyMap<string, string>;
}

const begin = "borealis roles";
/** One value. */
export const recordQuery =
  "SELECT pg_catalog.shobj_description(oid, 'pg_tablespace') FROM pg_catalog.pg_tablespace WHERE spcname = 'pg_global'";

/** Gives the statement that records those of `names` that are there: where somebody has dropped plpgsql, nothing else can run one. */
export function recordQueryOf(mark: string, names: readonly string[]): string {
  const entries =
    "SELECT pg_catalog.string_agg(pg_catalog.format(' %s=%s', rolname, oid), '' ORDER BY rolname) " +
    `FROM pg_catalog.pg_roles WHERE rolname = ANY ('{${names.join(",")}}'::name[])`;
  const text = `pg_catalog.concat(${quoteLiteral(`${begin} ${mark}`)}, (${entries}))`;
  return `SELECT pg_catalog.format('COMMENT ON TABLESPACE pg_global IS %L', ${text})`;
}

/** Records them where nothing is recorded: of a new volume. */
export function recordFirstSql(names: readonly string[]): string {
  const record = `EXECUTE (${recordQueryOf("none", names)})`;
  return `DO ${quoteLiteral(`BEGIN IF (${recordQuery}) IS NULL THEN ${record}; END IF; END`)}`;
}

/** Undefined: there is none, or somebody has put something else there. */
export function parseRecord(text: string | null): RoleRecord | undefined {
  if (!text?.startsWith(`${begin} `)) return undefined;
  const [mark = "", ...entries] = text.slice(begin.length + 1).split(" ");
  const oids = entries
    .map((entry) => entry.split("="))
    .map(([name = "", oid = ""]) => [name, oid] as const);
  return { mark, oids: new Map(oids) };
}
