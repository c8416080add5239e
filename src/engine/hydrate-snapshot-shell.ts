/**
 * A cache built from a snapshot: files are laid out as holes, then extents come in any order, some at a time, each verified
 * by its hash, and each goes wherever it belongs. Log is not in it, unless the snapshot brought its own.
 */
import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { crc32c } from "../base/crc32c.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { VolumeId } from "../base/ids.ts";
import { realClock } from "../io/index.ts";
import {
  backupManifestName,
  crcOfPieces,
  extentObject,
  type ExtentSealer,
  type ExtentWork,
  filesToHydrate,
  planHydration,
  type Replicas,
  type SnapshotManifest,
  type TargetFile,
  writtenBytes,
} from "../volume/index.ts";
import { beginRebuild, finishRebuild } from "./cache-shell.ts";
import { asDiskFailure } from "./disk-failure-shell.ts";
import type { OsUser } from "./os-user-shell.ts";
import { giveTree } from "./owned-files-shell.ts";
import { segmentFiles } from "./snapshot-segments.ts";

export interface SnapshotUnpacking {
  readonly manifest: SnapshotManifest;
  readonly replicas: Pick<Replicas, "get">;
  readonly sealer: ExtentSealer;
  /** Must not exist; its parent does. */
  readonly dir: string;
  readonly osUser: OsUser | undefined;
  /** Puts the log that the snapshot brought into pg_wal, so that it becomes consistent without any other. */
  readonly withLog?: boolean;
  /** Extents under way at a time; 8 unless told. */
  readonly parallel?: number;
  readonly signal: AbortSignal;
}

export interface SnapshotHydration extends Omit<SnapshotUnpacking, "dir"> {
  readonly instanceDir: string;
  /** Of the cluster whose cache it becomes: a clone's own. */
  readonly volumeId: VolumeId;
}

export interface HydrationProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface HydrationFigures {
  /** Bytes written; zeros are holes and not counted. */
  readonly writtenBytes: number;
  /** As they came from the stores. */
  readonly fetchedBytes: number;
  readonly extents: number;
  readonly files: number;
  readonly tookMs: number;
}

/** Replaces the cache; PostgreSQL must not run in it. Raises what stood in the way: there is no cache then. */
export async function hydrateFromSnapshot(
  options: SnapshotHydration,
  onProgress: (progress: HydrationProgress) => void = () => {},
): Promise<HydrationFigures> {
  const dir = await beginRebuild(options.instanceDir);
  const figures = await unpackSnapshot({ ...options, dir }, onProgress);
  await finishRebuild(options.instanceDir, options.volumeId);
  return figures;
}

/** Writes a data directory. Raises 53100 when the disk is full, 58030 for another failure of it, and what the stores raise. */
export async function unpackSnapshot(
  options: SnapshotUnpacking,
  onProgress: (progress: HydrationProgress) => void = () => {},
): Promise<HydrationFigures> {
  const startMs = realClock.nowMs();
  const unpacking = new Unpacking(options, onProgress);
  try {
    await unpacking.layOut();
    await unpacking.fill();
  } catch (cause) {
    throw asDiskFailure(options.dir, cause);
  }
  unpacking.check();
  await unpacking.giveAway();
  return { ...unpacking.figures, tookMs: realClock.nowMs() - startMs };
}

class Unpacking {
  private readonly options: SnapshotUnpacking;
  private readonly onProgress: (progress: HydrationProgress) => void;
  private readonly files: TargetFile[];
  private readonly directories: readonly string[];
  private readonly works: ExtentWork[];
  private readonly totalBytes: number;
  /** Of files whose sum is known: the sums of their pieces, by place. */
  private readonly sums = new Map<TargetFile, Map<number, number>>();
  private doneBytes = 0;
  private fetchedBytes = 0;

  constructor(options: SnapshotUnpacking, onProgress: (progress: HydrationProgress) => void) {
    const { manifest, withLog } = options;
    this.options = options;
    this.onProgress = onProgress;
    const own = filesToHydrate(manifest, { without: backupManifestName });
    this.files = withLog ? [...own, ...segmentFiles(manifest)] : own;
    this.directories = manifest.directories;
    this.works = planHydration(this.files);
    this.totalBytes = writtenBytes(this.files);
    for (const file of this.files) if (file.crc !== undefined) this.sums.set(file, new Map());
  }

  get figures(): Omit<HydrationFigures, "tookMs"> {
    const { doneBytes, fetchedBytes, works, files } = this;
    return { writtenBytes: doneBytes, fetchedBytes, extents: works.length, files: files.length };
  }

  /** Every file, as long as it will be, with nothing in it, in a directory that only we can enter. */
  async layOut(): Promise<void> {
    const { dir } = this.options;
    await mkdir(dir, { mode: 0o700 });
    for (const name of this.directories) await mkdir(join(dir, name), { mode: 0o700 });
    await inLanes(this.files.values(), this.lanes, async ({ name, sizeBytes }) => {
      const file = await open(join(dir, name), "wx", 0o600);
      try {
        if (sizeBytes > 0) await file.truncate(sizeBytes);
      } finally {
        await file.close();
      }
    });
  }

  async fill(): Promise<void> {
    const { signal } = this.options;
    await inLanes(this.works.values(), this.lanes, async (work) => {
      if (signal.aborted) throw signal.reason;
      await this.take(work);
      this.onProgress({ doneBytes: this.doneBytes, totalBytes: this.totalBytes });
    });
  }

  /** Raises XX001 unless every file with a known sum is what was snapshotted. */
  check(): void {
    for (const [file, sums] of this.sums) {
      if (crcOfPieces(file.pieces, sums) === file.crc) continue;
      const { id } = this.options.manifest;
      throw new BorealisError(
        sqlState.dataCorrupted,
        `${file.name} of snapshot ${id} does not match its checksum`,
        { hint: "use another snapshot, and report this: its extents are whole" },
      );
    }
  }

  async giveAway(): Promise<void> {
    const { dir, osUser } = this.options;
    if (!osUser) return;
    await giveTree(dir, [...this.files.map(({ name }) => name), ...this.directories], osUser);
  }

  private get lanes(): number {
    return this.options.parallel ?? 8;
  }

  private async take({ extent, writes, bytes }: ExtentWork): Promise<void> {
    const { replicas, sealer, dir } = this.options;
    let sealedBytes = 0;
    const plain = await replicas.get(extentObject(extent), (sealed) => {
      sealedBytes = sealed.length;
      return sealer.openExtent(extent, sealed);
    });
    this.fetchedBytes += sealedBytes;
    for (const [target, places] of writes) {
      const sums = this.sums.get(target);
      const file = await open(join(dir, target.name), "r+");
      try {
        for (const { piece, fileAt, extentAt, lengthBytes } of places) {
          const end = extentAt + lengthBytes;
          sums?.set(piece, crc32c(plain, 0, extentAt, end));
          for (let at = extentAt; at < end;)
            at += (await file.write(plain, at, end - at, fileAt + at - extentAt)).bytesWritten;
        }
      } finally {
        await file.close();
      }
    }
    this.doneBytes += bytes;
  }
}

/** The first failure stops every lane, and is raised when all have stopped. */
async function inLanes<Item>(
  items: Iterator<Item>,
  lanes: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  let failure: { readonly error: unknown } | undefined;
  const lane = async (): Promise<void> => {
    for (let next = items.next(); !next.done && !failure; next = items.next()) {
      try {
        await work(next.value);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  if (failure) throw failure.error;
}
