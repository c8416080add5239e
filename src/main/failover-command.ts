import { BorealisError } from "../base/errors.ts";
import { type FailoverReport, failoverSchema } from "../cluster/index.ts";
import { orAborted, realClock } from "../io/index.ts";
import { type CommandReport, pause, type Workplace } from "./command-report.ts";
import { reportOf, stateOf } from "./commands.ts";
import { connectControl, isConnectionFailure } from "./control-calls.ts";
import { readState } from "./data-dir.ts";

type Told = Omit<FailoverReport, "heldMs"> & { readonly heldMs: number | null };

/** Promotes a reader; returns when the new writer accepts writes. Without a target: the one of the lowest tier. */
export async function failover(
  place: Workplace,
  { target }: { readonly target?: string | undefined },
): Promise<CommandReport> {
  stateOf(place.layout);
  const report = await askForFailover(place, target);
  const { writer, previous, epoch, timeline, heldMs } = report;
  const from = previous === null ? "" : ` instead of ${previous}`;
  const lines = [`${writer} is the writer${from}: epoch ${epoch}, timeline ${timeline}`];
  if (heldMs !== null) lines.push(`writes were held for ${(heldMs / 1000).toFixed(2)} s`);
  return { document: report, lines };
}

async function askForFailover(place: Workplace, target: string | undefined): Promise<Told> {
  const client = await connectControl(place.layout);
  try {
    const answer = client.call("failover", { target: target ?? null });
    return failoverSchema.parse(await orAborted(answer, place.signal));
  } catch (error) {
    if (!isConnectionFailure(error)) throw error;
    return await seeItThrough(place, target, error);
  } finally {
    client.close();
  }
}

/** The control plane was restarted in the middle: if the target had been appointed, the next one goes on to the end. */
async function seeItThrough(
  { layout, signal }: Workplace,
  target: string | undefined,
  cause: BorealisError,
): Promise<Told> {
  const deadlineMs = realClock.nowMs() + 60_000;
  while (target !== undefined && readState(layout)?.writer === target) {
    const { cluster } = await reportOf(layout);
    const { epoch, timeline, writer } = cluster;
    if (writer === target) return { writer, previous: null, heldMs: null, epoch, timeline };
    if (realClock.nowMs() > deadlineMs) break;
    await pause(100, signal);
  }
  throw new BorealisError(cause.code, "the control plane went away during the failover", {
    hint: "borealis status shows who writes; ask again if it is not the one that you wanted",
    cause,
  });
}
