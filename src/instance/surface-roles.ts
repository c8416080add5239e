import { crc32c } from "../base/crc32c.ts";
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

/** The mark that rolesSql left last; null: it was never run, or a role is missing. */
export const rolesMarkQuery =
  "SELECT pg_catalog.shobj_description(pg_catalog.to_regrole('rds_superuser'), 'pg_authid') " +
  `WHERE ${rdsRoles.length} = (SELECT pg_catalog.count(*) FROM pg_catalog.pg_roles ` +
  `WHERE rolname IN (${rdsRoles.map(quoteLiteral).join(", ")}))`;

/** What a cluster has is compared with this: it changes with any grant below. */
export function rolesMark(): string {
  const crc = crc32c(Buffer.from(statements().join("; ")));
  return `borealis ${crc.toString(16).padStart(8, "0")}`;
}

/** Aurora's roles, as one transaction; who is there stays as it is, with what it has been granted besides. */
export function rolesSql(): string {
  const mark = `COMMENT ON ROLE rds_superuser IS ${quoteLiteral(rolesMark())}`;
  const all = [...statements(), mark].join("; ");
  return `BEGIN; SET LOCAL client_min_messages = warning; ${all}; COMMIT`;
}

function statements(): string[] {
  return [
    ...rdsRoles.map(createRoleUnlessThere),
    ...[...delegated, ...granted].map((role) => `GRANT ${role} TO rds_superuser WITH ADMIN OPTION`),
    "GRANT SET ON PARAMETER session_replication_role TO rds_superuser",
    `DO ${quoteLiteral(givesIam)}`,
  ];
}
