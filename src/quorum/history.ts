import { type Epoch, epochNone, type Timeline, timeline, type VolumeId } from "../base/ids.ts";
import { type Lsn, lsnMin } from "../base/lsn.ts";

/**
 * One epoch's place in the path: it wrote, or may write, from `start`. `volumeId` is that of a clone's parent for
 * entries that the clone inherited, and absent for the volume's own.
 */
export interface HistoryEntry {
  readonly epoch: Epoch;
  readonly timeline: Timeline;
  readonly start: Lsn;
  readonly kind: "branch" | "backtrack";
  readonly volumeId?: VolumeId;
}

/** A path through the log: rising epochs, non-falling starts. Bytes are identified by (epoch, LSN). */
export type History = readonly HistoryEntry[];

/** True if epochs rise and starts never fall. */
export function isSoundHistory(history: History): boolean {
  for (let i = 1; i < history.length; i++) {
    const before = history[i - 1];
    const entry = history[i];
    if (!before || !entry || entry.epoch <= before.epoch || entry.start < before.start)
      return false;
  }
  return true;
}

/** The last entry with start ≤ p. */
export function entryAt(history: History, p: Lsn): HistoryEntry | undefined {
  for (let i = history.length - 1; i >= 0; i--) {
    const entry = history[i];
    if (entry && entry.start <= p) return entry;
  }
  return undefined;
}

/** Epoch of the byte at p on this path; 0 before the first entry. */
export function epochAt(history: History, p: Lsn): Epoch {
  return entryAt(history, p)?.epoch ?? epochNone;
}

/** Timeline of the byte at p on this path; 0 before the first entry. */
export function timelineAt(history: History, p: Lsn): Timeline {
  return entryAt(history, p)?.timeline ?? timeline(0);
}

/**
 * The path continued by `entry`: entries that start above it are dropped. One that starts exactly there is of zero length
 * from now on: a backtrack's stays as the evidence that history was removed; a branch's goes, or every epoch that opened
 * and wrote nothing would be kept for ever.
 *
 * Nobody can tell a path without such a branch entry from the same path with it. No byte of that epoch is on the path,
 * and none was chosen, since this epoch would then start above. The protocol asks a path for three things, and all are
 * the same: the epoch of a byte (`entryAt` never finds an entry with a later one at its start, and the starts to look at
 * are the same), the newest epoch that a log has reached (both entries are reached at one SCL, and the later one
 * counts), and the newest backtrack.
 */
export function extendHistory(history: History, entry: HistoryEntry): History {
  const kept = history.filter(
    (earlier) =>
      earlier.start < entry.start ||
      (earlier.start === entry.start && earlier.kind === "backtrack"),
  );
  return [...kept, entry];
}

/** True if both are the same entries. */
export function isSameHistory(a: History, b: History): boolean {
  if (a === b) return true;
  return a.length === b.length && a.every((entry, index) => isSameEntry(entry, b[index]));
}

function isSameEntry(a: HistoryEntry, b: HistoryEntry | undefined): boolean {
  if (a.epoch !== b?.epoch || a.timeline !== b.timeline || a.start !== b.start) return false;
  return a.kind === b.kind && a.volumeId === b.volumeId;
}

/** The history without the epochs that a log ending at `scl` has not yet caught up with. */
export function effectiveHistory(history: History, scl: Lsn): History {
  return history.filter((entry) => entry.start <= scl);
}

/** The newest entry's epoch; 0 for an empty history. */
export function lastEpoch(history: History): Epoch {
  return history.at(-1)?.epoch ?? epochNone;
}

/** The newest entry of kind backtrack: hints of epochs below it speak of removed history. */
export function newestBacktrack(history: History): HistoryEntry | undefined {
  return history.findLast((entry) => entry.kind === "backtrack");
}

/**
 * True if path `to` has a backtrack that path `from` has not. Whose entry it is does not matter: an epoch that inherited
 * a backtrack which never opened may be abandoned with it, like the backtrack's own.
 */
export function meetsBacktrack(from: History, to: History): boolean {
  return to.some(
    (entry) => entry.kind === "backtrack" && !from.some((own) => own.epoch === entry.epoch),
  );
}

/**
 * The largest p ≤ `limit` such that both paths give every byte of [from, p) the same epoch (section 6, Elect, step 1).
 * Computed on entries: between two starts the epoch cannot change, so only the starts are looked at.
 */
export function commonPrefix(
  a: History,
  b: History,
  range: { readonly from: Lsn; readonly limit: Lsn },
): Lsn {
  let at = range.from;
  while (at < range.limit) {
    if (epochAt(a, at) !== epochAt(b, at)) return at;
    at = lsnMin(nextStart(a, at, range.limit), nextStart(b, at, range.limit));
  }
  return range.limit;
}

function nextStart(history: History, after: Lsn, limit: Lsn): Lsn {
  return history.find((entry) => entry.start > after)?.start ?? limit;
}

/** True if the log [.., at) of `path` is the log [.., at) of `other`, as far as entries from `from` on can tell. */
export function isOnPath(path: History, other: History, range: { from: Lsn; at: Lsn }): boolean {
  return commonPrefix(path, other, { from: range.from, limit: range.at }) === range.at;
}

/** A stretch of one PostgreSQL timeline. */
export interface TimelineSpan {
  readonly timeline: Timeline;
  readonly start: Lsn;
}

/**
 * The path as PostgreSQL sees it, for history files: without zero-length entries, and with neighbours of one timeline
 * merged, since an instance that restarted in place goes on with its timeline under a new epoch (decisions.md D2).
 */
export function timelineSpans(history: History): TimelineSpan[] {
  const spans: TimelineSpan[] = [];
  history.forEach((entry, index) => {
    const next = history[index + 1];
    if (next && next.start === entry.start) return;
    if (spans.at(-1)?.timeline === entry.timeline) return;
    spans.push({ timeline: entry.timeline, start: entry.start });
  });
  return spans;
}
