import type { TokenProof } from "./token-logins.ts";

/** Which statements an audit is to have: none, those of definition (route's isOfDefinition), or all. */
export type AuditedStatements = "none" | "ddl" | "all";

/** Where it is written down who came in, who did not, and what they asked for. */
export interface Auditor {
  readonly statements: AuditedStatements;
  /** Never raises, and does not wait. `facts` have no secret. */
  readonly record: (event: AuditEvent, facts: AuditFacts) => void;
  /** Records that could not be written, since the process began. */
  readonly lostCount: number;
}

/**
 * - login: proven, and not told yet
 * - login.refused: for whatever reason; also who went away in the middle
 * - connection.refused: before anything was said
 * - logout: its session has ended
 * - statement: on its way to PostgreSQL; whether it did anything is not known yet
 * - command: of the admin database, to the cluster
 */
export type AuditEvent =
  | "login"
  | "login.refused"
  | "connection.refused"
  | "logout"
  | "statement"
  | "command";

export type AuditFacts = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** Who somebody is, in every record of what they do; `session` is the same in all of one login. */
export type AuditedIdentity = AuditFacts & { readonly session: string };

export function auditedIdentity(of: {
  readonly auditId: string;
  readonly endpoint: string;
  readonly remote: string;
  readonly user: string;
  readonly database: string;
  readonly proof: TokenProof | undefined;
}): AuditedIdentity {
  const { auditId: session, endpoint, remote, user, database, proof } = of;
  return { session, endpoint, remote, user, database, ...proof };
}
