/** What commands read of a cluster that is down, as files: its state, and a volume in an object store. */
import { mkdirSync, writeFileSync } from "node:fs";
import type { ClusterState, Layout } from "../../src/cluster/index.ts";
import { epoch, timeline, volumeId } from "../../src/base/ids.ts";
import { lsn } from "../../src/base/lsn.ts";
import { resolveLayout } from "../../src/main/data-dir.ts";
import {
  ExtentSealer,
  type ObjectStore,
  openObjectStore,
  type VolumeRecord,
  writeVolumeRecord,
} from "../../src/volume/index.ts";
import { newState } from "./cluster-state.ts";

/** A data directory with nothing but its state in it. */
export function aStoppedCluster(
  dataDir: string,
  changes: Partial<ClusterState> = {},
): { layout: Layout; state: ClusterState } {
  const layout = resolveLayout(dataDir);
  const state: ClusterState = { ...newState(1), encryption: "off", ...changes };
  mkdirSync(layout.controlDir, { recursive: true });
  writeFileSync(layout.stateFile, JSON.stringify(state));
  return { layout, state };
}

/** The store of a cluster's volume below this URL, with volume.json alone. */
export async function aVolumeStore(
  url: string,
  { volumeId: id, clusterId, createdAt, engineVersion, systemIdentifier }: ClusterState,
  changes: Partial<VolumeRecord> = {},
): Promise<{ store: ObjectStore; sealer: ExtentSealer; record: VolumeRecord }> {
  const volume = volumeId(id);
  const genesisLsn = lsn(0x100_0000n);
  const record: VolumeRecord = {
    volumeId: volume,
    clusterId,
    createdAt,
    writtenAt: createdAt,
    engineVersion,
    postgresMajor: 18,
    systemIdentifier,
    genesisLsn,
    masterUser: "postgres",
    isSuperuser: true,
    encryption: "off",
    keyRing: undefined,
    members: [],
    instances: 1,
    history: [{ epoch: epoch(1), timeline: timeline(1), start: genesisLsn, kind: "branch" }],
    left: [],
    futures: [],
    ...changes,
  };
  const store = await openObjectStore(url, volume, {});
  await writeVolumeRecord(store, record);
  return { store, sealer: new ExtentSealer({ volumeId: volume, keys: undefined }), record };
}
