import { BorealisError } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import type { ClusterState, Layout } from "../cluster/index.ts";
import { openLogger, realClock } from "../io/index.ts";
import {
  rowOf,
  snapshotDeletedSchema,
  type SnapshotJob,
  snapshotJobSchema,
  type SnapshotRow,
  snapshotRowSchema,
  snapshotRowsSchema,
} from "../keeper/index.ts";
import {
  ExtentSealer,
  liveSnapshots,
  type ObjectStore,
  onlyStore,
  openObjectStore,
  readDeletions,
  readSnapshot,
} from "../volume/index.ts";
import { type Options, printJson, requireCluster } from "./commands.ts";
import { ask, connectControl, isConnectionFailure } from "./control-calls.ts";
import type { RestoreSource } from "./restore-source.ts";
import {
  openStoreSource,
  type StoreOptions,
  type StorePlace,
  storePlaceOf,
} from "./restore-store-source.ts";
import { resumedObjectStore } from "./object-store.ts";
import { print, printTable } from "./print.ts";
import { Progress } from "./progress.ts";
import { formatBytes } from "./progress-meter.ts";
import { isRunning } from "./running.ts";
import { VolumeKeys } from "./volume-keys.ts";

const answerMs = 120_000;

/**
 * Takes a snapshot that stays until it is deleted, and returns when it exists. Ctrl-C ends the waiting, not the snapshot.
 * Raises 22023 for an id that cannot be or is taken, 57P03 when there is no instance to take it from.
 */
export async function snapshotCreate(id: string | undefined, options: Options): Promise<void> {
  const wanted = { id: id ?? null };
  const startMs = realClock.nowMs();
  const row = snapshotRowSchema.parse(await askWithProgress("snapshotCreate", wanted, options));
  if (options.json) return printJson(row);
  const { dataBytes, storedBytes, endLsn } = row;
  const sizes = `${formatBytes(dataBytes)} of data in ${formatBytes(storedBytes)}`;
  const seconds = ((realClock.nowMs() - startMs) / 1000).toFixed(1);
  print(`snapshot ${row.id} is taken: ${sizes}, up to ${endLsn} (${seconds} s)`);
}

/**
 * All snapshots, oldest first; those in the object store while the cluster is down, or of a volume that no cluster is left of:
 * `store` and `volume` name it, `keys` is the key provider's file.
 */
export async function snapshotList(options: Options & StoreOptions): Promise<void> {
  const asked = storePlaceOf(options);
  const rows = asked ? await listStore(asked) : await listCluster(options);
  if (options.json) return printJson(rows);
  printTable(
    ["SNAPSHOT", "KIND", "TAKEN", "LOG FROM", "UP TO", "DATA", "STORED"],
    rows.map((one) => [
      one.id,
      one.kind,
      one.takenAt.replace(/\.\d+Z$/, "Z"),
      one.startLsn,
      one.endLsn,
      formatBytes(one.dataBytes),
      formatBytes(one.storedBytes),
    ]),
  );
  print("  (snapshots share what they store)");
}

/**
 * Returns when it is gone for good; what only it held is collected within two hours. Raises 22023 if there is none of that
 * id, 58030 when so many stores are away that it might come back.
 */
export async function snapshotDelete(id: string, options: Options): Promise<void> {
  const answer = await askWithProgress("snapshotDelete", { id }, options);
  const { waiting } = snapshotDeletedSchema.parse(answer);
  if (options.json) return printJson({ deleted: id, waiting });
  print(`snapshot ${id} is deleted`);
  for (const store of waiting) print(`  ${store} is away: it follows when it is back`);
}

async function listCluster(options: Options): Promise<SnapshotRow[]> {
  const { layout, state } = requireCluster(options);
  if (isRunning(layout))
    return snapshotRowsSchema.parse(await ask(layout, "snapshotList", {}, answerMs));
  return readList(layout, state);
}

async function listStore(place: StorePlace): Promise<SnapshotRow[]> {
  const source = await openStoreSource(place);
  try {
    // It has one.
    const lists = await Promise.all(source.stores.map((store) => rowsIn(store, source)));
    return lists.flat();
  } finally {
    await source.close();
  }
}

async function askWithProgress(
  method: "snapshotCreate" | "snapshotDelete",
  params: unknown,
  options: Options,
): Promise<unknown> {
  const { layout } = requireCluster(options);
  const client = await connectControl(layout);
  const progress = new Progress({ isJson: options.json ?? false });
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
    return await client.call(method, params);
  } catch (error) {
    throw wentAway(error);
  } finally {
    progress.close();
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

/** Of a cluster that is down. */
async function readList(layout: Layout, state: ClusterState): Promise<SnapshotRow[]> {
  const { objectStoreUrl, objectStoreEnv } = resumedObjectStore(layout);
  const logger = openLogger({ file: undefined, process: "cli" });
  const keys = await VolumeKeys.open(layout, state, logger);
  const volume = volumeId(state.volumeId);
  const addressing = volumeId(state.ancestorVolumeId ?? state.volumeId);
  const sealer = new ExtentSealer({ volumeId: addressing, keys: keys?.dataKeys });
  const store = await openObjectStore(objectStoreUrl, volume, objectStoreEnv);
  try {
    return await rowsIn(store, { sealer, deletions: await readDeletions([store], sealer) });
  } finally {
    await store.close();
  }
}

async function rowsIn(
  store: ObjectStore,
  { sealer, deletions }: Pick<RestoreSource, "sealer" | "deletions">,
): Promise<SnapshotRow[]> {
  const { ids, failures } = await liveSnapshots([store], deletions);
  for (const failure of failures.values()) throw failure;
  const rows: SnapshotRow[] = [];
  for (const id of ids.keys()) rows.push(rowOf(await readSnapshot(onlyStore(store), id, sealer)));
  return rows.toSorted((a, b) => (a.takenAt < b.takenAt ? -1 : a.takenAt > b.takenAt ? 1 : 0));
}
