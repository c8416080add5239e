import type { Lsn } from "../base/lsn.ts";
import { segmentBytes, WalWalker } from "../wal/index.ts";
import { type VolumeRange, VolumeReader, type VolumeReaderOptions } from "./volume-reader-shell.ts";

/**
 * The end of the last complete record in [from, to), read from the volume. `from` is a record end, or the start of a
 * segment. Raises 58030 when the log cannot be read.
 */
export async function findRecordEnd(
  options: VolumeReaderOptions,
  range: VolumeRange,
): Promise<Lsn> {
  const isSegmentStart = range.from % BigInt(segmentBytes) === 0n;
  const kind = isSegmentStart ? "segmentStart" : "recordEnd";
  const walker = new WalWalker({ at: range.from, kind });
  const reader = new VolumeReader(options);
  try {
    await reader.forEach(range, (bytes) => {
      walker.push(bytes);
      return walker.failure === undefined && !walker.isPastEnd;
    });
  } finally {
    reader.close();
  }
  return walker.recordEnd;
}
