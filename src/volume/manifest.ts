import type { VolumeId } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import type { LogPath } from "./log-path.ts";
import { lengthOf, type Pieces } from "./pieces.ts";

/**
 * A snapshot: everything that a data directory is rebuilt from, with nothing but extents behind it. Never a chain: changes
 * of an incremental backup are laid over already.
 */
export interface SnapshotManifest extends SnapshotFacts {
  readonly directories: readonly string[];
  readonly files: readonly SnapshotFile[];
  /** All that `files` and `log` name, by id. */
  readonly extents: ReadonlyMap<string, ExtentSize>;
  /** What small files and the ends of big ones are found again by: their keyed hash, and where they lie. */
  readonly parts: ReadonlyMap<string, PackedPart>;
  /** Log that came along, so that the snapshot needs no other (keepLog). */
  readonly log: SnapshotLog | undefined;
}

export type SnapshotKind = "genesis" | "automatic" | "manual";

export interface SnapshotFacts {
  readonly id: string;
  readonly kind: SnapshotKind;
  readonly volumeId: VolumeId;
  /** The path that its bytes are of. */
  readonly history: LogPath;
  /** Redo starts here: log is needed from the start of the WAL segment that holds it. */
  readonly startLsn: Lsn;
  /** The files are consistent from here on, and hold nothing from beyond. */
  readonly endLsn: Lsn;
  /** When it was complete, on the clock of whoever took it. */
  readonly takenAtMs: number;
  /** Which PostgreSQL can start from it: 15 to 18, and the version of its system catalogs. */
  readonly postgresMajor: number;
  readonly catalogVersion: number;
  readonly systemIdentifier: bigint;
  /** Which address key named its extents (ExtentSealer.addressing): none of another one can be shared with it. */
  readonly addressing: string;
}

export interface SnapshotFile {
  /** Relative to the data directory, with slashes. */
  readonly name: string;
  readonly sizeBytes: number;
  /** CRC-32C; undefined: it was never seen whole, only changed since, and rests on its extents' own hashes. */
  readonly crc: number | undefined;
  readonly pieces: Pieces<string>;
}

export interface ExtentSize {
  readonly plainBytes: number;
  /** As it was put, compressed and sealed. */
  readonly storedBytes: number;
}

export interface PackedPart {
  readonly extent: string;
  readonly at: number;
  readonly lengthBytes: number;
}

/** Log [from, to), both within the path of the snapshot; `from` is the start of a WAL segment. */
export interface SnapshotLog {
  readonly from: Lsn;
  readonly to: Lsn;
  readonly pieces: Pieces<string>;
}

/** Where PostgreSQL's own list of a backup's files lies in a snapshot; no cache needs it. */
export const backupManifestName = "backup_manifest";

export interface SnapshotSize {
  /** All files' bytes. */
  readonly dataBytes: number;
  /** Bytes of its extents as they are stored; other snapshots may share them. */
  readonly storedBytes: number;
  readonly pieces: number;
  /** Plain bytes in its extents, and how many of them it uses; one that is used twice counts twice. */
  readonly extentBytes: number;
  readonly usedBytes: number;
}

export function sizeOfSnapshot(manifest: SnapshotManifest): SnapshotSize {
  let dataBytes = 0;
  let pieces = 0;
  let zeroBytes = 0;
  for (const file of manifest.files) {
    dataBytes += file.sizeBytes;
    pieces += file.pieces.length;
    for (const { extent, lengthBytes } of file.pieces)
      if (extent === undefined) zeroBytes += lengthBytes;
  }
  let storedBytes = 0;
  let extentBytes = 0;
  for (const size of manifest.extents.values()) {
    storedBytes += size.storedBytes;
    extentBytes += size.plainBytes;
  }
  const logBytes = manifest.log ? lengthOf(manifest.log.pieces) : 0;
  const usedBytes = dataBytes - zeroBytes + logBytes;
  return { dataBytes, storedBytes, pieces, extentBytes, usedBytes };
}

/** Pieces per MiB that a hydration writes without much loss: 32 KiB each on average. */
const piecesPerMebiMax = 32;
/** Of a small database it does not matter. */
const piecesFree = 20_000;
const deadBytesFree = 64 * 1024 * 1024;

/**
 * Why the next snapshot should be a full one although an incremental one would do; undefined: it need not. Each
 * incremental snapshot leaves holes in the extents of those before and cuts files into smaller pieces.
 */
export function reasonForFull(manifest: SnapshotManifest): string | undefined {
  const { dataBytes, pieces, extentBytes, usedBytes } = sizeOfSnapshot(manifest);
  const piecesMax = Math.max(piecesFree, (dataBytes / 2 ** 20) * piecesPerMebiMax);
  if (pieces > piecesMax) return `its files lie in ${pieces} pieces`;
  const deadBytes = extentBytes - usedBytes;
  if (deadBytes > Math.max(deadBytesFree, usedBytes))
    return `its extents hold ${deadBytes} bytes that nobody uses`;
  return undefined;
}
