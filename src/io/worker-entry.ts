import { getPriority, platform, setPriority } from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import { assert } from "../base/assert.ts";
import { blocking } from "./disk.ts";
import { realEntropy } from "./entropy.ts";
import type { ParentThread } from "./worker.ts";

/** Of a thread beside one of 0 it is a third of a core; of nothing else it takes anything. */
const givingWay = 5;

/** The first module of every thread: loads the one that startWorker named and calls its `run`. */
const port = parentPort;
assert(port !== null, "this module is the first of a thread");
// Written by startWorker, in this process.
const { url, data } = workerData as { readonly url: string; readonly data: unknown };
const parent: ParentThread = {
  data,
  blocking,
  entropy: realEntropy,
  giveWay: () => {
    // Elsewhere it would be the process's.
    if (platform() === "linux") setPriority(0, Math.max(getPriority(0), givingWay));
  },
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
