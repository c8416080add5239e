import { createRoleUnlessThere, delegated, quoteLiteral } from "./bootstrap.ts";

/** What rds_superuser is a member of besides; they are there for whom they are granted to, see docs/compatibility.md. */
const granted = ["rds_replication", "rds_password"];
const rdsRoles = ["rds_superuser", ...granted, "rds_iam"];

/**
 * A member of rds_superuser gives rds_iam to others and has nothing of it: who has would log in by tokens alone. Before 16
 * CREATEROLE is enough for that, and ADMIN OPTION would be membership.
 */
const givesIam = `BEGIN IF pg_catalog.current_setting('server_version_num')::int >= 160000 THEN
  EXECUTE 'GRANT rds_iam TO rds_superuser WITH ADMIN TRUE, INHERIT FALSE, SET FALSE'; END IF; END`;

/** One value: how many of Aurora's roles are missing. */
export const rolesMissingQuery =
  `SELECT ${rdsRoles.length} - pg_catalog.count(*) FROM pg_catalog.pg_roles ` +
  `WHERE rolname IN (${rdsRoles.map(quoteLiteral).join(", ")})`;

/** Aurora's roles, as one transaction; who is there stays as it is. */
export function rolesSql(): string {
  const statements = [
    ...rdsRoles.map(createRoleUnlessThere),
    ...[...delegated, ...granted].map((role) => `GRANT ${role} TO rds_superuser WITH ADMIN OPTION`),
    "GRANT SET ON PARAMETER session_replication_role TO rds_superuser",
    `DO ${quoteLiteral(givesIam)}`,
  ];
  return `BEGIN; SET LOCAL client_min_messages = warning; ${statements.join("; ")}; COMMIT`;
}
