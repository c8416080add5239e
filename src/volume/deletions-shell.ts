import { BorealisError, sqlState } from "../base/errors.ts";
import type { ExtentSealer } from "./extent-sealer-shell.ts";
import {
  findTombstoneName,
  snapshotObject,
  tombstoneObject,
  tombstonePrefix,
} from "./object-names.ts";
import type { ObjectStore } from "./object-store-shell.ts";
import { snapshotIds } from "./snapshots-shell.ts";
import {
  Deletions,
  encodeTombstone,
  incarnationOf,
  parseTombstone,
  type Tombstone,
  tombstoneBytesMax,
} from "./tombstone.ts";

type Failures = ReadonlyMap<ObjectStore, BorealisError>;

/** What these stores say of deletions; of one that does not answer, nothing. */
export async function readDeletions(
  stores: readonly ObjectStore[],
  sealer: ExtentSealer,
): Promise<Deletions> {
  const deletions = new Deletions();
  await learnDeletions(stores, sealer, deletions);
  return deletions;
}

interface Learned {
  /** Names of the tombstones that each store has. */
  readonly held: ReadonlyMap<ObjectStore, ReadonlySet<string>>;
  readonly failures: Failures;
}

/** Adds to `deletions` what these stores say of them. A tombstone that is good nowhere says nothing. */
export async function learnDeletions(
  stores: readonly ObjectStore[],
  sealer: ExtentSealer,
  deletions: Deletions,
): Promise<Learned> {
  const held = new Map<ObjectStore, ReadonlySet<string>>();
  const failures = new Map<ObjectStore, BorealisError>();
  for (const store of stores) {
    try {
      const names = new Set<string>();
      for await (const { name } of store.list(tombstonePrefix))
        if (findTombstoneName(name)) names.add(name);
      for (const name of names) {
        if (deletions.has(name)) continue;
        const found = await openTombstone(store, name, sealer);
        if (found) deletions.add(found);
        else names.delete(name);
      }
      held.set(store, names);
    } catch (error) {
      if (!(error instanceof BorealisError)) throw error;
      failures.set(store, error);
    }
  }
  return { held, failures };
}

/** Undefined: it is gone, or nobody can tell that somebody of the volume wrote it. */
async function openTombstone(
  store: ObjectStore,
  name: string,
  sealer: ExtentSealer,
): Promise<Tombstone | undefined> {
  const sealed = await store.get(name);
  if (!sealed) return undefined;
  try {
    return parseTombstone(name, (await sealer.open(name, sealed, tombstoneBytesMax)).plain);
  } catch (error) {
    if (error instanceof BorealisError && error.code === sqlState.dataCorrupted) return undefined;
    throw error;
  }
}

export interface Deletion {
  readonly id: string;
  /** All of the volume's, also those that are away. */
  readonly stores: readonly ObjectStore[];
  /** Added to, as soon as the snapshot is deleted. */
  readonly deletions: Deletions;
  readonly sealer: ExtentSealer;
  readonly nowMs: number;
  /** Those of them that keep it for now, and are not told: sweepDeletions deletes it there. None unless told. */
  readonly spared?: readonly ObjectStore[];
  /** A store does not do it now: why. */
  readonly onLeftOut?: (store: ObjectStore, error: BorealisError) => void;
}

/** The loss of one store brings nothing back. */
const tombstonesMin = 2;

/**
 * Deletes a snapshot, for ever, as soon as two stores have its tombstone; the extents go when they are collected. Gives the
 * stores that show it still, or may: sweepDeletions deletes it there. Raises what stood in the way when too few stores know of
 * it; it may be deleted later all the same.
 */
export async function deleteSnapshot(deletion: Deletion): Promise<ObjectStore[]> {
  const { id, stores, deletions, sealer, nowMs: deletedAtMs, spared = [], onLeftOut } = deletion;
  const losing = stores.filter((store) => !spared.includes(store));
  const incarnations = await incarnationsIn(stores, id);
  const tombstones = [...incarnations].map((incarnation) => ({ id, incarnation, deletedAtMs }));
  const told = await eachGood(losing, async (store) => {
    for (const tombstone of tombstones) await putTombstone(store, tombstone, sealer);
  });
  if (told.good.length < Math.min(tombstonesMin, stores.length)) throw tooFew(id, told.failures);
  for (const tombstone of tombstones) deletions.add(tombstone);
  const dropped = await eachGood(losing, async (store) => {
    await dropDeleted(store, { deletions, sealer, ids: [id] });
  });
  for (const [store, error] of new Map([...told.failures, ...dropped.failures]))
    onLeftOut?.(store, error);
  return [...dropped.failures.keys(), ...spared];
}

async function eachGood(
  stores: readonly ObjectStore[],
  act: (store: ObjectStore) => Promise<void>,
): Promise<{ readonly good: ObjectStore[]; readonly failures: Failures }> {
  const failures = new Map<ObjectStore, BorealisError>();
  await Promise.all(
    stores.map(async (store) => {
      try {
        await act(store);
      } catch (error) {
        if (!(error instanceof BorealisError)) throw error;
        failures.set(store, error);
      }
    }),
  );
  const good = stores.filter((store) => !failures.has(store));
  // In the order of the stores, not of who failed first: people read it.
  const inOrder = stores.flatMap((store) => {
    const failure = failures.get(store);
    return failure ? [[store, failure] as const] : [];
  });
  return { good, failures: new Map(inOrder) };
}

function tooFew(id: string, failures: Failures): BorealisError {
  const [cause] = failures.values();
  const labels = [...failures.keys()].map(({ label }) => label).join(", ");
  return new BorealisError(
    cause?.code ?? sqlState.ioError,
    `snapshot ${id} is not deleted for sure: two stores have to know of it, and these do not answer: ${labels}`,
    { hint: "repeat it when they are back; see borealis status", cause },
  );
}

/** Every snapshot of that id which these stores have: one, or several if an older one came back. */
async function incarnationsIn(
  stores: readonly ObjectStore[],
  id: string,
): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  const { failures } = await eachGood(stores, async (store) => {
    const sealed = await store.get(snapshotObject(id));
    if (sealed) found.add(incarnationOf(sealed));
  });
  const [failure] = failures.values();
  // It was seen somewhere, and who had it is away.
  if (found.size === 0 && failure) throw failure;
  return found;
}

async function putTombstone(
  store: ObjectStore,
  tombstone: Tombstone,
  sealer: ExtentSealer,
): Promise<void> {
  const name = tombstoneObject(tombstone);
  await store.put(name, await sealer.seal(name, encodeTombstone(tombstone)));
}

interface DropOptions {
  readonly deletions: Deletions;
  readonly sealer: ExtentSealer;
  /** All that the store has, unless told. */
  readonly ids?: readonly string[];
  readonly spared?: ReadonlySet<string> | undefined;
}

/** Takes away what a store has of snapshots that were deleted; their extents are collected. Gives their ids. */
async function dropDeleted(
  store: ObjectStore,
  { deletions, sealer, ids, spared }: DropOptions,
): Promise<string[]> {
  const dropped: string[] = [];
  for (const id of ids ?? (await snapshotIds(store))) {
    if (!deletions.concerns(id) || spared?.has(id)) continue;
    const sealed = await store.get(snapshotObject(id));
    if (!sealed || !(await isToGo(id, sealed, { deletions, sealer }))) continue;
    await store.delete([snapshotObject(id)]);
    dropped.push(id);
  }
  return dropped;
}

/** A damaged one is the one that was deleted, or a later one, which is copied from where it is good. */
async function isToGo(
  id: string,
  sealed: Buffer,
  { deletions, sealer }: Pick<DropOptions, "deletions" | "sealer">,
): Promise<boolean> {
  if (deletions.isDeleted(id, sealed)) return true;
  try {
    await sealer.openManifest(id, sealed);
    return false;
  } catch (error) {
    if (error instanceof BorealisError) return error.code === sqlState.dataCorrupted;
    throw error;
  }
}

export interface Sweep {
  readonly stores: readonly ObjectStore[];
  /** Added to, and taken from. */
  readonly deletions: Deletions;
  readonly sealer: ExtentSealer;
  /** These are all stores of the volume: what no store needs any more may be forgotten. */
  readonly areAll: boolean;
  readonly nowMs: number;
  /** So long what was put before a deletion may still be on its way. */
  readonly graceMs: number;
  readonly signal: AbortSignal;
  /** Ids of deleted snapshots that a store keeps for now; it does not learn of their deletion. None unless told. */
  readonly spared?: ((store: ObjectStore) => Promise<ReadonlySet<string>>) | undefined;
  /** A store had it still. */
  readonly onDropped?: (store: ObjectStore, id: string) => void;
  /** A store does not know of each deletion now, or has a snapshot that was deleted: why. */
  readonly onLeftOut?: (store: ObjectStore, error: BorealisError) => void;
}

/**
 * Makes each deletion that a store knows of known to all, and takes away what they have of these snapshots. Each store has
 * the tombstone before it loses the snapshot (unless it is full), and keeps it until no store has the snapshot; so a store
 * that lacks one says why, and nobody fills it again. May be cut short at any point, and repeated. Whoever calls this takes,
 * copies and deletes nothing meanwhile. Gives the stores that have no deleted snapshot but those that are spared.
 */
export async function sweepDeletions(sweep: Sweep): Promise<ObjectStore[]> {
  const { stores, deletions, sealer, signal, onDropped, onLeftOut } = sweep;
  const { held, failures } = await learnDeletions(stores, sealer, deletions);
  for (const [store, error] of failures) onLeftOut?.(store, error);
  const clean: ObjectStore[] = [];
  let isKnownToAll = sweep.areAll && failures.size === 0;
  for (const [store, names] of held) {
    if (signal.aborted) throw signal.reason;
    let spared: ReadonlySet<string> | undefined;
    try {
      spared = await sweep.spared?.(store);
      if (spared && spared.size > 0) isKnownToAll = false;
    } catch (error) {
      if (signal.aborted || !(error instanceof BorealisError)) throw error;
      isKnownToAll = false;
      onLeftOut?.(store, error);
      continue;
    }
    try {
      await tellStore(store, { names, spared }, sweep);
    } catch (error) {
      if (signal.aborted || !(error instanceof BorealisError)) throw error;
      isKnownToAll = false;
      onLeftOut?.(store, error);
    }
    try {
      for (const id of await dropDeleted(store, { deletions, sealer, spared }))
        onDropped?.(store, id);
      clean.push(store);
    } catch (error) {
      if (signal.aborted || !(error instanceof BorealisError)) throw error;
      isKnownToAll = false;
      onLeftOut?.(store, error);
    }
  }
  if (isKnownToAll) await forgetOld(sweep);
  return clean;
}

async function tellStore(
  store: ObjectStore,
  has: { readonly names: ReadonlySet<string>; readonly spared: ReadonlySet<string> | undefined },
  { deletions, sealer, signal }: Sweep,
): Promise<void> {
  for (const tombstone of deletions.all) {
    if (has.names.has(tombstoneObject(tombstone)) || has.spared?.has(tombstone.id)) continue;
    if (signal.aborted) throw signal.reason;
    await putTombstone(store, tombstone, sealer);
  }
}

async function forgetOld({
  stores,
  deletions,
  nowMs,
  graceMs,
  signal,
  onLeftOut,
}: Sweep): Promise<void> {
  const names = deletions.oldEnough({ nowMs, graceMs });
  if (names.length === 0) return;
  let isGone = true;
  for (const store of stores) {
    try {
      await store.delete(names);
    } catch (error) {
      if (signal.aborted || !(error instanceof BorealisError)) throw error;
      isGone = false;
      onLeftOut?.(store, error);
    }
  }
  // What one of them has still, all have again with the next sweep.
  if (isGone) for (const name of names) deletions.forget(name);
}

export interface LiveSnapshots {
  /** Ids, and the stores that show them. */
  readonly ids: ReadonlyMap<string, readonly ObjectStore[]>;
  /** Those that could not be listed. */
  readonly failures: Failures;
}

/** The snapshots that these stores show, without those that were deleted. */
export async function liveSnapshots(
  stores: readonly ObjectStore[],
  deletions: Deletions,
): Promise<LiveSnapshots> {
  const ids = new Map<string, ObjectStore[]>();
  const failures = new Map<ObjectStore, BorealisError>();
  for (const store of stores) {
    try {
      for (const id of await liveIn(store, deletions)) ids.set(id, [...(ids.get(id) ?? []), store]);
    } catch (error) {
      if (!(error instanceof BorealisError)) throw error;
      failures.set(store, error);
    }
  }
  return { ids, failures };
}

/** As liveSnapshots, of one store. Raises what it raises. */
export async function liveIn(store: ObjectStore, deletions: Deletions): Promise<string[]> {
  const live: string[] = [];
  for (const id of await snapshotIds(store)) {
    if (deletions.concerns(id)) {
      const sealed = await store.get(snapshotObject(id));
      if (!sealed || deletions.isDeleted(id, sealed)) continue;
    }
    live.push(id);
  }
  return live;
}
