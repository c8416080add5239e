import { backend, MessageScanner, parseReport } from "../wire/index.ts";
import type { Action } from "./action.ts";
import type { Cycle } from "./cycle.ts";
import type { Exchange } from "./exchange.ts";
import { heldBytesMax, Outbox } from "./outbox.ts";
import { ServerMessages, type ServerVerdict } from "./server-messages.ts";

/** What a server may say behind the ReadyForQuery of the last cycle that it has begun with. */
const unasked = new Set<number>([backend.notice, backend.notification, backend.parameterStatus]);
/** One for all: commits are many. */
const committed: Action = { kind: "committed" };
const drainedBacklogBytesMax = 64 * 1024;
const readbackBytesMax = 16 * 1024 * 1024;
/** Small messages are presented whole, so that nothing has to be put together later. */
const wholeBytesMax = 512;
const noticeBytesMax = 8 * 1024;

function headOf(type: number, totalBytes: number): number {
  if (totalBytes <= wholeBytesMax) return totalBytes;
  const mayMatter =
    type === backend.notice ||
    type === backend.error ||
    type === backend.parameterStatus ||
    type === backend.notification;
  return mayMatter && totalBytes <= noticeBytesMax ? totalBytes : 5;
}

/**
 * The direction server to client: passes bytes on, takes out the answers to our questions, and holds completions
 * back until what they tell is durable.
 */
export class ServerSide {
  private readonly exchange: Exchange;
  private readonly scanner = new MessageScanner((type, totalBytes) => {
    // What a session has may be long, and is needed whole.
    const isReadback =
      type === backend.dataRow && this.exchange.cycles.front()?.isReadback === true;
    return isReadback && totalBytes <= readbackBytesMax ? totalBytes : headOf(type, totalBytes);
  });
  /** Completions wait here for ReadyForQuery, where their fate is decided. */
  readonly outbox: Outbox;
  private readonly messages: ServerMessages;
  private isHolding = false;
  private backlog: Buffer[] = [];
  private backlogBytes = 0;
  /** What is held is too much to wait for its ReadyForQuery: it is told with the next release. */
  private isFull = false;
  /** The body of a message that is dropped goes on. */
  private isDropping = false;
  /** The client has the beginning of a message, and its rest did not come in time. */
  private isCut = false;

  constructor(exchange: Exchange) {
    this.exchange = exchange;
    this.outbox = new Outbox(exchange);
    this.messages = new ServerMessages(exchange, this.outbox, this.scanner);
  }

  /** True: the server must not be read. */
  get isBlocked(): boolean {
    return this.isHolding;
  }

  /** The client has the beginning of a message only. */
  get isMidMessage(): boolean {
    const isUnderWay = this.scanner.missingBytes > 0 && !this.isDropping;
    return this.isCut || (isUnderWay && !this.outbox.isCollecting);
  }

  /** Between two messages of the server, none of which is held. */
  get isAtBoundary(): boolean {
    return this.scanner.isAtBoundary && !this.isHolding;
  }

  /** Forgets the bytes that it saw last; only at a boundary. */
  letGoOfChunk(): void {
    this.scanner.letGo();
  }

  push(chunk: Buffer): void {
    if (this.isHolding) this.putBack(chunk);
    else this.scan(chunk);
  }

  private putBack(chunk: Buffer): void {
    this.backlogBytes += chunk.length;
    // A server that is lost is read on; that it has more to say is all that matters then.
    const isKept = !this.outbox.isDraining || this.backlogBytes <= drainedBacklogBytesMax;
    if (isKept) this.backlog.push(chunk);
  }

  private takeBacklog(): Buffer[] {
    const chunks = this.backlog;
    this.backlog = [];
    this.backlogBytes = 0;
    return chunks;
  }

  /** The server is gone. What it has said is looked at; what a commit decides about is held, and nothing waited for. */
  drain(): void {
    this.isCut = this.isMidMessage;
    this.exchange.holdsAsides ||= this.isCut;
    this.outbox.isDraining = true;
    this.outbox.isCollecting = true;
    this.isHolding = false;
    for (const chunk of this.takeBacklog()) this.push(chunk);
  }

  /** The server has gone on behind the cycle where draining stops. */
  get hasMore(): boolean {
    if (this.backlogBytes > drainedBacklogBytesMax) return true;
    const scanner = new MessageScanner((_, totalBytes) => totalBytes);
    scanner.begin(Buffer.concat(this.backlog));
    let count = 0;
    while (scanner.next()) {
      const isReady = scanner.type === backend.readyForQuery && count++ === 0;
      const body = scanner.buffer.subarray(scanner.start + 5, scanner.end);
      if (!isReady && !unasked.has(scanner.type) && !isFarewell(scanner.type, body)) return true;
    }
    return !scanner.isAtBoundary;
  }

  /** The wait that was asked for is over: success is true. */
  release(): void {
    if (!this.isHolding) return;
    this.isHolding = false;
    const cycle = this.exchange.cycles.front();
    if (cycle && !this.isFull) cycle.isCleared = true;
    if (this.isFull) this.letGo();
    this.isFull = false;
    for (const chunk of this.takeBacklog()) this.push(chunk);
    if (!this.isHolding) this.exchange.add({ kind: "resumeServer" });
  }

  /** The wait is over, and it is not: what is held is not told, and `error` is. */
  refuse(error: Buffer): void {
    if (!this.isHolding) return;
    this.outbox.drop();
    this.outbox.put(error, true);
    this.release();
  }

  private scan(chunk: Buffer): void {
    const { scanner, outbox, messages } = this;
    const { missingBytes } = scanner;
    scanner.begin(chunk);
    let from = this.isDropping ? Math.min(missingBytes, chunk.length) : 0;
    this.isDropping &&= missingBytes > chunk.length;
    let lastStart = -1;
    while (scanner.next()) {
      lastStart = scanner.start;
      const wasCollecting = outbox.isCollecting;
      const cycle = this.exchange.cycles.front();
      const verdict = messages.next();
      const isReady = scanner.type === backend.readyForQuery;
      const isSame = verdict === "pass" && wasCollecting === outbox.isCollecting;
      if (isSame && !isReady && !messages.isCompletion) continue;
      if (isSame && isReady && !wasCollecting) {
        this.emit(from, scanner.end, false);
        from = scanner.end;
        if (cycle?.isOwn === false) this.finished(cycle);
        continue;
      }
      this.emit(from, scanner.start, wasCollecting);
      from = scanner.end;
      if (verdict === "hold") {
        this.isHolding = true;
        messages.isCompletion = false;
        this.putBack(scanner.takeBack());
        return;
      }
      this.follow(verdict, isReady);
      if (isReady && cycle && !cycle.isOwn) this.finished(cycle);
    }
    this.emitRest(from, lastStart);
    this.letGoIfLarge();
  }

  /** The last message that begins here does so at `lastStart`; -1: none does. */
  private emitRest(from: number, lastStart: number): void {
    const { scanner, outbox } = this;
    const { forwardEnd } = scanner;
    const front = this.exchange.cycles.front();
    const boundary = scanner.missingBytes > 0 ? lastStart : forwardEnd;
    // Of a Query of one statement: its COMMIT says more than is held, in triggers. What is told must end with a message.
    const isLong = outbox.heldBytes + boundary - from > heldBytesMax && !outbox.isDraining;
    if (isLong && boundary >= from && front?.isRewritten === true && front.hasCompleted) {
      this.emit(from, boundary, true);
      outbox.letGoAroundCompletion();
      this.emit(boundary, forwardEnd, true);
    } else this.emit(from, forwardEnd, outbox.isCollecting);
  }

  private finished(cycle: Cycle): void {
    if (cycle.answer?.xid && cycle.hasCompleted && !cycle.hasFailed) this.exchange.add(committed);
    this.exchange.finished(cycle);
  }

  /** What becomes of the message at hand; all before it is out. */
  private follow(verdict: Exclude<ServerVerdict, "hold">, isReady: boolean): void {
    const { scanner, outbox, messages } = this;
    const { replacement } = messages;
    const end = Math.min(scanner.end, scanner.buffer.length);
    // ReadyForQuery belongs behind what was held.
    if (isReady && verdict === "pass") outbox.letGo();
    if (messages.isCompletion) outbox.markCompletion();
    messages.isCompletion = false;
    if (verdict === "pass") this.emit(scanner.start, end, outbox.isCollecting);
    else if (verdict === "aside")
      this.exchange.tellAside(scanner.buffer.subarray(scanner.start, end));
    else if (end < scanner.end) this.isDropping = true;
    if (!replacement) return;
    messages.replacement = undefined;
    outbox.put(replacement, outbox.isCollecting);
  }

  /** A long answer is not held as a whole: it cannot be run again unseen any more. */
  private letGoIfLarge(): void {
    const { outbox } = this;
    const front = this.exchange.cycles.front();
    if (!front || this.isHolding || outbox.isDraining || outbox.heldBytes <= heldBytesMax) return;
    if (front.hasCompleted) {
      // The completion of a Query of one statement stays behind all else, and is small.
      if (front.isRewritten) return;
      this.isFull = this.messages.decide(front, false) === "hold";
      this.isHolding = this.isFull;
      if (!this.isFull) this.letGo();
    } else if (front.holdsAnswer) {
      front.holdsAnswer = false;
      this.letGo();
    }
  }

  /** What is held is told, and what follows, up to the next completion. */
  private letGo(): void {
    this.outbox.isCollecting = false;
    this.outbox.letGo();
  }

  private emit(from: number, to: number, isHeld: boolean): void {
    if (to <= from) return;
    const { buffer } = this.scanner;
    const bytes = from === 0 && to === buffer.length ? buffer : buffer.subarray(from, to);
    this.outbox.put(bytes, isHeld);
  }
}

/** That it ends: behind its last answer it is no answer. */
function isFarewell(type: number, body: Buffer): boolean {
  if (type !== backend.error) return false;
  const severity = parseReport(body).get("V");
  return severity === "FATAL" || severity === "PANIC";
}
