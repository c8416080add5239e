/**
 * Timeline history files (`0000000A.history`): how PostgreSQL records its branches. One line for each timeline that
 * the named one came from, oldest first: `parent TAB switch-LSN TAB reason`. Lines that begin with # are comments.
 */
import { type Timeline, timeline } from "../base/ids.ts";
import { findLsn, formatLsn, type Lsn } from "../base/lsn.ts";
import { BorealisError, sqlState } from "../base/errors.ts";

export interface HistoryLine {
  /** The timeline that ended. */
  readonly parent: Timeline;
  /** Where it ended and the next began. */
  readonly switchLsn: Lsn;
  readonly reason: string;
}

/** The lines of a history file, oldest first. Raises BorealisError XX001 if PostgreSQL could not have written it. */
export function parseHistoryFile(text: string): HistoryLine[] {
  const lines: HistoryLine[] = [];
  for (const line of text.split("\n")) {
    if (/^\s*(#|$)/.test(line)) continue;
    // As PostgreSQL reads it: blanks of any kind between the fields, and the reason may be absent.
    const parts = /^\s*(\d{1,10})\s+(\S+)(?:\s+(.*?))?\s*$/.exec(line);
    const parent = Number(parts?.[1] ?? NaN);
    const switchLsn = findLsn(parts?.[2] ?? "");
    const before = lines.at(-1);
    if (switchLsn === undefined || !(parent >= 1 && parent <= 0xffff_ffff)) throw damaged(line);
    if (before && (parent <= before.parent || switchLsn < before.switchLsn)) throw damaged(line);
    lines.push({ parent: timeline(parent), switchLsn, reason: parts?.[3] ?? "" });
  }
  return lines;
}

/** The text of a history file. Without lines: one that holds only a comment, and so burns the number it is named by. */
export function formatHistoryFile(lines: readonly HistoryLine[]): string {
  if (lines.length === 0) return "# this timeline number is taken\n";
  return lines
    .map(({ parent, switchLsn, reason }) => {
      const oneLine = reason.replaceAll(/[\r\n]+/g, " ");
      return `${parent}\t${formatLsn(switchLsn)}\t${oneLine}\n`;
    })
    .join("");
}

function damaged(line: string): BorealisError {
  return new BorealisError(sqlState.dataCorrupted, `not a line of a timeline history: "${line}"`);
}
