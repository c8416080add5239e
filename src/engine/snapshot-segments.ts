import { timeline, type Timeline } from "../base/ids.ts";
import { bytesBetween, type Lsn, lsn, lsnMin } from "../base/lsn.ts";
import { PieceCursor, PieceList, type SnapshotManifest, type TargetFile } from "../volume/index.ts";
import { segmentBytes, segmentName } from "../wal/index.ts";

/**
 * The log of a snapshot as segment files in pg_wal; what lies beyond its end is zeros. A segment in which the timeline
 * changes is named by the later one, which holds what the earlier one wrote into it, as PostgreSQL does at a promotion.
 */
export function segmentFiles({ log, history }: SnapshotManifest): TargetFile[] {
  if (!log) return [];
  const files: TargetFile[] = [];
  const cursor = new PieceCursor(log.pieces);
  for (let at = log.from; at < log.to; at = lsn(at + BigInt(segmentBytes))) {
    const end = lsnMin(lsn(at + BigInt(segmentBytes)), log.to);
    const list = new PieceList<string>();
    list.addAll(cursor.take(bytesBetween(at, end)));
    list.addZeros(segmentBytes - list.lengthBytes);
    files.push({
      name: `pg_wal/${segmentName(timelineOf(history, lsn(end - 1n)), at)}`,
      sizeBytes: segmentBytes,
      crc: undefined,
      pieces: list.pieces,
    });
  }
  return files;
}

function timelineOf(history: SnapshotManifest["history"], at: Lsn): Timeline {
  return history.findLast((entry) => entry.start <= at)?.timeline ?? timeline(1);
}
