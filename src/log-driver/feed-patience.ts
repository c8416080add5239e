/** Between two pieces of log under load lies less than this on a machine that has cores to spare. */
const pieceMinMs = 25;
/** For what the node that serves says itself that others have and it has not. */
const behindMinMs = 10;
/** Where nothing is written nobody has more, and asking costs both sides a tenth of a millisecond. */
const quietMs = 500;
/** So many times what lies between two pieces is no chance any more. */
const gapsPerPiece = 4;
const gapsPerBehind = 2;
/** What is longer was no gap between pieces, there was nothing to send. */
const gapMaxMs = 100;
/** A new gap counts this much in the average. */
const gapWeight = 1 / 8;

/**
 * When a reader that is fed by one node asks another one whether there is more. Commits wait for four nodes of six, so the
 * node that serves may be slow without holding up anything but its readers. On a busy machine every node is: what is long is
 * measured by what is usual. Pure: monotonic milliseconds come in.
 */
export class FeedPatience {
  private sinceMs: number;
  private waitMs = pieceMinMs;
  private pieceMs: number | undefined;
  /** Asked, or gone over, since the last piece. */
  private hasAsked = false;
  /** Between two pieces, on average. */
  private gapMs = 0;

  constructor(nowMs: number) {
    this.sinceMs = nowMs;
  }

  /** When to ask. */
  get dueMs(): number {
    return this.sinceMs + this.waitMs;
  }

  /** The node that serves has spoken. `isBehind`: it knows of more than it could give. */
  hear(nowMs: number, { hasLog, isBehind }: { hasLog: boolean; isBehind: boolean }): void {
    const behindMs = Math.max(behindMinMs, gapsPerBehind * this.gapMs);
    if (hasLog) {
      this.notePiece(nowMs);
      this.hasAsked = false;
      this.sinceMs = nowMs;
      this.waitMs = isBehind ? behindMs : Math.max(pieceMinMs, gapsPerPiece * this.gapMs);
    } else if (isBehind && !this.hasAsked && this.dueMs > nowMs + behindMs) {
      this.sinceMs = nowMs;
      this.waitMs = behindMs;
    }
  }

  /** Nobody is asked more often while no piece comes: who is asked next is a matter of who has not been. */
  get isQuiet(): boolean {
    return this.waitMs >= quietMs;
  }

  /** Another node was asked: it had no more, or did not answer; or it serves from now on, and has to begin. */
  asked(nowMs: number): void {
    this.hasAsked = true;
    this.sinceMs = nowMs;
    this.waitMs = Math.min(this.waitMs * 2, quietMs);
  }

  private notePiece(nowMs: number): void {
    const gapMs = Math.min(nowMs - (this.pieceMs ?? nowMs), gapMaxMs);
    this.gapMs += (gapMs - this.gapMs) * gapWeight;
    this.pieceMs = nowMs;
  }
}
