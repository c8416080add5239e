import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import {
  type Clock,
  type Logger,
  startWorker,
  type Timer,
  type WorkerThread,
} from "../io/index.ts";
import {
  errorOf,
  type FromEvaluator,
  type Order,
  type Outcome,
  type PrepareOrder,
  type RunOrder,
} from "./evaluation.ts";

/** What a person asks takes some milliseconds. */
const workMs = 1_000;
/** The parser has to be read and built first. */
const startMs = 20_000;
/** A thread that nobody has asked for so long gives its memory back. */
const idleMs = 60_000;
/** Statements that wait; one a connection, and there are as many connections at most. */
const waitingMax = 100;
/** Of the thread's heap; the process has one of its own. */
const memoryMb = 128;

/** Called when its turn has come, so that what it holds is there once only, however many wait. */
export type OrderMaker = () => PrepareOrder | RunOrder;

interface Waiting {
  readonly order: OrderMaker;
  resolve(outcome: Outcome): void;
  reject(error: BorealisError): void;
}

interface Thread {
  readonly worker: WorkerThread;
  isReady: boolean;
}

/** Parses and evaluates in a thread that is started at the first statement, one at a time. */
export class EvaluatorThread {
  private readonly clock: Clock;
  private readonly logger: Logger;
  private readonly startThread: () => WorkerThread;
  private thread: Thread | undefined;
  private readonly queue: Waiting[] = [];
  private current: (Waiting & { readonly id: number }) | undefined;
  private timer: Timer | undefined;
  private lastId = 0;

  constructor({
    clock,
    logger,
    startThread = startEvaluator,
  }: {
    readonly clock: Clock;
    readonly logger: Logger;
    readonly startThread?: () => WorkerThread;
  }) {
    this.clock = clock;
    this.logger = logger;
    this.startThread = startThread;
  }

  /**
   * Raises what is wrong with the statement, 54001 for one that takes too long, 53200 for one that takes too much memory,
   * 53300 if too many wait.
   */
  evaluate(order: OrderMaker): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      if (this.queue.length >= waitingMax) return reject(tooBusy);
      this.queue.push({ order, resolve, reject });
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
    try {
      const order: Order = { ...waiting.order(), id };
      thread.worker.post(order);
    } catch (error) {
      // Thrown on, it would be the end of the process: this may be called by a timer.
      this.logger.error({ event: "admin.broken", reason: messageOf(error) });
      waiting.reject(error instanceof BorealisError ? error : broken);
      return this.next();
    }
    this.current = { ...waiting, id };
    this.limit(workMs, tooLong);
  }

  private start(): Thread {
    const worker = this.startThread();
    const thread = { worker, isReady: false };
    this.thread = thread;
    worker.onMessage((raw) => {
      // The thread posts FromEvaluator and nothing else.
      if (this.thread === thread) this.take(thread, raw as FromEvaluator);
    });
    worker.onExit((error) => {
      if (this.thread === thread) this.lose(error);
    });
    this.limit(startMs, new BorealisError(sqlState.internal, "the evaluator does not start"));
    return thread;
  }

  private take(thread: Thread, message: FromEvaluator): void {
    this.timer?.cancel();
    const { current } = this;
    if (message.kind === "ready") thread.isReady = true;
    else if (current && message.id === current.id) {
      this.current = undefined;
      if (message.kind === "done") current.resolve(message.outcome);
      else if (message.kind === "failed") current.reject(errorOf(message.error));
      else {
        this.logger.error({ event: "admin.broken", reason: message.reason });
        current.reject(broken);
      }
    }
    this.next();
    if (!this.current) this.timer = this.clock.after(idleMs, () => this.stop(idle));
  }

  /** The thread has ended by itself: by what it was asked, as far as can be told. The others get another one. */
  private lose(error: Error | undefined): void {
    this.logger.warn({ event: "admin.evaluatorEnded", reason: error && messageOf(error) });
    if (this.current) this.dropCurrent(tooLarge);
    else this.stop(new BorealisError(sqlState.internal, "the evaluator ended"));
  }

  private limit(withinMs: number, error: BorealisError): void {
    this.timer?.cancel();
    this.timer = this.clock.after(withinMs, () => {
      this.logger.warn({ event: "admin.evaluatorStopped", reason: error.message });
      if (this.current) this.dropCurrent(error);
      else this.stop(error);
    });
  }

  /** Who is being served is told the error; the others get another thread. */
  private dropCurrent(error: BorealisError): void {
    this.current?.reject(error);
    this.current = undefined;
    this.endThread();
    this.next();
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

function startEvaluator(): WorkerThread {
  const module = { name: "./evaluator-worker-shell", base: import.meta.url };
  return startWorker(module, null, { maxOldGenerationSizeMb: memoryMb });
}

const tooLong = new BorealisError(
  sqlState.tooComplex,
  `the statement takes more than ${workMs} ms`,
  { hint: "Write a shorter one, or join fewer rows." },
);

const tooLarge = new BorealisError(
  sqlState.outOfMemory,
  `the statement takes more than ${memoryMb} MiB of memory`,
  { hint: "Join fewer rows, or make shorter texts." },
);

const tooBusy = new BorealisError(
  sqlState.tooManyConnections,
  "too many statements of the admin database wait",
  { safeToRetry: true },
);

const broken = new BorealisError(sqlState.internal, "the statement cannot be evaluated");
const idle = new BorealisError(sqlState.internal, "the evaluator was idle");
