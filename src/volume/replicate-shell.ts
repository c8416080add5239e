import { BorealisError, sqlState } from "../base/errors.ts";
import type { ExtentSealer } from "./extent-sealer-shell.ts";
import { parseManifest } from "./manifest-codec.ts";
import { extentObject, findExtentId, snapshotObject } from "./object-names.ts";
import type { ObjectStore, Relative } from "./object-store-shell.ts";
import { onlyStore } from "./replicas-shell.ts";
import { liveIn } from "./deletions-shell.ts";
import { Deletions, incarnationOf } from "./tombstone.ts";

export interface Replication {
  /** Nearest first: a store is asked before those behind it. */
  readonly stores: readonly ObjectStore[];
  /** What is copied is checked with it on the way, so that no damage spreads. */
  readonly sealer: ExtentSealer;
  /** What was deleted is brought to nobody, though a store may keep it for now. None unless told. */
  readonly deletions?: Deletions;
  /** Extents on their way at the same time. */
  readonly parallel: number;
  readonly signal: AbortSignal;
  /** Where the same extents may be, from where a store may copy by itself. */
  readonly relatives?: readonly Relative[];
  /** How far each store was when `signal` ended the copying before; kept up to date. While they wait nothing is collected there. */
  readonly reached?: Map<ObjectStore, Reached>;
  /** A store lacks one, or more: copying begins. */
  readonly onLacking?: (store: ObjectStore) => void;
  /** A store has a snapshot that it lacked. */
  readonly onCopied?: (store: ObjectStore, id: string, copied: CopiedExtents) => void;
  /** A store does not have all of them now: why. */
  readonly onLeftOut?: (store: ObjectStore, error: BorealisError) => void;
}

export interface CopiedExtents {
  readonly extents: number;
  /** Of those that were put. */
  readonly bytes: number;
  /** So many of the extents were not put: the store has copied them from a relative. */
  readonly taken: number;
}

/** A store has the first so many extents of a snapshot, in the manifest's order. */
export interface Reached {
  /** Another one may have taken the snapshot's id meanwhile. */
  readonly incarnation: string;
  readonly extents: number;
}

/** Looked for, copied and put together: a far store is asked for many at a time, and `signal` is not to wait for long. */
const batchExtents = 500;

/**
 * Gives each store the snapshots that it lacks and another has, newest names first: a node that has taken another's place,
 * or was away when they were taken. The manifest comes last, as ever. Whoever calls this takes, deletes and collects nothing
 * meanwhile. Resolves with the stores that have all of them; the others are told of, and it may be tried again.
 */
export async function replicateSnapshots(replication: Replication): Promise<ObjectStore[]> {
  const { stores, signal, onLeftOut, deletions = new Deletions() } = replication;
  const held = new Map<ObjectStore, ReadonlySet<string>>();
  for (const store of stores) {
    try {
      held.set(store, new Set(await liveIn(store, deletions)));
    } catch (error) {
      if (signal.aborted || !(error instanceof BorealisError)) throw error;
      onLeftOut?.(store, error);
    }
  }
  const complete: ObjectStore[] = [];
  for (const store of held.keys()) {
    const failure = await fillStore(replication, store, held);
    if (failure) onLeftOut?.(store, failure);
    else complete.push(store);
  }
  return complete;
}

/** Gives what stood in the way of one snapshot or more; the others are there. */
async function fillStore(
  replication: Replication,
  target: ObjectStore,
  held: ReadonlyMap<ObjectStore, ReadonlySet<string>>,
): Promise<BorealisError | undefined> {
  const all = new Set([...held.values()].flatMap((ids) => [...ids]));
  let failure: BorealisError | undefined;
  const missing = [...all].filter((id) => held.get(target)?.has(id) !== true);
  if (missing.length > 0) replication.onLacking?.(target);
  for (const id of missing.toSorted().toReversed()) {
    try {
      const sources = [...held.keys()].filter((store) => held.get(store)?.has(id) === true);
      const copied = await copySnapshot(replication, id, { sources, target });
      replication.onCopied?.(target, id, copied);
    } catch (error) {
      if (replication.signal.aborted || !(error instanceof BorealisError)) throw error;
      failure ??= error;
    }
  }
  return failure;
}

interface Copying {
  /** They have the snapshot. */
  readonly sources: readonly ObjectStore[];
  readonly target: ObjectStore;
}

async function copySnapshot(
  replication: Replication,
  id: string,
  copying: Copying,
): Promise<CopiedExtents> {
  const { sealer, signal, reached } = replication;
  const { sources, target } = copying;
  const { sealed, manifest } = await fromFirst(sources, snapshotObject(id), async (bytes) => ({
    sealed: bytes,
    manifest: parseManifest(id, await sealer.openManifest(id, bytes)),
  }));
  const ids = [...manifest.extents.keys()];
  const incarnation = incarnationOf(sealed);
  const before = reached?.get(target);
  let at = before?.incarnation === incarnation ? before.extents : 0;
  const copied = { extents: 0, bytes: 0, taken: 0 };
  for (; at < ids.length; at += batchExtents) {
    reached?.set(target, { incarnation, extents: at });
    if (signal.aborted) throw signal.reason;
    const batch = await giveExtents(replication, ids.slice(at, at + batchExtents), copying);
    copied.extents += batch.extents;
    copied.bytes += batch.bytes;
    copied.taken += batch.taken;
  }
  await target.put(snapshotObject(id), sealed);
  reached?.delete(target);
  return copied;
}

async function giveExtents(
  { sealer, parallel, signal, relatives = [] }: Replication,
  ids: readonly string[],
  { sources, target }: Copying,
): Promise<CopiedExtents> {
  const names = ids.map(extentObject);
  const lacking = await without(names, () => target.has(names));
  let left = lacking;
  for (const relative of relatives)
    left = await without(left, (some) => target.copyFrom?.(relative, some));
  const copied = { extents: lacking.length, bytes: 0, taken: lacking.length - left.length };
  const missing = [...left];
  const lane = async (): Promise<void> => {
    for (let name = missing.pop(); name !== undefined; name = missing.pop()) {
      if (signal.aborted) throw signal.reason;
      const own = name;
      const bytes = await fromFirst(sources, own, async (found) => {
        await sealer.openExtent(findExtentId(own) ?? "", found);
        return found;
      });
      await target.put(own, bytes);
      copied.bytes += bytes.length;
    }
  };
  await allOrFirst(Array.from({ length: parallel }, lane), () => (missing.length = 0));
  return copied;
}

/** Those of the names that `find` does not find. */
async function without(
  names: readonly string[],
  find: (names: readonly string[]) => Promise<ReadonlySet<string>> | undefined,
): Promise<readonly string[]> {
  const found = names.length > 0 ? await find(names) : undefined;
  return found ? names.filter((name) => !found.has(name)) : names;
}

/** All of them have ended when it resolves, or raises what the first raised; `stop` tells the others. */
export async function allOrFirst(lanes: readonly Promise<void>[], stop: () => void): Promise<void> {
  const results = await Promise.allSettled(
    lanes.map((lane) =>
      lane.catch((error: unknown) => {
        stop();
        throw error;
      }),
    ),
  );
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

/** What `open` makes of the first source's copy that it accepts. Raises what the first raised if none is good. */
async function fromFirst<T>(
  sources: readonly ObjectStore[],
  name: string,
  open: (bytes: Buffer) => Promise<T>,
): Promise<T> {
  let why: BorealisError | undefined;
  for (const source of sources) {
    try {
      return await onlyStore(source).get(name, open);
    } catch (error) {
      if (!(error instanceof BorealisError)) throw error;
      why ??= error;
    }
  }
  if (why) throw why;
  throw new BorealisError(sqlState.dataCorrupted, `no store has ${name}`, {
    hint: "take another snapshot, and delete the one that it belongs to",
  });
}
