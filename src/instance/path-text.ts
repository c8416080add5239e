import { epoch, timeline, volumeId } from "../base/ids.ts";
import { formatLsn, parseLsn } from "../base/lsn.ts";
import type { History } from "../quorum/index.ts";
import type { PathText } from "./messages.ts";

/** A path as messages and files have it. */
export function toPathText(path: History): PathText {
  return path.map(({ start, ...entry }) => ({ ...entry, start: formatLsn(start) }));
}

/** A path that pathSchema has parsed. */
export function parsePath(text: PathText): History {
  return text.map((entry) => ({
    epoch: epoch(entry.epoch),
    timeline: timeline(entry.timeline),
    start: parseLsn(entry.start),
    kind: entry.kind,
    ...(entry.volumeId === undefined ? {} : { volumeId: volumeId(entry.volumeId) }),
  }));
}
