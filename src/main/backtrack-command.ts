import { setTimeout } from "node:timers/promises";
import { BorealisError, sqlState } from "../base/errors.ts";
import { formatLsn } from "../base/lsn.ts";
import {
  type BacktrackProgress,
  backtrackProgressSchema,
  type BacktrackReport,
  type BacktrackRequest,
  type Layout,
} from "../cluster/index.ts";
import { z } from "zod";
import { type Options, printJson, requireCluster } from "./commands.ts";
import { ask, tell } from "./control-calls.ts";
import { parseMoment } from "./moment-text.ts";
import { print } from "./print.ts";
import { Progress } from "./progress.ts";

const pollMs = 100;

const steps: Readonly<Partial<Record<BacktrackProgress["phase"], string>>> = {
  planning: "reading the log behind that moment",
  staging: "building an instance as it was then (writes go on)",
  holding: "going back (writes are held)",
  counting: "counting what was undone (writes go on)",
};

/** Rewinds the cluster in place; returns when it accepts writes again. With `dryRun`: says what that would undo. */
export async function backtrack(
  options: Options & { to: string; dryRun?: boolean },
): Promise<void> {
  const { layout } = requireCluster(options);
  const to = momentOf(options.to);
  const isJson = options.json ?? false;
  const id = await begin(layout, { to, isDryRun: options.dryRun ?? false });
  const report = await seeItThrough(layout, id, isJson);
  if (isJson) printJson(report);
  else printReport(report);
}

function momentOf(text: string): BacktrackRequest["to"] {
  const moment = parseMoment(text, "--to", Date.now());
  if (moment.kind === "lsn") return { kind: "lsn", at: formatLsn(moment.at) };
  if (moment.kind === "time") return { kind: "time", timeUs: String(moment.timeUs) };
  throw new BorealisError(sqlState.invalidParameter, "--to: the cluster is at its latest moment", {
    hint: "name an earlier one, for example -5m or 0/16B3748",
  });
}

async function begin(layout: Layout, request: BacktrackRequest): Promise<number> {
  const answer = await tell(layout, "backtrack", request);
  return z.object({ id: z.number() }).parse(answer).id;
}

async function seeItThrough(layout: Layout, id: number, isJson: boolean): Promise<BacktrackReport> {
  const progress = new Progress({ isJson });
  let told: BacktrackProgress["phase"] = "none";
  try {
    for (;;) {
      const now = backtrackProgressSchema.parse(await ask(layout, "backtrackProgress", { id }));
      if (now.error) {
        const { code, message, hint } = now.error;
        throw new BorealisError(code, message, hint === null ? {} : { hint });
      }
      if (now.phase === "none") throw forgotten();
      if (now.phase === "done" && now.report) {
        progress.end();
        return now.report;
      }
      const step = steps[now.phase];
      if (now.phase !== told && step !== undefined) progress.begin(step);
      told = now.phase;
      if (now.totalBytes > 0) progress.at(now.doneBytes, now.totalBytes);
      await setTimeout(pollMs);
    }
  } finally {
    progress.close();
  }
}

/** The control plane was restarted before anything was written down. */
function forgotten(): BorealisError {
  const why = "the control plane was restarted before anything was undone";
  return new BorealisError(sqlState.connectionFailure, why, { hint: "ask again" });
}

function printReport(report: BacktrackReport): void {
  const { to, undone, window, done } = report;
  const { transactions: n } = undone;
  const count = n === null ? "(not counted)" : `${n} transaction${n === 1 ? "" : "s"}`;
  const span = undone.from === null ? "" : `, committed from ${undone.from} to ${undone.to}`;
  print(
    `${done ? "went back" : "would go back"} to ${to.lsn}: the last commit there is of ${to.lastCommit}`,
  );
  print(`${done ? "undone" : "undoes"}: ${count}${span}`);
  if (!done) return print(`the backtrack window is from ${window.from} to ${window.to}`);
  const { writer, epoch, timeline, heldMs } = done;
  print(`${writer} is the writer: epoch ${epoch}, timeline ${timeline}`);
  if (heldMs !== null) print(`writes were held for ${(heldMs / 1000).toFixed(2)} s`);
  print(
    `until ${done.returnableUntil}, borealis backtrack --to ${done.abandonedEnd} returns to what was left`,
  );
}
