import { bytesOf, type RecentPiece, recentBytesMax } from "./recent-log.ts";
import { type FramePlace, markEveryBytes } from "./segment-table.ts";
import type { SharedLog } from "./shared-log.ts";

/** What a worker writes under one grant, as it came, until the main thread is told of it: for those who follow the log. */
export class RecentTeller {
  private readonly shared: SharedLog;
  private pieces: RecentPiece[] = [];
  /** Of `pieces`: how much the main thread knows to be under way. */
  private promisedBytes = 0;
  /** The last frame start that was told of. */
  private told = { sequence: 0, at: 0 };

  constructor(shared: SharedLog) {
    this.shared = shared;
  }

  add(piece: RecentPiece): void {
    this.pieces.push(piece);
  }

  /**
   * All that was added is in the file. To be called before the log's end says so: who follows it then waits for what comes,
   * and does not read the file.
   */
  written(): void {
    const bytes = bytesOf(this.pieces) - this.promisedBytes;
    this.shared.addRecent(bytes);
    this.promisedBytes += bytes;
  }

  /** All of it, to be told; none if there is nothing, or if the main thread does not keep up: it then has to read the file. */
  take(): readonly RecentPiece[] {
    if (this.shared.recentBytes > recentBytesMax) this.drop();
    const { pieces } = this;
    this.pieces = [];
    this.promisedBytes = 0;
    return pieces;
  }

  /** Nothing of it is told. */
  drop(): void {
    this.pieces = [];
    this.shared.addRecent(-this.promisedBytes);
    this.promisedBytes = 0;
  }

  /** True for one of many frames: a first read somewhere has to find its way. Where it began with a file is known without it. */
  isMark(sequence: number, { at }: FramePlace): boolean {
    const { told } = this;
    const isFirst = told.sequence !== sequence;
    if (!isFirst && at < told.at + markEveryBytes) return false;
    this.told = { sequence, at };
    return !isFirst;
  }
}
