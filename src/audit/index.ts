/**
 * The audit on disk: lines of JSON in a bounded number of files of bounded size. What is worth a record, and what may be in it,
 * session decides (auditor.ts); start with audit-log-shell.ts.
 */
export { AuditLog, type AuditLogOptions } from "./audit-log-shell.ts";
