import { parentPort, workerData } from "node:worker_threads";
import { assert } from "../base/assert.ts";
import { blocking } from "./disk.ts";
import { realEntropy } from "./entropy.ts";
import type { ParentThread } from "./worker.ts";

/** The first module of every thread: loads the one that startWorker named and calls its `run`. */
const port = parentPort;
assert(port !== null, "this module is the first of a thread");
// Written by startWorker, in this process.
const { url, data } = workerData as { readonly url: string; readonly data: unknown };
const parent: ParentThread = {
  data,
  blocking,
  entropy: realEntropy,
  post: (message) => port.postMessage(message),
  onMessage: (handler) => {
    port.on("message", handler);
  },
};
const module: { readonly run?: unknown } = await import(url);
assert(typeof module.run === "function", "a thread's module exports run");
const work: unknown = module.run(parent);
if (work instanceof Promise) {
  // The clock's timers keep no thread alive: one that waits for nothing else would end in the middle of its work.
  const hold = setInterval(() => {}, 2 ** 30);
  void work.finally(() => clearInterval(hold));
}
