import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { systemCodeOf } from "../io/index.ts";

/**
 * Whether it is a disk of ours that is full, as asDiskFull says it: a PostgreSQL that is copied from has a disk of its own, and
 * says 53100 of that.
 */
export function isOwnDiskFull(error: unknown): boolean {
  return error instanceof BorealisError && error.code === sqlState.diskFull && isFull(error.cause);
}

function isFull(cause: unknown): boolean {
  const code = systemCodeOf(cause);
  return code === "ENOSPC" || code === "EDQUOT";
}

/** 53100 where the disk that `dir` was written to is full; any other error as it is. */
export function asDiskFull(dir: string, cause: unknown): unknown {
  if (!isFull(cause)) return cause;
  return diskFailure(dir, sqlState.diskFull, { hint: "free some space there", cause });
}

/** As asDiskFull, where nothing but `dir` can have failed: 58030 for whatever else the file system said. */
export function asDiskFailure(dir: string, cause: unknown): unknown {
  const told = asDiskFull(dir, cause);
  if (told instanceof BorealisError || systemCodeOf(cause) === undefined) return told;
  return diskFailure(dir, sqlState.ioError, { hint: "see to it that we may write there", cause });
}

function diskFailure(
  dir: string,
  code: string,
  facts: { readonly hint: string; readonly cause: unknown },
): BorealisError {
  const why = `cannot write the data directory ${dir}: ${messageOf(facts.cause)}`;
  return new BorealisError(code, why, facts);
}
