import { setTimeout } from "node:timers/promises";
import { BorealisError, sqlState } from "../base/errors.ts";
import { connectRpc, realClock, realRng, retry } from "../io/index.ts";
import { type Layout, type ReplacementReport, replacementSchema } from "../cluster/index.ts";
import { isRunning, notRunning, type Options, printJson, requireCluster } from "./commands.ts";
import { print } from "./print.ts";

const pollMs = 200;
/** The control plane may just be restarting. */
const answerDeadlineMs = 20_000;

const phases: Readonly<Record<ReplacementReport["phase"], string>> = {
  none: "done",
  queued: "queued: another node is being replaced",
  waiting: "waiting for a writer that has its quorum",
  making: "making its successor",
  joining: "its successor joins the group",
  filling: "its successor catches up",
  copying: "its successor counts; snapshots are copied to it in the background",
};

/**
 * Replaces a storage node, whether it lives or not, and returns when its successor has caught up and counts. Ctrl-C ends
 * the waiting, not the replacement.
 */
export async function storageReplace(id: string, options: Options): Promise<void> {
  const { layout } = requireCluster(options);
  const startedMs = performance.now();
  const before = await askControl(layout, "replaceNode", id);
  let now = before;
  let told = "";
  while (now.phase !== "none" && now.phase !== "copying") {
    const text = phases[now.phase];
    if (text !== told && options.json !== true) print(`${id}: ${text}`);
    told = text;
    // A timer that keeps this process alive: nothing else does between two questions.
    await setTimeout(pollMs);
    now = await askControl(layout, "replacement", id);
  }
  const seconds = Math.round(performance.now() - startedMs) / 1000;
  if (options.json)
    return printJson({ storage: id, replaced: before.nodeId, by: now.nodeId, seconds });
  if (now.phase === "copying") print(`${id}: ${phases.copying}`);
  print(`${id}: ${before.nodeId} is replaced by ${now.nodeId} (${seconds.toFixed(1)} s)`);
}

function askControl(layout: Layout, method: string, id: string): Promise<ReplacementReport> {
  const bounds = {
    clock: realClock,
    rng: realRng,
    firstDelayMs: 50,
    maxDelayMs: 500,
    deadlineMs: answerDeadlineMs,
    mayRetry: (error: unknown) =>
      error instanceof BorealisError && error.code === sqlState.connectionFailure,
  };
  return retry(bounds, async () => {
    if (!isRunning(layout)) throw notRunning(layout);
    const address = { kind: "unix", path: layout.controlSocket } as const;
    const client = await connectRpc(address, { timeoutMs: 1_000 });
    try {
      return replacementSchema.parse(await client.call(method, { id }, { timeoutMs: 5_000 }));
    } finally {
      client.close();
    }
  });
}
