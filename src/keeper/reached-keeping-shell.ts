import { epoch } from "../base/ids.ts";
import { type Lsn, parseLsn } from "../base/lsn.ts";
import { type ObjectStore, type ReachedMoment, writeReached } from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import type { World } from "./messages.ts";
import { MomentsSeen } from "./moments-seen.ts";

/** A volume at rest costs its object store no more than a put each minute. */
const restMs = 60_000;

interface Written {
  readonly moment: ReachedMoment;
  /** On the monotonic clock: now, and when the first one with this LSN was written. */
  readonly writtenMs: number;
  readonly restsSinceMs: number;
}

/**
 * Up to which moment the archive is known to be whole, and the word of it in the object store: what is told as restorable is
 * what a restore finds there, with nothing of the cluster left.
 */
export class ReachedKeeping {
  private readonly context: KeeperContext;
  private readonly moments = new MomentsSeen();
  private written: Written | undefined;

  constructor(context: KeeperContext) {
    this.context = context;
  }

  /** Milliseconds since 1970; undefined: none is known yet. */
  get latestMs(): number | undefined {
    const { isOn } = this.context.config.archive;
    return (isOn ? this.written?.moment : this.moments.latest)?.atMs;
  }

  /** The writer has said how far it is. */
  see({ epoch: number, vdl, atMs }: NonNullable<World["durable"]>): void {
    const lsn = parseLsn(vdl);
    this.moments.see({ epoch: epoch(number), lsn, atMs });
    // Without an archive the log on the nodes is all that there is to restore from.
    if (!this.context.config.archive.isOn) this.moments.reach(lsn);
  }

  /**
   * All log below `archived` is in the archive. Writes down what that means when more log is archived, and while nothing is
   * written ever less often: it is then as old as half of the rest, and a minute at most. Raises what the store raises.
   */
  async reach(store: ObjectStore, archived: Lsn): Promise<void> {
    this.moments.reach(archived);
    const { resting } = this;
    if (resting) {
      const waitMs = Math.min(restMs, resting.writtenMs - resting.restsSinceMs);
      if (this.context.clock.nowMs() - resting.writtenMs < waitMs) return;
    }
    await this.write(store);
  }

  /** Nobody writes down more: what is known is said now. Raises what the store raises. */
  async finish(store: ObjectStore): Promise<void> {
    await this.write(store);
  }

  /** What was written, if the volume has not gone on since. */
  private get resting(): Written | undefined {
    const { written, moments } = this;
    return written?.moment.lsn === moments.latest?.lsn ? written : undefined;
  }

  private async write(store: ObjectStore): Promise<void> {
    const { context, written, resting } = this;
    const moment = this.moments.latest;
    if (!moment || moment === written?.moment) return;
    await writeReached(store, context.sealer(), moment);
    const writtenMs = context.clock.nowMs();
    this.written = { moment, writtenMs, restsSinceMs: resting?.restsSinceMs ?? writtenMs };
  }
}
