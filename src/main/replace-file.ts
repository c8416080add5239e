import { renameSync, writeFileSync } from "node:fs";

/**
 * Puts `text` in the file's place as a whole: readers see the old content or the new one, never half. Durable: synced
 * before it takes the place. For its owner's eyes only (0600). Raises the system's error.
 */
export function replaceFile(
  file: string,
  text: string,
  options: { readonly isDurable: boolean },
): void {
  const draft = `${file}.new`;
  writeFileSync(draft, text, { mode: 0o600, flush: options.isDurable });
  renameSync(draft, file);
}
