import {
  backend,
  encodeCommandComplete,
  encodeMessage,
  encodeReadyForQuery,
  transactionState,
} from "../wire/index.ts";
import type { Cycle } from "./cycle.ts";
import type { Exchange } from "./exchange.ts";
import type { Fate } from "./fate.ts";
import { prepareTag } from "./plan.ts";

/**
 * What can be said of the cycle that was under way when the server was lost, without asking anybody.
 *
 * It rests on this: what a server writes to a unix socket arrives, whatever happens to the server. Each answer of ours
 * (probe.ts) is flushed before the commit that it is about begins, and each ReadyForQuery before the next cycle does. So
 * only the first cycle that is not answered can have begun; and where no answer to our question has come, nothing of
 * that cycle was committed.
 * - idle: nothing is under way
 * - undone: it has certainly committed nothing
 * - done: it wrote nothing, and its answer is here
 * - failed: by itself, outside a transaction block, and the client knows
 * - ask: its transaction's fate is its own
 * - doubt: nobody can tell
 */
export type Sight =
  | { readonly kind: "idle" }
  | { readonly kind: "undone" }
  | { readonly kind: "done" }
  | { readonly kind: "failed" }
  | { readonly kind: "ask"; readonly xid: bigint }
  | { readonly kind: "doubt" };

/** The first of the client's cycles that is not answered. */
export function frontOf(exchange: Exchange): Cycle | undefined {
  const { cycles } = exchange;
  for (let index = 0; index < cycles.length; index++) {
    const cycle = cycles.at(index);
    if (cycle?.isOwn === false) return cycle;
  }
  return undefined;
}

export function sightOf(exchange: Exchange): Sight {
  const front = frontOf(exchange);
  if (!front) return { kind: "idle" };
  // Our question before it is not answered: the server has not come to it.
  const isBegun = exchange.cycles.front() === front;
  if (!isBegun || front.isDiscarded) return { kind: "undone" };
  if (isFailureTold(exchange, front)) return { kind: "failed" };
  switch (front.verify) {
    case "nothing":
      return { kind: "undone" };
    case "always":
      if (front.endsPrepared && front.preparedXid) return { kind: "ask", xid: front.preparedXid };
      if (isRolledBack(exchange, front) || isHarmless(front)) return { kind: "undone" };
      return { kind: "doubt" };
    case "answer":
      return sightOfAnswer(exchange, front);
  }
}

/**
 * ReadyForQuery is all that is missing. An error is flushed before the transaction is rolled back
 * (send_message_to_frontend in PostgreSQL's elog.c): there is time to be lost in between.
 */
function isFailureTold({ state }: Exchange, front: Cycle): boolean {
  const staysOutside = !front.begins && !front.mayEndTransaction;
  return front.isFailureTold && !front.isOpen && staysOutside && state === transactionState.idle;
}

/**
 * A Query that is one transaction, ended by the server before its last statement: that one's completion is written directly
 * behind the commit, and before the next look at interrupts (exec_simple_query in PostgreSQL's postgres.c).
 */
export function isRolledBack({ wasCutShort }: Exchange, front: Cycle): boolean {
  const { statementsInOne, completionsSeen, wasInterrupted } = front;
  if (!wasCutShort || wasInterrupted || statementsInOne === undefined) return false;
  return completionsSeen < statementsInOne;
}

/** Nothing of it that could commit has been sent. */
function isHarmless({ kind, executes, isOpen, isCopying, isCopyEnded, isSingle }: Cycle): boolean {
  if (kind === "batch" && isOpen && executes === 0) return true;
  return isCopying && !isCopyEnded && (kind === "query" ? isSingle : executes === 1);
}

function sightOfAnswer(exchange: Exchange, front: Cycle): Sight {
  const { answer } = front;
  if (!answer || isWithoutCommit(exchange, front)) return { kind: "undone" };
  // The answer is about one commit: of several, each has a fate. That of a question is for what stands behind it.
  const isOfAll = front.questionsSent <= 1 && front.answersSeen <= 1;
  if (answer.xid === undefined || !isOfAll) return { kind: "doubt" };
  if (answer.xid !== null) return { kind: "ask", xid: answer.xid };
  // They take an id in any case.
  if (exchange.takesId(front)) return { kind: "doubt" };
  return restOfAnswer(front) ? { kind: "done" } : { kind: "undone" };
}

/** A COMMIT that it began with was asked about, and is not among what was run. */
function isWithoutCommit({ state }: Exchange, front: Cycle): boolean {
  const { kind, commitFromStep, mayCommitAtSync } = front;
  if (kind !== "batch" || state !== transactionState.open || mayCommitAtSync) return false;
  return commitFromStep === Number.POSITIVE_INFINITY;
}

/** Whether what was under way has happened, since `fate` is that of the transaction that was asked about. */
export function isDone(exchange: Exchange, fate: Fate): boolean | undefined {
  if (fate === "unknown") return undefined;
  const front = frontOf(exchange);
  if (front?.endsPrepared === true) {
    if (fate === "prepared") return false;
    // Somebody else may have ended it the other way.
    return fate === (front.commitTag === "COMMIT PREPARED" ? "committed" : "aborted") || undefined;
  }
  if (fate === "prepared") return front?.commitTag === prepareTag || undefined;
  if (fate === "committed") return true;
  // It wrote nothing besides, so PostgreSQL waited for nothing: who listens may have heard of it, and would again.
  const mayBeHeard = exchange.notifies && front?.answer?.isFresh === true;
  return mayBeHeard ? undefined : false;
}

/**
 * What the client has still to hear of a cycle that was committed, from its completion to ReadyForQuery; undefined: it
 * cannot be told without the server.
 */
export function restOfAnswer(front: Cycle): Buffer | undefined {
  // What has begun behind its commit is lost.
  if (front.hasFailed || front.isOpen || front.begins) return undefined;
  const ready = encodeReadyForQuery(
    front.isChained ? transactionState.open : transactionState.idle,
  );
  if (front.kind === "query") {
    if (front.completionsSeen > 0) return ready;
    const tag = front.commitTag;
    return tag === undefined ? undefined : Buffer.concat([encodeCommandComplete(tag), ready]);
  }
  const parts: Buffer[] = [];
  let hasCompleted = front.hasCommitted;
  for (const step of front.steps.slice(front.stepsSeen)) {
    const isCommit = step === "E" && !hasCompleted;
    const answer = isCommit ? completionOf(front) : quietAnswers[step];
    if (!answer) return undefined;
    hasCompleted ||= isCommit;
    parts.push(answer);
  }
  return Buffer.concat([...parts, ready]);
}

function completionOf({ commitTag }: Cycle): Buffer | undefined {
  return commitTag === undefined ? undefined : encodeCommandComplete(commitTag);
}

const noData = encodeMessage(backend.noData);
/** What a COMMIT's messages other than Execute are answered with; it has no parameters and no result. */
const quietAnswers: Readonly<Record<string, Buffer>> = {
  P: encodeMessage(backend.parseComplete),
  B: encodeMessage(backend.bindComplete),
  C: encodeMessage(backend.closeComplete),
  D: noData,
  S: Buffer.concat([encodeMessage(backend.parameterDescription, (body) => body.u16(0)), noData]),
  ".": Buffer.alloc(0),
};

/** Only the front may be forgotten: it is not needed to refuse it. */
export function isAllKept({ journal, cycles }: Exchange): boolean {
  let count = 0;
  for (let index = 0; index < cycles.length; index++)
    if (cycles.at(index)?.isOwn === false) count++;
  return count <= 1 || journal.kept.isLaterWhole;
}
