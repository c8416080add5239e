import { constants } from "node:fs";
import { open, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Lsn, segmentStart } from "../base/lsn.ts";
import { parseHistoryFile, parseSegmentName } from "../wal/index.ts";
import { historyFileName } from "./data-dir-shell.ts";

const pageBytes = 8192n;
const pageHeaderBytes = 24n;
const firstPageHeaderBytes = 40n;

/**
 * Removes the only segment of the newest timeline in pg_wal if it has not got that timeline's first record. Gives its name;
 * undefined: there is no such segment, which is usual.
 *
 * A walreceiver asks for a new timeline from the beginning of the segment in which that begins. Killed before it has come to
 * where it begins, it leaves a file with zeros there; the next start reads that rather than the older timeline's
 * (XLogFileReadAnyTLI tries the newest first), comes to the zeros, asks for more, and ends itself, each time anew: "according to
 * history file, WAL location ... belongs to timeline ..., but previous recovered WAL file came from timeline ..."
 * (WaitForWALToBecomeAvailable in xlogrecovery.c, 15 to 18). What is removed is streamed again.
 */
export async function dropUnreachedTimeline(dataDir: string): Promise<string | undefined> {
  const walDir = join(dataDir, "pg_wal");
  // Names sort by timeline, then by place.
  const names = (await readdir(walDir)).filter((name) => parseSegmentName(name)).toSorted();
  const newest = names.at(-1);
  const segment = newest === undefined ? undefined : parseSegmentName(newest);
  if (newest === undefined || !segment) return undefined;
  const begin = await beginOf(join(walDir, historyFileName(segment.timeline)));
  if (begin === undefined || segmentStart(begin) !== segment.start) return undefined;
  const path = join(walDir, newest);
  if (await hasRecordAt(path, begin - segment.start)) return undefined;
  await rm(path, { force: true });
  return newest;
}

/** Where a timeline begins; undefined: there is no history file of it, and PostgreSQL does not know of it either. */
async function beginOf(historyFile: string): Promise<Lsn | undefined> {
  const text = await readFile(historyFile, "utf8").catch(() => "");
  return parseHistoryFile(text).at(-1)?.switchLsn;
}

/** A record begins with its length, which is not zero; on a new page it comes after the page's header. */
async function hasRecordAt(path: string, at: bigint): Promise<boolean> {
  const header = at === 0n ? firstPageHeaderBytes : at % pageBytes === 0n ? pageHeaderBytes : 0n;
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { buffer } = await file.read(Buffer.alloc(4), 0, 4, Number(at + header));
    return buffer.readUInt32LE(0) !== 0;
  } finally {
    await file.close();
  }
}
