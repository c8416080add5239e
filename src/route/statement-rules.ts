import type { Findings } from "./findings.ts";
import type { SessionEffect, StatementClass, TransactionCommand } from "./statement-class.ts";
import { isForwardableNode } from "./forwardable.ts";
import { child, isTree, list, text, type Tree } from "./tree.ts";

type Rule = (statement: Tree, findings: Findings) => Partial<StatementClass>;

/** Rules by the parse tree's node name; a node without one is a utility statement that may write and run anything. */
export const rules: Readonly<Record<string, Rule>> = {
  SelectStmt: (_, findings) => ({ tag: "SELECT", ...ofQuery(findings) }),
  InsertStmt: (_, findings) => ({ tag: "INSERT", ...ofChange(findings) }),
  UpdateStmt: (_, findings) => ({ tag: "UPDATE", ...ofChange(findings) }),
  DeleteStmt: (_, findings) => ({ tag: "DELETE", ...ofChange(findings) }),
  MergeStmt: (_, findings) => ({ tag: "MERGE", ...ofChange(findings) }),
  ExplainStmt: (statement, findings) => ofExplain(statement, findings),
  VariableShowStmt: () => ({ kind: "read", tag: "SHOW", mayWrite: false, mayRunUserCode: false }),
  // What a cursor does when it is read, its DECLARE tells; outside a transaction it is a held one, and complete.
  FetchStmt: (statement) => ({
    kind: "read",
    tag: statement["ismove"] === true ? "MOVE" : "FETCH",
    mayWrite: false,
  }),
  DeclareCursorStmt: (statement, findings) => ofDeclareCursor(statement, findings),
  ClosePortalStmt: (statement) => ({
    ...quietly("sessionState", text(statement, "portalname") ? "CLOSE CURSOR" : "CLOSE CURSOR ALL"),
  }),
  TransactionStmt: (statement) => ofTransaction(statement),
  ConstraintsSetStmt: () => ({ kind: "transaction", tag: "SET CONSTRAINTS" }),
  VariableSetStmt: (statement, findings) => ofSet(statement, findings),
  DiscardStmt: (statement) => ofDiscard(text(statement, "target") ?? ""),
  PrepareStmt: (statement, findings) => ({
    ...quietly("sessionState", "PREPARE", "preparedStatement"),
    prepares: {
      name: text(statement, "name") ?? "",
      mayWrite: ofQuery(findings).mayWrite,
      isForwardable: isForwardableNode(child(statement, "query"), findings),
    },
  }),
  ExecuteStmt: (statement) => ({
    kind: "mayWrite",
    tag: "EXECUTE",
    callsUnknown: true,
    executes: text(statement, "name") ?? "",
  }),
  DeallocateStmt: (statement) => ({
    ...quietly(
      "sessionState",
      statement["isall"] === true ? "DEALLOCATE ALL" : "DEALLOCATE",
      "preparedStatement",
    ),
    deallocates: statement["isall"] === true ? "*" : (text(statement, "name") ?? ""),
  }),
  ListenStmt: (statement) => ({
    ...quietly("sessionState", "LISTEN", "listen"),
    channel: text(statement, "conditionname") ?? "",
  }),
  UnlistenStmt: (statement) => ({
    ...quietly("sessionState", "UNLISTEN", "listen"),
    channel: text(statement, "conditionname") ?? "*",
  }),
  NotifyStmt: (statement) => ({
    kind: "utility",
    tag: "NOTIFY",
    writesAtCommit: true,
    mayRunUserCode: false,
    channel: text(statement, "conditionname") ?? "",
  }),
  LoadStmt: (statement) => ({
    kind: "sessionState",
    tag: "LOAD",
    sessionEffects: ["library"],
    loads: text(statement, "filename") ?? "",
  }),
  CopyStmt: (statement, findings) => ofCopy(statement, findings),
  CallStmt: () => ({ tag: "CALL", mayCommitInside: true, callsUnknown: true }),
  DoStmt: (statement) => ({
    tag: "DO",
    mayCommitInside: true,
    callsUnknown: true,
    source: bodyOf(statement),
  }),
  CheckPointStmt: () => quietly("utility", "CHECKPOINT"),
  ...rulesOfUtilities(),
};

/** Those that PreventInTransactionBlock guards in PostgreSQL 15-18, and the tags that node names do not tell. */
function rulesOfUtilities(): Record<string, Rule> {
  const forbids =
    (tag: string): Rule =>
    () => ({ tag, forbidsTransactionBlock: true });
  const tagged =
    (tag: string): Rule =>
    () => ({ tag });
  return {
    VacuumStmt: (statement) =>
      statement["is_vacuumcmd"] === true
        ? { tag: "VACUUM", forbidsTransactionBlock: true }
        : { tag: "ANALYZE" },
    // Of a partitioned table or index both work in several transactions; the text does not tell.
    ClusterStmt: forbids("CLUSTER"),
    ReindexStmt: forbids("REINDEX"),
    CreatedbStmt: forbids("CREATE DATABASE"),
    DropdbStmt: forbids("DROP DATABASE"),
    AlterDatabaseStmt: forbids("ALTER DATABASE"),
    CreateTableSpaceStmt: forbids("CREATE TABLESPACE"),
    DropTableSpaceStmt: forbids("DROP TABLESPACE"),
    AlterSystemStmt: forbids("ALTER SYSTEM"),
    CreateSubscriptionStmt: forbids("CREATE SUBSCRIPTION"),
    AlterSubscriptionStmt: forbids("ALTER SUBSCRIPTION"),
    DropSubscriptionStmt: forbids("DROP SUBSCRIPTION"),
    // ADD VALUE is allowed in a transaction block since 12 (tried on 15 and 18).
    AlterEnumStmt: tagged("ALTER TYPE"),
    IndexStmt: (statement) => ({
      tag: "CREATE INDEX",
      forbidsTransactionBlock: statement["concurrent"] === true,
    }),
    DropStmt: (statement) => ({
      tag: "DROP",
      forbidsTransactionBlock: statement["concurrent"] === true,
    }),
    AlterTableStmt: (statement) => ({
      tag: "ALTER TABLE",
      forbidsTransactionBlock: list(statement, "cmds").some(isConcurrentDetach),
    }),
    CreateStmt: tagged("CREATE TABLE"),
    CreateTableAsStmt: tagged("CREATE TABLE AS"),
    ViewStmt: tagged("CREATE VIEW"),
    CreateSeqStmt: tagged("CREATE SEQUENCE"),
    AlterSeqStmt: tagged("ALTER SEQUENCE"),
    RefreshMatViewStmt: tagged("REFRESH MATERIALIZED VIEW"),
    TruncateStmt: tagged("TRUNCATE TABLE"),
    LockStmt: tagged("LOCK TABLE"),
    CreateTrigStmt: tagged("CREATE TRIGGER"),
    DefineStmt: tagged("CREATE"),
    RenameStmt: tagged("ALTER"),
  };
}

/** A DO has its text, and perhaps a language. */
function bodyOf(statement: Tree): string {
  const options = list(statement, "args").map((option) =>
    isTree(option) ? child(option, "DefElem") : {},
  );
  const body = options.find((option) => text(option, "defname") === "as");
  return body ? (text(child(child(body, "arg"), "String"), "sval") ?? "") : "";
}

function isConcurrentDetach(command: unknown): boolean {
  if (!isTree(command)) return false;
  const partition = child(child(child(command, "AlterTableCmd"), "def"), "PartitionCmd");
  return partition["concurrent"] === true;
}

/** Nothing written, nothing of a user's run. */
function quietly(
  kind: StatementClass["kind"],
  tag: string,
  ...sessionEffects: SessionEffect[]
): Partial<StatementClass> {
  return { kind, tag, mayWrite: false, mayRunUserCode: false, sessionEffects };
}

/** For a SELECT, and for the query inside another statement. */
function ofQuery(findings: Findings): Partial<StatementClass> & { mayWrite: boolean } {
  const mayRunUserCode = findings.namesUnknownCode || findings.relations.length > 0;
  const mayWrite =
    findings.changesData ||
    findings.locksRows ||
    findings.namesUnknownCode ||
    findings.drawsSequence ||
    findings.notifies;
  const setting: SessionEffect[] = findings.settings.some((change) => !change.isLocal)
    ? ["settings"]
    : [];
  const locking: SessionEffect[] = findings.takesAdvisoryLock ? ["advisoryLock"] : [];
  const temporary: SessionEffect[] =
    mayWrite && findings.makesTemporaryObject ? ["temporaryObject"] : [];
  const isQuiet = findings.settings.length === 0 && !findings.takesAdvisoryLock;
  return {
    kind: mayWrite ? "mayWrite" : isQuiet ? "read" : "sessionState",
    mayWrite,
    mayRunUserCode,
    sessionEffects: [...setting, ...locking, ...temporary],
    settings: findings.settings,
  };
}

/** Triggers, defaults, rules and policies run whatever the text says. */
function ofChange(findings: Findings): Partial<StatementClass> {
  return { ...ofQuery(findings), kind: "mayWrite", mayWrite: true, mayRunUserCode: true };
}

function ofExplain(statement: Tree, findings: Findings): Partial<StatementClass> {
  const isAnalyze = list(statement, "options").some((option) => {
    const element = isTree(option) ? child(option, "DefElem") : {};
    return text(element, "defname") === "analyze" && !isSwitchedOff(element["arg"]);
  });
  if (!isAnalyze) {
    // Planning runs no volatile function; what it names still says which user's code it may fold.
    const { mayRunUserCode = true } = ofQuery(findings);
    return { kind: "read", tag: "EXPLAIN", mayWrite: false, mayRunUserCode, sessionEffects: [] };
  }
  const query = child(statement, "query");
  const isSelect = "SelectStmt" in query || "DeclareCursorStmt" in query;
  return { ...(isSelect ? ofQuery(findings) : ofChange(findings)), tag: "EXPLAIN" };
}

function isSwitchedOff(arg: unknown): boolean {
  if (!isTree(arg)) return false;
  const written =
    text(child(arg, "String"), "sval") ?? text(child(child(arg, "A_Const"), "sval"), "sval");
  if (written !== undefined) return ["false", "off"].includes(written.toLowerCase());
  if ("Integer" in arg) return (child(arg, "Integer")["ival"] ?? 0) === 0;
  return "Boolean" in arg && child(arg, "Boolean")["boolval"] !== true;
}

const cursorOptionHold = 0x20;

/** A held cursor is filled inside COMMIT, and then lives as long as the session. */
function ofDeclareCursor(statement: Tree, findings: Findings): Partial<StatementClass> {
  const query = ofQuery(findings);
  const options = statement["options"];
  const isHeld = typeof options === "number" && (options & cursorOptionHold) !== 0;
  if (!isHeld) return { ...query, tag: "DECLARE CURSOR" };
  return {
    ...query,
    kind: "sessionState",
    tag: "DECLARE CURSOR",
    writesAtCommit: true,
    sessionEffects: [...(query.sessionEffects ?? []), "heldCursor"],
  };
}

const transactionCommands: Record<string, [TransactionCommand, string]> = {
  TRANS_STMT_BEGIN: ["begin", "BEGIN"],
  TRANS_STMT_START: ["begin", "START TRANSACTION"],
  TRANS_STMT_COMMIT: ["commit", "COMMIT"],
  TRANS_STMT_ROLLBACK: ["rollback", "ROLLBACK"],
  TRANS_STMT_SAVEPOINT: ["savepoint", "SAVEPOINT"],
  TRANS_STMT_RELEASE: ["release", "RELEASE"],
  TRANS_STMT_ROLLBACK_TO: ["rollbackTo", "ROLLBACK"],
  TRANS_STMT_PREPARE: ["prepare", "PREPARE TRANSACTION"],
  TRANS_STMT_COMMIT_PREPARED: ["commitPrepared", "COMMIT PREPARED"],
  TRANS_STMT_ROLLBACK_PREPARED: ["rollbackPrepared", "ROLLBACK PREPARED"],
};

function ofTransaction(statement: Tree): Partial<StatementClass> {
  const known = transactionCommands[text(statement, "kind") ?? ""];
  if (!known) return { kind: "unknown" };
  const [transaction, tag] = known;
  const isPrepared = transaction === "commitPrepared" || transaction === "rollbackPrepared";
  const gid = text(statement, "gid");
  return {
    ...quietly("transaction", tag),
    // Of its own it writes only where the transaction was prepared earlier: a COMMIT's writes were asked for before.
    mayWrite: isPrepared || transaction === "prepare",
    // Deferred triggers run inside COMMIT and PREPARE TRANSACTION.
    mayRunUserCode: transaction === "commit" || transaction === "prepare",
    transaction,
    isChained: statement["chain"] === true,
    endsTransaction: ["commit", "rollback", "prepare"].includes(transaction),
    forbidsTransactionBlock: isPrepared,
    ...(gid !== undefined && { gid }),
    ...(transaction === "begin" && { isReadOnly: isReadOnlyBegin(statement) }),
  };
}

/** READ ONLY as PostgreSQL's grammar has it: a list of options, of which the last of a name counts. */
function isReadOnlyBegin(statement: Tree): boolean {
  const options = list(statement, "options").map((option) =>
    isTree(option) ? child(option, "DefElem") : {},
  );
  const last = options.findLast((option) => text(option, "defname") === "transaction_read_only");
  if (!last) return false;
  const constant = child(child(last, "arg"), "A_Const");
  return child(constant, "ival")["ival"] === 1;
}

function ofSet(statement: Tree, findings: Findings): Partial<StatementClass> {
  const tag = text(statement, "kind")?.startsWith("VAR_RESET") ? "RESET" : "SET";
  const name = text(statement, "name");
  if (name === "TRANSACTION" || name === "TRANSACTION SNAPSHOT") {
    return { ...quietly("transaction", tag), transaction: "setTransaction" };
  }
  const isLocal = statement["is_local"] === true;
  return {
    ...quietly("sessionState", tag, ...(isLocal ? [] : (["settings"] as const))),
    settings: findings.settings,
  };
}

function ofDiscard(target: string): Partial<StatementClass> {
  if (target === "DISCARD_ALL") {
    return {
      ...quietly(
        "sessionState",
        "DISCARD ALL",
        "discard",
        "settings",
        "preparedStatement",
        "listen",
      ),
      // Temporary tables are dropped: catalog rows are deleted.
      mayWrite: true,
      forbidsTransactionBlock: true,
      settings: [{ name: "*", value: undefined, isLocal: false }],
      deallocates: "*",
      channel: "*",
    };
  }
  const what = target.replace("DISCARD_", "");
  return {
    ...quietly("sessionState", `DISCARD ${what}`, "temporaryObject"),
    mayWrite: what === "TEMP",
  };
}

function ofCopy(statement: Tree, findings: Findings): Partial<StatementClass> {
  const isIn = statement["is_from"] === true;
  const isServerSide = text(statement, "filename") !== undefined;
  const copy = isServerSide
    ? statement["is_program"] === true
      ? "program"
      : "file"
    : isIn
      ? "in"
      : "out";
  const query = isIn ? ofChange(findings) : ofQuery(findings);
  return {
    ...query,
    kind: "copy",
    tag: "COPY",
    copy,
    mayWrite: query.mayWrite || copy === "program",
  };
}
