import { type Epoch, epochNone, type Timeline, timeline, type VolumeId } from "../base/ids.ts";
import { advance, bytesBetween, type Lsn, lsnMin } from "../base/lsn.ts";

/**
 * A path through the volume's log as objects keep it: quorum's History by shape (rising epochs, non-falling starts), so
 * that either is taken for the other. Named here again since this room stands above quorum and may not import it.
 */
export interface PathEntry {
  readonly epoch: Epoch;
  readonly timeline: Timeline;
  readonly start: Lsn;
  readonly kind: "branch" | "backtrack";
  /** Of entries that a clone inherited: the parent's. */
  readonly volumeId?: VolumeId;
}
export type LogPath = readonly PathEntry[];

/** Contiguous bytes of one epoch, without the bytes. */
export interface PathRun {
  readonly epoch: Epoch;
  readonly timeline: Timeline;
  readonly lengthBytes: number;
}

export function isSoundPath(path: LogPath): boolean {
  return path.every((entry, i) => {
    const before = path[i - 1];
    return !before || (entry.epoch > before.epoch && entry.start >= before.start);
  });
}

function entryAt(path: LogPath, at: Lsn): PathEntry | undefined {
  return path.findLast((entry) => entry.start <= at);
}

/** Epoch of the byte at `at` on this path; 0 before its first entry. */
export function pathEpochAt(path: LogPath, at: Lsn): Epoch {
  return entryAt(path, at)?.epoch ?? epochNone;
}

/** What the log [from, to) of the path is made of. */
export function runsOf(path: LogPath, from: Lsn, to: Lsn): PathRun[] {
  const runs: PathRun[] = [];
  for (let at = from; at < to;) {
    const entry = entryAt(path, at);
    const end = lsnMin(to, path.find((later) => later.start > at)?.start ?? to);
    const lengthBytes = bytesBetween(at, end);
    runs.push({
      epoch: entry?.epoch ?? epochNone,
      timeline: entry?.timeline ?? timeline(0),
      lengthBytes,
    });
    at = advance(at, lengthBytes);
  }
  return runs;
}

/**
 * The largest p ≤ `limit` such that both paths give every byte of [from, p) the same epoch. Beyond a difference two logs
 * never agree again (quorum-protocol.md, I7), so this says all there is to say.
 */
export function sharedUpTo(a: LogPath, b: LogPath, range: { from: Lsn; limit: Lsn }): Lsn {
  let at = range.from;
  while (at < range.limit) {
    if (pathEpochAt(a, at) !== pathEpochAt(b, at)) return at;
    const now = at;
    const next = (path: LogPath): Lsn =>
      path.find((entry) => entry.start > now)?.start ?? range.limit;
    at = lsnMin(next(a), next(b));
  }
  return range.limit;
}

/** The path's newest epoch; 0 for an empty one. */
export function newestEpoch(path: LogPath): Epoch {
  return path.at(-1)?.epoch ?? epochNone;
}

export function isSamePath(a: LogPath, b: LogPath): boolean {
  const isSame = (one: PathEntry, other: PathEntry | undefined): boolean =>
    one.epoch === other?.epoch &&
    one.timeline === other.timeline &&
    one.start === other.start &&
    one.kind === other.kind &&
    one.volumeId === other.volumeId;
  return a === b || (a.length === b.length && a.every((entry, i) => isSame(entry, b[i])));
}
