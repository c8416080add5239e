import type { Timeline } from "../base/ids.ts";
import { type Lsn, lsnMin } from "../base/lsn.ts";
import { epochAt, type History, type Run } from "../quorum/index.ts";

interface KeptRun extends Run {
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
      this.runs.push({ ...run, from: at, to });
      at = to;
    }
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
