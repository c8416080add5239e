import type { Epoch } from "../base/ids.ts";
import { type Lsn, lsn } from "../base/lsn.ts";
import { epochAt, type History } from "../quorum/index.ts";
import { origin } from "./spans.ts";

/** Every record that any PostgreSQL wrote, by epoch and end: what the walker is judged by. */
export class RecordBook {
  private readonly byEpoch = new Map<Epoch, Map<Lsn, Lsn>>();

  note(epoch: Epoch, start: Lsn, end: Lsn): void {
    let ends = this.byEpoch.get(epoch);
    if (!ends) {
      ends = new Map();
      this.byEpoch.set(epoch, ends);
    }
    ends.set(end, start);
  }

  /** Where the record begins that ends at `end` on this path. */
  startOf(path: History, end: Lsn): Lsn | undefined {
    if (end <= origin) return undefined;
    return this.byEpoch.get(epochAt(path, lsn(end - 1n)))?.get(end);
  }
  isEnd(path: History, end: Lsn): boolean {
    return end === origin || this.startOf(path, end) !== undefined;
  }

  /** Record ends of this path in [from, to), rising. */
  endsOn(path: History, from: Lsn, to: Lsn): Lsn[] {
    const ends: Lsn[] = [];
    for (const [epoch, book] of this.byEpoch) {
      for (const end of book.keys()) {
        if (end >= from && end < to && epochAt(path, lsn(end - 1n)) === epoch) ends.push(end);
      }
    }
    return ends.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  }
}
