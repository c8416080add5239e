import type { Epoch, Timeline } from "../base/ids.ts";
import { type Lsn, lsnMin } from "../base/lsn.ts";
import type { Run } from "../quorum/index.ts";
import { parseFileHeader } from "./frame.ts";
import { findFrames, findHeaders } from "./frame-scan.ts";
import type { LogFiles } from "./log-files-shell.ts";
import { readLog } from "./log-reader-shell.ts";
import { RottenLog } from "./read-failures.ts";
import { SegmentTable } from "./segment-table.ts";

/** Whose bytes they are. */
export interface Origin {
  readonly epoch: Epoch;
  readonly timeline: Timeline;
}

interface ShelvedFrame {
  readonly lsn: Lsn;
  readonly end: Lsn;
  readonly epoch: Epoch;
  readonly timeline: Timeline;
  readonly sequence: number;
  /** Of its file. */
  readonly firstLsn: Lsn;
  readonly at: number;
}

/**
 * Whole frames in files that are no log any more, wherever they lie: behind the hole that rot made, in files that were
 * cut off with it. A byte is its (epoch, LSN), so whoever knows the path can take from here what a peer would send.
 */
export class FrameShelf {
  private readonly files: LogFiles;
  private readonly frames: readonly ShelvedFrame[];

  private readonly named: readonly Origin[];

  private constructor(files: LogFiles, frames: readonly ShelvedFrame[], named: readonly Origin[]) {
    this.files = files;
    this.frames = frames;
    this.named = named;
  }

  /** Looks for frames that end above `from`. Files that are gone have none. */
  static async scan(files: LogFiles, sequences: readonly number[], from: Lsn): Promise<FrameShelf> {
    const frames: ShelvedFrame[] = [];
    const named = new Map<Epoch, Origin>();
    for (const sequence of sequences) {
      const whole = Buffer.allocUnsafe(await files.sizeOf(sequence));
      if (whole.length === 0) continue;
      const bytes = whole.subarray(0, await files.read(sequence, whole, 0));
      const parsed = parseFileHeader(bytes);
      // Its frames are encrypted for the file that its header names.
      if (parsed.kind !== "good") continue;
      const { firstLsn } = parsed.header;
      // An ancestor's file goes on with the ancestor's own future: no log of this node, whatever epoch it has.
      const limit = files.limitOf(sequence);
      for (const { epoch, timeline } of findHeaders(bytes)) named.set(epoch, { epoch, timeline });
      for (const { header, at, end: whole } of findFrames(bytes)) {
        const { lsn, epoch, timeline } = header;
        const end = limit === undefined ? whole : lsnMin(whole, limit);
        if (end > from && end > lsn)
          frames.push({ lsn, end, epoch, timeline, sequence, firstLsn, at });
      }
    }
    return new FrameShelf(files, frames, [...named.values()]);
  }

  /** Every frame that has the byte at `at`: as runs from `at` on, at most to `to`. */
  async *at(at: Lsn, to: Lsn): AsyncGenerator<readonly Run[]> {
    for (const frame of this.frames) {
      if (frame.lsn > at || frame.end <= at) continue;
      const table = new SegmentTable();
      table.push(frame.sequence, frame.firstLsn);
      // Read from this frame on: the ones before it may be what has rotted.
      for (const segment of table.all) segment.hint = { lsn: frame.lsn, at: frame.at };
      const end = lsnMin(frame.end, to);
      const range = { from: at, to: end, limitBytes: Number(end - at) };
      try {
        yield await readLog(this.files, table, range);
      } catch (error) {
        // Only looks like a frame, or cannot be decrypted: perhaps another one has the byte.
        if (!(error instanceof RottenLog)) throw error;
      }
    }
  }

  /** Where the next frame behind `at` begins, which `at` is not in, and what its byte is. */
  holeAt(
    at: Lsn,
    to: Lsn,
  ): {
    readonly to: Lsn;
    readonly behind: Origin | undefined;
    /** What the headers of rotten frames say that are good themselves. */
    readonly named: readonly Origin[];
  } {
    let next: ShelvedFrame | undefined;
    for (const frame of this.frames)
      if (frame.lsn > at && (next === undefined || frame.lsn < next.lsn)) next = frame;
    const { named } = this;
    return next && next.lsn < to
      ? { to: next.lsn, behind: next, named }
      : { to, behind: undefined, named };
  }
}
