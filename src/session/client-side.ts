import { BorealisError, ProtocolViolation } from "../base/errors.ts";
import {
  encodeBind,
  encodeDescribe,
  encodeError,
  encodeExecute,
  encodeParse,
  encodeQuery,
  encodeSync,
  findBindNames,
  findExecutePortal,
  findParseName,
  findTarget,
  frontend,
  frontendLengthMax,
  MessageScanner,
  parseTextOf,
  queryTextOf,
  transactionState,
} from "../wire/index.ts";
import { CommitQuestions } from "./commit-questions.ts";
import type { Cycle } from "./cycle.ts";
import type { Exchange } from "./exchange.ts";
import { opaquePlan, type TextPlan } from "./plan.ts";
import { queryProbeSteps } from "./probe.ts";

/** Longer texts are not looked at: they may do anything. */
export const textBytesMax = 256 * 1024;
/** Names stand at the front of a message; PostgreSQL itself cuts identifiers at 63 bytes, drivers' names are as short. */
const headBytesMax = 1024;

/** What becomes of the message at hand. */
type Verdict =
  | { readonly kind: "pass" }
  /** Not before the server has answered all that it owes: the decision needs its state. */
  | { readonly kind: "wait" }
  | { readonly kind: "insertBefore"; readonly bytes: Buffer }
  | { readonly kind: "replace"; readonly bytes: Buffer };

const pass: Verdict = { kind: "pass" };
const wait: Verdict = { kind: "wait" };

// Fails in every state, aborts an open transaction, and runs nothing: just what a refused statement must do.
const unparsable = "refused by the endpoint";

function headOf(type: number, totalBytes: number): number {
  const lengthMax = frontendLengthMax(type);
  if (lengthMax === undefined) throw new ProtocolViolation(`invalid frontend message type ${type}`);
  if (totalBytes - 1 > lengthMax) throw new ProtocolViolation("invalid message length");
  const carriesText = type === frontend.query || type === frontend.parse;
  if (carriesText && totalBytes <= textBytesMax) return totalBytes;
  return type === frontend.copyData ? 5 : Math.min(totalBytes, headBytesMax);
}

/** The direction client to server: passes bytes on, and puts our questions among them where a commit needs one. */
export class ClientSide {
  private readonly exchange: Exchange;
  private readonly questions: CommitQuestions;
  private readonly scanner = new MessageScanner(headOf);
  private backlog: Buffer[] = [];
  private isWaiting = false;

  constructor(exchange: Exchange) {
    this.exchange = exchange;
    this.questions = new CommitQuestions(exchange);
  }

  /** Raises ProtocolViolation for what is not the protocol; the session then ends. */
  push(chunk: Buffer): void {
    if (this.isWaiting) this.backlog.push(chunk);
    else this.scan(chunk);
  }

  /** The server owes nothing any more: go on with what had to wait. */
  goOn(): void {
    if (!this.isWaiting || this.exchange.cycles.length > (this.exchange.openBatch ? 1 : 0)) return;
    this.isWaiting = false;
    const chunks = this.backlog;
    this.backlog = [];
    for (const chunk of chunks) this.push(chunk);
    if (!this.isWaiting) this.exchange.add({ kind: "resumeClient" });
  }

  private scan(chunk: Buffer): void {
    const { scanner } = this;
    scanner.begin(chunk);
    let from = 0;
    while (scanner.next()) {
      const verdict = this.onMessage();
      if (verdict.kind === "pass") continue;
      this.forward(from, scanner.start);
      from = scanner.start;
      if (verdict.kind === "wait") {
        this.isWaiting = true;
        // A copy would be as large; the view pins one chunk, and the client is not read meanwhile.
        this.backlog.push(scanner.takeBack());
        this.exchange.add({ kind: "pauseClient" });
        return;
      }
      this.exchange.add({ kind: "toServer", bytes: verdict.bytes });
      if (verdict.kind === "replace") from = scanner.end;
    }
    this.forward(from, scanner.forwardEnd);
  }

  private forward(from: number, to: number): void {
    if (to <= from) return;
    const { buffer } = this.scanner;
    const bytes = from === 0 && to === buffer.length ? buffer : buffer.subarray(from, to);
    this.exchange.add({ kind: "toServer", bytes });
  }

  /** The body of the message at hand, as far as it is here. */
  private get body(): Buffer {
    const { buffer, start, end } = this.scanner;
    return buffer.subarray(start + 5, Math.min(end, buffer.length));
  }

  private get isWhole(): boolean {
    return this.scanner.end <= this.scanner.buffer.length;
  }

  private onMessage(): Verdict {
    const { exchange } = this;
    switch (this.scanner.type) {
      case frontend.query:
        return this.onQuery();
      case frontend.parse:
        return this.onParse();
      case frontend.bind:
        return this.onBind();
      case frontend.describe:
        this.questions.batch().stepsSent++;
        return pass;
      case frontend.execute:
        return this.onExecute();
      case frontend.close:
        return this.onClose();
      case frontend.sync:
        return this.onSync();
      case frontend.functionCall:
        return this.onFunctionCall();
      case frontend.terminate:
        exchange.hasTerminated = true;
        return pass;
      default:
        return pass; // Flush, CopyData, CopyDone, CopyFail: no answers of their own
    }
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
    if (openBatch) return this.onQueryInBatch(openBatch);
    if (plan.refusal) {
      const error = errorOf(plan.refusal);
      exchange.open("query", { substitute: { step: 0, error } });
      return { kind: "replace", bytes: encodeQuery(unparsable) };
    }
    if (
      !exchange.isHonest ||
      plan.role === "harmless" ||
      plan.role === "begin" ||
      plan.role === "rollback"
    ) {
      exchange.noteSent(plan);
      exchange.open("query");
      return pass;
    }
    if (exchange.cycles.length > 0) return wait;
    exchange.noteSent(plan);
    if (exchange.state === transactionState.idle) return this.onQueryOutside(plan);
    if (plan.role === "commit" && exchange.state === transactionState.open) {
      const bytes = this.questions.askBefore((facts) => exchange.open("query", facts));
      return { kind: "insertBefore", bytes };
    }
    const mayCommit = plan.role === "several" && plan.mayEndTransaction;
    exchange.startTimer(exchange.open("query", { verify: mayCommit ? "always" : "nothing" }));
    return pass;
  }

  /** A simple Query outside a transaction block that may write. */
  private onQueryOutside(plan: TextPlan): Verdict {
    const { exchange } = this;
    if (plan.role === "commit") {
      exchange.open("query"); // a warning: there is no transaction in progress
      return pass;
    }
    if (!plan.mayBeRewritten) {
      const cycle = exchange.open("query", { verify: "always" });
      exchange.startTimer(cycle);
      const bytes = this.questions.askWishes(cycle);
      return bytes ? { kind: "insertBefore", bytes } : pass;
    }
    const steps = 4; // Parse, Bind, Describe, Execute
    const cycle = exchange.open("batch", {
      isRewritten: true,
      isOpen: false,
      stepsSent: steps + queryProbeSteps,
      sections: [{ from: steps, to: steps + queryProbeSteps }],
      verify: "answer",
      verifyFromStep: steps - 1,
      drawsSequence: plan.drawsSequence,
    });
    exchange.startTimer(cycle);
    const text = this.body.subarray(0, -1);
    return {
      kind: "replace",
      bytes: Buffer.concat([
        encodeParse("", text),
        encodeBind("", ""),
        encodeDescribe("portal", ""),
        encodeExecute(""),
        exchange.question,
        encodeSync(),
      ]),
    };
  }

  /** A simple Query ends the unsynced messages before it: one ReadyForQuery for both. */
  private onQueryInBatch(batch: Cycle): Verdict {
    batch.isOpen = false;
    batch.verifyFromStep = Math.min(batch.verifyFromStep, batch.stepsSent);
    if (this.exchange.isHonest) batch.verify = "always";
    return pass;
  }

  private onParse(): Verdict {
    const { exchange } = this;
    const name = findParseName(this.body);
    const plan = this.planOf(parseTextOf);
    if (plan.refusal) {
      const batch = this.questions.batch();
      batch.substitute ??= { step: batch.stepsSent, error: errorOf(plan.refusal) };
      batch.stepsSent++;
      return { kind: "replace", bytes: encodeParse(name ?? "", unparsable) };
    }
    const question = this.questions.askBeforeBatch(plan);
    this.questions.batch().stepsSent++;
    // One statement by protocol, however long its text is.
    const single: TextPlan =
      plan === opaquePlan ? { ...opaquePlan, role: "write", mayEndTransaction: false } : plan;
    if (name !== undefined) exchange.book.parse(name, single);
    return question ? { kind: "insertBefore", bytes: question } : pass;
  }

  private onBind(): Verdict {
    const { exchange } = this;
    const names = findBindNames(this.body);
    const question =
      names && this.questions.askBeforeBatch(exchange.book.planOfStatement(names.statement));
    this.questions.batch().stepsSent++;
    if (names) exchange.book.bind(names.portal, names.statement);
    return question ? { kind: "insertBefore", bytes: question } : pass;
  }

  private onClose(): Verdict {
    const closed = findTarget(this.body);
    if (closed?.target === "statement") this.exchange.book.closeStatement(closed.name);
    else if (closed) this.exchange.book.closePortal(closed.name);
    this.questions.batch().stepsSent++;
    return pass;
  }

  private onExecute(): Verdict {
    const { exchange } = this;
    const portal = findExecutePortal(this.body);
    const plan = portal === undefined ? undefined : exchange.book.planOfPortal(portal);
    if (!exchange.isHonest || plan?.role === "harmless")
      return this.sendExecute(this.questions.batch(), plan);
    // A portal of an earlier batch: nothing was sent in this one yet.
    const question = this.questions.askBeforeBatch(plan);
    const batch = this.questions.batch();
    // The transaction's state is known only when the server owes nothing from before this batch.
    if (batch.state === undefined) {
      if (this.exchange.cycles.front() !== batch) return wait;
      batch.state = exchange.state;
    }
    const inserted = this.questions.beforeExecute(batch, plan);
    this.sendExecute(batch, plan);
    const bytes = question ?? inserted;
    return bytes ? { kind: "insertBefore", bytes } : pass;
  }

  private sendExecute(batch: Cycle, plan: TextPlan | undefined): Verdict {
    batch.stepsSent++;
    batch.executes++;
    if (plan) this.exchange.noteSent(plan);
    else this.exchange.isSuspicious = true;
    return pass;
  }

  private onSync(): Verdict {
    const batch = this.questions.batch();
    batch.isOpen = false;
    const bytes = this.questions.beforeSync(batch);
    return bytes ? { kind: "insertBefore", bytes } : pass;
  }

  private onFunctionCall(): Verdict {
    const { exchange } = this;
    const { openBatch } = exchange;
    if (openBatch) return this.onQueryInBatch(openBatch);
    if (!exchange.isHonest) {
      exchange.open("function");
      return pass;
    }
    if (exchange.cycles.length > 0) return wait;
    const isOutside = exchange.state === transactionState.idle;
    // Which function it is says an OID only; the transaction is over when the answer comes.
    exchange.startTimer(exchange.open("function", { verify: isOutside ? "always" : "nothing" }));
    return pass;
  }
}

function errorOf(refusal: { code: string; message: string; hint: string }): Buffer {
  return encodeError(
    new BorealisError(refusal.code, refusal.message, { hint: refusal.hint }),
    "ERROR",
  );
}
