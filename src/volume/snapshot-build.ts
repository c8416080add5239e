import { assert } from "../base/assert.ts";
import { bytesBetween, type Lsn } from "../base/lsn.ts";
import type { CutSnapshot } from "./cutter.ts";
import type { ExtentSize, SnapshotFacts, SnapshotManifest } from "./manifest.ts";

export interface BuildOptions {
  readonly facts: SnapshotFacts;
  readonly cut: CutSnapshot;
  readonly previous: SnapshotManifest | undefined;
  /** Of the extents that were put for it. */
  readonly put: ReadonlyMap<string, ExtentSize>;
}

export function buildManifest({ facts, cut, previous, put }: BuildOptions): SnapshotManifest {
  const { directories, files, parts } = cut;
  const extents = sizesOf(cut, previous, put);
  return { ...facts, directories, files, extents, parts, log: undefined };
}

/** The snapshot with log [from, to) in it, which was cut as the one file of `cut` with the snapshot as previous. */
export function withLog(
  manifest: SnapshotManifest,
  log: { readonly from: Lsn; readonly to: Lsn },
  { cut, put }: Pick<BuildOptions, "cut" | "put">,
): SnapshotManifest {
  const [file] = cut.files;
  assert(file !== undefined, "log was cut");
  assert(file.sizeBytes === bytesBetween(log.from, log.to), "log is as long as its LSNs say");
  const extents = new Map([...manifest.extents, ...sizesOf(cut, manifest, put)]);
  return { ...manifest, extents, log: { ...log, pieces: file.pieces } };
}

function sizesOf(
  cut: CutSnapshot,
  previous: SnapshotManifest | undefined,
  put: ReadonlyMap<string, ExtentSize>,
): Map<string, ExtentSize> {
  const extents = new Map<string, ExtentSize>();
  for (const id of cut.extents.keys()) {
    const size = put.get(id) ?? previous?.extents.get(id);
    assert(
      size !== undefined,
      "an extent that a snapshot names was put, or is in the previous one",
    );
    extents.set(id, size);
  }
  return extents;
}
