import { BorealisError, OutcomeUnknown, sqlState } from "../base/errors.ts";
import { encodeError, encodeReadyForQuery, transactionState } from "../wire/index.ts";
import type { Action, Outcome } from "./action.ts";
import { Conversation } from "./conversation.ts";
import type { Cycle } from "./cycle.ts";
import type { Exchange } from "./exchange.ts";
import type { ExchangeOptions } from "./exchange-options.ts";
import { frontOf, restOfAnswer, type Sight } from "./loss.ts";
import type { Memory } from "./memory.ts";
import type { Told } from "./transcript.ts";

/** How a session goes on with another server. */
export interface Resume {
  /** As which its state is made again: as it is now, or as it was before the transaction that is run again. */
  readonly moment: "now" | "start";
  /** Run first, and answered as before. */
  readonly replay: { readonly bytes: readonly Buffer[]; readonly told: Told } | undefined;
  /** If it is answered otherwise. */
  readonly otherwise: (() => Refused) | undefined;
  /** The transaction is a failed one there. */
  readonly isFailed: boolean;
  /** The client has not heard of it yet. */
  readonly pendingError: Buffer | undefined;
  /** What the client has sent besides: run as if it came now. */
  readonly rest: readonly Buffer[];
  /** A batch failed before its Sync: see ClientSide.skipToSync. */
  readonly skipsToSync: number | undefined;
  /** Of what the client sends, so many bytes belong to a message that was given up. */
  readonly skippedBytes: number;
  /** Undefined: it was not lost, but had no server, since it needed none. */
  readonly outcome: Outcome | undefined;
  readonly reason?: string | undefined;
}

/** A loss that the client hears of: what it is told at once, and how it goes on. */
export interface Refused {
  /** Undefined: it is in the middle of a message, and nothing can be told any more. */
  readonly told: Buffer | undefined;
  readonly resume: Resume;
}

/** A statement that takes so many servers down, one after the other, may be what does it. */
export const lossesMax = 3;
export const lostAgain = "one server after the other was lost while it ran";

/** ... and is not run on yet another. */
function giveUp(conversation: Conversation): Refused {
  return refuse(conversation, serializationFailure(lostAgain), lostAgain);
}

export type SettledSight = Exclude<Sight["kind"], "ask">;

/** How it goes on from a loss of which all is known that will be. `isSuspect`: what is under way may take servers down. */
export function afterLoss(
  sight: SettledSight,
  conversation: Conversation,
  { memory, isSuspect }: { readonly memory: Memory; readonly isSuspect: boolean },
): Resume | Refused {
  switch (sight) {
    case "doubt":
      return refuse(conversation, unknownOutcome(false), "it may have been committed in parts");
    case "done":
      return answeredOrAgain(conversation, memory);
    case "failed":
      return readyAgain(conversation, memory);
    case "idle":
    case "undone":
      return isSuspect ? giveUp(conversation) : runAgain(conversation);
  }
}

/** What was under way is run again, if that can do no harm and can go unseen. */
function runAgain(conversation: Conversation): Resume | Refused {
  const { exchange, client } = conversation;
  const { kept } = exchange.journal;
  const front = frontOf(exchange);
  const isInTransaction = exchange.state !== transactionState.idle;
  const toldInFront = exchange.transcript.ofCycleBytes;
  const mayCommit = front !== undefined && mayCommitAlone(front);
  const why =
    kept.obstacle ??
    (isInTransaction && exchange.isLostTransaction ? "it was lost before" : undefined) ??
    (isInTransaction && !exchange.wishes.isReplayed ? "borealis.replay is off" : undefined) ??
    (exchange.transcript.isCut ? "much of its answer was told already" : undefined) ??
    (mayCommit && toldInFront > 0 ? "a part of its answer was told" : undefined);
  if (why !== undefined) return refuse(conversation, serializationFailure(why), why);
  const later = [...kept.later, ...client.takeRest()];
  const inFront = kept.front ?? [];
  const isPartlyTold = toldInFront > 0;
  const bytes = isPartlyTold ? [...kept.finished, ...inFront] : kept.finished;
  const outcome = isInTransaction ? "replayed" : front ? "rerun" : "continued";
  const { told } = exchange.transcript;
  return {
    ...goingOn(outcome, isPartlyTold ? later : [...inFront, ...later]),
    moment: "start",
    replay: told.bytes > 0 ? { bytes, told } : undefined,
    otherwise: () => {
      const reason = "an answer would have been another";
      return refuse(conversation, serializationFailure(reason), reason, later);
    },
    skipsToSync: client.skippedState,
  };
}

/** Sent as it is, it may commit: before anybody could compare its answers. A batch without its Sync waits for that. */
function mayCommitAlone({ verify, isOpen, sections, commitFromStep }: Cycle): boolean {
  if (verify === "nothing") return false;
  const waitsForSync = isOpen && sections.length === 0;
  return !(verify === "answer" && waitsForSync && commitFromStep === Number.POSITIVE_INFINITY);
}

/** What was under way is given up with this error; what the client sent behind it is not. */
export function refuse(
  conversation: Conversation,
  error: BorealisError,
  reason: string,
  knownLater?: readonly Buffer[],
): Refused {
  const { exchange, client, server } = conversation;
  const { kept } = exchange.journal;
  const front = frontOf(exchange);
  const later = knownLater ?? [...kept.later, ...client.takeRest()];
  const isUnknown = error.code === sqlState.outcomeUnknown;
  const isInTransaction = exchange.state !== transactionState.idle;
  const bytes = encodeError(error, "ERROR");
  const outcome = isUnknown ? "unknown" : "refused";
  if (!front) {
    const isKnown = !isInTransaction || exchange.state === transactionState.failed;
    const pendingError = isKnown && exchange.isLostTransaction ? exchange.pendingError : bytes;
    const resume = { ...goingOn(outcome, later, reason), isFailed: isInTransaction, pendingError };
    return { told: Buffer.alloc(0), resume };
  }
  const endsHere = isUnknown || (isInTransaction && front.verify !== "nothing");
  const isFailed = !endsHere && (isInTransaction || front.begins);
  const state = isFailed ? transactionState.failed : transactionState.idle;
  const told = front.isOpen ? bytes : Buffer.concat([bytes, encodeReadyForQuery(state)]);
  return {
    told: server.isMidMessage ? undefined : told,
    resume: {
      ...goingOn(outcome, later, reason),
      isFailed,
      skipsToSync: front.isOpen ? state : client.skippedState,
      skippedBytes: later.length === 0 ? client.missingBytes : 0,
    },
  };
}

/** What the client of a refusal hears, at once or with its next statement, which is counted now. */
export function tellings(told: Buffer, { outcome, pendingError }: Resume): Action[] {
  const code = outcome === "unknown" ? sqlState.outcomeUnknown : sqlState.serializationFailure;
  if (told.length > 0)
    return [
      { kind: "toClient", bytes: told },
      { kind: "told", code },
    ];
  // Nothing is to come: its transaction had failed before.
  return pendingError ? [{ kind: "told", code }] : [];
}

/** What was under way is committed, or has nothing to commit: the client hears so. */
export function answered(conversation: Conversation, memory: Memory): Resume | Refused {
  const { exchange, server, client } = conversation;
  const front = frontOf(exchange);
  const bytes = front && restOfAnswer(front);
  if (!bytes || server.outbox.hasOverflowed)
    return refuse(conversation, unknownOutcome(true), "its answer is lost");
  server.outbox.letGo();
  exchange.tell(bytes);
  exchange.state = transactionState.idle;
  const { isChained } = front;
  for (let step = front.stepsSeen; step < front.stepsSent; step++)
    memory.answeredStep(front.changes.take(step));
  memory.ready(front.changes.atEnd, true);
  const { later } = exchange.journal.kept;
  const next = goingOn("answered", [...later, ...client.takeRest()]);
  if (!isChained) return next;
  // The transaction that it began is lost with its server, and has nothing in it: its first statement hears so.
  const error = encodeError(serializationFailure(chained), "ERROR");
  return { ...next, isFailed: true, pendingError: error };
}

const chained = "it began with the COMMIT AND CHAIN of another one";

/** All that its client has still to hear is that the server is ready again. */
function readyAgain(conversation: Conversation, memory: Memory): Resume {
  const { exchange, client } = conversation;
  const front = frontOf(exchange);
  exchange.tell(encodeReadyForQuery(transactionState.idle));
  if (front) memory.failedAndLost(front.changes.atEnd, front.stepsSeen);
  const later = [...exchange.journal.kept.later, ...client.takeRest()];
  // The rest of a message of a COPY that has failed.
  const skippedBytes = later.length === 0 ? client.missingBytes : 0;
  return { ...goingOn("answered", later), skippedBytes };
}

/**
 * It wrote nothing, and its answer is here. Not told if there is another way: a writer that was replaced without its
 * knowing may have said it, and a sequence's value may be lost.
 */
function answeredOrAgain(conversation: Conversation, memory: Memory): Resume | Refused {
  const next = runAgain(conversation);
  const front = frontOf(conversation.exchange);
  const isCommit = front?.commitTag !== undefined && !front.isChained;
  return isCommit || "resume" in next ? answered(conversation, memory) : next;
}

/** Nothing of it needs more than a server. */
export function goingOn(
  outcome: Outcome | undefined,
  rest: readonly Buffer[],
  reason?: string,
): Resume {
  return {
    moment: "now",
    replay: undefined,
    otherwise: undefined,
    isFailed: false,
    pendingError: undefined,
    rest,
    skipsToSync: undefined,
    skippedBytes: 0,
    outcome,
    reason,
  };
}

export function serializationFailure(reason: string): BorealisError {
  return new BorealisError(
    sqlState.serializationFailure,
    "the transaction was rolled back because its instance was lost",
    {
      detail: `It could not be run again by itself: ${reason}.`,
      hint: "Run the transaction again.",
    },
  );
}

export function unknownOutcome(isCommitted: boolean): OutcomeUnknown {
  return new OutcomeUnknown("the outcome of the transaction is not known", {
    hint: isCommitted
      ? "It was committed, but its answer was lost with its instance."
      : "The instance was lost while a commit was under way. Look for the transaction's effects before you repeat it.",
  });
}

/** 57P01: the session is over, for this reason. */
export function ended(why: string): BorealisError {
  return new BorealisError(
    sqlState.adminShutdown,
    "terminating connection because its instance is gone",
    { detail: `The session ended, since ${why}.`, hint: "Connect again." },
  );
}

/** The conversation with another server, behind that which `before` is of. */
export function succeed(before: Exchange, options: ExchangeOptions, resume: Resume): Conversation {
  const { failed, idle } = transactionState;
  return new Conversation(options, {
    before,
    state: resume.isFailed ? failed : idle,
    expected: resume.replay?.told,
    pendingError: resume.pendingError,
  });
}
