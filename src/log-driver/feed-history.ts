import type { Timeline } from "../base/ids.ts";
import type { TimelineSpan } from "../quorum/index.ts";
import { formatHistoryFile, type HistoryLine } from "../wal/index.ts";

/** Name of the history file of a timeline in pg_wal. */
export function historyFileName(timeline: Timeline): string {
  return `${timeline.toString(16).toUpperCase().padStart(8, "0")}.history`;
}

/**
 * The history file of `timeline`: one line for each timeline before it; none for the first one. Undefined if the path does
 * not have it. The first is not always 1, which has no such file: a restored volume begins on a later one, and what was
 * before that is not in this volume.
 */
export function findHistoryFile(
  spans: readonly TimelineSpan[],
  timeline: Timeline,
): string | undefined {
  const at = spans.findLastIndex((span) => span.timeline === timeline);
  if (at < 0 || timeline === 1) return undefined;
  const lines: HistoryLine[] = [];
  for (let i = 0; i < at; i++) {
    const [span, next] = [spans[i], spans[i + 1]];
    if (span && next) {
      lines.push({ parent: span.timeline, switchLsn: next.start, reason: "borealis epoch" });
    }
  }
  return formatHistoryFile(lines);
}
