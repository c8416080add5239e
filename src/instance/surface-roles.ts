import { crc32c } from "../base/crc32c.ts";
import { delegated } from "./bootstrap.ts";
import { quoteLiteral } from "./quoting.ts";
import { parseRecord, recordQuery, recordSql } from "./role-record.ts";

/** What rds_superuser is a member of besides; they are there for whom they are granted to, see docs/compatibility.md. */
const granted = ["rds_replication", "rds_password"];
const rdsRoles = ["rds_superuser", ...granted, "rds_iam"];

/**
 * A member of rds_superuser gives rds_iam to others and has nothing of it: who has would log in by tokens alone. Before 16
 * CREATEROLE is enough for that, and ADMIN OPTION would be membership.
 */
const givesIam = `BEGIN IF pg_catalog.current_setting('server_version_num')::int >= 160000 THEN
  EXECUTE 'GRANT rds_iam TO rds_superuser WITH ADMIN TRUE, INHERIT FALSE, SET FALSE'; END IF; END`;

interface Grant {
  /** Of ours. */
  readonly roles: readonly string[];
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
  { roles: ["rds_superuser", "rds_iam"], sql: `DO ${quoteLiteral(givesIam)}` },
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
  /** A transaction; undefined: there is nothing to be done. */
  readonly sql: string | undefined;
  /** Somebody else's that have our names: nothing is granted to them, nor they to anybody. */
  readonly foreign: readonly string[];
}

/**
 * What is missing is made, with the grants that it is in; all grants are given again only where another version's are: what a
 * superuser has taken away since was meant.
 */
export function planRoles(rows: readonly (readonly (string | null)[])[]): RolesPlan {
  const oids = new Map(rows.map(([name, oid]) => [name ?? null, oid ?? null]));
  const before = parseRecord(oids.get(null) ?? null);
  const missing = rdsRoles.filter((name) => !oids.has(name));
  const foreign = rdsRoles.filter(
    (name) => oids.has(name) && oids.get(name) !== before?.oids.get(name),
  );
  const isCurrent = before?.mark === rolesMark;
  if (isCurrent && missing.length === 0) return { sql: undefined, foreign };
  const due = grants.filter(
    ({ roles }) =>
      !roles.some((role) => foreign.includes(role)) &&
      (!isCurrent || roles.some((role) => missing.includes(role))),
  );
  const ours = rdsRoles.filter((name) => !foreign.includes(name));
  const statements = [
    "SET LOCAL client_min_messages = warning",
    ...missing.map((name) => `CREATE ROLE ${name}`),
    ...due.map(({ sql }) => sql),
    recordSql(rolesMark, ours),
  ];
  return { sql: `BEGIN; ${statements.join("; ")}; COMMIT`, foreign };
}

/** For the log. */
export function foreignText(foreign: readonly string[]): string {
  const renames = foreign.map((name) => `ALTER ROLE ${name} RENAME TO another_name`);
  return (
    `${foreign.join(", ")}: not made by Borealis, and left as it is; for Aurora's, rename yours ` +
    `(${renames.join("; ")}), and it is made within five minutes`
  );
}
