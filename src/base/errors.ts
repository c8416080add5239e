/** Every SQLSTATE that we originate, and when. Codes that PostgreSQL sends pass through untouched. */
export const sqlState = {
  /** a peer broke the wire protocol */
  protocolViolation: "08P01",
  /** a connection could not be made, or was lost with nothing at stake */
  connectionFailure: "08006",
  /** a commit may or may not stand */
  outcomeUnknown: "08007",
  /** the server side went away, or an operator ended the session */
  adminShutdown: "57P01",
  idleSessionTimeout: "57P05",
  /** the server side crashes with another of its processes */
  crashShutdown: "57P02",
  /** no instance is open yet */
  cannotConnectNow: "57P03",
  tooManyConnections: "53300",
  diskFull: "53100",
  outOfMemory: "53200",
  limitExceeded: "54000",
  readOnly: "25006",
  /** what cannot be undone is asked for inside a transaction */
  activeTransaction: "25001",
  invalidPassword: "28P01",
  invalidAuthorization: "28000",
  noSuchDatabase: "3D000",
  /** run it again */
  serializationFailure: "40001",
  notSupported: "0A000",
  queryCanceled: "57014",
  /** too few storage nodes promise or answer: nobody else would come further */
  quorumMissing: "58000",
  ioError: "58030",
  dataCorrupted: "XX001",
  /** a bug of ours */
  internal: "XX000",
  /** a value of ours that cannot be parsed (an LSN, a time) */
  invalidText: "22P02",
  /** a setting or option that cannot be taken */
  invalidParameter: "22023",
  /** a setting that is not for users to change */
  cannotChange: "55P02",
  /** the object is not in a state that allows it */
  notInPrerequisiteState: "55000",
  // Of the admin database, which answers statements itself:
  syntaxError: "42601",
  insufficientPrivilege: "42501",
  undefinedTable: "42P01",
  undefinedColumn: "42703",
  ambiguousColumn: "42702",
  duplicateAlias: "42712",
  undefinedFunction: "42883",
  undefinedObject: "42704",
  undefinedParameter: "42P02",
  datatypeMismatch: "42804",
  cannotCoerce: "42846",
  groupingError: "42803",
  invalidColumnReference: "42P10",
  divisionByZero: "22012",
  numberOutOfRange: "22003",
  timeOutOfRange: "22008",
  /** a text that PostgreSQL could not hold: it has a zero byte */
  invalidEncoding: "22021",
  invalidBinary: "22P03",
  tooManyColumns: "54011",
  inFailedTransaction: "25P02",
  noSuchStatement: "26000",
  noSuchPortal: "34000",
  duplicateStatement: "42P05",
  duplicatePortal: "42P03",
  tooComplex: "54001",
} as const;

export interface ErrorFacts {
  readonly detail?: string;
  readonly hint?: string;
  readonly cause?: unknown;
  /** True only if nothing was sent or written. */
  readonly safeToRetry?: boolean;
  /** Where in the statement's text, in characters; the first is 1. */
  readonly position?: number;
}

/** An outside failure with a name and a way out. `code` is a SQLSTATE; `hint` says what to do. */
export class BorealisError extends Error {
  override readonly name: string = "BorealisError";
  readonly code: string;
  readonly detail: string | undefined;
  readonly hint: string | undefined;
  readonly safeToRetry: boolean;
  readonly position: number | undefined;

  constructor(code: string, message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.detail = facts.detail;
    this.hint = facts.hint;
    this.safeToRetry = facts.safeToRetry ?? false;
    this.position = facts.position;
  }
}

/** A commit that may or may not stand (08007). */
export class OutcomeUnknown extends BorealisError {
  override readonly name = "OutcomeUnknown";
  constructor(message: string, facts: ErrorFacts = {}) {
    super(sqlState.outcomeUnknown, message, facts);
  }
}

/** A peer sent what its protocol does not allow; the conversation ends. */
export class ProtocolViolation extends BorealisError {
  override readonly name = "ProtocolViolation";
  constructor(message: string, facts: ErrorFacts = {}) {
    super(sqlState.protocolViolation, message, facts);
  }
}

/** What to print for any thrown thing: its message, never a stack. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The same with what to do about it. One line. */
export function adviceOf(error: unknown): string {
  const hint = error instanceof BorealisError ? error.hint : undefined;
  return hint ? `${messageOf(error)}; ${hint}` : messageOf(error);
}
