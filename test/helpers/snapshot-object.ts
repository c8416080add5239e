import { epoch, timeline, volumeId } from "../../src/base/ids.ts";
import { lsn } from "../../src/base/lsn.ts";
import {
  encodeManifest,
  extentObject,
  type ExtentSealer,
  type ExtentSize,
  type ObjectStore,
  type SnapshotManifest,
  snapshotObject,
} from "../../src/volume/index.ts";

/** What a manifest says of a snapshot besides its files. */
export function snapshotFacts(id: string, addressing: string) {
  return {
    id,
    kind: "automatic" as const,
    volumeId: volumeId("11111111-2222-3333-4444-555555555555"),
    history: [{ epoch: epoch(1), timeline: timeline(1), start: lsn(0n), kind: "branch" as const }],
    startLsn: lsn(1n),
    endLsn: lsn(2n),
    takenAtMs: 0,
    postgresMajor: 18,
    catalogVersion: 1,
    systemIdentifier: 1n,
    addressing,
  };
}

/** The manifest of a snapshot in which each of these extents is a file. */
export function manifestOf(
  id: string,
  { addressing }: Pick<ExtentSealer, "addressing">,
  extents: ReadonlyMap<string, ExtentSize>,
): SnapshotManifest {
  return {
    ...snapshotFacts(id, addressing),
    directories: [],
    files: [...extents].map(([extent, { plainBytes }], at) => ({
      name: `f${at}`,
      sizeBytes: plainBytes,
      crc: undefined,
      pieces: [{ extent, at: 0, lengthBytes: plainBytes }],
    })),
    extents,
    parts: new Map(),
    log: undefined,
  };
}

/** Puts a snapshot of one file into these stores, the same bytes in each; gives its only extent's id. */
export async function aSnapshot(
  stores: readonly ObjectStore[],
  id: string,
  sealer: ExtentSealer,
): Promise<string> {
  const plain = Buffer.alloc(500, id);
  const extent = sealer.idOf(plain);
  const sealed = await sealer.sealExtent(extent, plain);
  const extents = new Map([[extent, { plainBytes: 500, storedBytes: sealed.length }]]);
  const manifest = await sealer.sealManifest(id, encodeManifest(manifestOf(id, sealer, extents)));
  for (const store of stores) {
    await store.put(extentObject(extent), sealed);
    await store.put(snapshotObject(id), manifest);
  }
  return extent;
}
