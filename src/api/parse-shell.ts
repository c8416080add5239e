import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import {
  type Clock,
  type Logger,
  startWorker,
  type Timer,
  type WorkerThread,
} from "../io/index.ts";
import type { FromParser, ParseOrder } from "./parse-messages.ts";
import type { Statement } from "./syntax.ts";

/** What a person writes takes some milliseconds. */
const parseMs = 1_000;
/** The parser has to be read and built first. */
const startMs = 20_000;
/** A thread that nobody has asked for so long gives its memory back. */
const idleMs = 60_000;
/** Texts that wait. */
const waitingMax = 100;

interface Waiting {
  readonly text: string;
  resolve(statements: readonly Statement[]): void;
  reject(error: BorealisError): void;
}

interface Thread {
  readonly worker: WorkerThread;
  isReady: boolean;
}

/** Parses in a thread that is started at the first text, one text at a time. */
export class ParserThread {
  private readonly clock: Clock;
  private readonly logger: Logger;
  private thread: Thread | undefined;
  private readonly queue: Waiting[] = [];
  private current: (Waiting & { readonly id: number }) | undefined;
  private timer: Timer | undefined;
  private lastId = 0;

  constructor({ clock, logger }: { readonly clock: Clock; readonly logger: Logger }) {
    this.clock = clock;
    this.logger = logger;
  }

  /** Raises 42601 with its place, 54001 for a text that takes too long, 53300 if too many wait. */
  parse(text: string): Promise<readonly Statement[]> {
    return new Promise((resolve, reject) => {
      if (this.queue.length >= waitingMax) return reject(tooBusy);
      this.queue.push({ text, resolve, reject });
      this.next();
    });
  }

  close(): void {
    this.stop(new BorealisError(sqlState.adminShutdown, "the endpoint is shutting down"));
  }

  private next(): void {
    if (this.current || this.queue.length === 0) return;
    const thread = this.thread ?? this.start();
    if (!thread.isReady) return;
    const waiting = this.queue.shift();
    if (!waiting) return;
    const id = ++this.lastId;
    this.current = { ...waiting, id };
    const order: ParseOrder = { id, text: waiting.text };
    thread.worker.post(order);
    this.limit(parseMs, tooLong);
  }

  private start(): Thread {
    const worker = startWorker({ name: "./parse-worker-shell", base: import.meta.url }, null);
    const thread = { worker, isReady: false };
    this.thread = thread;
    worker.onMessage((raw) => {
      // The thread posts FromParser and nothing else.
      if (this.thread === thread) this.take(thread, raw as FromParser);
    });
    worker.onExit((error) => {
      if (this.thread !== thread) return;
      this.logger.error({ event: "admin.parserEnded", reason: error && messageOf(error) });
      this.stop(new BorealisError(sqlState.internal, "the parser ended"));
    });
    this.limit(startMs, new BorealisError(sqlState.internal, "the parser does not start"));
    return thread;
  }

  private take(thread: Thread, message: FromParser): void {
    this.timer?.cancel();
    const { current } = this;
    if (message.kind === "ready") thread.isReady = true;
    else if (current && message.id === current.id) {
      this.current = undefined;
      if (message.kind === "parsed") current.resolve(message.statements);
      else current.reject(syntaxError(message.message, message.at ?? current.text.length));
    }
    this.next();
    if (!this.current) this.timer = this.clock.after(idleMs, () => this.stop(idle));
  }

  /** Who is being served is told the error; the others get another thread. */
  private limit(withinMs: number, error: BorealisError): void {
    this.timer?.cancel();
    this.timer = this.clock.after(withinMs, () => {
      this.logger.warn({ event: "admin.parserStopped", reason: error.message });
      if (this.current) {
        const { current } = this;
        this.current = undefined;
        current.reject(error);
        this.endThread();
        this.next();
      } else this.stop(error);
    });
  }

  private stop(error: BorealisError): void {
    this.endThread();
    const waiting = [...(this.current ? [this.current] : []), ...this.queue.splice(0)];
    this.current = undefined;
    for (const one of waiting) one.reject(error);
  }

  private endThread(): void {
    this.timer?.cancel();
    const { thread } = this;
    this.thread = undefined;
    thread?.worker.stop();
  }
}

function syntaxError(message: string, at: number): BorealisError {
  return new BorealisError(sqlState.syntaxError, message, {
    position: at + 1,
    hint: "The admin database knows a part of PostgreSQL's SELECT; its documentation says which.",
  });
}

const tooLong = new BorealisError(
  sqlState.tooComplex,
  `the statement takes the parser more than ${parseMs} ms`,
  { hint: "Write a shorter one." },
);

const tooBusy = new BorealisError(
  sqlState.tooManyConnections,
  "too many statements wait for the parser",
  { safeToRetry: true },
);

const idle = new BorealisError(sqlState.internal, "the parser was idle");
