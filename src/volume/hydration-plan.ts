import { crc32cOfZeros, joinCrc32c } from "../base/crc32c.ts";
import type { SnapshotManifest } from "./manifest.ts";
import type { Pieces } from "./pieces.ts";

/** A file to be written. */
export interface TargetFile {
  readonly name: string;
  readonly sizeBytes: number;
  /** Undefined: not known. */
  readonly crc: number | undefined;
  readonly pieces: Pieces<string>;
}

export interface ExtentWrite {
  /** Which piece of the file it is. */
  readonly piece: number;
  readonly fileAt: number;
  readonly extentAt: number;
  readonly lengthBytes: number;
}

/** One extent, and everything that it gives: it is fetched once. */
export interface ExtentWork {
  readonly extent: string;
  readonly writes: ReadonlyMap<TargetFile, ExtentWrite[]>;
  readonly bytes: number;
}

/** What has to be written from which extent, in the order in which files first name them. Zeros are holes: nothing. */
export function planHydration(files: readonly TargetFile[]): ExtentWork[] {
  const works = new Map<string, { writes: Map<TargetFile, ExtentWrite[]>; bytes: number }>();
  for (const file of files) {
    let fileAt = 0;
    for (const [piece, { extent, at, lengthBytes }] of file.pieces.entries()) {
      if (extent !== undefined) {
        const work = works.get(extent) ?? { writes: new Map(), bytes: 0 };
        const writes = work.writes.get(file) ?? [];
        writes.push({ piece, fileAt, extentAt: at, lengthBytes });
        work.writes.set(file, writes);
        work.bytes += lengthBytes;
        works.set(extent, work);
      }
      fileAt += lengthBytes;
    }
  }
  return [...works].map(([extent, work]) => ({ extent, ...work }));
}

/** The sum of a whole file from those of its pieces, by their places; zeros need none. */
export function crcOfPieces(pieces: Pieces<string>, sums: ReadonlyMap<number, number>): number {
  let sum = 0;
  for (const [place, { extent, lengthBytes }] of pieces.entries()) {
    const own = extent === undefined ? crc32cOfZeros(lengthBytes) : (sums.get(place) ?? 0);
    sum = joinCrc32c(sum, own, lengthBytes);
  }
  return sum;
}

/** Bytes that a hydration writes: those that are not zeros. */
export function writtenBytes(files: readonly TargetFile[]): number {
  let bytes = 0;
  for (const { pieces } of files)
    for (const { extent, lengthBytes } of pieces) if (extent !== undefined) bytes += lengthBytes;
  return bytes;
}

/** The files of a data directory in a manifest. */
export function filesToHydrate(
  manifest: SnapshotManifest,
  { without }: { readonly without: string },
): TargetFile[] {
  return manifest.files.filter((file) => file.name !== without);
}
