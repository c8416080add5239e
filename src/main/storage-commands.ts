import { setTimeout } from "node:timers/promises";
import { bytesBetween, findLsn } from "../base/lsn.ts";
import { type ReplacementReport, replacementSchema } from "../cluster/index.ts";
import { type Options, printJson, readReport, requireCluster } from "./commands.ts";
import { ask, tell } from "./control-calls.ts";
import { print } from "./print.ts";
import { Progress } from "./progress.ts";

const pollMs = 200;

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
  const before = replacementSchema.parse(await tell(layout, "replaceNode", { id }));
  let now = before;
  const progress = new Progress({ isJson: options.json ?? false });
  let told = "";
  try {
    while (now.phase !== "none" && now.phase !== "copying") {
      const text = phases[now.phase];
      if (text !== told) progress.begin(`${id}: ${text}`);
      told = text;
      const filled = await filledOf(now, options);
      if (filled) progress.at(filled.doneBytes, filled.totalBytes);
      // A timer that keeps this process alive: nothing else does between two questions.
      await setTimeout(pollMs);
      now = replacementSchema.parse(await ask(layout, "replacement", { id }));
    }
    progress.end();
  } finally {
    progress.close();
  }
  const seconds = Math.round(performance.now() - startedMs) / 1000;
  if (options.json)
    return printJson({ storage: id, replaced: before.nodeId, by: now.nodeId, seconds });
  if (now.phase === "copying") print(`${id}: ${phases.copying}`);
  print(`${id}: ${before.nodeId} is replaced by ${now.nodeId} (${seconds.toFixed(1)} s)`);
}

/** How much of the log the successor has; undefined: it is not there yet, or does not say. */
async function filledOf(
  { id, nodeId, next, phase }: ReplacementReport,
  options: Options,
): Promise<{ readonly doneBytes: number; readonly totalBytes: number } | undefined> {
  if (phase !== "joining" && phase !== "filling") return undefined;
  const { storage, cluster } = await readReport(options);
  const row = storage.find((one) => one.id === id);
  const [base, scl, vdl] = [row?.base, row?.scl, cluster.vdl].map((text) => findLsn(text ?? ""));
  const isSuccessor = row?.nodeId === (next ?? nodeId);
  if (!isSuccessor || base === undefined || scl === undefined || vdl === undefined)
    return undefined;
  if (scl < base || vdl < base) return undefined;
  return { doneBytes: bytesBetween(base, scl), totalBytes: bytesBetween(base, vdl) };
}
