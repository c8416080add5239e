import type { ParameterChange } from "./parameter-messages.ts";
import { quoteIdentifier, quoteLiteral } from "./quoting.ts";

type Values = ReadonlyMap<string, string>;

/** Whose values PostgreSQL keeps as a list of quoted names, and takes apart: all that are not Borealis's own. */
const lists = new Set(["search_path", "shared_preload_libraries", "temp_tablespaces"]);

/** What was set and reset from `before` to `after`. */
export function changesBetween(before: Values, after: Values): ParameterChange[] {
  const gone = [...before.keys()].filter((name) => !after.has(name));
  const set = [...after].filter(([name, value]) => before.get(name) !== value);
  return [
    ...gone.map((name) => ({ name, value: null })),
    ...set.map(([name, value]) => ({ name, value })),
  ];
}

/**
 * What to start with, one after the other. `good`: what it has started with before, which may be good no more: a library that was
 * removed since, memory that the machine has no more.
 */
export function attemptsWith(chosen: Values, good: Values | undefined): readonly Values[] {
  const isSame = (one: Values, other: Values): boolean => changesBetween(one, other).length === 0;
  const attempts = [chosen];
  for (const one of [good, new Map<string, string>()])
    if (one && !attempts.some((other) => isSame(one, other))) attempts.push(one);
  return attempts;
}

/** Has PostgreSQL write it into postgresql.auto.conf, in one piece with what others write there. */
export function alterSystemSql({ name, value }: ParameterChange): string {
  const quoted = name.split(".").map(quoteIdentifier).join(".");
  if (value === null) return `ALTER SYSTEM RESET ${quoted}`;
  const items = lists.has(name) ? namesIn(value) : [value];
  return `ALTER SYSTEM SET ${quoted} TO ${items.map(literal).join(", ")}`;
}

/** Of each that pg_settings has: its name, its context, whether it waits for a restart, whether its line in the file is wrong. */
export function statesSql(names: readonly string[]): string {
  return (
    "WITH wrong AS (SELECT pg_catalog.lower(name) AS name FROM pg_catalog.pg_show_all_file_settings() WHERE error IS NOT NULL) " +
    "SELECT pg_catalog.lower(name), context, pending_restart, pg_catalog.lower(name) IN (SELECT name FROM wrong) " +
    "FROM pg_catalog.pg_show_all_settings() " +
    `WHERE pg_catalog.lower(name) IN (${names.map(quoteLiteral).join(", ")})`
  );
}

/** With an escape, so that it means the same whatever standard_conforming_strings is. */
function literal(text: string): string {
  return text.includes("\\")
    ? `E${quoteLiteral(text.replaceAll("\\", "\\\\"))}`
    : quoteLiteral(text);
}

/** As PostgreSQL's SplitIdentifierString: parted by commas, in double quotes or bare. */
function namesIn(list: string): string[] {
  const names = [...list.matchAll(/\s*("(?:[^"]|"")*"|[^,"]*)\s*(?:,|$)/g)]
    .map(([, name = ""]) => name.trim())
    .map((name) => (name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name));
  // The match behind the last one is empty.
  return names.length > 1 ? names.slice(0, -1) : names;
}
