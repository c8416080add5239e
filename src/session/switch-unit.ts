import type { BorealisError } from "../base/errors.ts";
import type { ForwardText } from "./forward-decision.ts";

export type SideName = "reader" | "writer";

/** A step of a forwarded batch that makes or frees a prepared statement. */
export interface StatementStep {
  readonly kind: "parse" | "close";
  readonly name: string;
  /** The whole message; undefined: too long, or nothing that a second server would need. */
  readonly bytes: Buffer | undefined;
}

/** What one ReadyForQuery answers: a simple Query, a FunctionCall, or the extended messages up to a Sync. */
export interface Unit {
  readonly kind: "query" | "batch" | "function";
  /** Undefined: not decided yet. */
  side: SideName | undefined;
  /** Messages that wait for the decision. */
  held: Buffer[];
  heldBytes: number;
  /** Texts by the names of statements that it makes. */
  readonly parses: Map<string, string | undefined>;
  /** In the order of sending to the writer. */
  readonly steps: StatementStep[];
  readonly done: StatementStep[];
  /** The BEGIN that it starts with, and the client's text of that. */
  begin: { readonly text: ForwardText; readonly sql: string } | undefined;
  /** Something besides BEGIN is run. */
  runsMore: boolean;
  /** A part of it went to the reader before it was decided. */
  isOnReader: boolean;
  /** ... and so many answers to that have not come. */
  owed: number;
  /** Told in place of the error that follows. */
  refusal: BorealisError | undefined;
  /** Nothing more of it is sent but its Sync. */
  isRefused: boolean;
  isCopying: boolean;
}

export function newUnit(kind: Unit["kind"]): Unit {
  return {
    kind,
    side: undefined,
    held: [],
    heldBytes: 0,
    parses: new Map(),
    steps: [],
    done: [],
    begin: undefined,
    runsMore: false,
    isOnReader: false,
    owed: 0,
    refusal: undefined,
    isRefused: false,
    isCopying: false,
  };
}
