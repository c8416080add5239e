import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Puts `text` in the file's place as a whole: readers see the old content or the new one, never half. Durable: whatever
 * happens to the machine after this has returned, it is the new one. Mode 0600 unless told. Raises the system's error.
 */
export function replaceFile(
  file: string,
  text: string,
  options: { readonly isDurable: boolean; readonly mode?: number },
): void {
  const draft = `${file}.new`;
  try {
    writeFileSync(draft, text, { mode: options.mode ?? 0o600, flush: options.isDurable });
    renameSync(draft, file);
  } catch (error) {
    // Half of one, on a full disk, would be in the way of whoever finds the folder empty but for it.
    rmSync(draft, { force: true });
    throw error;
  }
  if (options.isDurable) syncFolder(dirname(file));
}

/** Makes the names in a folder durable: of files that were made, renamed or removed there. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
