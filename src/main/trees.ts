/** Trees of files, in bytes. */
import { lstatSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "./errno.ts";

/** Bytes of all files below, for progress: what comes and goes meanwhile is counted or not. */
export function treeBytes(dir: string): number {
  let sum = 0;
  for (const entry of entriesOf(dir)) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) sum += treeBytes(path);
    else sum += statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  }
  return sum;
}

/** Removes a tree, and tells of the bytes of each file. A link goes, and what it leads to stays. Nothing there: nothing to do. */
export function removeTree(dir: string, onRemoved: (bytes: number) => void): void {
  const isFolder = lstatSync(dir, { throwIfNoEntry: false })?.isDirectory() ?? false;
  for (const entry of isFolder ? entriesOf(dir) : []) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) {
      removeTree(path, onRemoved);
      continue;
    }
    const bytes = lstatSync(path, { throwIfNoEntry: false })?.size ?? 0;
    rmSync(path, { force: true });
    onRemoved(bytes);
  }
  rmSync(dir, { recursive: true, force: true });
}

function entriesOf(dir: string) {
  try {
    return readdirSync(dir, { withFileTypes: true });
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
