import { BorealisError, sqlState } from "../base/errors.ts";
import { formatLsn, type Lsn } from "../base/lsn.ts";
import { UnknownDataKey } from "./log-cipher.ts";

/** A read that met bytes which are not what was written: the log has rotted at `lsn`. */
export class RottenLog extends BorealisError {
  override readonly name = "RottenLog";
  readonly lsn: Lsn;
  constructor(lsn: Lsn, reason: string) {
    super(sqlState.dataCorrupted, `log at ${formatLsn(lsn)} is damaged: ${reason}`);
    this.lsn = lsn;
  }
}

/** What a failed read says of the disk. */
export type ReadVerdict =
  | { readonly kind: "rot"; readonly at: Lsn }
  /** The disk cannot give back what it has: it is done for. */
  | { readonly kind: "disk" }
  /** No file handles, no memory, a file or log that is no longer here: nothing that the disk has lost. */
  | { readonly kind: "passing" }
  /** A data key is wanted that the supervisor may have by now: it gives it to the next process. */
  | { readonly kind: "key" }
  | { readonly kind: "bug" };

/** The kernel's words for a disk that failed, or whose file system noticed that it is broken. */
const diskCodes: readonly string[] = ["EIO", "ENXIO", "ENODEV", "EBADMSG", "EUCLEAN"];

/** `code` is the system's name of the error, if it is one of the system. */
export function judgeRead(error: unknown, code: string | undefined): ReadVerdict {
  if (error instanceof RottenLog) return { kind: "rot", at: error.lsn };
  if (error instanceof UnknownDataKey) return { kind: "key" };
  if (error instanceof BorealisError) return { kind: "passing" };
  if (code === undefined || code.startsWith("ERR_")) return { kind: "bug" };
  // Node has no names for the file system's own errors (EUCLEAN: 117, EBADMSG: 74).
  const isOfDisk = diskCodes.includes(code) || /^Unknown system error -(117|74)$/.test(code);
  return { kind: isOfDisk ? "disk" : "passing" };
}

/**
 * Whether an error of a write or a sync condemns the disk: whatever the system said does. A bug of ours, or a value of
 * ours that cannot be written, ends the process, and says nothing of the disk.
 */
export function condemnsDisk(error: unknown, code: string | undefined): boolean {
  if (error instanceof BorealisError) return error.code === sqlState.ioError;
  return code !== undefined && !code.startsWith("ERR_");
}
