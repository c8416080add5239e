import type { StartupParameter } from "../wire/index.ts";

/** Where PostgreSQL looks at the CONNECTION LIMIT of a role, and of a database; elsewhere it counts all connections. */
const limiting: Readonly<Record<string, string>> = {
  InitializeSessionUserId: "role",
  CheckMyDatabase: "database",
};

/** What CONNECTION LIMIT may be about, of a login with these parameters. */
export function groupsOf(parameters: readonly StartupParameter[]): string[] {
  const valueOf = (wanted: string): string | undefined =>
    parameters.find(({ name }) => name === wanted)?.value.toString("latin1");
  const user = valueOf("user") ?? "";
  return [`role ${user}`, `database ${valueOf("database") || user}`];
}

/** The one of `groups` whose limit a refusal (53300) by this function of PostgreSQL's is about; undefined: it has too many of all. */
export function limitOf(
  routine: string | undefined,
  groups: readonly string[],
): string | undefined {
  const kind = limiting[routine ?? ""];
  return kind === undefined ? undefined : groups.find((group) => group.startsWith(`${kind} `));
}
