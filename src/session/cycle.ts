import type { Answer } from "./probe.ts";
import { Changes } from "./session-change.ts";

/**
 * One stretch of a conversation that the server ends with ReadyForQuery: a simple Query, a FunctionCall, or the
 * extended messages up to a Sync. Within extended messages each Parse, Bind, Describe, Execute and Close is a *step*:
 * exactly one answer ends it, in order. So a number tells which answers are ours.
 */
export interface Cycle {
  readonly kind: "query" | "function" | "batch";
  /** We sent all of it: the client hears nothing of its answers. */
  readonly isOwn: boolean;
  /** An own cycle whose failure touches nothing of the client's. */
  readonly isOptional: boolean;
  /** A simple Query of the client that went out as extended messages. */
  readonly isRewritten: boolean;
  /** A batch whose Sync was not sent yet. */
  isOpen: boolean;
  stepsSent: number;
  stepsSeen: number;
  /** What each step is: the first byte of its message; "." for ours. */
  steps: string;
  /** Execute messages of the client sent so far. */
  executes: number;
  /** Our steps within the client's. */
  readonly sections: Section[];
  /** The first of them that is not answered. */
  sectionAt: number;
  /** What must be known before the client may hear of success. */
  verify: "nothing" | "answer" | "always";
  /** The first step whose completion says something about a commit. */
  verifyFromStep: number;
  /** The first step that is a COMMIT in a transaction block: a later failure does not undo it. */
  commitFromStep: number;
  hasCommitted: boolean;
  /** The tag that its COMMIT is answered with, if that is all that it does besides ending well. */
  commitTag: string | undefined;
  /** ... AND CHAIN: another transaction begins with it. */
  isChained: boolean;
  /** COMMIT or ROLLBACK PREPARED, and nothing else: what it ends is the transaction of `preparedXid`. */
  endsPrepared: boolean;
  /** A batch before which the id of the transaction prepared under this gid was asked. */
  readonly askedGid: string | undefined;
  /** A simple Query that is a transaction by itself: how many statements it has, and so completions. */
  readonly statementsInOne: number | undefined;
  /** Completions that were passed on, or are held only until ReadyForQuery comes. */
  completionsSeen: number;
  /** For an own cycle: whose question it asks. */
  readonly answers: Cycle | undefined;
  /** ... which is about what the session wishes, and what is prepared: about no commit. */
  readonly asksAhead: boolean;
  /** ... and what its FunctionCall asks for. */
  readonly asks: "xid" | "synchronousCommit" | undefined;
  /** Of several commits that were asked about: what asks for the most patience. */
  answer: Answer | undefined;
  /** How many commits we asked about. */
  questionsSent: number;
  /** ... and have heard about. */
  answersSeen: number;
  /** The id of the transaction that was prepared under the gid of its COMMIT or ROLLBACK PREPARED; null: there is none. */
  preparedXid: bigint | null | undefined;
  /** An own cycle in front of it failed and took the transaction along: the client hears of that only. */
  isDiscarded: boolean;
  /** Its answer is held as a whole while it is small: until then it can be run again unseen. */
  holdsAnswer: boolean;
  /** What its messages do to the session: the session's book knows what of it comes true. */
  readonly changes: Changes;
  /** An own one, which asks what the session has. */
  readonly isReadback: boolean;
  /** ... and what it says. */
  readRow: readonly (string | null)[] | undefined;
  /** A simple Query of one statement. */
  isSingle: boolean;
  /** Opens a transaction block. */
  begins: boolean;
  /** It may end a transaction, and leave another one open: sent again it would commit the first again. */
  mayEndTransaction: boolean;
  /** COPY FROM STDIN has begun. */
  isCopying: boolean;
  /** ... and the client has, or may have, sent the end of its data. */
  isCopyEnded: boolean;
  /** The client was told an error in place of the answer: of the rest it hears ReadyForQuery only. */
  isMuted: boolean;
  /** It has a COMMIT of the client's that PostgreSQL takes for a ROLLBACK. */
  hasLostCommit: boolean;
  /** PostgreSQL says that the wait for the quorum was broken off. */
  wasInterrupted: boolean;
  /** A cancel request went to the backend while it was under way. */
  wasCancelled: boolean;
  /** A completion was seen: something may have been committed. */
  hasCompleted: boolean;
  hasFailed: boolean;
  /** ... and the client has heard so. */
  isFailureTold: boolean;
  /** The wait is over: nothing more is held back. */
  isCleared: boolean;
  /** Sent instead of the server's error: the client's text was replaced by one that cannot be parsed. */
  substitute: { readonly step: number; readonly error: Buffer } | undefined;
  /** The transaction state before it, as far as the statements in it tell; see client-side.ts. */
  state: number | undefined;
  /** Something in it may write and commits at the Sync. */
  mayCommitAtSync: boolean;
  /** ... and our query must not go before that Sync. */
  mustNotProbe: boolean;
  /** It has an ALTER SYSTEM: success is told when the cluster keeps that. */
  setsParameters: boolean;
  /** Something in it may show a sequence's value that somebody else logged. */
  drawsSequence: boolean;
}

/** Steps `from` up to, not including, `to`. */
export interface Section {
  readonly from: number;
  readonly to: number;
}

export function newCycle(kind: Cycle["kind"], facts: Partial<Cycle> = {}): Cycle {
  return {
    kind,
    isOwn: false,
    isOptional: false,
    isRewritten: false,
    isOpen: kind === "batch",
    stepsSent: 0,
    stepsSeen: 0,
    steps: "",
    executes: 0,
    sections: [],
    sectionAt: 0,
    verify: "nothing",
    verifyFromStep: kind === "batch" ? Number.POSITIVE_INFINITY : 0,
    commitFromStep: Number.POSITIVE_INFINITY,
    hasCommitted: false,
    commitTag: undefined,
    isChained: false,
    endsPrepared: false,
    askedGid: undefined,
    statementsInOne: undefined,
    completionsSeen: 0,
    answers: undefined,
    asksAhead: false,
    asks: undefined,
    holdsAnswer: false,
    changes: facts.changes ?? new Changes(),
    isReadback: false,
    readRow: undefined,
    isSingle: false,
    begins: false,
    mayEndTransaction: false,
    isCopying: false,
    isCopyEnded: false,
    isMuted: false,
    hasLostCommit: false,
    answer: undefined,
    questionsSent: 0,
    answersSeen: 0,
    preparedXid: undefined,
    isDiscarded: false,
    wasInterrupted: false,
    wasCancelled: false,
    hasCompleted: false,
    hasFailed: false,
    isFailureTold: false,
    isCleared: false,
    substitute: undefined,
    state: undefined,
    mayCommitAtSync: false,
    drawsSequence: false,
    setsParameters: false,
    mustNotProbe: false,
    ...facts,
  };
}

/** Whether the answer that ends the step at hand is ours. */
export function isAtOwnStep(cycle: Cycle): boolean {
  const { sections, stepsSeen } = cycle;
  // Steps are answered in order, and there may be any number of sections.
  while ((sections[cycle.sectionAt]?.to ?? Number.POSITIVE_INFINITY) <= stepsSeen)
    cycle.sectionAt++;
  return (sections[cycle.sectionAt]?.from ?? Number.POSITIVE_INFINITY) <= stepsSeen;
}

/** Counts a step of the client's in: `letter` is the first byte of its message. */
export function addStep(cycle: Cycle, letter: string): void {
  cycle.stepsSent++;
  cycle.steps += letter;
}

/** ... and `count` of ours. */
export function addOwnSteps(cycle: Cycle, count: number): void {
  cycle.sections.push({ from: cycle.stepsSent, to: cycle.stepsSent + count });
  cycle.stepsSent += count;
  cycle.steps += ".".repeat(count);
}

/** ALTER SYSTEM: its success is told when the cluster keeps it, on readers, too. It is the next step. */
export function holdIfSetting(cycle: Cycle, plan: { readonly setsParameters: boolean }): void {
  if (!plan.setsParameters) return;
  cycle.setsParameters = true;
  cycle.verify = "always";
  cycle.verifyFromStep = Math.min(cycle.verifyFromStep, cycle.stepsSent);
}
