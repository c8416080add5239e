import { Deque } from "../base/deque.ts";

/** What a client sent that may have to be sent again: kept by the cycle that it belongs to, until that is answered. */
interface Segment {
  parts: Buffer[];
  /** The last of `parts`, which were not put together yet. */
  looseParts: number;
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
/** So many parts become one: a client may send five bytes at a time, and a Buffer alone is some hundred. */
const loosePartsMax = 64;

/**
 * The client's messages since the last moment when no transaction was open and nothing was owed: in order, as they came.
 * Bounded, what has begun and what has not each by itself; what is over its bound is forgotten as a whole. Of what is
 * forgotten nothing is left, however many messages it was.
 */
export class Journal {
  private readonly bytesMax: number;
  /** What is answered of the transaction that is open: all of it is run again, or nothing. */
  private finished: Segment | undefined;
  /** The cycles that are not answered. */
  private readonly owed = new Deque<Segment>();
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
    this.owed.pushBack({ parts: [], looseParts: 0, sizeBytes: 0, obstacle: undefined });
  }

  /** More of the last cycle. */
  add(bytes: Buffer): void {
    this.addTo(this.owed.length - 1, bytes);
  }

  /** ... and of the one before it. */
  addBeforeLast(bytes: Buffer): void {
    this.addTo(this.owed.length - 2, bytes);
  }

  /** `index` is of those that are owed; below: of what is answered. */
  private addTo(index: number, bytes: Buffer): void {
    const segment = index < 0 ? this.finished : this.owed.at(index);
    const isLater = index > 0;
    if (!segment || bytes.length === 0 || (isLater ? this.isLaterCut : this.isBegunCut)) return;
    append(segment, bytes);
    if (isLater) this.laterBytes += bytes.length;
    else this.begunBytes += bytes.length;
    this.keepBound();
  }

  /** The last cycle may not be run again, for this reason. */
  bar(obstacle: string): void {
    const segment = this.owed.back() ?? this.finished;
    if (segment) segment.obstacle ??= obstacle;
  }

  /** ... nor may the last one that was answered. */
  barAnswered(obstacle: string): void {
    if (this.finished) this.finished.obstacle ??= obstacle;
  }

  /** The first cycle that was not answered is; `isIdle`: and no transaction is open after it. */
  finish(isIdle: boolean): void {
    const front = this.owed.popFront();
    if (isIdle) {
      this.begunBytes -= (this.finished?.sizeBytes ?? 0) + (front?.sizeBytes ?? 0);
      this.finished = undefined;
      this.isBegunCut = false;
    } else if (this.finished && front) join(this.finished, front);
    else this.finished ??= front;
    const begun = this.owed.front();
    if (begun) this.hasBegun(begun);
    // What was forgotten of those that still wait does not come back.
    else this.isLaterCut = false;
  }

  /** The first two that are not answered turn out to be one. */
  merge(): void {
    const { owed } = this;
    const second = owed.at(1);
    const first = second && owed.popFront();
    if (!first) return;
    owed.popFront();
    owed.pushFront(first);
    join(first, second);
    this.hasBegun(second);
  }

  get kept(): Kept {
    const { finished, owed } = this;
    const front = owed.front();
    const later: Buffer[] = [];
    for (let index = 1; index < owed.length; index++)
      for (const part of owed.at(index)?.parts ?? []) later.push(part);
    const tooLong = this.isBegunCut ? "it sent more than is kept" : undefined;
    return {
      finished: [...(finished?.parts ?? [])],
      front: front?.parts,
      later,
      obstacle: tooLong ?? finished?.obstacle ?? front?.obstacle,
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
    const { owed } = this;
    if (this.begunBytes > this.bytesMax) {
      this.isBegunCut = true;
      this.begunBytes = 0;
      forget(this.finished);
      forget(owed.front());
    }
    if (this.laterBytes > Math.max(this.bytesMax, laterBytesMin)) {
      this.isLaterCut = true;
      this.laterBytes = 0;
      for (let index = 1; index < owed.length; index++) forget(owed.at(index));
    }
  }
}

function append(segment: Segment, part: Buffer): void {
  const { parts } = segment;
  parts.push(part);
  segment.sizeBytes += part.length;
  if (++segment.looseParts < loosePartsMax) return;
  parts.push(Buffer.concat(parts.splice(-loosePartsMax)));
  segment.looseParts = 0;
}

function join(first: Segment, second: Segment): void {
  for (const part of second.parts) append(first, part);
  first.obstacle ??= second.obstacle;
}

function forget(segment: Segment | undefined): void {
  if (!segment) return;
  segment.parts = [];
  segment.looseParts = 0;
  segment.sizeBytes = 0;
}
