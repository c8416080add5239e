import type { Epoch } from "../base/ids.ts";
import { type Lsn, lsn } from "../base/lsn.ts";
import type { Disk } from "../io/index.ts";
import { epochAt, type History } from "../quorum/index.ts";
import { fileHeaderBytes, frameEnd, parseFileHeader } from "./frame.ts";
import { scanFrame } from "./frame-scan.ts";
import { parseKeptFolder } from "./kept-folder.ts";
import type { SourceFile } from "./kept-log-shell.ts";
import { folderOf } from "./state-file-shell.ts";

/** What a backtrack cut off, as it lies in the folder of a node that does not run: kept-log-shell.ts. */
export interface RetiredTail {
  /** Of its folder below `retired/`. */
  readonly name: string;
  readonly from: Lsn;
  readonly to: Lsn;
  readonly files: readonly SourceFile[];
}

/** A path that a backtrack left at `fork`, as far as it was durable. */
export interface LeftLog {
  readonly path: History;
  readonly fork: Lsn;
  readonly end: Lsn;
}

/** Those that were finished. Raises the system's errors. */
export async function retiredTailsOf(dir: string, disk: Disk): Promise<RetiredTail[]> {
  const tails: RetiredTail[] = [];
  for (const name of await disk.list(folderOf.retired(dir))) {
    const folder = parseKeptFolder(name);
    if (!folder) continue;
    const files = await findLogFiles(disk, `${folderOf.retired(dir)}/${name}`);
    tails.push({ name, from: folder.from, to: folder.to, files });
  }
  return tails;
}

/** Files of a folder by their numbers, rising. */
export async function findLogFiles(disk: Disk, folder: string): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  for (const name of await disk.list(folder)) {
    const digits = /^(\d{10})\.log$/.exec(name)?.[1];
    if (digits !== undefined) files.push({ sequence: Number(digits), path: `${folder}/${name}` });
  }
  return files.toSorted((a, b) => a.sequence - b.sequence);
}

/**
 * Whether one of these tails has all of a future that was left. Only its last byte is looked at: a log that has the byte of
 * this epoch there has all of that path below it (quorum-protocol.md, I7).
 */
export async function holdLeftLog(
  tails: readonly RetiredTail[],
  { path, fork, end }: LeftLog,
  disk: Disk,
): Promise<boolean> {
  if (end <= fork) return true;
  const last = lsn(end - 1n);
  for (const tail of tails) {
    if (tail.from > fork || tail.to < end) continue;
    if ((await epochIn(tail, last, disk)) === epochAt(path, last)) return true;
  }
  return false;
}

/** Of the byte at `at`. Undefined: the file that should have it cannot be read up to there. */
async function epochIn({ files }: RetiredTail, at: Lsn, disk: Disk): Promise<Epoch | undefined> {
  for (const { path } of files.toReversed()) {
    const bytes = (await disk.readWhole(path)) ?? Buffer.alloc(0);
    const parsed = parseFileHeader(bytes);
    if (parsed.kind !== "good") return undefined;
    let next = parsed.header.firstLsn;
    // A later file's log begins where this one's ends.
    if (next > at) continue;
    for (let offset = fileHeaderBytes; ;) {
      const step = scanFrame(bytes, offset, next);
      if (step.kind !== "frame") return undefined;
      next = frameEnd(step.header);
      if (next > at) return step.header.epoch;
      offset = step.nextAt;
    }
  }
  return undefined;
}
