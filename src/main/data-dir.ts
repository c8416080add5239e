import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  rmSync,
  statfsSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, resolve } from "node:path";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import {
  clusterStateFormat,
  type ClusterState,
  layoutOf,
  type Layout,
  longestSocketPath,
  parseClusterState,
  runtimeDirOf,
  socketPathMaxBytes,
} from "../cluster/index.ts";
import { relocationRoot } from "../engine/index.ts";
import { findHolder, takeLock, type Taken } from "./dir-lock.ts";
import { isErrno } from "./errno.ts";

/** Layout of a data directory as this user sees it. Raises BorealisError 22023 when socket paths would be too long. */
export function resolveLayout(dataDir: string): Layout {
  const full = resolve(dataDir);
  const uid = process.getuid?.() ?? 0;
  const layout = layoutOf(full, runtimeDirOf(tmpdir(), uid, full));
  const longest = longestSocketPath(layout);
  const limit = socketPathMaxBytes(process.platform);
  if (Buffer.byteLength(longest) > limit) {
    throw new BorealisError(
      sqlState.invalidParameter,
      `socket paths under ${tmpdir()} would be longer than the ${limit} bytes that the system allows`,
      { hint: "set TMPDIR to a shorter path" },
    );
  }
  return layout;
}

/** What is known of the cluster, or undefined where none was created. Raises 55000 on a newer or damaged file. */
export function readState(layout: Layout): ClusterState | undefined {
  let text: string;
  try {
    text = readFileSync(layout.stateFile, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR")) return undefined;
    throw new BorealisError(
      sqlState.ioError,
      `cannot read ${layout.stateFile}: ${messageOf(error)}`,
      {
        hint: "run borealis as the user that created the cluster",
        cause: error,
      },
    );
  }
  const parsed = parseClusterState(text);
  switch (parsed.kind) {
    case "state":
      return parsed.state;
    case "newer":
      throw new BorealisError(
        sqlState.notInPrerequisiteState,
        `the data directory ${layout.dataDir} was written by a newer Borealis (format ${parsed.format}; this one knows ${clusterStateFormat})`,
        { hint: "use that version, or choose another --data-dir" },
      );
    case "damaged":
      throw new BorealisError(
        sqlState.dataCorrupted,
        `${layout.stateFile} cannot be used: ${parsed.why}`,
        { hint: "restore that file from a copy; the data itself is in storage/" },
      );
  }
}

/** Makes the data directory, 0700. Raises one clear error when it cannot be written. */
export function makeDataDir(layout: Layout): void {
  try {
    mkdirSync(layout.dataDir, { recursive: true, mode: 0o700 });
    const probe = `${layout.dataDir}/.write-probe`;
    closeSync(openSync(probe, "w", 0o600));
    rmSync(probe);
  } catch (error) {
    throw diskError(`cannot write to the data directory ${layout.dataDir}`, error);
  }
  const isEmpty = readdirSync(layout.dataDir).length === 0;
  const isOurs = statSync(layout.controlDir, { throwIfNoEntry: false })?.isDirectory() ?? false;
  if (!isEmpty && !isOurs) {
    throw new BorealisError(
      sqlState.notInPrerequisiteState,
      `${layout.dataDir} is not empty and holds no Borealis cluster`,
      { hint: "choose another directory with --data-dir" },
    );
  }
}

/** Caches of three instances, six nodes' first segments, the genesis image: what a new cluster writes, and some room. */
export const newClusterBytes = 600 * 1024 * 1024;
/** Below this a resumed cluster could not even write its logs. */
export const resumedClusterBytes = 48 * 1024 * 1024;

/** Raises 53100 when the file system of the data directory has less than `bytes` left. */
export function requireSpace(layout: Layout, bytes: number): void {
  const { bavail, bsize } = statfsSync(layout.dataDir);
  const freeBytes = bavail * bsize;
  if (freeBytes >= bytes) return;
  const mebibytes = (size: number): string => `${Math.floor(size / 1_048_576)} MiB`;
  throw new BorealisError(
    sqlState.diskFull,
    `${layout.dataDir} has ${mebibytes(freeBytes)} of disk space left; at least ${mebibytes(bytes)} are needed`,
    { hint: "free some space, or choose another directory" },
  );
}

/** A file-system failure as one line with a way out. */
export function diskError(what: string, cause: unknown): BorealisError {
  if (isErrno(cause, "ENOSPC")) {
    return new BorealisError(sqlState.diskFull, `${what}: no space left on the device`, {
      hint: "free some space (a new cluster needs about 1 GB), or choose another directory",
      cause,
    });
  }
  const isDenied = isErrno(cause, "EACCES") || isErrno(cause, "EROFS") || isErrno(cause, "EPERM");
  const hint = isDenied
    ? "choose a directory that you may write to with --data-dir, or change its owner"
    : "choose another directory with --data-dir";
  return new BorealisError(sqlState.ioError, `${what}: ${messageOf(cause)}`, { hint, cause });
}

/** The pid of the process that has the data directory, if it lives. */
export function findLockHolder(layout: Layout): number | undefined {
  return findHolder(layout.lockFile);
}

/**
 * Takes the data directory for this process. Raises 55000 when another supervisor has it. A lock whose process is
 * gone (or whose pid now belongs to something else) is taken over.
 */
export function lockDataDir(layout: Layout): () => void {
  mkdirSync(layout.controlDir, { recursive: true, mode: 0o700 });
  // By this others know that the lock's process lives: the command line of a checkout need not say so.
  if (!process.title.includes("borealis")) process.title = "borealis";
  const taken = takeDataDir(layout);
  switch (taken.kind) {
    case "taken":
      return taken.release;
    case "held":
      throw heldBy(layout, taken.pid);
    case "busy":
      throw new BorealisError(sqlState.notInPrerequisiteState, `cannot take ${layout.lockFile}`, {
        hint: "other borealis commands are starting on this data directory; try again",
      });
  }
}

function takeDataDir(layout: Layout): Taken {
  try {
    return takeLock(layout.lockFile);
  } catch (error) {
    throw diskError(`cannot write to ${layout.controlDir}`, error);
  }
}

/** A directory that is no cluster yet is being made into one: by up, restore or clone. */
function heldBy(layout: Layout, pid: number): BorealisError {
  const { dataDir } = layout;
  const [why, hint] = existsSync(layout.stateFile)
    ? [
        `a cluster is already running on ${dataDir} (supervisor pid ${pid})`,
        "borealis status shows it; borealis down stops it",
      ]
    : [
        `another borealis command is at work in ${dataDir} (pid ${pid})`,
        "wait for its end, or choose another directory",
      ];
  return new BorealisError(sqlState.notInPrerequisiteState, why, { hint });
}

/** What is not empty, or is gone, is left as it is. */
export function removeIfEmpty(dir: string): void {
  try {
    rmdirSync(dir);
  } catch (error) {
    const isFine = ["ENOTEMPTY", "ENOENT", "EEXIST"].some((code) => isErrno(error, code));
    if (!isFine) throw error;
  }
}

/** Caches may lie elsewhere, where PostgreSQL's user can reach them. */
export function removeInstances(
  { instancesDir }: Layout,
  remove = (dir: string): void => rmSync(dir, { recursive: true, force: true }),
): void {
  const isLink = lstatSync(instancesDir, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
  if (isLink && existsSync(instancesDir)) {
    const target = realpathSync(instancesDir);
    if (target.startsWith(`${relocationRoot}/`)) {
      remove(target);
      removeIfEmpty(dirname(target));
    }
  }
  remove(instancesDir);
}
