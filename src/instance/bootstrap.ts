import type { Bootstrap, MasterPassword } from "./messages.ts";
import { quoteIdentifier, quoteLiteral } from "./quoting.ts";
import { recordFirstSql } from "./role-record.ts";

/** What Aurora's rds_superuser may do that stock PostgreSQL can grant without making it a superuser. */
export const delegated = ["pg_monitor", "pg_signal_backend", "pg_checkpoint"];

/**
 * The SQL of a volume's first start, as one transaction, so that it has happened whole or not at all: the master user
 * (D14), who owns the database postgres. Running it again changes nothing but the password.
 */
export function bootstrapSql(bootstrap: Bootstrap): string {
  const user = quoteIdentifier(bootstrap.masterUser);
  const attributes = bootstrap.isSuperuser
    ? "SUPERUSER CREATEDB CREATEROLE BYPASSRLS"
    : "NOSUPERUSER CREATEDB CREATEROLE";
  const statements = [
    ...(bootstrap.isSuperuser ? [] : rdsSuperuser()),
    createRoleUnlessThere(bootstrap.masterUser),
    `ALTER ROLE ${user} LOGIN ${attributes} PASSWORD ${quoteLiteral(bootstrap.password)}`,
    ...(bootstrap.isSuperuser ? [] : [`GRANT rds_superuser TO ${user} WITH ADMIN OPTION`]),
    `ALTER DATABASE postgres OWNER TO ${user}`,
  ];
  return `BEGIN; ${statements.join("; ")}; COMMIT`;
}

/** As an administrator resets it: whoever lost the password gets in again. `verifier`: of SCRAM, so that no log has a password. */
export function resetPasswordSql({ user, verifier }: MasterPassword): string {
  const password = quoteLiteral(verifier);
  return `ALTER ROLE ${quoteIdentifier(user)} LOGIN PASSWORD ${password} VALID UNTIL 'infinity'`;
}

/** It may not log in. */
function createRoleUnlessThere(name: string): string {
  const create = `CREATE ROLE ${quoteIdentifier(name)}`;
  const body = `BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = ${quoteLiteral(name)}) THEN ${create}; END IF; END`;
  return `DO ${quoteLiteral(body)}`;
}

function rdsSuperuser(): string[] {
  return [
    createRoleUnlessThere("rds_superuser"),
    ...delegated.map((role) => `GRANT ${role} TO rds_superuser WITH ADMIN OPTION`),
    recordFirstSql(["rds_superuser"]),
  ];
}
