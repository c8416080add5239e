import {
  encodeBind,
  encodeClose,
  encodeDescribe,
  encodeExecute,
  encodeParse,
  encodeQuery,
  encodeSync,
  findBindNames,
  findExecutePortal,
  findParseName,
  findTarget,
  frontend,
  type MessageScanner,
  parseTextOf,
  queryTextOf,
  transactionState,
} from "../wire/index.ts";
import { parseBindTexts } from "./bind-values.ts";
import { CommitQuestions } from "./commit-questions.ts";
import { addOwnSteps, addStep, type Cycle, holdIfSetting } from "./cycle.ts";
import type { Exchange } from "./exchange.ts";
import { frontOf } from "./loss.ts";
import { opaquePlan, type TextPlan } from "./plan.ts";
import { queryProbeSteps } from "./probe.ts";
import { encodeRefusal } from "./refused-messages.ts";
import { customNameLengthMax, unknownTouch } from "./session-touch.ts";

/** What becomes of the message at hand. */
export type Verdict =
  | { readonly kind: "pass" }
  /** Not before the server has answered all that it owes: the decision needs its state. */
  | { readonly kind: "wait" }
  | { readonly kind: "insertBefore"; readonly bytes: Buffer }
  | { readonly kind: "replace"; readonly bytes: Buffer };

/** The message is left out. */
export const dropped: Verdict = { kind: "replace", bytes: Buffer.alloc(0) };
const goesOn = new Set<number>([frontend.sync, frontend.flush, frontend.terminate]);
/** Enough to see that a name of a setting is too long, whatever its letters. */
const customNameBytesMax = 4 * (customNameLengthMax + 1);
/** Of the Close behind a Query that went out as extended messages. */
const closeSteps = 1;
const pass: Verdict = { kind: "pass" };
const wait: Verdict = { kind: "wait" };

// Fails in every state, aborts an open transaction, and runs nothing: just what a refused statement must do.
export const unparsable = "refused by the endpoint";
/** What the error about it quotes, in any language. */
export const unparsableWord = "refused";

// In a failed transaction it is refused without being run (25P02), whatever has been told meanwhile.
const refusedInFailed = encodeQuery("select 'refused by the endpoint'");

/** What each message of a client means for the exchange, and what is sent in its place. */
export class ClientMessages {
  private readonly exchange: Exchange;
  private readonly questions: CommitQuestions;
  private readonly scanner: MessageScanner;

  constructor(exchange: Exchange, scanner: MessageScanner) {
    this.scanner = scanner;
    this.exchange = exchange;
    this.questions = new CommitQuestions(exchange);
  }

  /** Of the message that the scanner is at. */
  next(): Verdict {
    const { type } = this.scanner;
    // PostgreSQL leaves out what follows on a COMMIT that failed; for it, this one has not.
    if (this.exchange.openBatch?.hasLostCommit === true && !goesOn.has(type)) return dropped;
    switch (type) {
      case frontend.query:
        return this.onQuery();
      case frontend.parse:
        return this.onParse();
      case frontend.bind:
        return this.onBind();
      case frontend.describe:
        // S: of a statement, which has two answers, and one that ends the step.
        addStep(this.questions.batch(), this.body[0] === 0x53 ? "S" : "D");
        return pass;
      case frontend.execute:
        return this.onExecute();
      case frontend.close:
        return this.onClose();
      case frontend.sync:
        return this.onSync();
      case frontend.functionCall:
        return this.onFunctionCall();
      case frontend.copyDone:
        this.onCopyDone();
        return pass;
      case frontend.terminate:
        this.exchange.hasTerminated = true;
        return pass;
      default:
        return pass; // Flush, CopyData, CopyFail: no answers of their own
    }
  }

  /** As far as it is here. */
  private get body(): Buffer {
    const { buffer, start, end } = this.scanner;
    return buffer.subarray(start + 5, Math.min(end, buffer.length));
  }

  private get isWhole(): boolean {
    return this.scanner.end <= this.scanner.buffer.length;
  }

  private planOf(textOf: (body: Buffer) => string): TextPlan {
    if (!this.isWhole) return opaquePlan;
    const text = textOf(this.body);
    return this.exchange.planner.plan(text, this.exchange.isPlain(text));
  }

  private onQuery(): Verdict {
    const { exchange } = this;
    const { openBatch } = exchange;
    const plan = this.planOf(queryTextOf);
    if (openBatch) return this.onQueryInBatch(openBatch, plan);
    if (plan.refusal) {
      const error = encodeRefusal(plan.refusal);
      exchange.open("query", { substitute: { step: 0, error } });
      return { kind: "replace", bytes: encodeQuery(unparsable) };
    }
    if (exchange.pendingError) return this.onQueryInLost(plan);
    if (
      !exchange.isHonest ||
      plan.role === "harmless" ||
      plan.role === "begin" ||
      plan.role === "rollback"
    ) {
      this.noteQuery(exchange.open("query", { begins: plan.begins }), plan);
      return pass;
    }
    if (exchange.cycles.length > 0) return wait;
    if (exchange.state === transactionState.idle) return this.onQueryOutside(plan);
    if (plan.role === "commit" && exchange.state === transactionState.open) {
      const { commitTag, isChained } = plan;
      const bytes = this.questions.askBefore(plan, (facts) => {
        const cycle = exchange.open("query", { ...facts, commitTag, isChained });
        this.noteQuery(cycle, plan);
        return cycle;
      });
      return { kind: "insertBefore", bytes };
    }
    const mayCommit = plan.role === "several" && plan.mayEndTransaction;
    const verify = mayCommit ? "always" : "nothing";
    const cycle = exchange.open("query", { verify, begins: plan.begins });
    exchange.startTimer(cycle);
    this.noteQuery(cycle, plan);
    return pass;
  }

  /**
   * In a transaction that was lost with its server, and that is a failed one of the new server now. A ROLLBACK is what
   * it needs; all else hears of the loss, a COMMIT too, though PostgreSQL takes it for a ROLLBACK.
   */
  private onQueryInLost(plan: TextPlan): Verdict {
    const { exchange } = this;
    if (plan.role === "rollback" || plan.role === "commit") {
      exchange.open("query", { hasLostCommit: plan.role === "commit" });
      return pass;
    }
    exchange.open("query");
    return { kind: "replace", bytes: refusedInFailed };
  }

  /** A simple Query outside a transaction block that may write. */
  private onQueryOutside(plan: TextPlan): Verdict {
    const { exchange } = this;
    if (plan.role === "commit") {
      // A warning: there is no transaction in progress.
      this.noteQuery(exchange.open("query"), plan);
      return pass;
    }
    if (!plan.mayBeRewritten) {
      const { begins, commitTag, gid, statementsInOne } = plan;
      const isSingle = plan.role === "write";
      const endsPrepared = gid !== undefined;
      const facts = { begins, isSingle, commitTag, endsPrepared, statementsInOne };
      const cycle = exchange.open("query", { verify: "always", ...facts });
      this.noteQuery(cycle, plan);
      exchange.startTimer(cycle);
      const bytes = this.questions.askAhead(cycle, gid);
      return bytes ? { kind: "insertBefore", bytes } : pass;
    }
    const steps = 4; // Parse, Bind, Describe, Execute
    const cycle = exchange.open("batch", {
      isRewritten: true,
      isOpen: false,
      stepsSent: steps,
      steps: "PBDE",
      verify: "answer",
      verifyFromStep: steps - 1,
      drawsSequence: plan.drawsSequence,
      holdsAnswer: true,
      questionsSent: 1,
    });
    addOwnSteps(cycle, closeSteps + queryProbeSteps);
    this.noteQuery(cycle, plan);
    exchange.startTimer(cycle);
    const text = this.body.subarray(0, -1);
    return {
      kind: "replace",
      bytes: Buffer.concat([
        encodeParse("", text),
        encodeBind("", ""),
        encodeDescribe("portal", ""),
        encodeExecute(""),
        // A simple Query leaves no statement behind that a Bind could run again.
        encodeClose("statement", ""),
        exchange.question(),
        encodeSync(),
      ]),
    };
  }

  private noteQuery(cycle: Cycle, plan: TextPlan): void {
    const { exchange } = this;
    const { memory } = exchange;
    exchange.noteSent(plan);
    cycle.mayEndTransaction ||= plan.mayEndTransaction;
    holdIfSetting(cycle, plan);
    // In a transaction it may be undone.
    const isAlone =
      exchange.state === transactionState.idle &&
      frontOf(exchange) === cycle &&
      (cycle.kind === "query" || cycle.isRewritten);
    const change = memory.runSent(0, plan.touch, { isAlone });
    cycle.changes.push(memory.querySent(cycle.isRewritten));
    if (change) cycle.changes.push(change);
  }

  /** A simple Query ends the unsynced messages before it: one ReadyForQuery for both. */
  private onQueryInBatch(batch: Cycle, plan: TextPlan = opaquePlan): Verdict {
    batch.isOpen = false;
    batch.verifyFromStep = Math.min(batch.verifyFromStep, batch.stepsSent);
    if (this.exchange.isHonest) batch.verify = "always";
    this.noteQuery(batch, plan);
    batch.mayEndTransaction = true;
    this.exchange.journal.bar("it mixes the simple with the extended protocol");
    return pass;
  }

  private onParse(): Verdict {
    const { exchange } = this;
    const name = findParseName(this.body);
    const plan = this.planOf(parseTextOf);
    if (plan.refusal) {
      const batch = this.questions.batch();
      batch.substitute ??= { step: batch.stepsSent, error: encodeRefusal(plan.refusal) };
      // It destroys the unnamed statement as the client's own would.
      this.noteParse(batch);
      return { kind: "replace", bytes: encodeParse(name ?? "", unparsable) };
    }
    if (this.questions.mustWait(plan)) return wait;
    const question = this.questions.askBeforeBatch(plan);
    const batch = this.questions.batch();
    this.noteParse(batch);
    // One statement by protocol, however long its text is.
    const single: TextPlan =
      plan === opaquePlan ? { ...opaquePlan, role: "write", mayEndTransaction: false } : plan;
    if (name !== undefined) exchange.book.parse(name, single);
    return question ? { kind: "insertBefore", bytes: question } : pass;
  }

  private noteParse(batch: Cycle): void {
    const { changes, stepsSent } = batch;
    const isKept = this.isWhole && changes.hasRoomFor(this.body.length);
    changes.push(this.exchange.memory.parseSent(stepsSent, this.body, isKept));
    addStep(batch, "P");
  }

  private onBind(): Verdict {
    const { exchange } = this;
    const names = findBindNames(this.body);
    const bound = names && exchange.book.planOfStatement(names.statement);
    if (bound && this.questions.mustWait(bound)) return wait;
    const question = this.questions.askBeforeBatch(bound);
    addStep(this.questions.batch(), "B");
    if (names) {
      const parameters = bound?.touch.nameParameters ?? [];
      // As far as it matters to the session's book.
      const settings =
        parameters.length > 0 ? parseBindTexts(this.body, parameters, customNameBytesMax) : [];
      exchange.book.bind(names.portal, names.statement, settings);
    }
    return question ? { kind: "insertBefore", bytes: question } : pass;
  }

  private onClose(): Verdict {
    const closed = findTarget(this.body);
    const batch = this.questions.batch();
    if (closed?.target === "statement") {
      this.exchange.book.closeStatement(closed.name);
      batch.changes.push(this.exchange.memory.closeSent(batch.stepsSent, this.body));
    } else if (closed) this.exchange.book.closePortal(closed.name);
    addStep(batch, "C");
    return pass;
  }

  private onExecute(): Verdict {
    const { exchange } = this;
    const portal = findExecutePortal(this.body);
    const plan = portal === undefined ? undefined : exchange.book.planOfPortal(portal);
    if (!exchange.isHonest || plan?.role === "harmless")
      return this.sendExecute(this.questions.batch(), plan, portal);
    // A portal of an earlier batch: nothing was sent in this one yet.
    const question = this.questions.askBeforeBatch(plan);
    const batch = this.questions.batch();
    // The transaction's state is known only when the server owes nothing from before this batch.
    if (batch.state === undefined) {
      if (this.exchange.cycles.front() !== batch) return wait;
      batch.state = exchange.state;
    }
    const inserted = this.questions.beforeExecute(batch, plan);
    this.sendExecute(batch, plan, portal);
    const bytes = question ?? inserted;
    return bytes ? { kind: "insertBefore", bytes } : pass;
  }

  private sendExecute(
    batch: Cycle,
    plan: TextPlan | undefined,
    portal: string | undefined,
  ): Verdict {
    const { exchange } = this;
    const names = portal === undefined ? undefined : exchange.book.namesOfPortal(portal);
    const touch = plan?.touch ?? unknownTouch;
    const change = exchange.memory.runSent(batch.stepsSent, touch, { names });
    if (change) batch.changes.push(change);
    if (plan) holdIfSetting(batch, plan);
    addStep(batch, "E");
    batch.endsPrepared =
      batch.executes === 0 && plan?.gid !== undefined && plan.gid === batch.askedGid;
    batch.executes++;
    if (exchange.pendingError && plan?.role !== "rollback") batch.hasLostCommit = true;
    if (plan) {
      batch.begins = (batch.begins || plan.begins) && !ends(plan);
      if (plan.role === "commit" || batch.endsPrepared) {
        batch.commitTag = plan.commitTag;
        batch.isChained = plan.isChained;
      }
      exchange.noteSent(plan);
      batch.mayEndTransaction ||= plan.mayEndTransaction;
    } else {
      batch.mayEndTransaction = true;
      exchange.isSuspicious = true;
      exchange.memory.drawSent();
      exchange.journal.bar("a statement of it is not known");
    }
    return pass;
  }

  private onSync(): Verdict {
    const batch = this.questions.batch();
    batch.isOpen = false;
    const bytes = this.questions.beforeSync(batch);
    return bytes ? { kind: "insertBefore", bytes } : pass;
  }

  private onCopyDone(): void {
    const { cycles } = this.exchange;
    // Those in front of one that has been told have been told, too: a client may send any number of either.
    for (let index = cycles.length - 1; index >= 0; index--) {
      const cycle = cycles.at(index);
      if (!cycle || cycle.isCopyEnded) return;
      cycle.isCopyEnded = true;
    }
  }

  private onFunctionCall(): Verdict {
    const { exchange } = this;
    const { openBatch } = exchange;
    exchange.memory.drawSent();
    if (openBatch) return this.onQueryInBatch(openBatch);
    if (!exchange.isHonest) {
      const cycle = exchange.open("function");
      const change = exchange.memory.runSent(0, unknownTouch);
      if (change) cycle.changes.push(change);
      return pass;
    }
    if (exchange.cycles.length > 0) return wait;
    const isOutside = exchange.state === transactionState.idle;
    // Which function it is says an OID only; the transaction is over when the answer comes.
    const cycle = exchange.open("function", { verify: isOutside ? "always" : "nothing" });
    exchange.startTimer(cycle);
    const change = exchange.memory.runSent(0, unknownTouch);
    if (change) cycle.changes.push(change);
    exchange.journal.bar("it has a call of a function by its number");
    return pass;
  }
}

function ends({ role }: TextPlan): boolean {
  return role === "commit" || role === "rollback";
}
