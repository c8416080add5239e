/** How a record's outcome is judged. */
export type Expectation =
  | { readonly kind: "ok" }
  | { readonly kind: "count"; readonly count: number }
  | {
      readonly kind: "error";
      readonly sqlState: string | undefined;
      readonly pattern: string | undefined;
    };

export type SortMode = "nosort" | "rowsort" | "valuesort";

/** A condition of skipif and onlyif: a word, or a comparison of the server's major version. */
export type Condition =
  | { readonly kind: "word"; readonly word: string; readonly isWanted: boolean }
  | {
      readonly kind: "version";
      readonly operator: "<" | "<=" | "=" | ">=" | ">";
      readonly version: number;
      readonly isWanted: boolean;
    };

/** What the lines before a record say of it. */
export interface Prefixes {
  readonly conditions: readonly Condition[];
  readonly connection: string;
  /** The record is sent, and judged by a later `wait` on its connection. */
  readonly isBackground: boolean;
  /** Extended protocol, with these parameters in text form. */
  readonly bind: readonly (string | null)[] | undefined;
  /** Extended protocol, with a named statement that is parsed once per connection. */
  readonly prepared: string | undefined;
  /** Extended protocol, this many rows per Execute. */
  readonly fetch: number | undefined;
  /** A notice (or warning) that must come: a SQLSTATE or a regular expression on its message. */
  readonly notice: string | undefined;
}

interface Located {
  readonly line: number;
}

export interface SqlRecord extends Located {
  readonly kind: "sql";
  readonly prefixes: Prefixes;
  readonly sql: string;
  readonly expectation: Expectation;
  /** Of a query. */
  readonly result: ExpectedResult | undefined;
  /** Rows for COPY ... FROM STDIN. */
  readonly copyIn: readonly string[] | undefined;
  /** Lines of COPY ... TO STDOUT. */
  readonly copyOut: readonly string[] | undefined;
}

export interface ExpectedResult {
  readonly types: string;
  readonly sort: SortMode;
  readonly label: string | undefined;
  readonly lines: readonly string[];
}

/** What is done to a connection, apart from sending SQL. */
export interface ConnectionRecord extends Located {
  readonly kind: "wait" | "blocked" | "reconnect" | "cancel";
  readonly prefixes: Prefixes;
}

export interface NotificationRecord extends Located {
  readonly kind: "notification";
  readonly prefixes: Prefixes;
  /** Undefined: there must be none. */
  readonly expected: { readonly channel: string; readonly payload: string } | undefined;
}

export interface LoopRecord extends Located {
  readonly kind: "loop";
  readonly variable: string;
  readonly values: readonly string[];
  readonly body: readonly TestRecord[];
}

export interface ControlRecord extends Located {
  readonly kind: "control";
  readonly control:
    | { readonly kind: "halt"; readonly conditions: readonly Condition[] }
    | { readonly kind: "hashThreshold"; readonly values: number }
    | { readonly kind: "protocol"; readonly protocol: "simple" | "extended" }
    | { readonly kind: "database" };
}

export type TestRecord =
  | SqlRecord
  | ConnectionRecord
  | NotificationRecord
  | LoopRecord
  | ControlRecord;

/** A file that does not follow the format; the message names the line. */
export class FormatError extends Error {
  override readonly name = "FormatError";
  readonly line: number;

  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}
