/**
 * An instance's cache: `instances/instance-K/data`, and beside it a stamp that says whose it is and whether it can be
 * believed. PostgreSQL runs with fsync off, so after a loss of power or a crash of the operating system the files are
 * of unknown age and may look healthy: a cache counts only under the boot in which it was last used, or after a stop
 * that was clean and synced.
 * The stamp lies beside the data, not in it, so that no base backup carries it along.
 */
import { chmod, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { isUuid, volumeId, type VolumeId } from "../base/ids.ts";
import { findBootId } from "../io/index.ts";
import { isSuccess, runCommand } from "./command-shell.ts";
import { asDiskFull } from "./disk-failure-shell.ts";
import type { OsUser } from "./os-user-shell.ts";
import { copyTree, syncPath, syncTree } from "./owned-files-shell.ts";

/** PostgreSQL's data directory in an instance's directory. */
export function dataDirOf(instanceDir: string): string {
  return join(instanceDir, "data");
}

export type CacheVerdict =
  | { readonly kind: "usable" }
  | { readonly kind: "absent" }
  | { readonly kind: "unusable"; readonly reason: string };

interface CacheStamp {
  readonly volumeId: VolumeId;
  /** The boot in which it was last started; null: not known then. */
  readonly bootId: string | null;
  /** Stopped cleanly and synced, and not started since. */
  readonly isClean: boolean;
}

const stampName = "borealis-cache.json";

/** Whether the cache may be started from by `osUser`, or must be built again. */
export async function judgeCache(
  instanceDir: string,
  volume: VolumeId,
  osUser: OsUser | undefined,
): Promise<CacheVerdict> {
  const version = await stat(join(dataDirOf(instanceDir), "PG_VERSION")).catch(() => undefined);
  if (!version) return { kind: "absent" };
  if (version.uid !== (osUser?.uid ?? process.getuid?.())) {
    return { kind: "unusable", reason: "its files belong to another user" };
  }
  const stamp = await findStamp(instanceDir);
  if (!stamp) return { kind: "unusable", reason: "it was not built to its end" };
  if (stamp.volumeId !== volume)
    return { kind: "unusable", reason: `it belongs to volume ${stamp.volumeId}` };
  if (stamp.isClean) return { kind: "usable" };
  const boot = findBootId();
  if (boot !== undefined && stamp.bootId === boot) return { kind: "usable" };
  const reason =
    boot === undefined || stamp.bootId === null
      ? "nobody can tell whether the operating system has restarted since it was used"
      : "the operating system has restarted since it was used";
  return { kind: "unusable", reason };
}

/** Declares the cache in use: before each change of it, and at the end of each rebuild. Durable when it returns. */
export async function stampCache(instanceDir: string, volume: VolumeId): Promise<void> {
  const bootId = findBootId() ?? null;
  await writeStamp(instanceDir, { volumeId: volume, bootId, isClean: false });
}

/** Takes the stamp away: from here until stampCache the cache is worth nothing. Durable when it returns. */
export async function unstampCache(instanceDir: string): Promise<void> {
  await mkdir(instanceDir, { recursive: true, mode: 0o711 });
  await rm(join(instanceDir, stampName), { force: true });
  await syncPath(instanceDir);
}

/**
 * After a clean stop: syncs the cache and says so in the stamp, so that it outlives a restart of the machine. If the
 * sync fails or takes too long, the cache is merely built again after such a restart; returns whether it was done.
 */
export async function sealCache(instanceDir: string, timeoutMs = 10_000): Promise<boolean> {
  const stamp = await findStamp(instanceDir);
  if (!stamp) return false;
  if (!(await syncCache(instanceDir, timeoutMs))) return false;
  await writeStamp(instanceDir, { ...stamp, isClean: true });
  return true;
}

/** Whether all of it is on the disk now. */
async function syncCache(instanceDir: string, timeoutMs: number): Promise<boolean> {
  if (process.platform === "linux")
    return isSuccess(await runCommand("sync", ["-f", instanceDir], { timeoutMs }));
  // Elsewhere sync(2) may return before anything is written. Node's own sync asks the drive too (F_FULLFSYNC).
  return syncTree(dataDirOf(instanceDir), AbortSignal.timeout(timeoutMs)).then(
    () => true,
    () => false,
  );
}

export interface SeedOptions {
  readonly genesisDir: string;
  readonly instanceDir: string;
  readonly osUser: OsUser | undefined;
  readonly volumeId: VolumeId;
}

/**
 * Builds a cache from the genesis image; what was there is thrown away. PostgreSQL must not run in it. Raises 53100 if the
 * disk is full.
 */
export async function seedInstance(options: SeedOptions): Promise<void> {
  const { genesisDir, instanceDir, osUser } = options;
  try {
    const draft = await beginRebuild(instanceDir);
    await copyTree({ from: genesisDir, to: draft, user: osUser, access: "private" });
    await finishRebuild(instanceDir, options.volumeId);
  } catch (cause) {
    throw asDiskFull(instanceDir, cause);
  }
}

/**
 * Clears the way for a new cache and returns the directory to build it in (it does not exist yet). PostgreSQL must
 * not run in the old one.
 */
export async function beginRebuild(instanceDir: string): Promise<string> {
  await unstampCache(instanceDir);
  // The engine's user passes through, but owns only what is inside `data`: the stamp is not theirs to write.
  await chmod(instanceDir, 0o711);
  const draft = join(instanceDir, "data.making");
  await rm(dataDirOf(instanceDir), { recursive: true, force: true });
  await rm(draft, { recursive: true, force: true });
  return draft;
}

/** Puts what was built in place and stamps it. */
export async function finishRebuild(instanceDir: string, volume: VolumeId): Promise<void> {
  await rename(join(instanceDir, "data.making"), dataDirOf(instanceDir));
  await stampCache(instanceDir, volume);
}

async function findStamp(instanceDir: string): Promise<CacheStamp | undefined> {
  const text = await readFile(join(instanceDir, stampName), "utf8").catch(() => "");
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return undefined;
    const { volumeId: id, bootId: boot, isClean } = value as Record<string, unknown>; // an object; checked below
    if (
      typeof id !== "string" ||
      !isUuid(id) ||
      (typeof boot !== "string" && boot !== null) ||
      typeof isClean !== "boolean"
    )
      return undefined;
    return { volumeId: volumeId(id), bootId: boot, isClean };
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

async function writeStamp(instanceDir: string, stamp: CacheStamp): Promise<void> {
  const path = join(instanceDir, stampName);
  const draft = `${path}.making`;
  const file = await open(draft, "w", 0o600);
  try {
    try {
      await file.writeFile(`${JSON.stringify(stamp)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  await syncPath(instanceDir);
}
