import { BorealisError, sqlState } from "../base/errors.ts";
import type { ExtentSealer } from "./extent-sealer-shell.ts";
import { encodeManifest, parseManifest } from "./manifest-codec.ts";
import type { SnapshotManifest } from "./manifest.ts";
import { extentObject, findSnapshotId, snapshotObject, snapshotPrefix } from "./object-names.ts";
import type { ObjectStore } from "./object-store-shell.ts";
import { onlyStore, type Replicas } from "./replicas-shell.ts";
import { Deletions } from "./tombstone.ts";

/** Ids of the snapshots in a store, in the order of their names. */
export async function snapshotIds(store: ObjectStore): Promise<string[]> {
  const ids: string[] = [];
  for await (const { name } of store.list(snapshotPrefix)) {
    const id = findSnapshotId(name);
    if (id !== undefined) ids.push(id);
  }
  return ids;
}

/**
 * One that was deleted is passed over. Raises BorealisError 22023 if no store has it, XX001 if every copy is damaged; heals
 * damaged copies by the good one.
 */
export async function readSnapshot(
  replicas: Pick<Replicas, "find">,
  id: string,
  sealer: ExtentSealer,
  deletions: Deletions = new Deletions(),
): Promise<SnapshotManifest> {
  const found = await replicas.find(
    snapshotObject(id),
    async (sealed) => {
      if (deletions.isDeleted(id, sealed)) return undefined;
      return parseManifest(id, await sealer.openManifest(id, sealed));
    },
    // A store that lacks it may lack its extents too: replicateSnapshots brings both. So may one whose copy is damaged, if that
    // may be an older one of this id.
    { heals: deletions.concerns(id) ? "none" : "damaged" },
  );
  if (found) return found;
  throw new BorealisError(sqlState.invalidParameter, `there is no snapshot "${id}"`, {
    hint: "see which there are: borealis snapshot list",
  });
}

/** Undefined: the store does not have it. Raises as readSnapshot does. */
export async function findSnapshot(
  store: ObjectStore,
  id: string,
  sealer: ExtentSealer,
): Promise<SnapshotManifest | undefined> {
  const sealed = await store.get(snapshotObject(id));
  return sealed && parseManifest(id, await sealer.openManifest(id, sealed));
}

export interface Publication {
  readonly manifest: SnapshotManifest;
  readonly sealer: ExtentSealer;
  /** Nearest first; each gets all extents, then the manifest. */
  readonly stores: readonly ObjectStore[];
  /** Whether so many are enough (as in Replicas). */
  readonly isSafe: (stores: readonly ObjectStore[]) => boolean;
  /**
   * Stores that took every extent which was new: if they have the previous snapshot, they have all of this one, and are not
   * asked for each (a million calls for a TiB on S3). None unless told.
   */
  readonly current?: { readonly stores: readonly ObjectStore[]; readonly previous: string };
  /** A store does not have the snapshot: why. */
  readonly onLeftOut?: (store: ObjectStore, error: BorealisError) => void;
  readonly signal: AbortSignal;
}

/**
 * Makes a snapshot that is taken one that exists: extents that a store lacks are copied into it from another, then the
 * manifest is put. Whoever calls this holds off collecting meanwhile, and has seen that the volume has the log up to the
 * snapshot's end. Gives the stores that have it. Raises what stood in the way if these are too few: then it may be in some.
 */
export async function publishSnapshot(publication: Publication): Promise<ObjectStore[]> {
  const { manifest, sealer, stores, isSafe } = publication;
  const complete = await eachGood(publication, stores, (store) =>
    completeStore(publication, store),
  );
  requireSafe(isSafe, complete);
  const sealed = await sealer.sealManifest(manifest.id, encodeManifest(manifest));
  const holding = await eachGood(publication, complete.good, (store) =>
    store.put(snapshotObject(manifest.id), sealed),
  );
  requireSafe(isSafe, holding);
  return holding.good;
}

/** Copies into `store` what it lacks of a snapshot's extents from the first other store that has it good. */
async function completeStore(
  { manifest, sealer, stores, current, signal }: Publication,
  store: ObjectStore,
): Promise<void> {
  if (current?.stores.includes(store)) {
    const before = snapshotObject(current.previous);
    if ((await store.has([before])).has(before)) return;
  }
  const ids = [...manifest.extents.keys()];
  const found = await store.has(ids.map(extentObject));
  for (const id of ids) {
    const name = extentObject(id);
    if (found.has(name)) continue;
    if (signal.aborted) throw signal.reason;
    await store.put(name, await firstGood(stores, store, id, sealer));
  }
}

async function firstGood(
  stores: readonly ObjectStore[],
  target: ObjectStore,
  id: string,
  sealer: ExtentSealer,
): Promise<Buffer> {
  let why: unknown;
  for (const other of stores) {
    if (other === target) continue;
    try {
      return await onlyStore(other).get(extentObject(id), async (sealed) => {
        await sealer.openExtent(id, sealed);
        return sealed;
      });
    } catch (error) {
      why ??= error;
    }
  }
  throw new BorealisError(sqlState.dataCorrupted, `no store has extent ${id}`, {
    hint: "take a full snapshot: it stores what the others lack",
    cause: why,
  });
}

interface Outcome {
  readonly good: ObjectStore[];
  readonly failure: BorealisError | undefined;
}

async function eachGood(
  { onLeftOut, signal }: Publication,
  stores: readonly ObjectStore[],
  act: (store: ObjectStore) => Promise<void>,
): Promise<Outcome> {
  const failures = new Map<ObjectStore, BorealisError>();
  await Promise.all(
    stores.map(async (store) => {
      try {
        await act(store);
      } catch (error) {
        if (signal.aborted || !(error instanceof BorealisError)) throw error;
        failures.set(store, error);
        onLeftOut?.(store, error);
      }
    }),
  );
  const [failure] = failures.values();
  return { good: stores.filter((store) => !failures.has(store)), failure };
}

function requireSafe(isSafe: Publication["isSafe"], { good, failure }: Outcome): void {
  if (isSafe(good)) return;
  throw (
    failure ??
    new BorealisError(sqlState.ioError, "too few stores are there to keep a snapshot", {
      hint: "see which storage nodes are down: borealis status",
    })
  );
}
