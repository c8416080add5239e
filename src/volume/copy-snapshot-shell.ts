/**
 * A snapshot's copy in a store that is not the volume's own. What is there already is read, and put again if it is bad; what is
 * not comes from the first source that has it good. The manifest is last, so a copy is whole or not shown, and whoever was
 * interrupted goes on where he was.
 */
import { BorealisError, sqlState } from "../base/errors.ts";
import { readDeletions } from "./deletions-shell.ts";
import type { ExtentSealer } from "./extent-sealer-shell.ts";
import { encodeManifest } from "./manifest-codec.ts";
import { sizeOfSnapshot, type SnapshotManifest } from "./manifest.ts";
import { extentObject, snapshotObject, tombstoneObject } from "./object-names.ts";
import type { ObjectStore } from "./object-store-shell.ts";
import { Replicas } from "./replicas-shell.ts";
import { allOrFirst } from "./replicate-shell.ts";
import { findSnapshot } from "./snapshots-shell.ts";
import { type Deletions, incarnationOf } from "./tombstone.ts";

export interface SnapshotCopy {
  readonly manifest: SnapshotManifest;
  /** They have it, nearest first. */
  readonly sources: readonly ObjectStore[];
  /** Nobody collects there meanwhile. */
  readonly target: ObjectStore;
  /** The target is a cluster's: other stores of it know, too, what was deleted. */
  readonly isOfCluster?: boolean;
  readonly sealer: ExtentSealer;
  /** Extents on their way at the same time. */
  readonly parallel: number;
  /** Before the snapshot shows itself: puts what else has to be there. */
  readonly beforeShown?: () => Promise<void>;
  /** So much of its extents is there and good, in bytes as they are stored. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  readonly signal: AbortSignal;
}

export interface CopiedSnapshot {
  /** False: it was there already, as far as its manifest says. */
  readonly isNew: boolean;
  readonly extents: number;
  /** Of those that were put, and their bytes. */
  readonly putExtents: number;
  readonly putBytes: number;
}

const extentsAtOnce = 500;

/**
 * Resolves when the target has it whole, each extent opened and its keyed hash compared. Raises 22023 if the target has another
 * snapshot of that id, 55000 if a cluster would delete it again, XX001 if no source has an extent good, and what the stores raise; then it may be repeated.
 */
export async function copySnapshotTo(copy: SnapshotCopy): Promise<CopiedSnapshot> {
  const { manifest, target, sealer, beforeShown } = copy;
  const deletions = await readDeletions([target], sealer);
  const isThere = await hasSame(copy, deletions);
  const put = await copyExtents(copy);
  await beforeShown?.();
  const copied = { isNew: !isThere, extents: manifest.extents.size, ...put };
  if (isThere) return copied;
  const { id } = manifest;
  const sealed = await sealer.sealManifest(id, encodeManifest(manifest));
  // Where nothing is encrypted the bytes are those of the one that was deleted here.
  if (deletions.isDeleted(id, sealed)) {
    if (copy.isOfCluster === true) throw deletedThere(id);
    await target.delete([tombstoneObject({ id, incarnation: incarnationOf(sealed) })]);
  }
  await target.put(snapshotObject(id), sealed);
  return copied;
}

function deletedThere(id: string): BorealisError {
  return new BorealisError(
    sqlState.notInPrerequisiteState,
    `snapshot ${id} was deleted in this cluster, whose volume is not encrypted: it would be taken for the deleted one, and go again`,
    { hint: "restore it from the store that has it: borealis restore --store" },
  );
}

/** Whether the target shows it. A damaged manifest, and one that was deleted, is none. */
async function hasSame(
  { manifest, target, sealer }: SnapshotCopy,
  deletions: Deletions,
): Promise<boolean> {
  const sealed = await target.get(snapshotObject(manifest.id));
  if (!sealed || deletions.isDeleted(manifest.id, sealed)) return false;
  try {
    const there = await findSnapshot(target, manifest.id, sealer);
    if (there && isSame(there, manifest)) return true;
  } catch (error) {
    if (error instanceof BorealisError && error.code === sqlState.dataCorrupted) return false;
    throw error;
  }
  throw new BorealisError(
    sqlState.invalidParameter,
    `${target.label} has another snapshot "${manifest.id}"`,
    { hint: "delete that one (borealis snapshot delete --store), or copy to another store" },
  );
}

function isSame(one: SnapshotManifest, other: SnapshotManifest): boolean {
  return encodeManifest(one).equals(encodeManifest(other));
}

async function copyExtents(
  copy: SnapshotCopy,
): Promise<Pick<CopiedSnapshot, "putExtents" | "putBytes">> {
  const { manifest, target, parallel, onProgress, signal } = copy;
  const { storedBytes: totalBytes } = sizeOfSnapshot(manifest);
  const put = { putExtents: 0, putBytes: 0 };
  let doneBytes = 0;
  const ids = [...manifest.extents.keys()];
  onProgress?.(0, totalBytes);
  for (let at = 0; at < ids.length; at += extentsAtOnce) {
    const batch = ids.slice(at, at + extentsAtOnce);
    const found = await target.has(batch.map(extentObject));
    const waiting = batch.toReversed();
    const lane = async (): Promise<void> => {
      for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
        signal.throwIfAborted();
        const isGood = found.has(extentObject(id)) && (await isGoodThere(copy, id));
        const bytes = isGood ? 0 : await copyExtent(copy, id);
        if (!isGood) put.putExtents++;
        put.putBytes += bytes;
        doneBytes += manifest.extents.get(id)?.storedBytes ?? 0;
        onProgress?.(doneBytes, totalBytes);
      }
    };
    await allOrFirst(Array.from({ length: parallel }, lane), () => (waiting.length = 0));
  }
  return put;
}

async function isGoodThere({ target, sealer }: SnapshotCopy, id: string): Promise<boolean> {
  const sealed = await target.get(extentObject(id));
  if (!sealed) return false;
  try {
    await sealer.openExtent(id, sealed);
    return true;
  } catch (error) {
    if (error instanceof BorealisError && error.code === sqlState.dataCorrupted) return false;
    throw error;
  }
}

/** Gives its bytes as it is stored. */
async function copyExtent({ sources, target, sealer }: SnapshotCopy, id: string): Promise<number> {
  const name = extentObject(id);
  const open = async (sealed: Buffer): Promise<Buffer> => {
    await sealer.openExtent(id, sealed);
    return sealed;
  };
  const replicas = new Replicas({ stores: sources, isSafe: () => true });
  const bytes = await replicas.find(name, open, { heals: "none" });
  if (!bytes) {
    const where = sources.map(({ label }) => label).join(", ");
    throw new BorealisError(sqlState.dataCorrupted, `${name} is missing in ${where}`, {
      hint: "the snapshot may have been deleted meanwhile: borealis snapshot list",
    });
  }
  await target.put(name, bytes);
  return bytes.length;
}
