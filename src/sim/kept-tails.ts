import type { Timeline } from "../base/ids.ts";
import { type Lsn, lsnMin } from "../base/lsn.ts";
import { epochAt, type History, type Rules, type Run } from "../quorum/index.ts";

interface KeptRun extends Run {
  /** Where the tail begins that it is of. */
  readonly tail: Lsn;
  readonly from: Lsn;
  readonly to: Lsn;
}

/** A node's retired store: what backtracks cut off, until a newer history takes it back. */
export class KeptTails {
  private runs: KeptRun[] = [];

  keep(from: Lsn, runs: readonly Run[]): void {
    let at = from;
    for (const run of runs) {
      const to = (at + BigInt(run.bytes.length)) as Lsn; // below 2^64: it was log
      this.runs.push({ ...run, tail: from, from: at, to });
      at = to;
    }
  }

  /** The log begins at `base` now: tails that nobody can ask for any more go. */
  drop(base: Lsn, rules: Pick<Rules, "mayDropRetired">): void {
    this.runs = this.runs.filter(({ tail }) => !rules.mayDropRetired({ from: tail, base }));
  }

  /** The next piece for a log that ends at `at`, if `path` has these very bytes there. */
  next(
    at: Lsn,
    path: History,
    to: Lsn,
  ):
    | { readonly epoch: Run["epoch"]; readonly timeline: Timeline; readonly bytes: Uint8Array }
    | undefined {
    const epoch = epochAt(path, at);
    const run = this.runs.find((one) => one.from <= at && at < one.to && one.epoch === epoch);
    if (!run) return undefined;
    const next = path.find((entry) => entry.start > at)?.start ?? run.to;
    const end = lsnMin(lsnMin(run.to, next), to);
    const bytes = run.bytes.subarray(Number(at - run.from), Number(end - run.from));
    return { epoch, timeline: run.timeline, bytes };
  }
}
