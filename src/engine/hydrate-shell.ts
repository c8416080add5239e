/**
 * A cache built from a live instance: its base backup, unpacked and checked file by file against the manifest. Log is
 * not in it: it comes from the volume, from the start of the segment that holds the backup's redo LSN on.
 */
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { crc32c } from "../base/crc32c.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { VolumeId } from "../base/ids.ts";
import { realClock } from "../io/index.ts";
import { type BaseBackup, type PgAddress, takeBaseBackup } from "../wire/index.ts";
import { requireSameFiles } from "./backup-manifest.ts";
import { beginRebuild, finishRebuild } from "./cache-shell.ts";
import { asDiskFull } from "./disk-failure-shell.ts";
import type { OsUser } from "./os-user-shell.ts";
import { giveTree } from "./owned-files-shell.ts";
import { bootstrapUser } from "./settings.ts";
import { type TarPart, TarReader } from "./tar.ts";

export interface HydrateOptions {
  /** The instance that is copied. */
  readonly source: PgAddress;
  readonly instanceDir: string;
  readonly volumeId: VolumeId;
  readonly osUser: OsUser | undefined;
  /** Asked when all is there: whether the volume has the log that the copy needs. Raises if it never will. */
  readonly untilUsable: (backup: BaseBackup) => Promise<void>;
  /** Bytes of the archive that have come, and about how many there will be; undefined: nobody knows. */
  readonly onProgress?: (doneBytes: number, totalBytes: number | undefined) => void;
  readonly signal: AbortSignal;
}

const manifestBytesMax = 256 * 1024 * 1024;

/**
 * Replaces the cache; PostgreSQL must not run in it. Raises what stood in the way, 53100 if the disk is full: there is no
 * cache then.
 */
export async function hydrateFromBackup(options: HydrateOptions): Promise<BaseBackup> {
  try {
    return await copyInstance(options);
  } catch (cause) {
    throw asDiskFull(options.instanceDir, cause);
  }
}

async function copyInstance(options: HydrateOptions): Promise<BaseBackup> {
  const { source, instanceDir, osUser, onProgress, signal } = options;
  const draft = await beginRebuild(instanceDir);
  const unpacking = new Unpacking(draft);
  const manifest: Buffer[] = [];
  let [manifestBytes, tarBytes] = [0, 0];
  let totalBytes: number | undefined;
  let backup: BaseBackup;
  try {
    await unpacking.begin();
    backup = await takeBaseBackup({
      address: source,
      user: bootstrapUser,
      applicationName: "borealis_backup",
      clock: realClock,
      signal,
      sink: {
        onSize: (bytes) => void (totalBytes = bytes),
        onTar: (bytes) => {
          onProgress?.((tarBytes += bytes.length), totalBytes);
          return unpacking.push(bytes);
        },
        onManifest: (bytes) => {
          manifestBytes += bytes.length;
          if (manifestBytes > manifestBytesMax) throw damaged("its manifest has no end");
          manifest.push(Buffer.from(bytes));
          return Promise.resolve();
        },
      },
    });
  } finally {
    await unpacking.close();
  }
  unpacking.check(Buffer.concat(manifest));
  if (osUser) await unpacking.giveTo(osUser);
  await options.untilUsable(backup);
  await finishRebuild(instanceDir, options.volumeId);
  return backup;
}

interface Unpacked {
  readonly sizeBytes: number;
  readonly crc: number;
}

/** Writes an archive's files into a directory that nobody else may enter before all is done. */
class Unpacking {
  private readonly root: string;
  private readonly tar = new TarReader();
  private readonly files = new Map<string, Unpacked>();
  private readonly directories: string[] = [];
  private current: { readonly name: string; readonly file: FileHandle } | undefined;
  private sizeBytes = 0;
  private crc = 0;

  constructor(root: string) {
    this.root = root;
  }

  async begin(): Promise<void> {
    await mkdir(this.root, { mode: 0o700 });
  }

  async push(bytes: Buffer): Promise<void> {
    for (const one of this.tar.push(bytes)) await this.take(one);
  }

  async close(): Promise<void> {
    await this.current?.file.close();
    this.current = undefined;
  }

  /** Raises XX001 unless the files are exactly those of the manifest. */
  check(manifest: Buffer): void {
    if (!this.tar.isComplete) throw damaged("its archive was cut off");
    requireSameFiles(manifest, this.files);
  }

  async giveTo(user: OsUser): Promise<void> {
    await giveTree(this.root, [...this.files.keys(), ...this.directories], user);
  }

  private async take(one: TarPart): Promise<void> {
    switch (one.kind) {
      case "directory":
        this.directories.push(one.name);
        await mkdir(join(this.root, one.name), { mode: 0o700 });
        return;
      case "file":
        this.sizeBytes = 0;
        this.crc = 0;
        this.current = { name: one.name, file: await open(join(this.root, one.name), "wx", 0o600) };
        return;
      case "bytes":
        this.sizeBytes += one.bytes.length;
        this.crc = crc32c(one.bytes, this.crc);
        await this.current?.file.writeFile(one.bytes);
        return;
      case "fileEnd":
        if (!this.current) return;
        this.files.set(this.current.name, { sizeBytes: this.sizeBytes, crc: this.crc });
        await this.close();
    }
  }
}

function damaged(why: string): BorealisError {
  return new BorealisError(sqlState.dataCorrupted, `a base backup cannot be used: ${why}`);
}
