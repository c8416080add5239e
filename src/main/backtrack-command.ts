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
import { type CommandReport, pause, type Workplace } from "./command-report.ts";
import { stateOf } from "./commands.ts";
import { ask, tell } from "./control-calls.ts";
import { parseMoment } from "./moment-text.ts";

const pollMs = 100;

const steps: Readonly<Partial<Record<BacktrackProgress["phase"], string>>> = {
  planning: "reading the log behind that moment",
  staging: "building an instance as it was then (writes go on)",
  holding: "going back (writes are held)",
  counting: "counting what was undone (writes go on)",
};

/** What people ask for; `option` is where they say the moment. */
export interface BacktrackWish {
  readonly to: string;
  readonly isDryRun: boolean;
  readonly option: string;
}

/** Rewinds the cluster in place; returns when it accepts writes again. A dry run says what that would undo. */
export async function backtrack(place: Workplace, wish: BacktrackWish): Promise<CommandReport> {
  stateOf(place.layout);
  const to = momentOf(wish);
  const id = await begin(place.layout, { to, isDryRun: wish.isDryRun });
  const report = await seeItThrough(place, id);
  return { document: report, lines: linesOf(report) };
}

function momentOf({ to, option }: BacktrackWish): BacktrackRequest["to"] {
  const moment = parseMoment(to, option, Date.now());
  if (moment.kind === "lsn") return { kind: "lsn", at: formatLsn(moment.at) };
  if (moment.kind === "time") return { kind: "time", timeUs: String(moment.timeUs) };
  const why = `${option}: the cluster is at its latest moment`;
  throw new BorealisError(sqlState.invalidParameter, why, {
    hint: "name an earlier one, for example -5m or 0/16B3748",
  });
}

async function begin(layout: Layout, request: BacktrackRequest): Promise<number> {
  const answer = await tell(layout, "backtrack", request);
  return z.object({ id: z.number() }).parse(answer).id;
}

async function seeItThrough(
  { layout, progress, signal }: Workplace,
  id: number,
): Promise<BacktrackReport> {
  let told: BacktrackProgress["phase"] = "none";
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
    await pause(pollMs, signal);
  }
}

/** The control plane was restarted before anything was written down. */
function forgotten(): BorealisError {
  const why = "the control plane was restarted before anything was undone";
  return new BorealisError(sqlState.connectionFailure, why, { hint: "ask again" });
}

function linesOf(report: BacktrackReport): string[] {
  const { to, undone, window, done } = report;
  const { transactions: n } = undone;
  const count = n === null ? "(not counted)" : `${n} transaction${n === 1 ? "" : "s"}`;
  const span = undone.from === null ? "" : `, committed from ${undone.from} to ${undone.to}`;
  const went = done ? "went back" : "would go back";
  const lines = [
    `${went} to ${to.lsn}: the last commit there is of ${to.lastCommit}`,
    `${done ? "undone" : "undoes"}: ${count}${span}`,
  ];
  if (!done) return [...lines, `the backtrack window is from ${window.from} to ${window.to}`];
  const { writer, epoch, timeline, heldMs } = done;
  lines.push(`${writer} is the writer: epoch ${epoch}, timeline ${timeline}`);
  if (heldMs !== null) lines.push(`writes were held for ${(heldMs / 1000).toFixed(2)} s`);
  lines.push(
    `until ${done.returnableUntil}, borealis backtrack --to ${done.abandonedEnd} returns to what was left`,
  );
  return lines;
}
