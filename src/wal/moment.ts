/**
 * Where the log of a moment ends (design D27): at the end of the record before the first commit, or commit of a prepared
 * transaction, that is later. One rule for restores, clones and backtracks:
 *
 *     time    1 s       2 s       3 s            2 s        4 s
 *     log   | commit A | commit B | rec | commit C | commit D | ...
 *                                 ^     the log of "2.5 s" ends behind this record, before C
 *
 * Commits lie in the log nearly in the order of their times, not quite: a backend reads the clock first and writes then.
 * So D is undone with C, although its time is within; what counts is the order of the log, as for every reader.
 */
import { assert } from "../base/assert.ts";
import { bytesBetween, type Lsn } from "../base/lsn.ts";
import type { WalCommit, WalFailure, WalkStart } from "./walk.ts";
import { WalWalker } from "./walker.ts";

/** A moment of the log: by time (microseconds since 1970, as WalCommit has it), or the last record end at or below an LSN. */
export type MomentTarget =
  | { readonly kind: "time"; readonly timeUs: bigint }
  | { readonly kind: "lsn"; readonly at: Lsn };

/** Some commits: how many, and the earliest and the latest of their times, microseconds since 1970. */
export interface CommitSpan {
  readonly commits: number;
  readonly earliestUs: bigint;
  readonly latestUs: bigint;
}

/** Where the log of a moment ends, as far as the log that was looked at can say. */
export interface Moment {
  /** A record end. */
  readonly endLsn: Lsn;
  /** Whether more log cannot change endLsn. False: the moment may lie behind the log that was looked at. */
  readonly isSettled: boolean;
  /** The last commit that the moment has, of those in the log that was looked at. */
  readonly lastCommit: WalCommit | undefined;
  /** What comes behind the moment. */
  readonly after: CommitSpan | undefined;
}

/** Finds a moment in log that it is handed in order, from a record end or the start of a segment on. */
export class MomentFinder {
  private readonly target: MomentTarget;
  private readonly walker: WalWalker;
  private settledAt: Lsn | undefined;
  private isMissed = false;
  private last: WalCommit | undefined;
  private span: CommitSpan | undefined;

  /** Raises InvariantBroken if the walk cannot start there. */
  constructor(start: WalkStart, target: MomentTarget) {
    this.target = target;
    this.walker = new WalWalker(start, { onCommit: (commit) => this.take(commit) });
  }

  /** Where the next push has to start. */
  get position(): Lsn {
    return this.walker.position;
  }

  /** Bytes that no valid log has: where the walk stopped for good. */
  get failure(): WalFailure | undefined {
    return this.walker.failure;
  }

  /** End of the last whole record so far. */
  get recordEnd(): Lsn {
    return this.walker.recordEnd;
  }

  /** Whether more log can only add to what comes behind the moment. */
  get isSettled(): boolean {
    return this.settledAt !== undefined;
  }

  /** Takes the bytes that follow those of the push before. They are borrowed: nothing of them is kept. */
  push(bytes: Buffer): void {
    const { target, walker } = this;
    if (target.kind === "time" || this.isSettled || this.isMissed) {
      walker.push(bytes);
      return;
    }
    // The record that goes on beyond the LSN is one that the moment does not have.
    const cut = Math.min(bytes.length, Math.max(0, bytesBetween(walker.position, target.at)));
    walker.push(bytes.subarray(0, cut));
    if (walker.position >= target.at) {
      const { firstBoundary } = walker;
      if (firstBoundary === undefined || firstBoundary > target.at) this.isMissed = true;
      else this.settledAt = walker.recordEnd;
    }
    walker.push(bytes.subarray(cut));
  }

  /**
   * Undefined while no record end was met, and for good if the LSN lies below the first one: a segment may start inside a
   * long record, and then the walk has to begin before it.
   */
  get moment(): Moment | undefined {
    const { walker, settledAt, last: lastCommit, span: after } = this;
    if (walker.firstBoundary === undefined || this.isMissed) return undefined;
    const endLsn = settledAt ?? walker.recordEnd;
    return { endLsn, isSettled: this.isSettled, lastCommit, after };
  }

  private take(commit: WalCommit): void {
    const { target } = this;
    if (this.settledAt === undefined && target.kind === "time" && commit.timeUs > target.timeUs) {
      this.settledAt = commit.previousEnd;
    }
    if (this.settledAt === undefined) this.last = commit;
    else this.span = withCommit(this.span, commit.timeUs);
    const { settledAt } = this;
    assert(settledAt === undefined || commit.end > settledAt, "a moment ends before what follows");
  }
}

/** One commit more. */
export function withCommit(span: CommitSpan | undefined, timeUs: bigint): CommitSpan {
  if (!span) return { commits: 1, earliestUs: timeUs, latestUs: timeUs };
  return {
    commits: span.commits + 1,
    earliestUs: timeUs < span.earliestUs ? timeUs : span.earliestUs,
    latestUs: timeUs > span.latestUs ? timeUs : span.latestUs,
  };
}
