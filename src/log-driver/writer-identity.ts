import type { Timeline } from "../base/ids.ts";
import { formatLsn, type Lsn } from "../base/lsn.ts";
import { type History, timelineSpans } from "../quorum/index.ts";
import { parseHistoryFile } from "../wal/index.ts";
import type { SystemIdentity } from "../wire/index.ts";

/** What the PostgreSQL that writes in an epoch must be. */
export interface WantedWriter {
  readonly systemId: string;
  readonly timeline: Timeline;
  readonly history: History;
  /** Its log must reach so far: what was streamed in this epoch before. */
  readonly reach: Lsn;
}

/** Why this PostgreSQL cannot write in the epoch; undefined: nothing speaks against it so far. */
export function judgeSystem(system: SystemIdentity, wanted: WantedWriter): string | undefined {
  const { systemId, timeline, reach } = wanted;
  if (system.systemId !== systemId)
    return `it is of system ${system.systemId}, the volume of ${systemId}`;
  if (system.timeline !== timeline)
    return `it writes timeline ${system.timeline}, the epoch timeline ${timeline}`;
  if (system.end < reach)
    return `its log ends at ${formatLsn(system.end)}, before ${formatLsn(reach)}`;
  return undefined;
}

/** False: the timeline is the volume's first, which has no history file. */
export function hasBranchPoint(wanted: WantedWriter): boolean {
  return spanIndex(wanted) > 0;
}

/** The same by its timeline's history file: it branched where the epoch's timeline is registered to begin. */
export function judgeBranch(historyFile: string, wanted: WantedWriter): string | undefined {
  const spans = timelineSpans(wanted.history);
  const index = spanIndex(wanted);
  const span = spans[index];
  if (!span) return undefined;
  const last = parseHistoryFile(historyFile).at(-1);
  if (last?.switchLsn === span.start && last.parent === spans[index - 1]?.timeline)
    return undefined;
  const found = last ? `${formatLsn(last.switchLsn)} of timeline ${last.parent}` : "nothing";
  return `it branched from ${found}, the epoch at ${formatLsn(span.start)}`;
}

function spanIndex({ history, timeline }: WantedWriter): number {
  return timelineSpans(history).findLastIndex((span) => span.timeline === timeline);
}
