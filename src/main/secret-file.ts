import { readFileSync, writeFileSync } from "node:fs";

/** A file of one line, for its owner only, durably. Raises the system's error. */
export function writeSecret(file: string, text: string): void {
  writeFileSync(file, `${text}\n`, { mode: 0o600, flush: true });
}

/** What writeSecret wrote, blanks and all. Raises the system's error. */
export function readSecret(file: string): string {
  return readFileSync(file, "utf8").replace(/\r?\n$/, "");
}
