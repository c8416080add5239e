import { BorealisError, messageOf } from "../base/errors.ts";
import type { ExtentSealer } from "./extent-sealer-shell.ts";
import { extentPrefix, findExtentId } from "./object-names.ts";
import type { ObjectStore } from "./object-store-shell.ts";
import { findSnapshot, snapshotIds } from "./snapshots-shell.ts";

export interface CollectOptions {
  readonly sealer: ExtentSealer;
  /** By the store's clock or one close to it. */
  readonly nowMs: number;
  /** What is younger stays: a snapshot that is being taken may be about to name it. Hours, since clocks differ. */
  readonly graceMs: number;
  readonly signal: AbortSignal;
}

export interface Collected {
  readonly snapshots: number;
  /** Extents that a snapshot names. */
  readonly kept: number;
  /** Extents that none names, and that are too young. */
  readonly young: number;
  readonly deleted: number;
  readonly deletedBytes: number;
}

const deletesAtOnce = 500;

/**
 * Deletes the extents of one store that none of its snapshots names. Manifests are read before extents are listed: what a
 * manifest from later names is either young, or was named by one from before (nobody publishes meanwhile from extents that
 * no snapshot names; the caller takes, deletes and collects one after the other). A manifest that cannot be read stops it
 * before anything is deleted. Raises what the store or the manifest raised.
 */
export async function collectExtents(
  store: ObjectStore,
  options: CollectOptions,
): Promise<Collected> {
  const { nowMs, graceMs, signal } = options;
  const named = new Set<string>();
  const ids = await snapshotIds(store);
  for (const id of ids) {
    if (signal.aborted) throw signal.reason;
    for (const extent of await extentsOf(store, id, options.sealer)) named.add(extent);
  }
  const beforeMs = nowMs - graceMs;
  await store.tidy?.(beforeMs);
  let [kept, young, deleted, deletedBytes] = [0, 0, 0, 0];
  let batch: string[] = [];
  const sweep = async (): Promise<void> => {
    if (signal.aborted) throw signal.reason;
    await store.delete(batch);
    deleted += batch.length;
    batch = [];
  };
  for await (const { name, sizeBytes, putAtMs } of store.list(extentPrefix)) {
    const extent = findExtentId(name);
    if (extent === undefined) continue;
    if (named.has(extent)) kept++;
    else if (putAtMs >= beforeMs) young++;
    else {
      batch.push(name);
      deletedBytes += sizeBytes;
      if (batch.length >= deletesAtOnce) await sweep();
    }
  }
  if (batch.length > 0) await sweep();
  return { snapshots: ids.length, kept, young, deleted, deletedBytes };
}

async function extentsOf(
  store: ObjectStore,
  id: string,
  sealer: ExtentSealer,
): Promise<Iterable<string>> {
  try {
    // Deleted since it was listed: it names nothing any more.
    return (await findSnapshot(store, id, sealer))?.extents.keys() ?? [];
  } catch (error) {
    if (!(error instanceof BorealisError)) throw error;
    throw new BorealisError(
      error.code,
      `nothing is collected in ${store.label}: snapshot ${id} cannot be read: ${messageOf(error)}`,
      {
        hint: "it is healed when it is read and another store has it; or delete the snapshot",
        cause: error,
      },
    );
  }
}
