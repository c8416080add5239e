import type { Condition } from "./record.ts";
import { Session } from "./session.ts";

/** What conditions may ask of the server under test. */
export interface ServerFacts {
  /** Major version. */
  readonly version: number;
  /** postgresql, writer or reader, superuser, and what --with names. */
  readonly words: ReadonlySet<string>;
}

/** Asks the server. Raises if it cannot be reached. */
export async function askFacts(
  url: string,
  timeoutMs: number,
  extra: readonly string[],
): Promise<ServerFacts> {
  const session = await Session.open({
    url,
    timeoutMs,
    database: undefined,
    searchPath: undefined,
  });
  try {
    const version = Number(await session.value("SHOW server_version_num"));
    const isReader = (await session.value("SELECT pg_catalog.pg_is_in_recovery()")) === "t";
    const isSuperuser = (await session.value("SHOW is_superuser")) === "on";
    const words = new Set(["postgresql", isReader ? "reader" : "writer", ...extra]);
    if (isSuperuser) words.add("superuser");
    return { version: Math.floor(version / 10_000), words };
  } finally {
    await session.close();
  }
}

/** Whether every condition is as wanted. */
export function areMet(conditions: readonly Condition[], facts: ServerFacts): boolean {
  return conditions.every((condition) => holds(condition, facts) === condition.isWanted);
}

function holds(condition: Condition, { version, words }: ServerFacts): boolean {
  if (condition.kind === "word") return words.has(condition.word);
  switch (condition.operator) {
    case "<":
      return version < condition.version;
    case "<=":
      return version <= condition.version;
    case "=":
      return version === condition.version;
    case ">=":
      return version >= condition.version;
    case ">":
      return version > condition.version;
  }
}
