import { BorealisError } from "../base/errors.ts";
import { type Lsn, segmentStart } from "../base/lsn.ts";
import type { ExtentSealer } from "./extent-sealer-shell.ts";
import type { LogPath } from "./log-path.ts";
import type { SnapshotManifest } from "./manifest.ts";
import { findSnapshotId, snapshotPrefix } from "./object-names.ts";
import type { ObjectStore } from "./object-store-shell.ts";
import type { Replicas } from "./replicas-shell.ts";
import { isOnPath } from "./snapshot-plan.ts";
import { readSnapshot } from "./snapshots-shell.ts";

export interface SnapshotWish {
  /** The path that will be replayed. */
  readonly path: LogPath;
  /** The snapshot may hold nothing beyond; undefined: nothing that exists does. */
  readonly at: Lsn | undefined;
  /** The volume has log from here on. */
  readonly base: Lsn;
}

export interface SnapshotSearch extends SnapshotWish {
  readonly stores: readonly ObjectStore[];
  readonly replicas: Pick<Replicas, "find">;
  readonly sealer: ExtentSealer;
  /** One that cannot be read is passed over. */
  readonly onSkipped?: (id: string, error: BorealisError) => void;
  /** A store cannot be listed, and others can: there may be one that is not seen. */
  readonly onUnlisted?: (error: BorealisError) => void;
  readonly signal: AbortSignal;
}

/**
 * Snapshots from which `at` is reached, that with least log first: manifests are read in the order in which they were put,
 * newest first, as they are asked for. Raises what a store raises that cannot be listed, if none can.
 */
export async function* usableSnapshots(search: SnapshotSearch): AsyncGenerator<SnapshotManifest> {
  const { stores, replicas, sealer, onSkipped, onUnlisted, signal } = search;
  const putAtMs = await putTimes(stores, onUnlisted);
  const newestFirst = [...putAtMs].toSorted(([, a], [, b]) => b - a);
  for (const [id] of newestFirst) {
    if (signal.aborted) throw signal.reason;
    let manifest: SnapshotManifest;
    try {
      manifest = await readSnapshot(replicas, id, sealer);
    } catch (error) {
      if (!(error instanceof BorealisError)) throw error;
      onSkipped?.(id, error);
      continue;
    }
    if (isUsable(manifest, search)) yield manifest;
  }
}

/** When each snapshot was first put, by its id: a store that is filled again has them all at once, in any order. */
async function putTimes(
  stores: readonly ObjectStore[],
  onUnlisted?: SnapshotSearch["onUnlisted"],
): Promise<ReadonlyMap<string, number>> {
  const putAtMs = new Map<string, number>();
  const failures: BorealisError[] = [];
  for (const store of stores) {
    try {
      for await (const object of store.list(snapshotPrefix)) {
        const id = findSnapshotId(object.name);
        if (id !== undefined)
          putAtMs.set(id, Math.min(object.putAtMs, putAtMs.get(id) ?? object.putAtMs));
      }
    } catch (error) {
      if (!(error instanceof BorealisError)) throw error;
      failures.push(error);
    }
  }
  const [first] = failures;
  if (first && failures.length === stores.length) throw first;
  if (first) onUnlisted?.(first);
  return putAtMs;
}

/** Whether log that is there leads from the snapshot to the wished place. */
export function isUsable(
  snapshot: Pick<SnapshotManifest, "startLsn" | "endLsn" | "history">,
  { path, at, base }: SnapshotWish,
): boolean {
  const isReached = at === undefined || snapshot.endLsn <= at;
  return isReached && segmentStart(snapshot.startLsn) >= base && isOnPath(snapshot, path);
}
