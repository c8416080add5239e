import type { Classified, StatementClass } from "./statement-class.ts";

/**
 * What an audit calls a statement, in the words of pgaudit:
 * - role: rights, roles, and whose place a session takes
 * - ddl: makes, changes or drops something; TRUNCATE, too
 * - function: DO and CALL, which may do anything, and what reaches files and programs
 * - unknown: not parsed, or too long to be
 */
export type AuditClass = "unknown" | "role" | "ddl" | "function" | "write" | "read" | "misc";

/** Of a text with several statements the first of these counts that one of them is. */
const byWeight: readonly AuditClass[] = [
  "unknown",
  "role",
  "ddl",
  "function",
  "write",
  "read",
  "misc",
];

const roleTags = /^(?:GRANT|REVOKE|REASSIGN OWNED|DROP OWNED|ALTER DEFAULT PRIVILEGES)|\bROLE\b/;
const identities = new Set(["role", "session_authorization"]);
const miscUtilities = new Set(["VACUUM", "ANALYZE", "CHECKPOINT", "NOTIFY", "LOCK TABLE"]);

/** Those that tell how a database comes to be as it is. */
export function isOfDefinition(what: AuditClass): boolean {
  return what === "role" || what === "ddl" || what === "function" || what === "unknown";
}

export function auditClassOf({ statements }: Classified): AuditClass {
  const classes = new Set(statements.map(classOf));
  return byWeight.find((one) => classes.has(one)) ?? "misc";
}

/** What these say in numbers is sizes, defaults and bounds; a query in a definition compares with what rows have. */
const numberedTags =
  /^(?:CREATE|ALTER|DROP) (?:TABLE|SEQUENCE|DATABASE|SCHEMA|TYPE|EXTENSION|TABLESPACE)$/;

/** Whether its numbers belong to definitions: none is a row's, or an argument. */
export function hasPlainNumbers({ statements }: Classified): boolean {
  return statements.every((statement) => {
    const { kind, tag } = statement;
    if (classOf(statement) === "role") return kind === "utility";
    return kind === "utility" && numberedTags.test(tag);
  });
}

function classOf(statement: StatementClass): AuditClass {
  const { kind, tag, copy, settings, makesObjects, isOutlined } = statement;
  if (kind === "unknown") return "unknown";
  if (settings.some(({ name }) => identities.has(name)) || roleTags.test(tag)) return "role";
  if (tag === "DO" || tag === "CALL" || tag === "LOAD") return "function";
  switch (kind) {
    case "read":
      return "read";
    case "mayWrite":
      // SELECT INTO; of what is too long to be parsed, as good as never.
      return makesObjects && isOutlined !== true ? "ddl" : "write";
    case "copy":
      if (copy === "program" || copy === "file") return "function";
      return copy === "in" ? "write" : "read";
    case "utility":
      return miscUtilities.has(tag) ? "misc" : "ddl";
    case "transaction":
    case "sessionState":
      return "misc";
  }
}
