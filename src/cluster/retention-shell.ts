import { messageOf } from "../base/errors.ts";
import { findLsn, formatLsn, type Lsn, parseLsn } from "../base/lsn.ts";
import { type Clock, type Logger, type RpcClient, sleep } from "../io/index.ts";
import type { ArchiveWatch } from "./archive-watch.ts";
import type { InstanceRoles } from "./roles-shell.ts";
import type { ClusterState } from "./state.ts";
import { type LogNeeds, lowWanted } from "./retention.ts";

export interface RetentionOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Until it is set to another: the genesis image's. */
  readonly snapshotLsn: Lsn;
  readonly readers: () => LogNeeds["readers"];
  readonly archived: () => LogNeeds["archivedLsn"];
  /** Log that a backtrack needs, or the return from one; undefined: none. */
  readonly backtrackLsn: () => LogNeeds["backtrackLsn"];
  /** The line to the agent of a writer that is open and has a write quorum. */
  readonly openWriter: () => RpcClient | undefined;
}

const everyMs = 2_000;
/** The agent may read a whole segment to find where a record ends. */
const answerMs = 30_000;

/**
 * Tells the open writer from where on log is needed, for ever: its driver drops what lies before on all nodes, as far as
 * the slowest of them allows. Said again and again, since each epoch begins with what it finds.
 */
export class Retention {
  private readonly options: RetentionOptions;
  private snapshotLsn: Lsn;

  constructor(options: RetentionOptions) {
    this.options = options;
    this.snapshotLsn = options.snapshotLsn;
  }

  /** The lowest LSN that snapshots need, from now on. Not kept: who knows of snapshots says it again. */
  setSnapshotLsn(lsn: Lsn): void {
    this.snapshotLsn = lsn;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.options;
    while (!signal.aborted) {
      try {
        await this.tellWriter();
      } catch (error) {
        logger.debug({ event: "retention.notTold" }, messageOf(error));
      }
      await sleep(clock, everyMs, signal);
    }
  }

  private async tellWriter(): Promise<void> {
    const { openWriter, readers, archived, snapshotLsn: first } = this.options;
    const { snapshotLsn } = this;
    const low = lowWanted({
      snapshotLsn,
      archivedLsn: archived(),
      backtrackLsn: this.options.backtrackLsn(),
      readers: readers(),
    });
    if (low === undefined || low <= first) return;
    await openWriter()?.call("needLog", { from: formatLsn(low) }, { timeoutMs: answerMs });
  }
}

/** What a cluster with these instances needs of its log. `state`: as it was at the start. */
export function retentionOf({
  roles,
  archive,
  ...own
}: Pick<RetentionOptions, "clock" | "logger" | "backtrackLsn"> & {
  readonly state: Pick<ClusterState, "genesisLsn">;
  readonly roles: Pick<InstanceRoles, "readers" | "status" | "durable" | "openWriter">;
  readonly archive: ArchiveWatch;
}): Retention {
  return new Retention({
    ...own,
    snapshotLsn: parseLsn(own.state.genesisLsn),
    // Of every instance that reads; one that is away may come back with what it last had.
    readers: () => roles.readers().map((id) => findLsn(roles.status(id)?.restartLsn ?? "")),
    archived: () => archive.archivedIn(roles.durable()?.epoch),
    openWriter: () => roles.openWriter(),
  });
}
