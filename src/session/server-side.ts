import { BorealisError, sqlState } from "../base/errors.ts";
import {
  backend,
  MessageScanner,
  parseDataRow,
  parseFunctionResult,
  parseParameterStatus,
  parseReport,
  transactionState,
} from "../wire/index.ts";
import { type Cycle, isOwnStep } from "./cycle.ts";
import type { Exchange } from "./exchange.ts";
import { answerOfFunction, answerOfRow } from "./probe.ts";

/** Held completions are some dozen bytes each; notices and rows of a long Query behind them are let go in pieces. */
const heldBytesMax = 64 * 1024;
/** Small messages are presented whole, so that nothing has to be put together later. */
const wholeBytesMax = 512;
const noticeBytesMax = 8 * 1024;

function headOf(type: number, totalBytes: number): number {
  if (totalBytes <= wholeBytesMax) return totalBytes;
  const mayMatter =
    type === backend.notice || type === backend.error || type === backend.parameterStatus;
  return mayMatter && totalBytes <= noticeBytesMax ? totalBytes : 5;
}

/** - hold: nothing from this message on until the wait is over */
type Verdict = "pass" | "drop" | "hold";

/**
 * The direction server to client: passes bytes on, takes out the answers to our questions, and holds completions
 * back until what they tell is durable.
 */
export class ServerSide {
  private readonly exchange: Exchange;
  private readonly scanner = new MessageScanner(headOf);
  /** Completions that wait for ReadyForQuery, where their fate is decided. */
  private held: Buffer[] = [];
  private heldBytes = 0;
  private isCollecting = false;
  private isHolding = false;
  private backlog: Buffer[] = [];

  constructor(exchange: Exchange) {
    this.exchange = exchange;
  }

  /** True: the server must not be read. */
  get isBlocked(): boolean {
    return this.isHolding;
  }

  push(chunk: Buffer): void {
    if (this.isHolding) this.backlog.push(chunk);
    else this.scan(chunk);
  }

  /** The wait that was asked for is over: success is true. */
  release(): void {
    if (!this.isHolding) return;
    this.isHolding = false;
    const cycle = this.exchange.cycles.front();
    if (cycle) cycle.isCleared = true;
    const chunks = this.backlog;
    this.backlog = [];
    for (const chunk of chunks) this.push(chunk);
    if (!this.isHolding) this.exchange.add({ kind: "resumeServer" });
  }

  private scan(chunk: Buffer): void {
    const { scanner } = this;
    scanner.begin(chunk);
    let from = 0;
    while (scanner.next()) {
      const wasCollecting = this.isCollecting;
      const cycle = this.exchange.cycles.front();
      const verdict = cycle ? this.onMessage(cycle) : this.onUnasked();
      if (verdict === "pass" && wasCollecting === this.isCollecting) continue;
      if (verdict === "pass" && this.isCollecting) {
        // Collecting begins with this message.
        this.isCollecting = false;
        this.emit(from, scanner.start);
        this.isCollecting = true;
        from = scanner.start;
      } else if (verdict === "pass") {
        // Collecting has ended with this message (ReadyForQuery), which belongs behind what was held.
        this.isCollecting = true;
        this.emit(from, Math.min(scanner.end, scanner.buffer.length));
        this.isCollecting = false;
        this.letGo();
        from = scanner.end;
      } else {
        this.emit(from, scanner.start);
        from = scanner.end;
      }
      if (verdict === "hold") {
        this.isHolding = true;
        this.backlog.push(scanner.takeBack());
        return;
      }
    }
    this.emit(from, scanner.forwardEnd);
  }

  private emit(from: number, to: number): void {
    if (to <= from) return;
    const { buffer } = this.scanner;
    const bytes = from === 0 && to === buffer.length ? buffer : buffer.subarray(from, to);
    if (!this.isCollecting) {
      this.exchange.add({ kind: "toClient", bytes });
      return;
    }
    this.held.push(bytes);
    this.heldBytes += bytes.length;
  }

  private letGo(): void {
    for (const bytes of this.held) this.exchange.add({ kind: "toClient", bytes });
    this.held = [];
    this.heldBytes = 0;
  }

  private get body(): Buffer {
    const { buffer, start, end } = this.scanner;
    return buffer.subarray(start + 5, end);
  }

  private get isWhole(): boolean {
    return this.scanner.end <= this.scanner.buffer.length;
  }

  /** Nothing is owed: what comes is unsolicited. */
  private onUnasked(): Verdict {
    const { type } = this.scanner;
    if (type === backend.readyForQuery || type === backend.commandComplete) this.lostTrack();
    return this.onAside(undefined);
  }

  private onMessage(cycle: Cycle): Verdict {
    switch (this.scanner.type) {
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
    return cycle.isOwn || cycle.isDiscarded ? "drop" : "pass";
  }

  /** Notices, notifications and parameters come at any time, and are the client's whatever is under way. */
  private onAside(cycle: Cycle | undefined): Verdict {
    const { type } = this.scanner;
    if (!this.isWhole) return "pass";
    if (type === backend.parameterStatus) {
      const { name, value } = parseParameterStatus(this.body);
      this.exchange.parameters.set(name, value);
    } else if (type === backend.error) this.exchange.hasFatal ||= this.isFatal();
    else if (type === backend.notice && this.exchange.isHonest && cycle) {
      const report = parseReport(this.body);
      if (report.get("R") === "SyncRepWaitForLSN") {
        // The warning would tell the client what is about to be made untrue.
        cycle.wasInterrupted = true;
        if (cycle.verify === "nothing") {
          cycle.verify = "answer";
          cycle.answer ??= { synchronousCommit: "on", hasId: undefined, settings: undefined };
          cycle.verifyFromStep = Math.min(cycle.verifyFromStep, cycle.stepsSeen);
        }
        return "drop";
      }
    }
    return "pass";
  }

  private isFatal(): boolean {
    if (!this.isWhole) return false;
    const severity = parseReport(this.body).get("V");
    return severity === "FATAL" || severity === "PANIC";
  }

  private onError(cycle: Cycle): Verdict {
    if (this.isFatal()) {
      // A statement that ends so before its completion was rolled back; of several, some may have been committed.
      const isUncertain = cycle.verify === "always" || cycle.hasCompleted || cycle.wasInterrupted;
      if (isUncertain) return "drop";
      this.exchange.hasFatal = true;
      return "pass";
    }
    cycle.hasFailed = true;
    if (cycle.isOptional) return "drop";
    if (cycle.isOwn) {
      // Our question fails when a cancel hits it. It took the client's transaction along: that is the COMMIT's answer.
      if (cycle.answers) cycle.answers.isDiscarded = true;
      return "pass";
    }
    if (cycle.isDiscarded) return "drop";
    if (cycle.isRewritten && this.isCollecting) {
      // In the simple protocol a completion comes after the commit; here it came before, and there was none.
      this.held = [];
      this.heldBytes = 0;
    }
    if (!cycle.substitute || (cycle.kind === "batch" && cycle.stepsSeen !== cycle.substitute.step))
      return "pass";
    const { error } = cycle.substitute;
    cycle.substitute = undefined;
    this.exchange.add({ kind: "toClient", bytes: error });
    return "drop";
  }

  private onFunctionResult(cycle: Cycle): Verdict {
    if (!cycle.isOwn) return this.onCompletion(cycle);
    if (cycle.answers && this.isWhole) {
      this.exchange.learn(cycle.answers, answerOfFunction(parseFunctionResult(this.body)));
    }
    return "drop";
  }

  private onDataRow(cycle: Cycle): Verdict {
    if (cycle.isOwn || (cycle.sections.length > 0 && isOwnStep(cycle, cycle.stepsSeen))) {
      if (this.isWhole)
        this.exchange.learn(cycle.answers ?? cycle, answerOfRow(parseDataRow(this.body)));
      return "drop";
    }
    return this.shown(cycle);
  }

  private onStep(cycle: Cycle): Verdict {
    const { type } = this.scanner;
    const isCompletion =
      type === backend.commandComplete ||
      type === backend.emptyQuery ||
      type === backend.portalSuspended;
    if (cycle.kind === "query") return isCompletion ? this.onCompletion(cycle) : this.shown(cycle);
    const step = cycle.stepsSeen;
    if (cycle.isOwn) {
      cycle.stepsSeen++;
      return "drop";
    }
    if (isOwnStep(cycle, step)) {
      cycle.stepsSeen++;
      return "drop";
    }
    const verdict =
      isCompletion && step >= cycle.verifyFromStep ? this.onCompletion(cycle) : this.shown(cycle);
    if (verdict === "hold") return verdict;
    cycle.stepsSeen++;
    if (cycle.isRewritten && !isCompletion && type !== backend.rowDescription) return "drop";
    return verdict;
  }

  /** A statement has completed. In a cycle whose commit is in doubt, this is where its answer stops. */
  private onCompletion(cycle: Cycle): Verdict {
    if (cycle.isDiscarded) return "drop";
    cycle.hasCompleted = true;
    if (cycle.stepsSeen >= cycle.commitFromStep) cycle.hasCommitted = true;
    if (cycle.verify === "nothing") return "pass";
    // The client waits for this before it sends its Sync: the decision is now.
    if (cycle.isOpen) {
      const verdict = this.decide(cycle, cycle.verify === "answer" && !cycle.answer);
      // Of this completion only: another commit may follow in the batch.
      if (verdict === "pass") cycle.isCleared = false;
      return verdict;
    }
    if (this.heldBytes > heldBytesMax) {
      const verdict = this.decide(cycle, false);
      if (verdict === "hold") return verdict;
      this.letGo();
      cycle.isCleared = false;
    }
    this.isCollecting = true;
    return "pass";
  }

  private decide(cycle: Cycle, isTooEarly: boolean): Verdict {
    const upTo = isTooEarly ? undefined : this.exchange.waitFor(cycle);
    if (!upTo) return "pass";
    this.exchange.add({ kind: "awaitDurable", upTo });
    return "hold";
  }

  private onReady(cycle: Cycle): Verdict {
    if (cycle.isOpen) this.lostTrack();
    if (this.decide(cycle, false) === "hold") return "hold";
    const { exchange } = this;
    this.isCollecting = false;
    exchange.state = this.body[0] ?? exchange.state;
    exchange.cycles.popFront();
    if (exchange.state === transactionState.idle) {
      exchange.writesAtCommit = false;
      exchange.book.endTransaction();
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
  }

  /** What a client pipelined cannot be told apart any more: better no answer than a wrong one. */
  private lostTrack(): never {
    const hint = "Do not send further commands before a COPY FROM STDIN has ended.";
    const message = "the endpoint cannot follow this use of the protocol";
    throw new BorealisError(sqlState.notSupported, message, { hint });
  }
}
