import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { epoch, timeline, volumeId } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import { type ClusterState, type Layout, nodeDir } from "../cluster/index.ts";
import type { DataKeys } from "../keys/index.ts";
import { commonPrefix, type History, type Pin } from "../quorum/index.ts";
import {
  type Deletions,
  ExtentSealer,
  extentPrefix,
  findSnapshotId,
  FolderStore,
  logPrefix,
  parseManifest,
  readDeletions,
  snapshotObject,
  snapshotPrefix,
} from "../volume/index.ts";
import { isErrno } from "./errno.ts";
import { shareFile, type Sharing, shareTree } from "./share-files.ts";

/** What a clone, or a successor, takes over of the objects that its parent keeps in a folder. */
export interface ObjectSharing {
  readonly parent: ClusterState;
  /** Undefined: the volume is not encrypted. */
  readonly keys: DataKeys | undefined;
  /** Undefined: everything, of whichever path: a successor has no parent beside it that has the rest. */
  readonly pin: Pin | undefined;
  readonly sharing: Sharing;
  /** A folder of the parent's may still show what was deleted. */
  readonly deletions: Deletions;
}

/** What the folders of a volume's objects say of deletions: that of the object store if it has one, and those of its nodes. */
export function deletionsOf(
  { layout, state }: { readonly layout: Layout; readonly state: ClusterState },
  keys: DataKeys | undefined,
): Promise<Deletions> {
  const nodes = state.nodes.map(({ id }) => `${nodeDir(layout, id)}/objects`);
  const folders = [`${layout.objectsDir}/${state.volumeId}`, ...nodes];
  const stores = folders.filter(existsSync).map((folder) => new FolderStore(folder));
  return readDeletions(stores, sealerOf(state, keys));
}

function sealerOf(state: ClusterState, keys: DataKeys | undefined): ExtentSealer {
  return new ExtentSealer({ volumeId: volumeId(state.ancestorVolumeId ?? state.volumeId), keys });
}

/**
 * Gives the clone what its parent has in a folder of objects: every extent, archived log below the branch, and the snapshots
 * that end there or before; without a pin all log, and all snapshots that were not deleted. Objects are never changed in place, so sharing their files is safe. Snapshots come last, and none
 * that the parent took meanwhile: one is there only if its extents are.
 */
export async function shareObjects(
  from: string,
  to: string,
  { parent, keys, pin, sharing, deletions }: ObjectSharing,
): Promise<void> {
  if (!existsSync(from)) return;
  // Before the extents: of one that is taken while they are shared some would be missed.
  const snapshots = namesIn(`${from}/${snapshotPrefix}`);
  await shareTree(`${from}/${extentPrefix}`, `${to}/${extentPrefix}`, sharing);
  await shareTree(
    `${from}/${logPrefix}`,
    `${to}/${logPrefix}`,
    sharing,
    (path) => pin === undefined || isBelow(path, pin),
  );
  const sealer = sealerOf(parent, keys);
  for (const name of snapshots) {
    const id = findSnapshotId(`${snapshotPrefix}${name}`);
    if (id === undefined) continue;
    const source = `${from}/${snapshotObject(id)}`;
    if (!(await isOfClone(source, id, { sealer, deletions, pin }))) continue;
    await mkdir(`${to}/${snapshotPrefix}`, { recursive: true, mode: 0o700 });
    await shareFile(source, `${to}/${snapshotObject(id)}`, sharing).catch((error: unknown) => {
      if (!isErrno(error, "EEXIST") && !isErrno(error, "ENOENT")) throw error;
    });
  }
}

function namesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

/** One that cannot be read is no loss to a clone, which has others, or the log; a successor may have a good copy of it elsewhere. */
async function isOfClone(
  path: string,
  id: string,
  {
    sealer,
    deletions,
    pin,
  }: Pick<ObjectSharing, "deletions" | "pin"> & { readonly sealer: ExtentSealer },
): Promise<boolean> {
  try {
    const sealed = readFileSync(path);
    if (deletions.isDeleted(id, sealed)) return false;
    // A damaged one may be the one that was deleted.
    if (pin === undefined && !deletions.concerns(id)) return true;
    const manifest = parseManifest(id, await sealer.openManifest(id, sealed));
    if (pin === undefined) return true;
    const { startLsn: from, endLsn: limit, history } = manifest;
    return limit <= pin.to && isSame(history, pin.path, { from, limit });
  } catch {
    return false;
  }
}

function isSame(
  history: History,
  path: History,
  range: { readonly from: Pin["from"]; readonly limit: Pin["to"] },
): boolean {
  return commonPrefix(history, path, range) >= range.limit;
}

/** A folder, or a piece of archived log that is on the clone's path. */
function isBelow(file: string, { path, to }: Pin): boolean {
  const found = /\/(\d{16})\/([0-9a-f]{16})-([0-9a-f]{16})$/.exec(file);
  if (!found) return true;
  const [, number = "", first = "", end = ""] = found;
  const start = lsn(BigInt(`0x${first}`));
  const limit = lsn(BigInt(`0x${end}`));
  const kind = "branch" as const;
  const written = [{ epoch: epoch(Number(number)), timeline: timeline(0), start, kind }];
  return limit <= to && isSame(written, path, { from: start, limit });
}
