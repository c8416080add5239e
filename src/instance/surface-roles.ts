import { crc32c } from "../base/crc32c.ts";
import { delegated } from "./bootstrap.ts";
import { quoteLiteral } from "./quoting.ts";
import { parseRecord, recordQuery, recordQueryOf } from "./role-record.ts";

/** What rds_superuser is a member of besides; they are there for whom they are granted to, see docs/compatibility.md. */
const granted = ["rds_replication", "rds_password"];
const rdsRoles = ["rds_superuser", ...granted, "rds_iam"];

/**
 * Settings of sessions that are no server's: PostgreSQL lets who is no superuser keep them for a role or a database (ALTER ROLE,
 * ALTER DATABASE … SET) only where that is granted (validate_option_array_item in its guc.c).
 */
export const sessionSettings = [
  "apg_write_forward.connect_timeout",
  "apg_write_forward.consistency_mode",
  "apg_write_forward.idle_session_timeout",
  "borealis.commit_timeout",
  "borealis.force_durable_commit",
  "borealis.hold_timeout",
  "borealis.on_failover",
  "borealis.pool",
  "borealis.replay",
  "borealis.server_ids",
];

interface Grant {
  /** Of ours. */
  readonly roles: readonly string[];
  /** The majors that know it. */
  readonly from?: number;
  readonly sql: string;
}

function membership(role: string): string {
  return `GRANT ${role} TO rds_superuser WITH ADMIN OPTION`;
}

const grants: readonly Grant[] = [
  ...delegated.map((role) => ({ roles: ["rds_superuser"], sql: membership(role) })),
  ...granted.map((role) => ({ roles: ["rds_superuser", role], sql: membership(role) })),
  {
    roles: ["rds_superuser"],
    sql: "GRANT SET ON PARAMETER session_replication_role TO rds_superuser",
  },
  // Everybody sets them for a session, and so keeps them for the roles and databases that are theirs, as PostgreSQL's own of that kind.
  { roles: [], sql: `GRANT SET ON PARAMETER ${sessionSettings.join(", ")} TO PUBLIC` },
  // Who is in it gives it to others and has nothing of it: who has would log in by tokens alone. Before 16 CREATEROLE is enough
  // for that, and ADMIN OPTION would be membership.
  {
    roles: ["rds_superuser", "rds_iam"],
    sql: "GRANT rds_iam TO rds_superuser WITH ADMIN TRUE, INHERIT FALSE, SET FALSE",
    from: 16,
  },
];

/** Changes with any grant above. */
export const rolesMark = crc32c(Buffer.from(grants.map(({ sql }) => sql).join("; ")))
  .toString(16)
  .padStart(8, "0");

/** Gives what is recorded, without a name, and the oid of each role that has one of the names. */
export const rolesQuery =
  `SELECT NULL, (${recordQuery}) UNION ALL SELECT rolname, oid::text FROM pg_catalog.pg_roles ` +
  `WHERE rolname IN (${rdsRoles.map(quoteLiteral).join(", ")})`;

export interface RolesPlan {
  /** All of a transaction but its last statement and its end; undefined: there is nothing to be done. */
  readonly sql: string | undefined;
  /** A query that gives its last statement. */
  readonly lastQuery: string;
  /** Somebody else's that have our names: nothing is granted to them, nor they to anybody. */
  readonly foreign: readonly string[];
}

/**
 * What is missing is made, with the grants that it is in; all grants are given again only where another version's are: what a
 * superuser has taken away since was meant.
 */
export function planRoles(rows: readonly (readonly (string | null)[])[], major: number): RolesPlan {
  const oids = new Map(rows.map(([name, oid]) => [name ?? null, oid ?? null]));
  const before = parseRecord(oids.get(null) ?? null);
  const missing = rdsRoles.filter((name) => !oids.has(name));
  const foreign = rdsRoles.filter(
    (name) => oids.has(name) && oids.get(name) !== before?.oids.get(name),
  );
  const isCurrent = before?.mark === rolesMark;
  const ours = rdsRoles.filter((name) => !foreign.includes(name));
  const lastQuery = recordQueryOf(rolesMark, ours);
  if (isCurrent && missing.length === 0) return { sql: undefined, lastQuery, foreign };
  const due = grants.filter(
    ({ roles, from = 0 }) =>
      major >= from &&
      !roles.some((role) => foreign.includes(role)) &&
      (!isCurrent || roles.some((role) => missing.includes(role))),
  );
  const statements = [
    "BEGIN",
    "SET LOCAL client_min_messages = warning",
    ...missing.map((name) => `CREATE ROLE ${name}`),
    ...due.map(({ sql }) => sql),
  ];
  return { sql: statements.join("; "), lastQuery, foreign };
}

/** Whether a role of this name is there, and ours. `rows`: of rolesQuery. */
export function hasOwnRole(rows: readonly (readonly (string | null)[])[], role: string): boolean {
  const valueOf = (key: string | null): string | null =>
    rows.find(([name]) => (name ?? null) === key)?.[1] ?? null;
  const oid = valueOf(role);
  return oid !== null && parseRecord(valueOf(null))?.oids.get(role) === oid;
}

/** For the log. */
export function foreignText(foreign: readonly string[]): string {
  const renames = foreign.map((name) => `ALTER ROLE ${name} RENAME TO another_name`);
  return (
    `${foreign.join(", ")}: not made by Borealis, and left as it is; for Aurora's, rename yours ` +
    `(${renames.join("; ")}), and it is made within five minutes`
  );
}
