import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { aSnapshot } from "../../test/helpers/snapshot-object.ts";
import { aStoppedCluster, aVolumeStore } from "../../test/helpers/stopped-cluster.ts";
import { epoch, timeline, volumeId } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import type { ClusterState, Layout } from "../cluster/index.ts";
import { openLogger } from "../io/index.ts";
import {
  ExtentSealer,
  genesisSnapshotId,
  openObjectStore,
  readVolumeRecord,
  type VolumeRecord,
  volumeObject,
} from "../volume/index.ts";
import { snapshotCopy } from "./snapshot-copy.ts";
import { createVolumeKeys, VolumeKeys, volumeRing } from "./volume-keys.ts";

let folder = "";
let layout: Layout;
let state: ClusterState;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "borealis-copy-"));
  ({ layout, state } = aStoppedCluster(join(folder, "data"), {
    encryption: "on",
    createdAt: "2026-11-30T00:00:00Z",
    bornAt: "2026-11-28T00:00:00Z",
  }));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const openKeys = async (): Promise<VolumeKeys> => {
  const keys = await VolumeKeys.open(layout, state, openLogger({ file: undefined, process: "t" }));
  if (!keys) throw new Error("it is encrypted");
  return keys;
};

/** An archive with the image that the volume was born with as its snapshot. */
async function anArchive(changes: Partial<VolumeRecord> = {}) {
  const volume = volumeId(state.volumeId);
  await createVolumeKeys(layout, volume);
  const own = await aVolumeStore(pathToFileURL(layout.objectsDir).href, state, {
    encryption: "on",
    keyRing: volumeRing(layout, state),
    ...changes,
  });
  const { dataKeys: keys } = await openKeys();
  await aSnapshot([own.store], genesisSnapshotId, new ExtentSealer({ volumeId: volume, keys }));
  return own;
}

/** volume.json of the copy. */
async function copied(onStep: (step: string) => void = () => undefined): Promise<VolumeRecord> {
  const to = pathToFileURL(join(folder, "copies")).href;
  const place = {
    layout,
    progress: { begin: onStep, at: () => undefined, end: () => undefined },
    signal: new AbortController().signal,
  };
  await snapshotCopy(place, genesisSnapshotId, { dataDir: layout.dataDir, to });
  const store = await openObjectStore(to, volumeId(state.volumeId), {});
  const record = await readVolumeRecord(store);
  if (!record) throw new Error("it has no volume.json");
  return record;
}

it("a copy has the keys and the birth of the cluster, and from its archive what only that knows", async () => {
  const at = { epoch: epoch(1), timeline: timeline(1), start: lsn(0x100_0000n) };
  const left = [{ history: [{ ...at, kind: "branch" as const }], from: at.start, leftAtMs: 1 }];
  const { record: archived } = await anArchive({ clusterId: "as it was archived", left });
  // Since the archive was switched off.
  await (await openKeys()).rotate();
  const record = await copied();
  expect(record.keyRing).toBe(volumeRing(layout, state));
  expect(record.keyRing).not.toBe(archived.keyRing);
  expect(record).toMatchObject({ clusterId: state.clusterId, createdAt: state.bornAt, left });
});

it("a copy is shown though the own store's volume.json cannot be read in the end", async () => {
  await anArchive();
  const record = await copied((step) => {
    if (step.startsWith("copying"))
      writeFileSync(join(layout.objectsDir, state.volumeId, volumeObject), "rotten");
  });
  expect(record).toMatchObject({ volumeId: state.volumeId, left: [], futures: [] });
});
