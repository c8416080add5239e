import { readFileSync } from "node:fs";
import { readChildren } from "../io/index.ts";

/**
 * The segment of log that a PostgreSQL replays, or waits for, by the title of its startup process, which that sets for each
 * ("startup recovering 000000010000000000000003"; XLogFileRead in xlogrecovery.c). Undefined where there is none to see: it
 * replays nothing, or this is no Linux.
 */
export function replaySign(postmaster: number): string | undefined {
  for (const pid of readChildren(postmaster) ?? []) {
    const segment = /\bstartup\b.*\b([0-9A-F]{24})\b/.exec(titleOf(pid))?.[1];
    if (segment !== undefined) return segment;
  }
  return undefined;
}

function titleOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return ""; // it has just ended
  }
}
