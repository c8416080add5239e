/** What becomes of archived log: what goes, what is merged, which paths were left. Decisions only. */
import type { Epoch } from "../base/ids.ts";
import { bytesBetween, type Lsn, lsnMaxOf, lsnMin } from "../base/lsn.ts";
import type { ArchivedRange, ArchiveIndex } from "./archive-index.ts";
import { type LogPath, newestEpoch, sharedUpTo } from "./log-path.ts";
import type { LogRange } from "./object-names.ts";
import type { LeftPath } from "./volume-record.ts";

export interface ArchiveNeeds {
  /** The volume's path. */
  readonly path: LogPath;
  readonly left: readonly LeftPath[];
  /** Snapshots need log from here on; undefined: not known, so all that there is. */
  readonly logFrom: Lsn | undefined;
  readonly nowMs: number;
  /** How long a path that was left may be asked for. */
  readonly windowMs: number;
}

export interface ArchivePlan {
  /** In the order in which they may go. */
  readonly drop: readonly ArchivedRange[];
  /** Paths that were left and may still be asked for. */
  readonly left: readonly LeftPath[];
}

/**
 * What of an archive nobody needs any more: log before the oldest needed snapshot's segment, and log of paths that were left
 * longer ago than the window. What is of no path that is known stays as long as the window, too, and for ever if it is of
 * an epoch to come: whoever wrote that knows more.
 */
export function planArchive(index: ArchiveIndex, needs: ArchiveNeeds): ArchivePlan {
  const { path, nowMs, windowMs, logFrom } = needs;
  const left = needs.left.filter(({ leftAtMs }) => nowMs - leftAtMs < windowMs);
  if (logFrom === undefined) return { drop: [], left: needs.left };
  const paths = [path, ...left.map(({ history }) => history)];
  const known = [path, ...needs.left.map(({ history }) => history)];
  const newest = newestEpoch(path);
  const drop: ArchivedRange[] = [];
  for (const epoch of index.epochs) {
    if (epoch > newest) continue;
    const spans = paths.flatMap((one) => spanOf(one, epoch));
    const knownSpans = known.flatMap((one) => spanOf(one, epoch));
    const doubled = doubledRanges(index.ranges(epoch));
    for (const range of index.ranges(epoch)) {
      const isOfNone = !knownSpans.some((span) => isOver(range, span));
      if (isOfNone && nowMs - range.putAtMs < windowMs) continue;
      const isNeeded = spans.some((span) =>
        isOver(range, { ...span, from: lsnMaxOf(span.from, logFrom) }),
      );
      if (!isNeeded || doubled.has(range)) drop.push(range);
    }
  }
  return { drop, left };
}

/** Ranges that lie within another one: who merged them was killed before they were gone. */
function doubledRanges(ranges: readonly ArchivedRange[]): ReadonlySet<ArchivedRange> {
  const doubled = new Set<ArchivedRange>();
  let furthest: ArchivedRange | undefined;
  const longestFirst = (a: ArchivedRange, b: ArchivedRange): number =>
    a.from === b.from ? (a.to > b.to ? -1 : 1) : a.from < b.from ? -1 : 1;
  for (const range of ranges.toSorted(longestFirst)) {
    if (furthest && range.to <= furthest.to) doubled.add(range);
    else furthest = range;
  }
  return doubled;
}

interface Span {
  readonly from: Lsn;
  /** Undefined: without end. */
  readonly to: Lsn | undefined;
}

/** Where the bytes of a path are of this epoch; none or one. */
function spanOf(path: LogPath, epoch: Epoch): Span[] {
  const at = path.findIndex((entry) => entry.epoch === epoch);
  const entry = path[at];
  return entry ? [{ from: entry.start, to: path[at + 1]?.start }] : [];
}

function isOver(range: LogRange, { from, to }: Span): boolean {
  const end = to === undefined ? range.to : lsnMin(range.to, to);
  return lsnMaxOf(range.from, from) < end;
}

/**
 * What of a relative's archive is log of the path of a clone, and of nothing else: epochs that the path has from that volume, as
 * far as it goes along with them. Both may use the same number for an epoch behind the branch.
 */
export function inheritedRanges(
  index: ArchiveIndex,
  path: LogPath,
  relative: string,
): ArchivedRange[] {
  return path
    .filter(({ volumeId }) => volumeId === relative)
    .flatMap(({ epoch }) =>
      spanOf(path, epoch).flatMap(({ from, to }) =>
        index
          .ranges(epoch)
          .filter((range) => from <= range.from && to !== undefined && range.to <= to),
      ),
    );
}

/** What the volume has left by going from one path to another, if any of it was archived. */
export function leftBehind(
  before: LogPath,
  after: LogPath,
  { index, nowMs }: { readonly index: ArchiveIndex; readonly nowMs: number },
): LeftPath | undefined {
  const first = before[0]?.start;
  if (first === undefined) return undefined;
  let end = first;
  for (const { epoch } of before) for (const { to } of index.ranges(epoch)) end = lsnMaxOf(end, to);
  const from = sharedUpTo(before, after, { from: first, limit: end });
  const isGone = before.some(({ epoch }) =>
    spanOf(before, epoch).some((span) =>
      index
        .ranges(epoch)
        .some((range) => isOver(range, { ...span, from: lsnMaxOf(span.from, from) })),
    ),
  );
  return isGone ? { history: before, from, leftAtMs: nowMs } : undefined;
}

/** Objects below these sizes are small; of one size class there are never more than `mergeCount` at the end. */
const smallBytes = [64 * 1024, 1024 * 1024] as const;
const mergeCount = 16;

/**
 * Objects at the end of an epoch's archive that should become one: a quiet volume archives a few bytes every other second,
 * and a day of that would be 43,200 objects. They follow each other without a gap, and together are no bigger than
 * `bytesMax`. Undefined: there is nothing to merge.
 */
export function planMerge(
  ranges: readonly ArchivedRange[],
  bytesMax: number,
): readonly ArchivedRange[] | undefined {
  for (const small of smallBytes) {
    const found: ArchivedRange[] = [];
    let bytes = 0;
    for (let i = ranges.length - 1; i >= 0; i--) {
      const range = ranges[i];
      const next = found.at(-1);
      if (!range || (next && range.to !== next.from)) break;
      const length = bytesBetween(range.from, range.to);
      bytes += length;
      if (length >= small || bytes > bytesMax) break;
      found.push(range);
    }
    if (found.length >= mergeCount) return found.toReversed();
  }
  return undefined;
}
