import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import type { Layout } from "../cluster/index.ts";
import { systemCodeOf } from "../io/index.ts";

/** Of a command that fills an empty directory, and has taken away what it had made. */
export const nothingLeft =
  "nothing is left of it there; free some space, or choose another directory with --into";

/** Whose disk it is was told nearer to where it happened. */
const told = new WeakSet<object>();

/**
 * 53100, where work in this directory has ended because its disk is full; else the error as it is, as it is where somebody has
 * said already which disk. PostgreSQL, the file system and we each have a way to say so. What was refused before anything was
 * made has its own words.
 */
export function asDiskFull(
  { dataDir }: Pick<Layout, "dataDir">,
  error: unknown,
  hint: string,
): unknown {
  const isRefusal =
    error instanceof BorealisError && error.code === sqlState.diskFull && error.cause === undefined;
  const isTold = error instanceof BorealisError && told.has(error);
  if (isRefusal || isTold || !isDiskFull(error)) return error;
  const known = new BorealisError(sqlState.diskFull, `the disk of ${dataDir} is full`, {
    hint,
    cause: error,
  });
  told.add(known);
  return known;
}

/**
 * As asDiskFull, where nothing but that disk can have failed: 58030 for what else the file system, or PostgreSQL on it, has said.
 * Whoever failed otherwise keeps their words.
 */
export function asDiskFailure(
  { dataDir }: Pick<Layout, "dataDir">,
  error: unknown,
  hints: { readonly full: string; readonly failed: string },
): unknown {
  const known = asDiskFull({ dataDir }, error, hints.full);
  if (known !== error || !isFailing(error)) return known;
  const why = `the disk of ${dataDir} fails, or refuses writes: ${messageOf(error)}`;
  const failed = new BorealisError(sqlState.ioError, why, { hint: hints.failed, cause: error });
  told.add(failed);
  return failed;
}

const failures = new Set(["EIO", "EROFS", "EACCES", "EPERM", "ENXIO", "ENODEV", "ESTALE", "EFBIG"]);

function isFailing(error: unknown): boolean {
  if (error instanceof BorealisError)
    return /input\/output error|read-only file system/i.test(error.message);
  return failures.has(systemCodeOf(error) ?? "");
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
