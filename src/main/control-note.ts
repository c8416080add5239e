import { readFileSync } from "node:fs";
import type { z } from "zod";
import { BorealisError, sqlState } from "../base/errors.ts";
import { isErrno } from "./errno.ts";

/** The text of a small file of `control/`; undefined: there is none. */
export function findNoteText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR")) return undefined;
    throw error;
  }
}

/** What such a file says; undefined: there is none. Raises XX001, with the hint, for one that cannot be used. */
export function readNote<T>(file: string, schema: z.ZodType<T>, hint: string): T | undefined {
  const text = findNoteText(file);
  if (text === undefined) return undefined;
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new BorealisError(sqlState.dataCorrupted, `${file} cannot be used`, { hint, cause });
  }
}
