import { BorealisError, sqlState } from "../base/errors.ts";
import type { StartWishes } from "./start-options.ts";

/** Whoever judges the tokens that members of rds_iam log in with; they have no other password. */
export interface TokenLogins {
  /** Of what a client sent over TLS. */
  readonly judge: (login: { readonly token: string; readonly user: string }) => TokenVerdict;
  /** Clients are told why they were refused; the log is in any case. */
  readonly tellsWhy: boolean;
}

export type TokenVerdict =
  | { readonly kind: "accepted"; readonly principal: string; readonly accessKeyId: string }
  | { readonly kind: "refused"; readonly why: string };

/** Who a token says that it was, for the log. */
export type TokenProof = Omit<Extract<TokenVerdict, { kind: "accepted" }>, "kind">;

export const tokenRole = "rds_iam";

/** As Aurora has it, but for the detail: there is nothing more to learn from it. */
export function tokenRefusal(user: string, why: string | undefined): BorealisError {
  return new BorealisError(
    sqlState.invalidAuthorization,
    `PAM authentication failed for user "${user}"`,
    why === undefined ? {} : { detail: why },
  );
}

/** A token that travels in the clear is anybody's: none is asked for. `host`: the client's. `hasTls`: it could have had it. */
export function plainRefusal(
  { user, database }: StartWishes,
  { host, hasTls }: { readonly host: string; readonly hasTls: boolean },
): BorealisError {
  return new BorealisError(
    sqlState.invalidAuthorization,
    `no pg_hba.conf entry for host "${host}", user "${user}", database "${database}", no encryption`,
    {
      detail: `Members of ${tokenRole} log in by tokens, over TLS only.`,
      hint: hasTls
        ? "Connect with sslmode=require, or better verify-full."
        : "This endpoint has no TLS: borealis up --tls prefer.",
    },
  );
}

/**
 * SQL that tells whether role `r` is a member, also through other roles. As in pg_hba.conf, being a superuser is no membership;
 * and who may only grant the role (WITH ADMIN TRUE, INHERIT FALSE, SET FALSE, from PostgreSQL 16 on) has nothing of it.
 * A superuser, and whoever can become one by SET ROLE, is one only by the word of superusers: else who may grant rds_iam could
 * shut them out, or hold the keys to them.
 */
export const isTokenUserSql = `EXISTS (
    WITH RECURSIVE roles AS (SELECT r.oid UNION
      SELECT m.roleid FROM roles JOIN pg_catalog.pg_auth_members m ON m.member = roles.oid
        LEFT JOIN pg_catalog.pg_authid g ON g.oid = m.grantor
        WHERE COALESCE((pg_catalog.to_jsonb(m) ->> 'inherit_option')::bool OR (pg_catalog.to_jsonb(m) ->> 'set_option')::bool, true)
          AND (COALESCE(g.rolsuper, false) OR NOT EXISTS (
            SELECT FROM pg_catalog.pg_authid s WHERE s.rolsuper AND pg_catalog.pg_has_role(r.oid, s.oid, 'MEMBER'))))
    SELECT FROM roles JOIN pg_catalog.pg_authid t ON t.oid = roles.oid AND t.rolname = '${tokenRole}')`;
