/**
 * What a statement is (read, write, transaction control, session state), by PostgreSQL's own grammar, and what an
 * endpoint refuses. Call loadParser() once per process, then ClassificationCache.classify(sql); statement-class.ts
 * says what each answer means, findings.ts how functions, operators and types are judged. The lists of harmless
 * built-ins in builtins.generated.ts come from the catalogs of stock servers (scripts/generate-builtins.mjs).
 */
export { type AuditClass, auditClassOf, hasPlainNumbers, isOfDefinition } from "./audit-class.ts";
export { ClassificationCache, type ClassificationCacheOptions } from "./cache.ts";
export { classify, classifyUnparsed } from "./classify.ts";
export type { RelationName, SettingChange } from "./findings.ts";
export { findPrepares, type PrepareTextsOf } from "./parser.ts";
export { loadParser } from "./parser-shell.ts";
export {
  driverName,
  isReservedApplicationName,
  reservedNameRefusal,
  ownSettingNames,
  settingRefusal,
} from "./refusals.ts";
export { redacted } from "./redact.ts";
export type {
  Classified,
  Refusal,
  SessionEffect,
  StatementClass,
  StatementKind,
  TransactionCommand,
} from "./statement-class.ts";
