/** What a client sent that may have to be sent again: kept by the cycle that it belongs to. */
interface Segment {
  parts: Buffer[];
  sizeBytes: number;
  /** Why it may not be run a second time. */
  obstacle: string | undefined;
}

/** What a journal holds, at the moment when the backend is lost. */
export interface Kept {
  /** Of the open transaction, answered. */
  readonly finished: readonly Buffer[];
  /** The first that is not answered; undefined: nothing is under way. */
  readonly front: readonly Buffer[] | undefined;
  /** Sent behind it: the server has not begun with it. */
  readonly later: readonly Buffer[];
  /** Why `finished` and `front` may not be run again. */
  readonly obstacle: string | undefined;
  /** All of `later` is here. */
  readonly isLaterWhole: boolean;
}

/** A client may run ahead by so much in any case, and its session goes on. */
const laterBytesMin = 64 * 1024;

/**
 * The client's messages since the last moment when no transaction was open and nothing was owed: in order, as they came.
 * Bounded, what has begun and what has not each by itself; what is over its bound is forgotten as a whole.
 */
export class Journal {
  private readonly bytesMax: number;
  private segments: Segment[] = [];
  private answered = 0;
  /** Of what is answered, and the first that is not. */
  private begunBytes = 0;
  private laterBytes = 0;
  private isBegunCut = false;
  private isLaterCut = false;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** The message at hand opens a new cycle. */
  begin(): void {
    this.segments.push({ parts: [], sizeBytes: 0, obstacle: undefined });
  }

  /** More of the last cycle. */
  add(bytes: Buffer): void {
    const segment = this.segments.at(-1);
    const isLater = this.segments.length - 1 > this.answered;
    if (!segment || bytes.length === 0 || (isLater ? this.isLaterCut : this.isBegunCut)) return;
    segment.parts.push(bytes);
    segment.sizeBytes += bytes.length;
    if (isLater) this.laterBytes += bytes.length;
    else this.begunBytes += bytes.length;
    this.keepBound();
  }

  /** ... and of the one before it. */
  addBeforeLast(bytes: Buffer): void {
    const last = this.segments.pop();
    this.add(bytes);
    if (last) this.segments.push(last);
  }

  /** The last cycle may not be run again, for this reason. */
  bar(obstacle: string): void {
    const segment = this.segments.at(-1);
    if (segment) segment.obstacle ??= obstacle;
  }

  /** ... nor may the last one that was answered. */
  barAnswered(obstacle: string): void {
    const segment = this.segments[this.answered - 1];
    if (segment) segment.obstacle ??= obstacle;
  }

  /** The first cycle that was not answered is; `isIdle`: and no transaction is open after it. */
  finish(isIdle: boolean): void {
    this.answered++;
    if (isIdle) {
      for (const { sizeBytes } of this.segments.splice(0, this.answered))
        this.begunBytes -= sizeBytes;
      this.answered = 0;
      this.isBegunCut = false;
    }
    const begun = this.segments[this.answered];
    if (begun) this.hasBegun(begun);
    // What was forgotten of those that still wait does not come back.
    else this.isLaterCut = false;
  }

  /** The first two that are not answered turn out to be one. */
  merge(): void {
    const [first, second] = this.segments.slice(this.answered, this.answered + 2);
    if (!first || !second) return;
    first.parts.push(...second.parts);
    first.sizeBytes += second.sizeBytes;
    first.obstacle ??= second.obstacle;
    this.segments.splice(this.answered + 1, 1);
    this.hasBegun(second);
  }

  get kept(): Kept {
    const finished = this.segments.slice(0, this.answered);
    const front = this.segments[this.answered];
    const later = this.segments.slice(this.answered + 1);
    const all = front ? [...finished, front] : finished;
    const tooLong = this.isBegunCut ? "it sent more than is kept" : undefined;
    return {
      finished: finished.flatMap(({ parts }) => parts),
      front: front?.parts,
      later: later.flatMap(({ parts }) => parts),
      obstacle: tooLong ?? all.find(({ obstacle }) => obstacle !== undefined)?.obstacle,
      isLaterWhole: !this.isLaterCut,
    };
  }

  private hasBegun({ sizeBytes }: Segment): void {
    this.laterBytes -= sizeBytes;
    this.begunBytes += sizeBytes;
    this.isBegunCut ||= this.isLaterCut;
    this.keepBound();
  }

  private keepBound(): void {
    if (this.begunBytes > this.bytesMax) {
      this.isBegunCut = true;
      this.begunBytes = 0;
      forget(this.segments.slice(0, this.answered + 1));
    }
    if (this.laterBytes > Math.max(this.bytesMax, laterBytesMin)) {
      this.isLaterCut = true;
      this.laterBytes = 0;
      forget(this.segments.slice(this.answered + 1));
    }
  }
}

function forget(segments: readonly Segment[]): void {
  for (const segment of segments) {
    segment.parts = [];
    segment.sizeBytes = 0;
  }
}
