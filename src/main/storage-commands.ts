import { bytesBetween, findLsn } from "../base/lsn.ts";
import { type Layout, type ReplacementReport, replacementSchema } from "../cluster/index.ts";
import { type CommandReport, pause, type Workplace } from "./command-report.ts";
import { reportOf, stateOf } from "./commands.ts";
import { ask, connectSupervisor, tell } from "./control-calls.ts";

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

/** A planned outage of storage nodes, or its end. */
export async function storageSwitch(
  { layout }: Workplace,
  verb: "stop" | "start",
  ids: readonly string[],
): Promise<CommandReport> {
  stateOf(layout);
  const client = await connectSupervisor(layout);
  try {
    await client.call(verb === "stop" ? "stopNodes" : "startNodes", { ids });
  } finally {
    client.close();
  }
  const done = verb === "stop" ? "stopped" : "started";
  return { document: { [done]: ids }, lines: [`${ids.join(", ")} ${done}`] };
}

/**
 * Replaces a storage node, whether it lives or not, and returns when its successor has caught up and counts. Who waits no
 * more ends the waiting, not the replacement.
 */
export async function storageReplace(place: Workplace, id: string): Promise<CommandReport> {
  const { layout, progress, signal } = place;
  stateOf(layout);
  const startedMs = performance.now();
  const before = replacementSchema.parse(await tell(layout, "replaceNode", { id }));
  let now = before;
  let told = "";
  while (now.phase !== "none" && now.phase !== "copying") {
    const text = phases[now.phase];
    if (text !== told) progress.begin(`${id}: ${text}`);
    told = text;
    const filled = await filledOf(now, layout);
    if (filled) progress.at(filled.doneBytes, filled.totalBytes);
    await pause(pollMs, signal);
    now = replacementSchema.parse(await ask(layout, "replacement", { id }));
  }
  progress.end();
  const seconds = Math.round(performance.now() - startedMs) / 1000;
  const replaced = `${id}: ${before.nodeId} is replaced by ${now.nodeId} (${seconds.toFixed(1)} s)`;
  return {
    document: { storage: id, replaced: before.nodeId, by: now.nodeId, seconds },
    lines: now.phase === "copying" ? [`${id}: ${phases.copying}`, replaced] : [replaced],
  };
}

/** How much of the log the successor has; undefined: it is not there yet, or does not say. */
async function filledOf(
  { id, nodeId, next, phase }: ReplacementReport,
  layout: Layout,
): Promise<{ readonly doneBytes: number; readonly totalBytes: number } | undefined> {
  if (phase !== "joining" && phase !== "filling") return undefined;
  const { storage, cluster } = await reportOf(layout);
  const row = storage.find((one) => one.id === id);
  const [base, scl, vdl] = [row?.base, row?.scl, cluster.vdl].map((text) => findLsn(text ?? ""));
  const isSuccessor = row?.nodeId === (next ?? nodeId);
  if (!isSuccessor || base === undefined || scl === undefined || vdl === undefined)
    return undefined;
  if (scl < base || vdl < base) return undefined;
  return { doneBytes: bytesBetween(base, scl), totalBytes: bytesBetween(base, vdl) };
}
