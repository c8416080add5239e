import { advance, type Lsn, lsnMaxOf, segmentStart } from "../base/lsn.ts";
import type { History } from "../quorum/index.ts";
import { segmentBytes, WalWalker } from "../wal/index.ts";
import { VolumeReader, type VolumeReaderOptions } from "./volume-reader-shell.ts";

export interface LowSearch {
  readonly path: History | "current";
  /** The low-water that is: a record end, or the start of a segment. */
  readonly low: Lsn;
  /** Start of the first segment that is needed whole; or any LSN that a record end is looked for at or below. */
  readonly segment: Lsn;
}

/**
 * The last record end at or below `segment` (decisions.md D39). Undefined: none lies above the present low-water. Reads
 * the segment before, and those before that which are filled by one long record. Raises 58030 when no node has them.
 */
export async function findLow(
  options: VolumeReaderOptions,
  search: LowSearch,
): Promise<Lsn | undefined> {
  const { low, segment, path } = search;
  const reader = new VolumeReader(options);
  try {
    for (let to = segment; to > low; to = advance(to, -segmentBytes)) {
      const from = lsnMaxOf(low, segmentStart(advance(to, -1)));
      const isSegmentStart = from % BigInt(segmentBytes) === 0n;
      const kind = isSegmentStart ? "segmentStart" : "recordEnd";
      const walker = new WalWalker({ at: from, kind });
      await reader.forEach({ path, from, to: segment }, (bytes) => {
        walker.push(bytes);
        return walker.failure === undefined;
      });
      if (walker.firstBoundary !== undefined && walker.recordEnd > low) return walker.recordEnd;
    }
    return undefined;
  } finally {
    reader.close();
  }
}
