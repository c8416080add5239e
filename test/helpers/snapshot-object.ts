import { epoch, timeline, volumeId } from "../../src/base/ids.ts";
import { lsn } from "../../src/base/lsn.ts";
import {
  encodeManifest,
  extentObject,
  type ExtentSealer,
  type ObjectStore,
  snapshotObject,
} from "../../src/volume/index.ts";

/** Puts a snapshot of one file into these stores, the same bytes in each; gives its only extent's id. */
export async function aSnapshot(
  stores: readonly ObjectStore[],
  id: string,
  sealer: ExtentSealer,
): Promise<string> {
  const plain = Buffer.alloc(500, id);
  const extent = sealer.idOf(plain);
  const sealed = await sealer.sealExtent(extent, plain);
  const encoded = encodeManifest({
    id,
    kind: "automatic",
    volumeId: volumeId("11111111-2222-3333-4444-555555555555"),
    history: [{ epoch: epoch(1), timeline: timeline(1), start: lsn(0n), kind: "branch" }],
    startLsn: lsn(1n),
    endLsn: lsn(2n),
    takenAtMs: 0,
    postgresMajor: 18,
    catalogVersion: 1,
    systemIdentifier: 1n,
    addressing: sealer.addressing,
    directories: [],
    files: [
      { name: "f", sizeBytes: 500, crc: undefined, pieces: [{ extent, at: 0, lengthBytes: 500 }] },
    ],
    extents: new Map([[extent, { plainBytes: 500, storedBytes: sealed.length }]]),
    parts: new Map(),
    log: undefined,
  });
  const manifest = await sealer.sealManifest(id, encoded);
  for (const store of stores) {
    await store.put(extentObject(extent), sealed);
    await store.put(snapshotObject(id), manifest);
  }
  return extent;
}
