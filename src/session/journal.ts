/** What a client sent that may have to be sent again: kept by the cycle that it belongs to. */
interface Segment {
  parts: Buffer[];
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
  readonly isComplete: boolean;
}

/**
 * The client's messages since the last moment when no transaction was open and nothing was owed: in order, as they came.
 * Bounded; what is over the bound is forgotten as a whole.
 */
export class Journal {
  private readonly bytesMax: number;
  private segments: Segment[] = [];
  private answered = 0;
  private sizeBytes = 0;
  private isTooLong = false;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** The message at hand opens a new cycle. */
  begin(): void {
    this.segments.push({ parts: [], obstacle: undefined });
  }

  /** More of the last cycle. */
  add(bytes: Buffer): void {
    const segment = this.segments.at(-1);
    if (!segment || this.isTooLong || bytes.length === 0) return;
    segment.parts.push(bytes);
    this.sizeBytes += bytes.length;
    if (this.sizeBytes > this.bytesMax) this.forget();
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
    if (!isIdle) return;
    if (this.answered >= this.segments.length) this.segments = [];
    else this.segments.splice(0, this.answered);
    this.answered = 0;
    this.sizeBytes = 0;
    for (const { parts } of this.segments) for (const { length } of parts) this.sizeBytes += length;
    // What was forgotten of those that still wait does not come back.
    if (this.segments.length === 0) this.isTooLong = false;
  }

  /** The first two that are not answered turn out to be one. */
  merge(): void {
    const [first, second] = this.segments.slice(this.answered, this.answered + 2);
    if (!first || !second) return;
    first.parts.push(...second.parts);
    first.obstacle ??= second.obstacle;
    this.segments.splice(this.answered + 1, 1);
  }

  get kept(): Kept {
    const finished = this.segments.slice(0, this.answered);
    const front = this.segments[this.answered];
    const later = this.segments.slice(this.answered + 1);
    const all = front ? [...finished, front] : finished;
    const tooLong = this.isTooLong ? "it sent more than is kept" : undefined;
    return {
      finished: finished.flatMap(({ parts }) => parts),
      front: front?.parts,
      later: later.flatMap(({ parts }) => parts),
      obstacle: tooLong ?? all.find(({ obstacle }) => obstacle !== undefined)?.obstacle,
      isComplete: !this.isTooLong,
    };
  }

  private forget(): void {
    this.isTooLong = true;
    this.sizeBytes = 0;
    for (const segment of this.segments) segment.parts = [];
  }
}
