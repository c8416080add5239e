import { type Lsn } from "../base/lsn.ts";

/** Ends waiting for their VCL, at most; beyond it the newest replaces the one before, which only delays a VDL. */
const waitingMax = 4096;

/** Record ends in rising order, to turn a VCL (any byte) into a VDL (a record end). */
export class RecordEnds {
  private ends: Lsn[] = [];
  private first = 0;

  push(end: Lsn): void {
    const newest = this.ends.at(-1);
    if (this.first < this.ends.length && newest !== undefined && end <= newest) return;
    if (this.ends.length - this.first >= waitingMax) this.ends.pop();
    this.ends.push(end);
  }

  /** The highest end at or below `vcl`, if there is one that was not taken yet. */
  takeUpTo(vcl: Lsn): Lsn | undefined {
    let taken: Lsn | undefined;
    for (; this.first < this.ends.length; this.first++) {
      const end = this.ends[this.first];
      if (end === undefined || end > vcl) break;
      taken = end;
    }
    if (this.first === this.ends.length) {
      this.ends = [];
      this.first = 0;
    } else if (this.first > waitingMax) {
      this.ends = this.ends.slice(this.first);
      this.first = 0;
    }
    return taken;
  }
}
