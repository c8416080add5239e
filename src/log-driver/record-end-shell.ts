import { messageOf } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import { advance, type Lsn, segmentStart } from "../base/lsn.ts";
import type { Logger } from "../io/index.ts";
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
  const reader = new VolumeReader(options);
  try {
    return await findRecordEndIn(reader, range);
  } finally {
    reader.close();
  }
}

/** The same from the log of one node; undefined, which is logged, where that cannot be read. */
export async function tryRecordEnd(
  options: VolumeReaderOptions,
  range: VolumeRange & { readonly node: NodeId },
  logger: Logger,
): Promise<Lsn | undefined> {
  const { node } = range;
  const nodes = options.nodes.filter(({ nodeId }) => nodeId === node);
  return findRecordEnd({ ...options, nodes }, range).catch((error: unknown) => {
    logger.warn({ event: "recovery.unreadable", node }, messageOf(error));
    return undefined;
  });
}

/**
 * As findRecordEnd, in a log that `reader` gives. Nodes that were all started anew remember no VDL, and the epoch may have
 * begun many gigabytes ago: so the walk begins at the segment that holds the last byte, whose first page says where its first
 * record begins (quorum-protocol.md, section 8). Only if no whole record follows there, as within one that fills segments,
 * does it begin further back.
 */
export async function findRecordEndIn(
  reader: Pick<VolumeReader, "forEach">,
  range: VolumeRange,
): Promise<Lsn> {
  const last = segmentStart(advance(range.to, -1), segmentBytes);
  for (let back = 0; ; back = Math.max(segmentBytes, back * 4)) {
    const isNear = last - BigInt(back) > range.from;
    const from = isNear ? advance(last, -back) : range.from;
    const walker = await walk(reader, { ...range, from });
    if (!isNear || hasMetRecord(walker)) return walker.recordEnd;
  }
}

async function walk(reader: Pick<VolumeReader, "forEach">, range: VolumeRange): Promise<WalWalker> {
  const isSegmentStart = range.from % BigInt(segmentBytes) === 0n;
  const kind = isSegmentStart ? "segmentStart" : "recordEnd";
  const walker = new WalWalker({ at: range.from, kind });
  await reader.forEach(range, (bytes) => {
    walker.push(bytes);
    return walker.failure === undefined && !walker.isPastEnd;
  });
  return walker;
}

/** A whole record whose CRC is right: the walk has found its way into the log. */
function hasMetRecord({ firstBoundary, recordEnd }: WalWalker): boolean {
  return firstBoundary !== undefined && recordEnd > firstBoundary;
}
