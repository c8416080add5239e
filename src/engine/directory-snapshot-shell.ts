/** A snapshot of a data directory that nobody runs: the genesis image, or what a restore made. */
import { constants } from "node:fs";
import { type FileHandle, open, readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { VolumeId } from "../base/ids.ts";
import { realClock } from "../io/index.ts";
import {
  buildManifest,
  type ExtentSealer,
  ExtentUpload,
  genesisSnapshotId,
  type LogPath,
  type Replicas,
  SnapshotCutter,
  type SnapshotManifest,
} from "../volume/index.ts";
import { readControlFile } from "./genesis-shell.ts";

export interface DirectorySnapshotOptions {
  /** Stopped cleanly. */
  readonly dir: string;
  readonly replicas: Pick<Replicas, "put">;
  readonly sealer: ExtentSealer;
  readonly volumeId: VolumeId;
  readonly history: LogPath;
  readonly signal: AbortSignal;
}

const readBytes = 1024 * 1024;
/** What a running server leaves: nothing of the data. */
const leftOut = new Set(["postmaster.pid", "postmaster.opts"]);

/**
 * Puts the extents of snapshot 0, the genesis image, and gives its manifest, which is not put. It holds every file of the
 * directory, its log too. Raises BorealisError 55000 if the directory was not shut down, 0A000 if it has more than files and
 * folders in it, and what the stores raise.
 */
export async function snapshotOfDirectory(
  options: DirectorySnapshotOptions,
): Promise<SnapshotManifest> {
  const { dir, replicas, sealer, volumeId, history } = options;
  const control = await readControlFile(dir);
  if (control.state !== "shutDown") {
    const why = `the data directory ${dir} was not shut down cleanly (${control.state})`;
    throw new BorealisError(sqlState.notInPrerequisiteState, why, {
      hint: "start PostgreSQL in it once and stop it",
    });
  }
  const upload = new ExtentUpload({ sealer, store: replicas });
  const cutter = new SnapshotCutter({
    address: sealer.idOf,
    previous: undefined,
    isIncremental: false,
  });
  try {
    await cutTree(options, cutter, upload);
  } finally {
    // Nobody may put anything once this has ended.
    await upload.finish().catch(() => undefined);
  }
  const cut = cutter.finish();
  await upload.add(cutter.takeReady());
  await upload.finish();
  const version = await readFile(join(dir, "PG_VERSION"), "utf8");
  const { redoLsn, systemIdentifier, catalogVersion } = control;
  const facts = {
    id: genesisSnapshotId,
    kind: "genesis" as const,
    volumeId,
    history,
    startLsn: redoLsn,
    endLsn: redoLsn,
    takenAtMs: realClock.wallMs(),
    postgresMajor: Number.parseInt(version, 10),
    catalogVersion,
    systemIdentifier,
    addressing: sealer.addressing,
  };
  return buildManifest({ facts, cut, previous: undefined, put: upload.sizes });
}

async function cutTree(
  { dir, signal }: DirectorySnapshotOptions,
  cutter: SnapshotCutter,
  upload: ExtentUpload,
): Promise<void> {
  const entries = await readdir(dir, { withFileTypes: true, recursive: true });
  const named = entries.map((entry) => ({
    entry,
    name: relative(dir, join(entry.parentPath, entry.name)),
  }));
  named.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const { entry, name } of named) {
    if (signal.aborted) throw signal.reason;
    if (entry.isDirectory()) cutter.directory(name);
    else if (!entry.isFile()) throw neitherNor(dir, name);
    else if (!leftOut.has(name)) await cutFile(join(dir, name), { name, cutter, upload });
  }
}

async function cutFile(
  path: string,
  to: { readonly name: string; readonly cutter: SnapshotCutter; readonly upload: ExtentUpload },
): Promise<void> {
  const { name, cutter, upload } = to;
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { size } = await file.stat();
    cutter.beginFile(name, size);
    const buffer = Buffer.allocUnsafe(Math.min(size, readBytes));
    for (let at = 0; at < size;) {
      const count = await readSome(file, buffer, { at, size, path });
      cutter.bytes(buffer.subarray(0, count));
      at += count;
      await upload.add(cutter.takeReady());
    }
    cutter.endFile();
    await upload.add(cutter.takeReady());
  } finally {
    await file.close();
  }
}

async function readSome(
  file: FileHandle,
  buffer: Buffer,
  { at, size, path }: { readonly at: number; readonly size: number; readonly path: string },
): Promise<number> {
  const wanted = Math.min(buffer.length, size - at);
  const { bytesRead } = await file.read(buffer, 0, wanted, at);
  if (bytesRead > 0) return bytesRead;
  throw new BorealisError(sqlState.ioError, `${path} became shorter while it was read`, {
    hint: "nobody may use the directory meanwhile",
  });
}

function neitherNor(dir: string, name: string): BorealisError {
  return new BorealisError(
    sqlState.notSupported,
    `${join(dir, name)} is neither a file nor a folder`,
    { hint: "a volume has no tablespaces outside of its data directory" },
  );
}
