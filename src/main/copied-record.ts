/** Who a cluster's volume is, for a copy of a snapshot in another store: volume.json there. */
import { BorealisError } from "../base/errors.ts";
import { type VolumeId, volumeId } from "../base/ids.ts";
import { parseLsn } from "../base/lsn.ts";
import type { ClusterState, Layout } from "../cluster/index.ts";
import { realClock } from "../io/index.ts";
import {
  type LogPath,
  openObjectStore,
  readVolumeRecord,
  type StoreAddress,
  tryObjectStore,
  type VolumeRecord,
} from "../volume/index.ts";
import { volumeRing } from "./volume-keys.ts";

/** What the cluster's own store says. Undefined: nobody has archived there, or it cannot be read now; a copy does without. */
export async function findOwnRecord(
  { url, env }: StoreAddress,
  volume: VolumeId,
): Promise<VolumeRecord | undefined> {
  try {
    await tryObjectStore(url, volume, env);
    const store = await openObjectStore(url, volume, env);
    try {
      return await readVolumeRecord(store);
    } finally {
      await store.close();
    }
  } catch (error) {
    if (error instanceof BorealisError) return undefined;
    throw error;
  }
}

/**
 * As the cluster knows it now. Of `known`, which its archiver has written, only what the state does not say: that may be from before a
 * data key was rotated, and then it lacks the one that the copy is sealed with. Raises 55000 if no key ring is left of a volume that
 * is encrypted.
 */
export function recordOfCluster(
  { layout, state }: { readonly layout: Layout; readonly state: ClusterState },
  history: LogPath,
  known: VolumeRecord | undefined,
): VolumeRecord {
  const { volumeId: id, ancestorVolumeId: ancestor, createdAt, bornAt = createdAt } = state;
  return {
    volumeId: volumeId(id),
    ...(ancestor !== undefined && { ancestorVolumeId: volumeId(ancestor) }),
    clusterId: state.clusterId,
    createdAt: bornAt,
    writtenAt: new Date(realClock.wallMs()).toISOString(),
    engineVersion: state.engineVersion,
    postgresMajor: Number.parseInt(state.engineVersion, 10),
    systemIdentifier: state.systemIdentifier,
    genesisLsn: parseLsn(state.genesisLsn),
    masterUser: state.masterUser,
    isSuperuser: state.isSuperuser,
    encryption: state.encryption,
    keyRing: volumeRing(layout, state),
    members: known?.members ?? [],
    instances: state.instances.length,
    history,
    left: known?.left ?? [],
    futures: known?.futures ?? [],
  };
}
