import { Worker } from "node:worker_threads";
import type { blocking } from "./disk.ts";
import type { Entropy } from "./entropy.ts";

/** A thread of this process, seen from the one that started it. */
export interface WorkerThread {
  /** Copies `message` over; a SharedArrayBuffer inside it is shared, not copied. */
  post(message: unknown): void;
  onMessage(handler: (message: unknown) => void): void;
  /** Called once when the thread is gone; with its error if it did not end by itself. */
  onExit(handler: (error?: Error) => void): void;
  /** Asks the thread to stop. One that waits in a system call goes on waiting: nobody may wait for this. */
  stop(): void;
}

/** The starter, seen from inside the thread, and the verbs that only threads may use. */
export interface ParentThread {
  readonly data: unknown;
  readonly blocking: typeof blocking;
  readonly entropy: Entropy;
  /** This thread gives way to others where the cores do not suffice for all, where the system has priorities of threads. */
  giveWay(): void;
  post(message: unknown): void;
  onMessage(handler: (message: unknown) => void): void;
}

/** What a worker's module exports as `run`; called once. A promise keeps the thread until it settles. */
export type WorkerMain = (parent: ParentThread) => void | Promise<void>;

/**
 * Starts a module's `run` in a thread of its own. `name` is the module's path without its ending, relative to `base`
 * (an import.meta.url). The thread gets what it needs of io handed in, so its module imports types of it only and a
 * thread stays small. It keeps no process alive. A thread whose heap outgrows `limits` ends with an error, alone. Needs built code: Node 20 loads no .ts in a thread.
 */
export function startWorker(
  module: { readonly name: string; readonly base: string },
  data: unknown,
  limits: { readonly maxOldGenerationSizeMb?: number } = {},
): WorkerThread {
  const url = new URL(`${module.name}.js`, module.base).href;
  const worker = new Worker(new URL("./worker-entry.js", import.meta.url), {
    workerData: { url, data },
    // A thread allocates little; the default young generation alone would cost more than all it ever holds.
    resourceLimits: { maxYoungGenerationSizeMb: 4, ...limits },
  });
  worker.unref();
  let failure: Error | undefined;
  let isGone = false;
  let onMessage = (_message: unknown): void => {};
  let onExit = (_error?: Error): void => {};
  worker.on("message", (message: unknown) => onMessage(message));
  worker.on("error", (error) => {
    failure = error instanceof Error ? error : new Error(String(error));
  });
  worker.on("exit", () => {
    isGone = true;
    onExit(failure);
  });
  return {
    post: (message) => worker.postMessage(message),
    onMessage: (handler) => {
      onMessage = handler;
    },
    onExit: (handler) => {
      onExit = handler;
      if (isGone) handler(failure);
    },
    stop: () => {
      // The promise settles when the thread is gone, which onExit tells; a blocked thread may take for ever.
      void worker.terminate();
    },
  };
}
