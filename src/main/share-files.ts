import { constants, statSync } from "node:fs";
import { copyFile, link, mkdir, open, readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { BorealisError, sqlState } from "../base/errors.ts";
import { diskError } from "./data-dir.ts";
import { isErrno } from "./errno.ts";

/**
 * `link`: a further name for the same file; nothing is copied. `copy`: for another file system; where that can share blocks
 * (FICLONE) it does. Only for files that nobody writes to any more, or whose beginning is all that counts.
 */
export interface Sharing {
  readonly how: "link" | "copy";
  /** Told of each file that is done. */
  readonly onShared?: (bytes: number) => void;
}

/** Gives `from` the further name `to`, which does not exist. Durable but for the name. Raises 55000 across file systems. */
export async function shareFile(from: string, to: string, sharing: Sharing): Promise<void> {
  const { how, onShared } = sharing;
  try {
    if (how === "link") await link(from, to);
    else {
      await copyFile(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
      await sync(to);
    }
    onShared?.(statSync(to).size);
  } catch (error) {
    if (isErrno(error, "EXDEV")) throw otherFileSystem(dirname(to));
    if (isErrno(error, "EPERM") && how === "link") throw noLinks(to, error);
    if (isErrno(error, "ENOSPC") || isErrno(error, "EDQUOT"))
      throw diskError(`cannot make ${to}`, error);
    throw error;
  }
}

export function otherFileSystem(dir: string): BorealisError {
  return new BorealisError(
    sqlState.notInPrerequisiteState,
    `${dir} is on another file system than the volume, so files cannot be shared`,
    { hint: "choose a directory on the same one, or --copy to copy their bytes" },
  );
}

function noLinks(path: string, cause: unknown): BorealisError {
  return new BorealisError(
    sqlState.notInPrerequisiteState,
    `the system does not let ${path} be a further name of the volume's file`,
    { hint: "run borealis as the user that owns the volume, or use --copy", cause },
  );
}

/** Shares every file of a tree; nothing where there is none. What is there already in `to` is left. Durable when it returns. */
export async function shareTree(
  from: string,
  to: string,
  sharing: Sharing,
  isWanted: (path: string) => boolean = () => true,
): Promise<void> {
  const entries = await readdir(from, { withFileTypes: true }).catch((error: unknown) => {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  });
  if (!entries) return;
  // Empty folders too: PostgreSQL does not start without those of its image.
  await mkdir(to, { recursive: true, mode: (await stat(from)).mode & 0o777 });
  for (const entry of entries) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (!isWanted(source)) continue;
    if (entry.isDirectory()) await shareTree(source, target, sharing, isWanted);
    else if (entry.isFile()) await shareUnlessThere(source, target, sharing);
  }
  await sync(to);
}

async function shareUnlessThere(from: string, to: string, sharing: Sharing): Promise<void> {
  try {
    await shareFile(from, to, sharing);
  } catch (error) {
    // An extent that was collected, or a draft that was finished, meanwhile.
    if (!isErrno(error, "EEXIST") && !isErrno(error, "ENOENT")) throw error;
  }
}

async function sync(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
