import { BorealisError } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import type { ClusterState, Layout } from "../cluster/index.ts";
import { openLogger } from "../io/index.ts";
import {
  type ListedSnapshot,
  oldestFirst,
  rowOf,
  snapshotRowsSchema,
  unreadRowOf,
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
import { ask } from "./control-calls.ts";
import type { RestoreSource } from "./restore-source.ts";
import {
  openStoreSource,
  type StoreOptions,
  type StorePlace,
  storePlaceOf,
} from "./restore-store-source.ts";
import { resumedObjectStore } from "./object-store.ts";
import { print, printTable } from "./print.ts";
import { formatBytes } from "./progress-meter.ts";
import { isRunning } from "./running.ts";
import { VolumeKeys } from "./volume-keys.ts";

const answerMs = 120_000;

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
    rows.map(cellsOf),
  );
  print("  (snapshots share what they store)");
  for (const { id, problem } of rows) if (problem !== null) print(`  ${id}: ${problem}`);
}

function cellsOf({ id, kind, takenAt, problem, ...row }: ListedSnapshot): string[] {
  const { startLsn, endLsn, dataBytes, storedBytes } = row;
  const taken = takenAt?.replace(/\.\d+Z$/, "Z") ?? "";
  const facts = [id, kind, taken, startLsn ?? ""];
  if (problem !== null) return [...facts, "cannot be read", "", ""];
  const sizes = [dataBytes, storedBytes].map((bytes) => (bytes === null ? "" : formatBytes(bytes)));
  return [...facts, endLsn ?? "", ...sizes];
}

async function listCluster(options: Options): Promise<ListedSnapshot[]> {
  const { layout, state } = requireCluster(options);
  if (isRunning(layout))
    return snapshotRowsSchema.parse(await ask(layout, "snapshotList", {}, answerMs));
  return readList(layout, state);
}

async function listStore(place: StorePlace): Promise<ListedSnapshot[]> {
  const source = await openStoreSource(place);
  try {
    // It has one.
    const lists = await Promise.all(source.stores.map((store) => rowsIn(store, source)));
    return lists.flat();
  } finally {
    await source.close();
  }
}

/** Of a cluster that is down. */
async function readList(layout: Layout, state: ClusterState): Promise<ListedSnapshot[]> {
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

/**
 * What one store shows: after a total loss there is nobody else to ask, so one that is damaged hides none of the others. Raises
 * what the store raises if it cannot be listed.
 */
export async function rowsIn(
  store: ObjectStore,
  { sealer, deletions }: Pick<RestoreSource, "sealer" | "deletions">,
): Promise<ListedSnapshot[]> {
  const { ids, failures } = await liveSnapshots([store], deletions);
  for (const failure of failures.values()) throw failure;
  const rows: ListedSnapshot[] = [];
  for (const id of ids.keys()) rows.push(await rowIn(store, id, sealer));
  return oldestFirst(rows);
}

async function rowIn(
  store: ObjectStore,
  id: string,
  sealer: RestoreSource["sealer"],
): Promise<ListedSnapshot> {
  try {
    return { ...rowOf(await readSnapshot(onlyStore(store), id, sealer)), problem: null };
  } catch (error) {
    if (!(error instanceof BorealisError)) throw error;
    return unreadRowOf(id, error);
  }
}
