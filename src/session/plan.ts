import {
  type ClassificationCache,
  type Classified,
  classifyUnparsed,
  type Refusal,
  type SettingChange,
  type StatementClass,
} from "../route/index.ts";
import { mayNotify } from "./notify.ts";
import { actsOutside } from "./source-patterns.ts";
import { mayHideWarnings } from "./hidden-warnings.ts";
import { type SessionTouch, touchOf, unknownTouch } from "./session-touch.ts";
import { wishesOf } from "./text-wishes.ts";
import { type DatabaseTraits, type Names, type TraitChange, unknownTraits } from "./traits.ts";

/**
 * What a text means for the transaction that it runs in:
 * - harmless: commits nothing that wrote (reads, SET, SAVEPOINT, LISTEN ...)
 * - begin, commit, rollback: that statement alone; commit is PREPARE TRANSACTION, too
 * - write: one statement that may write, and commits by itself outside a transaction block
 * - several: anything else; it may end transactions on its way
 */
export type Role = "harmless" | "begin" | "commit" | "rollback" | "write" | "several";

/** What PREPARE TRANSACTION is answered with. */
export const prepareTag = "PREPARE TRANSACTION";

/** What a session has to know of one text, derived once from its classification. */
export interface TextPlan {
  readonly role: Role;
  /** COMMIT AND CHAIN, ROLLBACK AND CHAIN: the next transaction is open at once. */
  readonly isChained: boolean;
  /** A query of ours may follow in the same implicit transaction. */
  readonly mayBeProbed: boolean;
  /** As a simple Query it may be sent as extended messages, with the same answers. */
  readonly mayBeRewritten: boolean;
  /** It may end a transaction that is open before it. */
  readonly mayEndTransaction: boolean;
  /** Afterwards synchronous_commit, or a setting of ours, may differ. */
  readonly changesHonesty: boolean;
  /** Afterwards PostgreSQL's warnings may not reach us, that of a commit's broken-off wait among them. */
  readonly mayHideWarnings: boolean;
  /** It has no transaction id before COMMIT, and may write in it all the same. */
  readonly writesAtCommit: boolean;
  /** Others may hear of it, if they listen. */
  readonly notifies: boolean;
  /** Its answer may be a sequence's value that another transaction logged, and that is not durable yet. */
  readonly drawsSequence: boolean;
  /** It, or code that it runs, may draw from a sequence. */
  readonly mayDraw: boolean;
  /** It asks for what its session has drawn. */
  readonly readsDrawn: boolean;
  /** ALTER SYSTEM: what it has set the cluster is to keep. */
  readonly setsParameters: boolean;
  /** What may differ afterwards of what the catalogs say. */
  readonly changesTraits: TraitChange | undefined;
  /** The prepared statement it forgets; "*" for all. */
  readonly deallocates: string | undefined;
  /** What it may do to the session beyond its transaction. */
  readonly touch: SessionTouch;
  readonly refusal: Refusal | undefined;
  /** A transaction block is open after it that was not open before. */
  readonly begins: boolean;
  /** Of how many statements it is, if they make one transaction by themselves, that ends with the last of them. */
  readonly statementsInOne: number | undefined;
  /** What PostgreSQL answers to it where it is a commit and nothing else. */
  readonly commitTag: string | undefined;
  /** The gid of the prepared transaction that it commits or rolls back. */
  readonly gid: string | undefined;
  /** Names of prepared statements that it executes in SQL. */
  readonly executes: readonly string[];
  /** Why a transaction with it is not to be run a second time. */
  readonly obstacle: string | undefined;
  /** Settings of ours, and of write forwarding, for this session; "*" where any may have been reset or set. */
  readonly wishes: readonly SettingChange[];
}

/** A text too long to be looked at. */
export const opaquePlan: TextPlan = {
  role: "several",
  isChained: false,
  mayBeProbed: false,
  mayBeRewritten: false,
  mayEndTransaction: true,
  changesHonesty: true,
  mayHideWarnings: true,
  writesAtCommit: true,
  notifies: true,
  drawsSequence: false,
  mayDraw: true,
  readsDrawn: false,
  setsParameters: false,
  changesTraits: undefined,
  deallocates: undefined,
  touch: unknownTouch,
  refusal: undefined,
  begins: false,
  statementsInOne: undefined,
  commitTag: undefined,
  gid: undefined,
  executes: [],
  obstacle: "a text of it was too long to be looked at",
  wishes: [],
};

/** Plans by text; the texts and their classes are cached by route, per process. */
export class TextPlanner {
  private readonly cache: ClassificationCache;
  private plans = new WeakMap<Classified, TextPlan>();
  private currentTraits: DatabaseTraits = unknownTraits;
  /** Some text has asked for what its session drew from a sequence: others of this database will. */
  readsDrawn = false;

  constructor(cache: ClassificationCache) {
    this.cache = cache;
  }

  get traits(): DatabaseTraits {
    return this.currentTraits;
  }

  /** Plans made under other traits are forgotten. */
  learnTraits(traits: DatabaseTraits): void {
    this.currentTraits = traits;
    this.plans = new WeakMap();
  }

  /** As it was classified, or is now; `isPlain` as for plan. */
  classified(sql: string, isPlain: boolean): Classified {
    return isPlain ? this.cache.classify(sql) : classifyUnparsed(sql);
  }

  /** `isPlain`: UTF-8 and standard_conforming_strings on, so that PostgreSQL reads the text as our parser does. */
  plan(sql: string, isPlain: boolean): TextPlan {
    const classified = this.classified(sql, isPlain);
    const known = this.plans.get(classified);
    if (known) return known;
    const plan = planText(sql, classified, this.currentTraits);
    this.readsDrawn ||= plan.readsDrawn;
    this.plans.set(classified, plan);
    return plan;
  }
}

/** In a text that was not parsed; where it is something else, the question costs little. */
const altersSystem = /\balter\s+system\b/i;
const drawn = /\b(currval|lastval)\b/i;
const rewritableKinds = new Set(["read", "mayWrite", "utility"]);
// What dynamic SQL in a function does to them is seen at the next regular look.
const traitTags = /\b(?:TRIG|TRIGGER|RULE|VIEW|POLICY|ALTER TABLE)\b/;
const codeTags =
  /\b(?:FUNCTION|PROCEDURE|EXTENSION|SCHEMA|CAST|OP|DOMAIN|FOREIGN|PLANG|RENAME)\b|^(?:ALTER|CREATE)$/;
const queries = new Set(["SELECT", "EXPLAIN", "DECLARE CURSOR", "COPY"]);

/** `sql` is the text that was classified; parameters in it ($1) mean something else in the two protocols. */
export function planText(sql: string, classified: Classified, traits: DatabaseTraits): TextPlan {
  const statements = classified.statements.map((statement) => judged(statement, traits));
  const only = statements.length === 1 ? statements[0] : undefined;
  const role = only ? roleOf(only, traits) : roleOfSeveral(statements, traits);
  const mayBeProbed = role === "write" && statements.every(mayShareTransaction);
  const refusal = statements.find((statement) => statement.refusal)?.refusal;
  return {
    role,
    isChained: only?.isChained ?? false,
    mayBeProbed,
    mayBeRewritten:
      mayBeProbed &&
      only !== undefined &&
      rewritableKinds.has(only.kind) &&
      // Of what reads by its text rules make nothing else.
      (!traits.hasRules || classified.statements[0]?.kind === "read") &&
      !/\$\d/.test(sql),
    mayEndTransaction: statements.some(
      ({ kind, endsTransaction }) => endsTransaction || kind === "unknown",
    ),
    changesHonesty: statements.some(changesHonesty),
    mayHideWarnings: statements.some(mayHideWarnings),
    writesAtCommit: statements.some((one) => one.writesAtCommit || mayNotify(one, traits)),
    notifies: statements.some((one) => notifies(one, traits) || mayNotify(one, traits)),
    drawsSequence: statements.some((statement) => statement.drawsSequence),
    mayDraw: statements.some(
      (statement) => statement.kind === "unknown" || mayWrite(statement, traits),
    ),
    readsDrawn: drawn.test(sql),
    setsParameters: statements.some(
      ({ tag, kind }) => tag === "ALTER SYSTEM" || (kind === "unknown" && altersSystem.test(sql)),
    ),
    changesTraits: traitChangeOf(statements, traits),
    deallocates: statements.some((statement) => statement.sessionEffects.includes("discard"))
      ? "*"
      : statements.find((statement) => statement.deallocates !== undefined)?.deallocates,
    // Where any name will do, each read would be followed by a question, and keep its connection from others.
    touch: touchOf(traits.codeNames === "any" ? classified : { ...classified, statements }, sql),
    refusal,
    begins: statements.findLast(isBoundary)?.transaction === "begin",
    statementsInOne: statements.every(staysInOne) ? statements.length : undefined,
    commitTag: only && commitTagOf(only),
    gid: only && endsPrepared(only) ? only.gid : undefined,
    executes: statements.flatMap(({ executes }) => executes ?? []),
    obstacle: actsOutside(
      sql,
      statements.some(({ tag }) => tag === "CREATE FUNCTION"),
    )
      ? "it acts beyond its transaction"
      : firstObstacle(statements, traits),
    wishes: wishesOf(statements),
  };
}

/** As its text says, and what users have made in its database. */
function judged(statement: StatementClass, traits: DatabaseTraits): StatementClass {
  if (!queries.has(statement.tag) || !runsCode(statement, traits.codeNames)) return statement;
  const kind = statement.kind === "read" ? "mayWrite" : statement.kind;
  return { ...statement, kind, mayWrite: true, mayRunUserCode: true, callsUnknown: true };
}

function runsCode({ names, relations }: StatementClass, code: Names): boolean {
  if (code === "any") return names === undefined || names.length + relations.length > 0;
  if (code.size === 0) return false;
  return names === undefined || names.some((name) => code.has(name));
}

function traitChangeOf(
  statements: readonly StatementClass[],
  traits: DatabaseTraits,
): TraitChange | undefined {
  if (statements.some(({ tag, kind }) => codeTags.test(tag) || kind === "unknown")) return "code";
  const isOfRelations = statements.some(
    (statement) => traitTags.test(statement.tag) || spreads(statement, traits),
  );
  return isOfRelations ? "relations" : undefined;
}

/** Others may reach what it names afterwards: a default, an index. */
function spreads({ kind, names = [] }: StatementClass, { outsideNames }: DatabaseTraits): boolean {
  return kind === "utility" && outsideNames !== "any" && names.some((n) => outsideNames.has(n));
}

function reachesOutside(statement: StatementClass, outsideNames: Names): boolean {
  const { names, executes, mayRunUserCode } = statement;
  if (outsideNames === "any") return mayRunUserCode;
  if (outsideNames.size === 0) return false;
  if (names === undefined || executes !== undefined) return true;
  return names.some((name) => outsideNames.has(name));
}

function staysInOne(statement: StatementClass): boolean {
  const { kind, endsTransaction, mayCommitInside, forbidsTransactionBlock } = statement;
  return kind !== "unknown" && !endsTransaction && !mayCommitInside && !forbidsTransactionBlock;
}

/** A held cursor takes an id inside COMMIT, too; what its query may do there, only that tells. */
function notifies(statement: StatementClass, traits: DatabaseTraits): boolean {
  if (!statement.writesAtCommit) return false;
  return !statement.sessionEffects.includes("heldCursor") || mayWrite(statement, traits);
}

function isBoundary({ transaction, endsTransaction }: StatementClass): boolean {
  return transaction === "begin" || endsTransaction;
}

function endsPrepared({ transaction }: StatementClass): boolean {
  return transaction === "commitPrepared" || transaction === "rollbackPrepared";
}

function commitTagOf(statement: StatementClass): string | undefined {
  const { transaction, tag } = statement;
  if (endsPrepared(statement)) return tag;
  if (transaction === "prepare") return prepareTag;
  return transaction === "commit" ? "COMMIT" : undefined;
}

function firstObstacle(
  statements: readonly StatementClass[],
  traits: DatabaseTraits,
): string | undefined {
  for (const statement of statements) {
    const obstacle = obstacleOf(statement, traits);
    if (obstacle !== undefined) return obstacle;
  }
  return undefined;
}

/** What a transaction may not have in it if it is to be run again. */
function obstacleOf(statement: StatementClass, traits: DatabaseTraits): string | undefined {
  const { kind, tag, copy, transaction } = statement;
  if (kind === "unknown") return "a statement of it is not understood";
  if (statement.mayCommitInside) return `it has ${tag}, which may commit inside`;
  // Whether it has happened can be told.
  if (statement.forbidsTransactionBlock && !endsPrepared(statement)) return `it has ${tag}`;
  if (copy !== undefined && copy !== "out") return "it has COPY into a table, a file or a program";
  if (transaction === "prepare") return "it is a two-phase commit";
  if (reachesOutside(statement, traits.outsideNames))
    return "functions in this database can reach beyond it";
  return undefined;
}

function roleOf(statement: StatementClass, traits: DatabaseTraits): Role {
  switch (statement.transaction) {
    case "begin":
      return "begin";
    case "commit":
    case "prepare":
      return "commit";
    case "rollback":
      return "rollback";
    case "savepoint":
    case "release":
    case "rollbackTo":
    case "setTransaction":
      return "harmless";
    case "commitPrepared":
    case "rollbackPrepared":
      return "write";
    case undefined:
  }
  if (statement.kind === "unknown") return "several";
  return mayWrite(statement, traits) ? "write" : "harmless";
}

function roleOfSeveral(statements: readonly StatementClass[], traits: DatabaseTraits): Role {
  const staysWhole = statements.every(
    ({ kind, endsTransaction }) => kind !== "unknown" && !endsTransaction,
  );
  const mayCommit = statements.some(
    ({ kind, transaction }) =>
      kind === "unknown" || transaction === "commit" || transaction === "prepare",
  );
  if (!mayCommit && !statements.some((statement) => mayWrite(statement, traits))) return "harmless";
  if (!staysWhole) return "several";
  // What BEGIN opens and nothing ends commits nothing yet; what refuses a transaction block fails in it.
  if (statements[0]?.transaction === "begin") return "harmless";
  return statements.some((statement) => mayWrite(statement, traits)) ? "several" : "harmless";
}

function mayWrite(statement: StatementClass, traits: DatabaseTraits): boolean {
  if (statement.mayWrite || statement.mayCommitInside || statement.copy === "in") return true;
  if (statement.relations.length === 0) return false;
  return statement.relations.some(({ name }) => traits.relationsWithCode.has(name));
}

/** COPY FROM STDIN swallows every message up to its end; the others refuse company, or commit on their way. */
function mayShareTransaction(statement: StatementClass): boolean {
  return (
    statement.copy !== "in" &&
    !statement.forbidsTransactionBlock &&
    !statement.mayCommitInside &&
    statement.transaction === undefined
  );
}

function changesHonesty(statement: StatementClass): boolean {
  return (
    statement.kind === "unknown" ||
    statement.touchesSynchronousCommit ||
    statement.sessionEffects.includes("discard") ||
    statement.settings.some(({ name }) => name === "*" || name.startsWith("borealis."))
  );
}
