import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import type { Layout } from "../cluster/index.ts";
import { systemCodeOf } from "../io/index.ts";

/** Of a command that fills an empty directory, and has taken away what it had made. */
export const nothingLeft =
  "nothing is left of it there; free some space, or choose another directory with --into";

/**
 * 53100, where work in this directory has ended because its disk is full; else the error as it is. PostgreSQL, the file system
 * and we each have a way to say so. What was refused before anything was made has its own words.
 */
export function asDiskFull({ dataDir }: Layout, error: unknown, hint: string): unknown {
  const isRefusal =
    error instanceof BorealisError && error.code === sqlState.diskFull && error.cause === undefined;
  if (isRefusal || !isDiskFull(error)) return error;
  return new BorealisError(sqlState.diskFull, `the disk of ${dataDir} is full`, {
    hint,
    cause: error,
  });
}

function isDiskFull(error: unknown): boolean {
  const code = systemCodeOf(error);
  return (
    code === sqlState.diskFull ||
    code === "ENOSPC" ||
    code === "EDQUOT" ||
    /no space left on device/i.test(messageOf(error))
  );
}
