import { epoch } from "../base/ids.ts";
import { type Lsn, parseLsn } from "../base/lsn.ts";
import { type ObjectStore, type ReachedMoment, writeReached } from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import type { World } from "./messages.ts";
import { MomentsSeen } from "./moments-seen.ts";

/**
 * Up to which moment the archive is known to be whole, and the word of it in the object store: what is told as restorable is
 * what a restore finds there, with nothing of the cluster left.
 */
export class ReachedKeeping {
  private readonly context: KeeperContext;
  private readonly moments = new MomentsSeen();
  /** As it stands in the store. */
  private written: ReachedMoment | undefined;

  constructor(context: KeeperContext) {
    this.context = context;
  }

  /** Milliseconds since 1970; undefined: none is known yet. */
  get latestMs(): number | undefined {
    const { isOn } = this.context.config.archive;
    return (isOn ? this.written : this.moments.latest)?.atMs;
  }

  /** The writer has said how far it is. */
  see({ epoch: number, vdl, atMs }: NonNullable<World["durable"]>): void {
    const lsn = parseLsn(vdl);
    this.moments.see({ epoch: epoch(number), lsn, atMs });
    // Without an archive the log on the nodes is all that there is to restore from.
    if (!this.context.config.archive.isOn) this.moments.reach(lsn);
  }

  /**
   * All log below `archived` is in the archive: writes down what that means, also while nothing is written, since the time goes on.
   * Raises what the store raises.
   */
  async reach(store: ObjectStore, archived: Lsn): Promise<void> {
    this.moments.reach(archived);
    const { context, written } = this;
    const moment = this.moments.latest;
    if (!moment || moment === written) return;
    await writeReached(store, context.sealer(), moment);
    this.written = moment;
  }
}
