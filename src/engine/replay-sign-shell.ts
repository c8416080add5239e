import { readFileSync } from "node:fs";

/**
 * The segment of log that a PostgreSQL replays, or waits for, by the title of its startup process ("startup recovering
 * 000000010000000000000003", xlogrecovery.c and xlogreader's callers set it for each segment). Undefined where there is none to see:
 * it replays nothing, or this is no Linux.
 */
export function replaySign(postmaster: number): string | undefined {
  try {
    const children = readFileSync(`/proc/${postmaster}/task/${postmaster}/children`, "utf8");
    for (const pid of children.trim().split(/\s+/)) {
      const title = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      const segment = /\bstartup\b.*\b([0-9A-F]{24})\b/.exec(title)?.[1];
      if (segment !== undefined) return segment;
    }
  } catch {
    // One has just ended, or nobody tells.
  }
  return undefined;
}
