import { BorealisError, sqlState } from "../base/errors.ts";
import {
  backend,
  type MessageScanner,
  parseDataRow,
  parseFunctionResult,
  parseParameterStatus,
  parseReport,
  transactionState,
} from "../wire/index.ts";
import { type Cycle, isAtOwnStep } from "./cycle.ts";
import type { Exchange } from "./exchange.ts";
import { heldBytesMax, type Outbox } from "./outbox.ts";
import { isRolledBack } from "./loss.ts";
import { answerOfFunction, answerOfRow } from "./probe.ts";

/**
 * - aside: told, though it is no answer
 * - hold: nothing from this message on until the wait is over
 */
export type ServerVerdict = "pass" | "aside" | "drop" | "hold";

type Verdict = ServerVerdict;

const staleRoutine = "RevalidateCachedQuery";
/** Where a server process says that it ends at once: its postmaster is killed, or another process has crashed. */
const quickdieRoutine = "quickdie";
/** Where a server that is to end, or whose transaction_timeout is over, says so: PostgreSQL keeps it out of commits. */
const interruptRoutine = "ProcessInterrupts";

/** What each message of a server means for the exchange, and whether the client may have it. */
export class ServerMessages {
  private readonly exchange: Exchange;
  private readonly outbox: Outbox;
  private readonly scanner: MessageScanner;
  /** Told instead of the message at hand. */
  replacement: Buffer | undefined;
  /** The message at hand is the completion of a Query that went out as extended messages. */
  isCompletion = false;

  constructor(exchange: Exchange, outbox: Outbox, scanner: MessageScanner) {
    this.exchange = exchange;
    this.scanner = scanner;
    this.outbox = outbox;
  }

  /** Of the message that the scanner is at. */
  next(): Verdict {
    const cycle = this.exchange.cycles.front();
    return cycle ? this.onMessage(cycle) : this.onUnasked();
  }

  private get type(): number {
    return this.scanner.type;
  }

  /** Of the message: the whole of it, or as much as is here. */
  private get bytes(): Buffer {
    const { buffer, start, end } = this.scanner;
    return buffer.subarray(start, end);
  }

  private get body(): Buffer {
    return this.bytes.subarray(5);
  }

  private get isWhole(): boolean {
    return this.scanner.end <= this.scanner.buffer.length;
  }

  /** Nothing is owed: what comes is unsolicited. */
  private onUnasked(): Verdict {
    const { type } = this;
    if (type === backend.readyForQuery || type === backend.commandComplete) this.lostTrack();
    return this.onAside(undefined);
  }

  private onMessage(cycle: Cycle): Verdict {
    if (this.outbox.isDraining || (cycle.holdsAnswer && cycle.stepsSeen === 0))
      this.outbox.isCollecting = true;
    switch (this.type) {
      case backend.readyForQuery:
        return this.onReady(cycle);
      case backend.notice:
      case backend.notification:
      case backend.parameterStatus:
        return this.onAside(cycle);
      case backend.error:
        return this.onError(cycle);
      case backend.functionResult:
        return this.onFunctionResult(cycle);
      case backend.dataRow:
        return this.onDataRow(cycle);
      case backend.copyData:
      case backend.copyDone:
        return this.shown(cycle);
      case backend.copyIn:
        this.onCopyIn(cycle);
        return this.shown(cycle);
      case backend.commandComplete:
      case backend.emptyQuery:
      case backend.portalSuspended:
      case backend.parseComplete:
      case backend.bindComplete:
      case backend.closeComplete:
      case backend.rowDescription:
      case backend.noData:
        return this.onStep(cycle);
      default:
        return this.shown(cycle);
    }
  }

  private shown(cycle: Cycle): Verdict {
    return cycle.isOwn || cycle.isDiscarded || cycle.isMuted ? "drop" : "pass";
  }

  /** Notices, notifications and parameters come at any time, and are the client's whatever is under way. */
  private onAside(cycle: Cycle | undefined): Verdict {
    const { exchange } = this;
    const { type } = this;
    if (!this.isWhole) return "pass";
    if (type === backend.parameterStatus) {
      const { name, value } = parseParameterStatus(this.body);
      exchange.noteParameter(name, value);
      return exchange.isComparing ? "drop" : "aside";
    }
    if (type === backend.notification) return "aside";
    if (type === backend.error) return this.onFatal(undefined) ?? "aside";
    return type === backend.notice ? this.onNotice(cycle) : "pass";
  }

  /** What a statement has to say is a part of its answer; some notices say more than the client may hear. */
  private onNotice(cycle: Cycle | undefined): Verdict {
    const { exchange } = this;
    const report = parseReport(this.body);
    // The session may well go on; if it does not, it is told why, or wants to hear nothing.
    if (report.get("R") === quickdieRoutine) return "drop";
    if (!cycle) return "aside";
    if (exchange.isHonest && report.get("R") === "SyncRepWaitForLSN") {
      // The warning would tell the client what is about to be made untrue.
      cycle.wasInterrupted = true;
      if (report.get("C") === sqlState.adminShutdown) exchange.wasEndedInCommit = true;
      if (cycle.verify === "nothing") {
        cycle.verify = "answer";
        cycle.answer ??= { synchronousCommit: "on", xid: undefined, settings: undefined };
        cycle.verifyFromStep = Math.min(cycle.verifyFromStep, cycle.stepsSeen);
      }
      return "drop";
    }
    return "pass";
  }

  /** An error that ends the session; undefined: it is none. */
  private onFatal(cycle: Cycle | undefined): Verdict | undefined {
    if (!this.isWhole) return undefined;
    const { exchange } = this;
    const report = parseReport(this.body);
    if (report.get("V") !== "FATAL" && report.get("V") !== "PANIC") return undefined;
    exchange.wasCutShort ||= report.get("R") === interruptRoutine;
    if (exchange.keepLastWords(report.get("C") ?? "", this.bytes)) return "drop";
    // A statement that ends so before its completion was rolled back; of several, some may have been committed.
    const isUncertain =
      cycle &&
      !isRolledBack(exchange, cycle) &&
      (cycle.verify === "always" || cycle.hasCompleted || cycle.wasInterrupted);
    if (isUncertain === true) return "drop";
    exchange.hasFatal = true;
    return "aside";
  }

  private onError(cycle: Cycle): Verdict {
    const fatal = this.onFatal(cycle);
    if (fatal) return fatal;
    cycle.hasFailed = true;
    if (!cycle.isOwn) this.noteFailure(cycle);
    if (cycle.isOptional) return "drop";
    if (cycle.isOwn) {
      // Our question fails when a cancel hits it. It took the client's transaction along: that is the COMMIT's answer.
      if (cycle.answers?.isDiscarded === true) return "drop";
      if (cycle.answers) cycle.answers.isDiscarded = true;
      return "pass";
    }
    if (cycle.isDiscarded || cycle.isMuted) return "drop";
    cycle.isFailureTold = this.isWhole && !this.outbox.isCollecting;
    // In the simple protocol a completion comes after the commit; here it came before, and there was none.
    if (cycle.isRewritten && cycle.hasCompleted) this.outbox.dropCompletion();
    if (this.exchange.pendingError) return this.tellPending(cycle);
    if (!cycle.substitute || (cycle.kind === "batch" && cycle.stepsSeen !== cycle.substitute.step))
      return "pass";
    const { error } = cycle.substitute;
    cycle.substitute = undefined;
    this.replacement = error;
    return "drop";
  }

  private noteFailure(cycle: Cycle): void {
    const { memory } = this.exchange;
    memory.failedStep(cycle.changes.take(cycle.stepsSeen));
    // The server looks at nothing more of it.
    cycle.changes.forgetOwed();
    // "cached plan must not change result type"
    if (cycle.kind === "query" || !this.isWhole) return;
    const report = parseReport(this.body);
    const isOfPlan = report.get("C") === sqlState.notSupported && report.get("R") === staleRoutine;
    if (isOfPlan) memory.prepared.isStale = true;
  }

  /** That the transaction is lost, in place of what the server says. */
  private tellPending(cycle: Cycle): Verdict {
    this.replacement = this.exchange.pendingError;
    this.exchange.pendingError = undefined;
    cycle.isMuted = true;
    return "drop";
  }

  private onFunctionResult(cycle: Cycle): Verdict {
    if (!cycle.isOwn) return this.onCompletion(cycle);
    const { answers, asks } = cycle;
    if (answers && asks && this.isWhole) {
      const answer = answerOfFunction(asks, parseFunctionResult(this.body), answers.answer);
      if (asks === "xid") this.exchange.learnXid(answers, answer);
      else this.exchange.learn(answers, answer);
    }
    return "drop";
  }

  private onDataRow(cycle: Cycle): Verdict {
    if (cycle.isReadback) {
      if (this.isWhole) cycle.readRow = parseDataRow(this.body);
      return "drop";
    }
    if (cycle.isOwn || isAtOwnStep(cycle)) {
      if (!this.isWhole) return "drop";
      const answer = answerOfRow(parseDataRow(this.body));
      const about = cycle.answers ?? cycle;
      if (cycle.asksAhead) this.exchange.learnAhead(about, answer);
      else this.exchange.learn(about, answer);
      return "drop";
    }
    return this.shown(cycle);
  }

  private onStep(cycle: Cycle): Verdict {
    const { type } = this;
    const isCompletion =
      type === backend.commandComplete ||
      type === backend.emptyQuery ||
      type === backend.portalSuspended;
    // PostgreSQL has taken the COMMIT of a transaction that is lost for a ROLLBACK.
    if (cycle.hasLostCommit && this.exchange.pendingError && type === backend.commandComplete)
      return this.tellPending(cycle);
    if (cycle.kind === "query") return isCompletion ? this.onCompletion(cycle) : this.shown(cycle);
    const step = cycle.stepsSeen;
    if (cycle.isOwn) {
      cycle.stepsSeen++;
      return "drop";
    }
    if (isAtOwnStep(cycle)) {
      cycle.stepsSeen++;
      return "drop";
    }
    const verdict =
      isCompletion && step >= cycle.verifyFromStep ? this.onCompletion(cycle) : this.shown(cycle);
    if (verdict === "hold") return verdict;
    if (!cycle.isRewritten && type !== backend.rowDescription)
      this.exchange.memory.answeredStep(cycle.changes.take(step));
    cycle.stepsSeen++;
    if (cycle.isRewritten && !isCompletion && type !== backend.rowDescription) return "drop";
    return verdict;
  }

  /** A statement has completed. In a cycle whose commit is in doubt, this is where its answer stops. */
  private onCompletion(cycle: Cycle): Verdict {
    if (cycle.isDiscarded || cycle.isMuted) return "drop";
    cycle.hasCompleted = true;
    if (cycle.stepsSeen >= cycle.commitFromStep) cycle.hasCommitted = true;
    if (cycle.verify === "nothing") return "pass";
    this.isCompletion = cycle.isRewritten;
    const verdict = this.hold(cycle);
    if (verdict !== "hold") cycle.completionsSeen++;
    return verdict;
  }

  private hold(cycle: Cycle): Verdict {
    // The client waits for this before it sends its Sync: the decision is now.
    if (cycle.isOpen) {
      const verdict = this.decide(cycle, cycle.verify === "answer" && !cycle.answer);
      // Of this completion only: another commit may follow in the batch.
      if (verdict === "pass") cycle.isCleared = false;
      return verdict;
    }
    if (this.outbox.heldBytes > heldBytesMax && !this.outbox.isDraining) {
      const verdict = this.decide(cycle, false);
      if (verdict === "hold") return verdict;
      this.outbox.letGo();
      cycle.isCleared = false;
    }
    this.outbox.isCollecting = true;
    return "pass";
  }

  /** Whether what is held of `cycle`, a completion among it, may be told; "hold": not before `release`. */
  decide(cycle: Cycle, isTooEarly: boolean): Verdict {
    const upTo = isTooEarly || this.outbox.isDraining ? undefined : this.exchange.waitFor(cycle);
    if (!upTo) return "pass";
    this.exchange.add({ kind: "awaitDurable", upTo });
    return "hold";
  }

  private onReady(cycle: Cycle): Verdict {
    if (cycle.isOpen) this.lostTrack();
    if (this.outbox.isDraining && !cycle.isOwn) return "hold";
    if (this.decide(cycle, false) === "hold") return "hold";
    const { exchange } = this;
    this.outbox.isCollecting = false;
    exchange.state = this.body[0] ?? exchange.state;
    exchange.cycles.popFront();
    const isIdle = exchange.state === transactionState.idle;
    if (cycle.isReadback) exchange.readbackAnswered(cycle.readRow);
    else if (!cycle.isOwn) exchange.memory.ready(cycle.changes.atEnd, isIdle);
    cycle.changes.forgetOwed();
    if (exchange.state === transactionState.idle) {
      // What was sent behind it is of the next transaction.
      if (exchange.cycles.length === 0) exchange.endTransaction();
      exchange.settleTraits();
    }
    if (
      cycle.verify !== "nothing" &&
      exchange.honesty.commitTimeoutMs > 0 &&
      !exchange.mayHaveCommitted
    ) {
      exchange.add({ kind: "commitTimer", timeoutMs: 0 });
    }
    return cycle.isOwn ? "drop" : "pass";
  }

  /**
   * COPY FROM STDIN by extended messages: the server ignores the Sync that came along with its Execute, and the one
   * after the data ends the batch.
   */
  private onCopyIn(cycle: Cycle): void {
    cycle.isCopying = true;
    if (cycle.kind !== "batch" || cycle.isOpen) return;
    const { cycles } = this.exchange;
    if (cycles.length === 1) {
      cycle.isOpen = true;
      return;
    }
    // Sent in one go: the Sync after the data made an empty batch of its own.
    const next = cycles.at(1);
    if (next?.kind !== "batch" || next.stepsSent > 0) this.lostTrack();
    cycles.popFront();
    cycles.popFront();
    cycles.pushFront({ ...cycle, isOpen: next.isOpen });
    this.exchange.merged();
  }

  /** What a client pipelined cannot be told apart any more: better no answer than a wrong one. */
  private lostTrack(): never {
    const hint = "Do not send further commands before a COPY FROM STDIN has ended.";
    const message = "the endpoint cannot follow this use of the protocol";
    throw new BorealisError(sqlState.notSupported, message, { hint });
  }
}
