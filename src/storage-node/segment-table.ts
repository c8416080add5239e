import { assert } from "../base/assert.ts";
import { type Lsn, lsnMin } from "../base/lsn.ts";
import { fileHeaderBytes } from "./frame.ts";

/** Somewhere in a file a frame begins. */
export interface FramePlace {
  readonly lsn: Lsn;
  /** Byte offset in the file. */
  readonly at: number;
}

/** One segment file; its log ends where the next file's begins. */
export interface Segment {
  readonly sequence: number;
  readonly firstLsn: Lsn;
  /** Known frame starts, rising: about one per markEveryBytes of what was read so far. */
  readonly marks: FramePlace[];
  /** Where the last read ended, for readers that follow the log. */
  hint: FramePlace;
}

/** So much of a file is walked at most to find an LSN in it a second time. */
export const markEveryBytes = 256 * 1024;

/**
 * Which file holds which log. Files are begun in the order of their sequence, and a cut is never made inside a file:
 * the next file begins at the cut, and what earlier files have from there on is dead. So, at every moment,
 *
 *     log of file i = its frames, up to the lowest firstLsn of any later file, and up to the SCL
 */
export class SegmentTable {
  private segments: Segment[] = [];

  get all(): readonly Segment[] {
    return this.segments;
  }
  get last(): Segment | undefined {
    return this.segments.at(-1);
  }

  /** Adds the newest file. Gives back those that are dead by it. */
  push(sequence: number, firstLsn: Lsn): Segment[] {
    const { last } = this;
    assert(last === undefined || sequence > last.sequence, "segment files are numbered upwards");
    const dead = this.cut(firstLsn);
    const start = { lsn: firstLsn, at: fileHeaderBytes };
    this.segments.push({ sequence, firstLsn, marks: [start], hint: start });
    return dead;
  }

  /** Forgets files whose log begins at or above `to`, and gives them back. */
  cut(to: Lsn): Segment[] {
    return this.split((segment) => segment.firstLsn < to);
  }

  /** Forgets files that hold nothing at or above `base`, except the newest, and gives them back. */
  trim(base: Lsn): Segment[] {
    return this.split((segment, index) => {
      const next = this.segments[index + 1];
      return next === undefined || next.firstLsn > base;
    });
  }

  /** The file that holds the byte at `at`, and the end of its log; undefined below all files and from `scl` on. */
  find(at: Lsn, scl: Lsn): { readonly segment: Segment; readonly end: Lsn } | undefined {
    for (let i = this.segments.length - 1; i >= 0; i--) {
      const segment = this.segments[i];
      if (!segment || segment.firstLsn > at) continue;
      const end = lsnMin(this.segments[i + 1]?.firstLsn ?? scl, scl);
      return at < end ? { segment, end } : undefined;
    }
    return undefined;
  }

  /** Somebody knows of a frame start in file `sequence`; of files that are gone nothing is kept. */
  learn(sequence: number, place: FramePlace): void {
    const segment = this.segments.findLast((one) => one.sequence === sequence);
    if (segment) learn(segment, place);
  }

  /** Files that hold any of [from, to). */
  within(from: Lsn, to: Lsn): Segment[] {
    return this.segments.filter((segment, index) => {
      const next = this.segments[index + 1];
      return segment.firstLsn < to && (next === undefined || next.firstLsn > from);
    });
  }

  private split(isKept: (segment: Segment, index: number) => boolean): Segment[] {
    const kept: Segment[] = [];
    const dead: Segment[] = [];
    this.segments.forEach((segment, index) => (isKept(segment, index) ? kept : dead).push(segment));
    this.segments = kept;
    return dead;
  }
}

/** The last known frame start at or below `at`. */
export function seek(segment: Segment, at: Lsn): FramePlace {
  let best: FramePlace | undefined;
  for (const mark of segment.marks) if (mark.lsn <= at) best = mark;
  const { hint } = segment;
  if (hint.lsn <= at && (best === undefined || hint.lsn > best.lsn)) best = hint;
  assert(best !== undefined, "a segment's first frame start is known");
  return best;
}

/** Remembers a frame start, if none near it is known. */
export function learn({ marks }: Segment, place: FramePlace): void {
  const before = marks.findLastIndex((mark) => mark.at <= place.at);
  const near = marks[before];
  const next = marks[before + 1];
  if (near && place.at < near.at + markEveryBytes) return;
  if (next && next.at < place.at + markEveryBytes) return;
  marks.splice(before + 1, 0, place);
}
