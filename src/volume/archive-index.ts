/**
 * Which log an archive has. Pure: what a store's listing says in, questions answered. Bytes of log are identified by
 * (epoch, LSN), so ranges of one epoch that overlap hold the same bytes: an archiver that was killed and began again makes
 * such, and so does one that merges small objects into bigger ones.
 */
import type { Epoch } from "../base/ids.ts";
import { bytesBetween, type Lsn, lsnMin } from "../base/lsn.ts";
import type { LogPath } from "./log-path.ts";
import type { LogRange } from "./object-names.ts";

/** Plain bytes of an object of archived log, whoever wrote it. */
export const archivedLogBytesMax = 16 * 1024 * 1024;

/** An object of archived log as a listing shows it. */
export interface ArchivedRange extends LogRange {
  readonly sizeBytes: number;
  /** As in ObjectFacts. */
  readonly putAtMs: number;
}

export class ArchiveIndex {
  /** By epoch, each list sorted by `from`, and by `to` where they begin alike. */
  private readonly byEpoch = new Map<Epoch, ArchivedRange[]>();

  constructor(ranges: Iterable<ArchivedRange> = []) {
    for (const range of ranges) this.add(range);
  }

  /** Replaces a range of the same bounds: the object was put again. */
  add(range: ArchivedRange): void {
    const list = this.byEpoch.get(range.epoch) ?? [];
    this.byEpoch.set(range.epoch, list);
    const at = placeOf(list, range);
    const isThere = list[at]?.from === range.from && list[at].to === range.to;
    list.splice(at, isThere ? 1 : 0, range);
  }

  remove(range: LogRange): void {
    const list = this.byEpoch.get(range.epoch) ?? [];
    const at = placeOf(list, range);
    if (list[at]?.from === range.from && list[at].to === range.to) list.splice(at, 1);
    if (list.length === 0) this.byEpoch.delete(range.epoch);
  }

  get epochs(): Epoch[] {
    return [...this.byEpoch.keys()].toSorted((a, b) => a - b);
  }

  ranges(epoch: Epoch): readonly ArchivedRange[] {
    return this.byEpoch.get(epoch) ?? [];
  }

  /** Every range with the byte at `at` of this epoch, the one that reaches furthest first. */
  covering(epoch: Epoch, at: Lsn): ArchivedRange[] {
    const list = this.byEpoch.get(epoch) ?? [];
    const found: ArchivedRange[] = [];
    // The first that begins behind `at`; none is longer than an object may be.
    for (let i = firstBehind(list, at) - 1; i >= 0; i--) {
      const range = list[i];
      if (!range || bytesBetween(range.from, at) >= archivedLogBytesMax) break;
      if (range.to > at) found.push(range);
    }
    return found.toSorted((a, b) => (a.to === b.to ? 0 : a.to > b.to ? -1 : 1));
  }

  /** The largest p such that all log [from, p) of the path is archived; `from` if not even its first byte is. */
  archivedUpTo(path: LogPath, from: Lsn): Lsn {
    let at = from;
    for (;;) {
      const entry = path.findLast(({ start }) => start <= at);
      const furthest = entry && this.covering(entry.epoch, at)[0];
      if (!furthest) return at;
      at = lsnMin(furthest.to, nextStart(path, at) ?? furthest.to);
    }
  }

  /** The first log of the path in [from, limit) that is not archived, all of one epoch. Undefined: all is. */
  nextHole(path: LogPath, from: Lsn, limit: Lsn): LogRange | undefined {
    const at = this.archivedUpTo(path, from);
    const entry = path.findLast(({ start }) => start <= at);
    if (at >= limit || !entry) return undefined;
    const list = this.ranges(entry.epoch);
    const ends = [limit, nextStart(path, at), list[firstBehind(list, at)]?.from];
    const to = ends.reduce<Lsn>((least, end) => lsnMin(least, end ?? limit), limit);
    return { epoch: entry.epoch, from: at, to };
  }
}

/** Where the byte at `at` has no longer the same epoch; undefined: the path does not say so. */
function nextStart(path: LogPath, at: Lsn): Lsn | undefined {
  return path.find(({ start }) => start > at)?.start;
}

function firstBehind(list: readonly ArchivedRange[], at: Lsn): number {
  return firstWhere(list, (range) => range.from > at);
}

/** Where a range is in the list, or would be. */
function placeOf(list: readonly ArchivedRange[], { from, to }: LogRange): number {
  return firstWhere(list, (one) => one.from > from || (one.from === from && one.to >= to));
}

/** Index of the first of which it is true, in a list where it is true of all behind one. */
function firstWhere(
  list: readonly ArchivedRange[],
  isTrue: (range: ArchivedRange) => boolean,
): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const range = list[middle];
    if (range && isTrue(range)) high = middle;
    else low = middle + 1;
  }
  return low;
}
