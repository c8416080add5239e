import { BorealisError } from "../base/errors.ts";
import { orAborted, realClock } from "../io/index.ts";
import {
  snapshotDeletedSchema,
  type SnapshotJob,
  snapshotJobSchema,
  snapshotRowSchema,
} from "../keeper/index.ts";
import type { CommandReport, Workplace } from "./command-report.ts";
import { stateOf } from "./commands.ts";
import { connectControl, isConnectionFailure } from "./control-calls.ts";
import { formatBytes } from "./progress-meter.ts";

/**
 * Takes a snapshot that stays until it is deleted, and returns when it exists. Who waits no more ends the waiting, not the
 * snapshot. Raises 22023 for an id that cannot be or is taken, 57P03 when there is no instance to take it from.
 */
export async function snapshotCreate(
  place: Workplace,
  id: string | undefined,
): Promise<CommandReport> {
  const startMs = realClock.nowMs();
  const answer = await askWithProgress("snapshotCreate", { id: id ?? null }, place);
  const row = snapshotRowSchema.parse(answer);
  const { dataBytes, storedBytes, endLsn } = row;
  const sizes = `${formatBytes(dataBytes)} of data in ${formatBytes(storedBytes)}`;
  const seconds = ((realClock.nowMs() - startMs) / 1000).toFixed(1);
  const line = `snapshot ${row.id} is taken: ${sizes}, up to ${endLsn} (${seconds} s)`;
  return { document: row, lines: [line] };
}

/**
 * Returns when it is gone for good; what only it held is collected within two times `snapshot.collectMinutes`. Raises 22023 if
 * there is none of that id, 58030 when so many stores are away that it might come back.
 */
export async function snapshotDelete(place: Workplace, id: string): Promise<CommandReport> {
  const answer = await askWithProgress("snapshotDelete", { id }, place);
  const { waiting } = snapshotDeletedSchema.parse(answer);
  return {
    document: { deleted: id, waiting },
    lines: [
      `snapshot ${id} is deleted`,
      // The keeper names both alike.
      ...waiting.map(
        (store) =>
          `  ${store} still has it: it follows when it is back, or has another one to begin a restore with`,
      ),
    ],
  };
}

async function askWithProgress(
  method: "snapshotCreate" | "snapshotDelete",
  params: unknown,
  { layout, progress, signal }: Workplace,
): Promise<unknown> {
  stateOf(layout);
  const client = await connectControl(layout);
  let step = "";
  client.onEvent((event, data) => {
    if (event !== "progress") return;
    const job = snapshotJobSchema.parse(data);
    const now = stepOf(job);
    if (now !== step) progress.begin(now, job.totalBytes ?? undefined);
    step = now;
    progress.at(job.doneBytes, job.totalBytes ?? undefined);
  });
  try {
    return await orAborted(client.call(method, params), signal);
  } catch (error) {
    throw wentAway(error);
  } finally {
    client.close();
  }
}

function stepOf({ what, id }: SnapshotJob): string {
  const of = id === null ? "" : ` ${id}`;
  if (what === "collecting") return "waiting for a collection of extents";
  if (what === "copying") return "waiting while a store is given the snapshots that it lacks";
  return what === "taking" ? `taking snapshot${of}` : `deleting snapshot${of}`;
}

function wentAway(error: unknown): unknown {
  if (!isConnectionFailure(error)) return error;
  return new BorealisError(error.code, "a process of the cluster went away meanwhile", {
    hint: "see what came of it with borealis snapshot list, and try again",
    cause: error,
  });
}
