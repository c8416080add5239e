/**
 * Log put into pg_wal, for a PostgreSQL that recovers from it alone:
 *
 *     from                                        end: the last whole record's
 *      | segment | segment | segment | segm.......|00000000|
 *                      ^ a timeline begins: the segment has the later one's name, as PostgreSQL leaves it at a promotion
 */
import { open, rename, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { assert } from "../base/assert.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { type Timeline, timeline } from "../base/ids.ts";
import { advance, bytesBetween, formatLsn, type Lsn, lsn, segmentStart } from "../base/lsn.ts";
import { segmentBytes, segmentName, type WalCommit, WalWalker } from "../wal/index.ts";
import type { OsUser } from "./os-user-shell.ts";

/** A timeline of the path, and where it begins; the first one's beginning does not matter. */
export interface TimelineStart {
  readonly timeline: Timeline;
  readonly start: Lsn;
}

export interface LogToLay {
  /** The data directory; nobody runs in it. */
  readonly dir: string;
  readonly osUser: OsUser | undefined;
  /** Start of a WAL segment: where `log` begins. */
  readonly from: Lsn;
  /** The log of one path up to where recovery is to end, in pieces of any size; what follows the last whole record is cut. */
  readonly log: AsyncIterable<Buffer>;
  /** The timelines of that path, oldest first. */
  readonly spans: readonly TimelineStart[];
  readonly signal: AbortSignal;
}

export interface LaidLog {
  /** End of the last whole record: pg_wal has the log up to here, and zeros behind. */
  readonly end: Lsn;
  /** That of the last byte. */
  readonly timeline: Timeline;
  /** Its last commit. */
  readonly lastCommit: WalCommit | undefined;
}

/**
 * Writes the segment files. Raises BorealisError XX001 for bytes that are no log, 55000 if there is no record's end in it, the
 * disk's own errors as they are.
 */
export async function layLog(
  options: LogToLay,
  onProgress: (bytes: number) => void = () => {},
): Promise<LaidLog> {
  const { from, log, signal } = options;
  assert(segmentStart(from) === from, "log is laid from the start of a segment");
  const segments = new Segments(options);
  let lastCommit: WalCommit | undefined;
  const onCommit = (commit: WalCommit): void => void (lastCommit = commit);
  const walker = new WalWalker({ at: from, kind: "segmentStart" }, { onCommit });
  for await (const bytes of log) {
    if (signal.aborted) throw signal.reason;
    walker.push(bytes);
    if (walker.failure) throw noLog(walker.failure);
    await segments.add(bytes);
    onProgress(bytesBetween(from, segments.end));
  }
  const end = walker.recordEnd;
  if (walker.firstBoundary === undefined || end <= from) throw tooShort(from, segments.end);
  await segments.cutAt(end);
  return { end, timeline: segments.timelineBelow(end), lastCommit };
}

/** The files, 16 MiB each. The last one is in memory until it is full, or all is there. */
class Segments {
  private readonly options: LogToLay;
  private readonly buffer = Buffer.alloc(segmentBytes);
  /** On the disk, by where they begin. */
  private readonly written = new Map<Lsn, string>();
  end: Lsn;

  constructor(options: LogToLay) {
    this.options = options;
    this.end = options.from;
  }

  async add(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const within = bytesBetween(segmentStart(this.end), this.end);
      const count = bytes.copy(this.buffer, within, at);
      at += count;
      this.end = advance(this.end, count);
      if (within + count === segmentBytes) await this.write(lsn(this.end - BigInt(segmentBytes)));
    }
  }

  /** What is there beyond `end` is zeros, or gone. */
  async cutAt(end: Lsn): Promise<void> {
    const last = segmentStart(this.end);
    if (this.end > last) {
      this.buffer.fill(0, bytesBetween(last, this.end));
      await this.write(last);
    }
    for (const [start, path] of this.written) {
      if (start >= end) await rm(path);
      else if (end < advance(start, segmentBytes)) {
        await truncate(path, bytesBetween(start, end));
        await truncate(path, segmentBytes);
        await rename(path, this.pathOf(start, end));
      }
    }
  }

  timelineBelow(at: Lsn): Timeline {
    const { spans } = this.options;
    const found = spans.findLast(({ start }) => start < at) ?? spans[0];
    return found?.timeline ?? timeline(1);
  }

  private async write(start: Lsn): Promise<void> {
    const { osUser } = this.options;
    const path = this.pathOf(start, advance(start, segmentBytes));
    const file = await open(path, "w", 0o600);
    try {
      if (osUser) await file.chown(osUser.uid, osUser.gid);
      await file.writeFile(this.buffer);
    } finally {
      await file.close();
    }
    this.written.set(start, path);
  }

  private pathOf(start: Lsn, end: Lsn): string {
    return join(this.options.dir, "pg_wal", segmentName(this.timelineBelow(end), start));
  }
}

function noLog({ at, reason }: { readonly at: Lsn; readonly reason: string }): BorealisError {
  return new BorealisError(
    sqlState.dataCorrupted,
    `the log at ${formatLsn(at)} cannot be used: ${reason}`,
    {
      hint: "another copy may be good: start the cluster and let it scrub (borealis storage scrub)",
    },
  );
}

function tooShort(from: Lsn, end: Lsn): BorealisError {
  const range = `${formatLsn(from)} to ${formatLsn(end)}`;
  return new BorealisError(
    sqlState.notInPrerequisiteState,
    `no record ends in the log from ${range}`,
    { hint: "choose a later moment" },
  );
}
