import { inspect, type Findings } from "./findings.ts";
import { parse, type Node } from "./parser.ts";
import { mayBeRefused, refusalOf, tooDeepRefusal } from "./refusals.ts";
import { outline } from "./scan.ts";
import type { Classified, SessionEffect, StatementClass } from "./statement-class.ts";
import { isForwardableNode } from "./forwardable.ts";
import { rules } from "./statement-rules.ts";
import { isTree, type Tree } from "./tree.ts";

/** Parsing costs about 4 ms for each 10 kB; beyond this, plain data changes are told by their outline. */
const parsedLimitChars = 32 * 1024;
const bulkStatements = new Set(["insert", "update", "delete", "merge", "select", "with", "values"]);
const worthParsing =
  /set_config|synchronous_commit|application_name|pg_settings|pg_notify|advisory|pg_temp|setseed|pg_backup|pg_start_backup|replication_/i;

/** What every doubt starts from. */
const doubtful: StatementClass = {
  kind: "unknown",
  tag: "",
  mayWrite: true,
  writesAtCommit: false,
  drawsSequence: false,
  mayRunUserCode: true,
  relations: [],
  callsUnknown: true,
  makesObjects: false,
  leavesUnseen: false,
  isChained: false,
  endsTransaction: false,
  forbidsTransactionBlock: false,
  mayCommitInside: false,
  touchesSynchronousCommit: false,
  sessionEffects: [],
  settings: [],
  isForwardable: false,
};
/** By their nodes' names. COMMENT, GRANT, TRUNCATE, VACUUM and many more make nothing. */
const makers = /CREATE|DEFINE|VIEW|INDEX|COMPOSITE|ENUM|RANGE|IMPORT|RULE|TRIG|STATS|POLICY/;
const noNames: readonly string[] = [];
const certainWrites = new Set(["INSERT", "UPDATE", "DELETE", "MERGE"]);

/**
 * What each statement of a Query or Parse message is. Pure, and needs loadParser() once before. Knows the text only:
 * what views, triggers, overloaded names and CALLed procedures hide shows in `mayRunUserCode` and `relations`. The text
 * is read as with standard_conforming_strings on: for a session that turned it off, and for text that is not UTF-8,
 * take classifyUnparsed.
 */
export function classify(sql: string): Classified {
  if (sql.length > parsedLimitChars && !worthParsing.test(sql)) {
    const { firstWord, isSingle } = outline(sql);
    if (isSingle && bulkStatements.has(firstWord)) {
      const tag =
        firstWord === "with" || firstWord === "values" ? "SELECT" : firstWord.toUpperCase();
      const isForwardable = certainWrites.has(tag);
      const makesObjects = tag === "SELECT";
      const known = { tag, isForwardable, makesObjects, isOutlined: true };
      const statement: StatementClass = { ...doubtful, kind: "mayWrite", ...known };
      return { statements: [statement], parseFailed: false };
    }
  }
  const result = parse(sql);
  if (result.kind === "failed") return classifyUnparsed(sql);
  if (result.kind === "broken") return { ...classifyUnjudged(sql), isPassing: true };
  if (result.kind !== "parsed") return classifyUnjudged(sql);
  const mentions = mentionsSynchronousCommit(sql);
  const statements: StatementClass[] = [];
  for (const node of result.statements) {
    const findings = inspect(node);
    if (!findings) return classifyUnjudged(sql);
    statements.push(classOf(node, findings, mentions));
  }
  return { statements, parseFailed: false };
}

/** The server may well run it, and it may have in it what an endpoint refuses: then it is refused. */
function classifyUnjudged(sql: string): Classified {
  const { statements, parseFailed } = classifyUnparsed(sql);
  if (!mayBeRefused(sql)) return { statements, parseFailed };
  const refusal = tooDeepRefusal;
  return { statements: statements.map((one) => ({ ...one, refusal })), parseFailed };
}

/** The class of a text that is not to be parsed: one statement that may do anything. */
export function classifyUnparsed(sql: string): Classified {
  const statement: StatementClass = {
    ...doubtful,
    makesObjects: true,
    source: sql,
    forbidsTransactionBlock: true,
    mayCommitInside: true,
    touchesSynchronousCommit: mentionsSynchronousCommit(sql),
  };
  return { statements: [statement], parseFailed: true };
}

/** A mention anywhere counts, in a literal too: see touchesSyncCommit. */
export function mentionsSynchronousCommit(sql: string): boolean {
  return /synchronous_commit/i.test(sql);
}

function classOf(node: Node, findings: Findings, mentionsSyncCommit: boolean): StatementClass {
  const [key = "", value] = Object.entries(node)[0] ?? [];
  const statement: Tree = isTree(value) ? value : {};
  const common: StatementClass = {
    ...doubtful,
    kind: "utility",
    tag: tagOf(key),
    writesAtCommit: findings.notifies,
    drawsSequence: findings.drawsSequence,
    relations: findings.relations,
    callsUnknown: findings.namesUnknownCode,
    names: findings.names.size > 0 ? [...findings.names] : noNames,
    makesObjects: findings.makesRelation || makers.test(tagOf(key)),
    leavesUnseen: findings.leavesUnseen,
    sessionEffects: effectsOf(findings),
  };
  const refusal = refusalOf(key, statement, findings);
  const rule = rules[key];
  const ruled = { ...common, ...rule?.(statement, findings), ...(refusal && { refusal }) };
  const isForwardable = ruled.kind === "mayWrite" && !refusal && isForwardableNode(node, findings);
  const named = ruled.settings.findLast(({ name }) => name === "application_name");
  return {
    ...ruled,
    isForwardable,
    touchesSynchronousCommit: touchesSyncCommit(ruled, findings, mentionsSyncCommit),
    ...(named?.value !== undefined && { setsApplicationName: named.value }),
  };
}

/** A text that mentions the setting counts too: the body of a function, an argument of one. */
function touchesSyncCommit(
  ruled: StatementClass,
  findings: Findings,
  isMentioned: boolean,
): boolean {
  if (findings.settings.some(({ name }) => name === "synchronous_commit" || name === "*"))
    return true;
  if (ruled.sessionEffects.includes("discard")) return true;
  return isMentioned && (ruled.kind !== "read" || ruled.mayRunUserCode);
}

function effectsOf(findings: Findings): SessionEffect[] {
  const effects: SessionEffect[] = [];
  if (findings.takesAdvisoryLock) effects.push("advisoryLock");
  if (findings.makesTemporaryObject) effects.push("temporaryObject");
  return effects;
}

/** "AlterTableStmt" → "ALTER TABLE": right for most, and only people read it. Exact ones are in the rules. */
function tagOf(key: string): string {
  return key
    .replace(/Stmt$/, "")
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .toUpperCase();
}
