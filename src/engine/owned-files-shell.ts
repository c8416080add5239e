/**
 * Files that belong to the engine's user. We may be root and the directory theirs, so nothing here follows a link
 * that they could have put in the way: new files are made exclusively and then renamed into place.
 */
import { randomBytes } from "node:crypto";
import { constants, type Dirent } from "node:fs";
import {
  chmod,
  copyFile,
  type FileHandle,
  lchown,
  mkdir,
  open,
  readdir,
  readlink,
  rename,
  rm,
  symlink,
} from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { OsUser } from "./os-user-shell.ts";

/**
 * What files that are being written are called, before the rest of their name. PostgreSQL passes over such names when it is
 * backed up; any other one of ours, which its user may not read before it is given to him, would fail the backup: a moment's if it
 * is met on its way, each one from then on if we are killed there.
 */
const draftPrefix = "pgsql_tmp.";

/**
 * Writes a small file whole or not at all, mode 0600, owned by `user`. Its directory may be theirs to replace: a link in its
 * place is refused (ENOTDIR, ELOOP), and on Linux one that comes later finds nothing to lead astray.
 */
export async function writeOwned(
  path: string,
  content: string,
  user: OsUser | undefined,
): Promise<void> {
  const parent = await openDir(dirname(path));
  const dir = within(parent, path);
  const draft = join(dir, `${draftPrefix}${basename(path)}.${randomBytes(6).toString("hex")}`);
  try {
    const file = await open(draft, "wx", 0o600);
    try {
      await file.writeFile(content);
      if (user) await file.chown(user.uid, user.gid);
    } finally {
      await file.close();
    }
    await rename(draft, join(dir, basename(path)));
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  } finally {
    await parent.close();
  }
}

/**
 * Content of a small file. Its user may have put something else there: raises if it is no file, has more than `bytesMax` or
 * is behind a link, and never waits for who would fill a pipe.
 */
export async function readOwned(path: string, bytesMax: number): Promise<string> {
  const parent = await openDir(dirname(path));
  try {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const file = await open(join(within(parent, path), basename(path)), flags);
    try {
      const status = await file.stat();
      if (!status.isFile() || status.size > bytesMax)
        throw new BorealisError(
          sqlState.ioError,
          `${path} is not a file of ${bytesMax} bytes at most`,
        );
      const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(status.size) });
      return buffer.toString("utf8", 0, bytesRead);
    } finally {
      await file.close();
    }
  } finally {
    await parent.close();
  }
}

/** Names in a directory that begin with `prefix`. Raises if it is a link, or not there. */
export async function namesOwned(dir: string, prefix: string): Promise<string[]> {
  const parent = await openDir(dir);
  try {
    const names = await readdir(within(parent, join(dir, prefix)));
    return names.filter((name) => name.startsWith(prefix));
  } finally {
    await parent.close();
  }
}

/**
 * Removes what writers of this file left that were killed, before somebody writes it. Drafts without the prefix, as they were
 * called once, too.
 */
export async function removeDraftsOf(path: string): Promise<void> {
  const name = basename(path);
  const drafts = [`${draftPrefix}${name}.`, `.${name}.`];
  for (const left of await namesOwned(dirname(path), ""))
    if (drafts.some((prefix) => left.startsWith(prefix)))
      await removeOwned(join(dirname(path), left));
}

/** What it leads to is the directory that was opened, whatever has its name meanwhile. */
function within(parent: FileHandle, path: string): string {
  return process.platform === "linux" ? `/proc/self/fd/${parent.fd}` : dirname(path);
}

/** Raises if it is a link. */
function openDir(dir: string): Promise<FileHandle> {
  return open(dir, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
}

/** Removes a file, or a link, if it is there. */
export function removeOwned(path: string): Promise<void> {
  return rm(path, { force: true });
}

/** Makes `dir` (and what is missing above it, passable) as a directory of `user` with mode 0700. */
export async function makeOwnedDir(dir: string, user: OsUser | undefined): Promise<void> {
  await mkdir(dirname(dir), { recursive: true, mode: 0o711 });
  await mkdir(dir, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  const handle = await openDir(dir);
  try {
    if (user) await handle.chown(user.uid, user.gid);
    await handle.chmod(0o700);
  } finally {
    await handle.close();
  }
}

export interface TreeCopy {
  readonly from: string;
  /** Must not exist. */
  readonly to: string;
  readonly user?: OsUser | undefined;
  /** Modes of the copies: "private" is 0700 and 0600, "public" readable by all, executable where the original is. */
  readonly access: "private" | "public";
  /** Syncs each file and directory, so that the copy survives the loss of power. */
  readonly isDurable?: boolean;
}

const parallel = 8;

/** Copies a tree of files, directories and links; blocks are shared where the file system can (FICLONE). */
export async function copyTree(copy: TreeCopy): Promise<void> {
  const entries = await readdir(copy.from, { withFileTypes: true, recursive: true });
  const pathOf = (entry: { parentPath: string; name: string }): string =>
    relative(copy.from, join(entry.parentPath, entry.name));
  const directories = entries.filter((entry) => entry.isDirectory()).map(pathOf);
  directories.sort();
  await makeDir(copy.to, copy);
  for (const dir of directories) await makeDir(join(copy.to, dir), copy);
  const queue = entries.filter((entry) => !entry.isDirectory());
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      for (let entry = queue.pop(); entry; entry = queue.pop()) {
        const path = pathOf(entry);
        if (entry.isSymbolicLink())
          await symlink(await readlink(join(copy.from, path)), join(copy.to, path));
        else if (entry.isFile())
          await copyOneFile(join(copy.from, path), join(copy.to, path), copy);
      }
    }),
  );
  if (copy.isDurable) for (const dir of ["", ...directories]) await syncPath(join(copy.to, dir));
}

async function makeDir(dir: string, copy: TreeCopy): Promise<void> {
  await mkdir(dir, { mode: copy.access === "private" ? 0o700 : 0o755 });
  if (copy.access === "public") await chmod(dir, 0o755);
  if (copy.user) await lchown(dir, copy.user.uid, copy.user.gid);
}

async function copyOneFile(from: string, to: string, copy: TreeCopy): Promise<void> {
  await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  const file = await open(to, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const isProgram = ((await file.stat()).mode & 0o100) !== 0;
    await file.chmod(copy.access === "private" ? 0o600 : isProgram ? 0o755 : 0o644);
    if (copy.user) await file.chown(copy.user.uid, copy.user.gid);
    if (copy.isDurable) await file.sync();
  } finally {
    await file.close();
  }
}

/** Syncs a file or directory by its path; how long it is. */
export async function syncPath(path: string): Promise<number> {
  const file = await open(path, "r");
  try {
    await file.sync();
    return (await file.stat()).size;
  } finally {
    await file.close();
  }
}

/** Syncs a tree, file by file, then its directories. Raises the first failure, or that `signal` has aborted. */
export async function syncTree(root: string, signal: AbortSignal): Promise<void> {
  const entries = await readdir(root, { withFileTypes: true, recursive: true });
  const ofKind = (is: (entry: Dirent) => boolean): string[] =>
    entries.filter(is).map((entry) => join(entry.parentPath, entry.name));
  const files = ofKind((entry) => entry.isFile());
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      for (let path = files.pop(); path; path = files.pop()) {
        signal.throwIfAborted();
        await syncPath(path);
      }
    }),
  );
  for (const dir of [...ofKind((entry) => entry.isDirectory()), root]) {
    signal.throwIfAborted();
    await syncPath(dir);
  }
}

/**
 * Gives a tree that we made, and that only we can enter, to `user`. The root comes last: until then it is ours alone, and no
 * link can have been put in the way.
 */
export async function giveTree(
  root: string,
  names: readonly string[],
  { uid, gid }: OsUser,
): Promise<void> {
  for (const name of names) await lchown(join(root, name), uid, gid);
  await lchown(root, uid, gid);
}
