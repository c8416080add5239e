import { Deque } from "../base/deque.ts";
import type { BorealisError } from "../base/errors.ts";
import { findParseName, findTarget, frontend } from "../wire/index.ts";
import type { ForwardPlace, ForwardText } from "./forward-decision.ts";

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
  /** Sent to the writer and not answered, each kind in its order: there may be any number of them. */
  readonly steps: Readonly<Record<StatementStep["kind"], Deque<StatementStep>>>;
  readonly done: StatementStep[];
  /** The BEGIN that it starts with, and the client's text of that. */
  begin: { readonly text: ForwardText; readonly sql: string } | undefined;
  /** Something besides BEGIN is run. */
  runsMore: boolean;
  /** Something is bound that reads nothing (BEGIN, SET): it is held until more is known of the unit. */
  hasQuiet: boolean;
  /** Something is parsed, or described, against what is in the database. */
  looks: boolean;
  /** It runs the unnamed statement, which the client has made where the session is. */
  needsUnnamed: boolean;
  /** A part of it went to the reader before it was decided. */
  isOnReader: boolean;
  /** ... and so many answers to that have not come. */
  owed: number;
  /** Told in place of the error that follows. */
  refusal: BorealisError | undefined;
  /** Nothing more of it is sent but its Sync. */
  isRefused: boolean;
  isCopying: boolean;
  /** The client has said that its data is complete. */
  isCopyEnded: boolean;
}

export function newUnit(kind: Unit["kind"]): Unit {
  return {
    kind,
    side: undefined,
    held: [],
    heldBytes: 0,
    parses: new Map(),
    steps: { parse: new Deque(), close: new Deque() },
    done: [],
    begin: undefined,
    runsMore: false,
    hasQuiet: false,
    looks: false,
    needsUnnamed: false,
    isOnReader: false,
    owed: 0,
    refusal: undefined,
    isRefused: false,
    isCopying: false,
    isCopyEnded: false,
  };
}

/** Where a message of the client goes. */
export type Destination = SideName | "hold" | "drop";

/** What decides about the client's units. */
export interface UnitDesk {
  place(): ForwardPlace;
  unit(): Unit | undefined;
  /** A new unit begins. */
  open(unit: Unit): void;
  /** Gives `unit.side` a value, or has it made ready first ("wait"). */
  decide(unit: Unit, text: ForwardText): "decided" | "wait";
  /** It is going to look at what is in the database, wherever it runs; "wait": the reader does not show enough. */
  look(unit: Unit): "decided" | "wait";
  /** It goes on with this error. */
  refuse(unit: Unit, side: SideName, error: BorealisError): void;
  /** Nothing of the client's may be looked at. */
  isWaiting(): boolean;
  /** All of a unit has been sent. */
  isAnswering(): boolean;
  /** All of this unit has been sent now. */
  sent(unit: Unit): void;
  deliver(to: Destination, bytes: Buffer): void;
  /** What the client has sent waits. */
  pause(): void;
}

/** A prepared statement as the session has it on the reader. */
export interface KnownStatement {
  readonly text: ForwardText;
  /** Of its Parse message. */
  readonly sql: string | undefined;
}

export interface TextSource {
  /** Of a text that the client sends; of one that PostgreSQL may read otherwise than our parser, unknownText. */
  readonly textOf: (sql: string) => ForwardText;
  readonly findPrepared: (name: string) => KnownStatement | undefined;
}

/** Of a message that is sent to the writer. `isWhole`: all of it is here. */
export function stepOf(message: Buffer, isWhole: boolean): StatementStep | undefined {
  const body = message.subarray(5);
  if (message[0] === frontend.parse) {
    const name = findParseName(body) ?? "";
    return {
      kind: "parse",
      name,
      bytes: name !== "" && isWhole ? Buffer.from(message) : undefined,
    };
  }
  if (message[0] !== frontend.close) return undefined;
  const closed = findTarget(body);
  const isStatement = closed?.target === "statement" && closed.name !== "";
  return {
    kind: "close",
    name: closed?.name ?? "",
    bytes: isStatement ? Buffer.from(message) : undefined,
  };
}
