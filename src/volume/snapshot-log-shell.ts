import { BorealisError, sqlState } from "../base/errors.ts";
import { bytesBetween, formatLsn, type Lsn, segmentStart } from "../base/lsn.ts";
import { SnapshotCutter } from "./cutter.ts";
import { ExtentUpload, type UploadOptions } from "./extent-upload-shell.ts";
import type { SnapshotManifest } from "./manifest.ts";
import { withLog } from "./snapshot-build.ts";

/** The log that a snapshot needs to become consistent; `from` is the start of a WAL segment. */
export function logOfSnapshot({
  startLsn,
  endLsn,
}: Pick<SnapshotManifest, "startLsn" | "endLsn">): { readonly from: Lsn; readonly to: Lsn } {
  return { from: segmentStart(startLsn), to: endLsn };
}

export interface KeepLogOptions extends UploadOptions {
  readonly manifest: SnapshotManifest;
  /** The volume's log, exactly that of logOfSnapshot, in pieces of any size: durable log, so nothing that a crash takes back. */
  readonly log: AsyncIterable<Buffer>;
}

/**
 * Puts the log that a snapshot needs into extents, and gives the manifest that names them too (which is not put). From then
 * on the snapshot outlives the volume and its log. For those that users keep: the log from the last restartpoint of a
 * reader may be as long as max_wal_size, so automatic ones leave it where it is.
 */
export async function keepLog(options: KeepLogOptions): Promise<SnapshotManifest> {
  const { manifest, sealer } = options;
  const { from, to } = logOfSnapshot(manifest);
  const upload = new ExtentUpload(options);
  const cutter = new SnapshotCutter({
    address: sealer.idOf,
    previous: manifest,
    isIncremental: false,
  });
  let restBytes = bytesBetween(from, to);
  cutter.beginFile("log", restBytes);
  for await (const bytes of options.log) {
    restBytes -= bytes.length;
    if (restBytes < 0) break;
    cutter.bytes(bytes);
    await upload.add(cutter.takeReady());
  }
  if (restBytes !== 0) throw otherLog(from, to);
  cutter.endFile();
  const cut = cutter.finish();
  await upload.add(cutter.takeReady());
  await upload.finish();
  return withLog(manifest, { from, to }, { cut, put: upload.sizes });
}

function otherLog(from: Lsn, to: Lsn): BorealisError {
  const range = `${formatLsn(from)} to ${formatLsn(to)}`;
  return new BorealisError(sqlState.ioError, `the log from ${range} did not come whole`, {
    hint: "try again: a storage node went away, or the log was trimmed meanwhile",
  });
}
