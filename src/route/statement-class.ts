import type { RelationName, SettingChange } from "./findings.ts";

/**
 * - read: certainly writes nothing and sets nothing by itself; see `mayRunUserCode` for what hides behind a view
 * - mayWrite: INSERT, UPDATE, DELETE, MERGE, SELECT INTO or FOR UPDATE, or a query that calls what is not known harmless
 * - transaction: BEGIN, COMMIT, SAVEPOINT ...; see `transaction`
 * - sessionState: changes what the session carries, or may; see `sessionEffects`
 * - copy: COPY; see `copy`
 * - utility: everything else, DDL above all
 * - unknown: not parsed; taken to do anything
 */
export type StatementKind =
  | "read"
  | "mayWrite"
  | "transaction"
  | "sessionState"
  | "copy"
  | "utility"
  | "unknown";

export type TransactionCommand =
  | "begin"
  | "commit"
  | "rollback"
  | "savepoint"
  | "release"
  | "rollbackTo"
  | "prepare"
  | "commitPrepared"
  | "rollbackPrepared"
  | "setTransaction";

/** What a session may carry after the statement that it did not carry before. */
export type SessionEffect =
  | "settings"
  | "preparedStatement"
  | "heldCursor"
  | "temporaryObject"
  | "advisoryLock"
  | "listen"
  | "library"
  | "discard";

/** An answer that an endpoint gives itself, without asking PostgreSQL. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/** What one statement is, as far as its text tells; every doubt is resolved towards "it might". */
export interface StatementClass {
  readonly kind: StatementKind;
  /** The words of its command tag, without counts: "SELECT", "CREATE TABLE"; "" if unknown. */
  readonly tag: string;
  readonly mayWrite: boolean;
  /** It gets its transaction id inside COMMIT: a missing id before that proves nothing (NOTIFY, cursors WITH HOLD). */
  readonly writesAtCommit: boolean;
  /** nextval or setval. */
  readonly drawsSequence: boolean;
  /** False only if no function, view, operator, type or trigger of a user can be reached. */
  readonly mayRunUserCode: boolean;
  /** Relations named outside pg_catalog and information_schema: a view among them may run anything. */
  readonly relations: readonly RelationName[];
  /** It names a function, operator or type that is not a harmless built-in. */
  readonly callsUnknown: boolean;
  /**
   * Names by which a user's code may run that bears the name of something harmless, or of a field: of functions, operators and
   * types, of those that CASE, JOIN and IN mean too, and of columns with something before their dot (`t.f` may be `f(t)`).
   * Undefined: it was not looked at.
   */
  readonly names?: readonly string[];
  /** It may create something, which is temporary where the search path begins so. */
  readonly makesObjects: boolean;
  /** Its beginning alone was looked at: it is long, and data as a rule. */
  readonly isOutlined?: boolean;
  /** It leaves in the session what nothing shows: a seed, a base backup, a temporary replication slot. */
  readonly leavesUnseen: boolean;
  /** Source that the parser has not looked into: of DO, or the whole text if it could not be parsed. */
  readonly source?: string;
  readonly transaction?: TransactionCommand;
  /** COMMIT AND CHAIN, ROLLBACK AND CHAIN. */
  readonly isChained: boolean;
  /** Of PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED. */
  readonly gid?: string;
  /** COMMIT, ROLLBACK, PREPARE TRANSACTION. */
  readonly endsTransaction: boolean;
  /** It fails, or may, inside a transaction block, and may commit in several steps outside: never to be run again. */
  readonly forbidsTransactionBlock: boolean;
  /** CALL, DO: several transactions may have committed before it ends. */
  readonly mayCommitInside: boolean;
  /** It may change synchronous_commit, at once or for those who come later. */
  readonly touchesSynchronousCommit: boolean;
  readonly sessionEffects: readonly SessionEffect[];
  /** Settings of this session that it changes, not those of ALTER ROLE, ALTER DATABASE or a function. */
  readonly settings: readonly SettingChange[];
  /** The new application_name; null for a reset; absent if it is not touched or only the server knows. */
  readonly setsApplicationName?: string | null;
  readonly refusal?: Refusal;
  /**
   * A standby certainly refuses it, a writer runs it, and it leaves nothing behind in the session: INSERT, UPDATE, DELETE,
   * MERGE, SELECT with one of them in WITH or with row locks, EXPLAIN ANALYZE of these. What only may write is not.
   */
  readonly isForwardable: boolean;
  /** BEGIN READ ONLY. */
  readonly isReadOnly?: boolean;
  /** Of LISTEN, UNLISTEN ("*" for all) and NOTIFY. */
  readonly channel?: string;
  readonly prepares?: {
    readonly name: string;
    readonly mayWrite: boolean;
    readonly isForwardable: boolean;
  };
  readonly executes?: string;
  /** "*" for all. */
  readonly deallocates?: string;
  /** The library of LOAD. */
  readonly loads?: string;
  /** in: FROM STDIN; out: TO STDOUT; file and program run beside the server. */
  readonly copy?: "in" | "out" | "file" | "program";
}

/** The statements of one text: none for an empty one; one of kind unknown if it could not be parsed. */
export interface Classified {
  readonly statements: readonly StatementClass[];
  readonly parseFailed: boolean;
  /** The parser had given up: the same text may be understood the next moment. */
  readonly isPassing?: boolean;
}
