import { messageOf } from "../base/errors.ts";
import { formatLsn } from "../base/lsn.ts";
import type { Pace } from "../base/pace.ts";
import {
  describeLostLog,
  type LogRange,
  type ObjectStore,
  scrubArchive,
  type ScrubTally,
} from "../volume/index.ts";
import type { Archiver } from "./archiver-shell.ts";
import type { KeeperContext } from "./keeper-shell.ts";

export interface ArchiveScrubsOptions {
  readonly context: KeeperContext;
  readonly archiver: Pick<Archiver, "healLog" | "healRecord">;
  /** `damage` is another one. */
  readonly onChange: () => void;
}

/** The scrubs of the log's archive and of volume.json, and what they found that nobody can make again. */
export class ArchiveScrubs {
  private readonly options: ArchiveScrubsOptions;
  private readonly lost = new Map<string, LogRange | undefined>();

  constructor(options: ArchiveScrubsOptions) {
    this.options = options;
  }

  /** For people. Null: nothing is lost. */
  get damage(): string | null {
    const [first] = this.lost;
    if (!first) return null;
    const others = this.lost.size > 1 ? ` (and ${this.lost.size - 1} more)` : "";
    return `${describeLostLog(...first)}${others}`;
  }

  /** Reads all of it through once. What is found is noted in `tally`; raises what nobody foresaw, and the signal's reason. */
  async pass(pass: {
    readonly store: ObjectStore;
    readonly tally: ScrubTally<ObjectStore>;
    readonly pace: Pace;
    readonly signal: AbortSignal;
  }): Promise<void> {
    const { context, archiver, onChange } = this.options;
    const { logger, sealer, clock } = context;
    const { store, signal } = pass;
    const seen = new Set<string>();
    await scrubArchive({
      ...pass,
      sealer,
      clock,
      healLog: (range) => archiver.healLog(store, range, signal),
      healRecord: () => archiver.healRecord(store, signal),
      events: {
        onHealed: (name) => context.noteHealed(store, name, "it was damaged"),
        onNotHealed: (name, error) => {
          logger.warn({ event: "object.notHealed", store: store.label, name }, messageOf(error));
        },
        onLost: (name, range) => {
          seen.add(name);
          this.lost.set(name, range);
          const facts = range && { from: formatLsn(range.from), to: formatLsn(range.to) };
          const why = describeLostLog(name, range);
          logger.error({ event: "archive.lost", store: store.label, name, ...facts }, why);
          onChange();
        },
      },
    });
    // Each object was seen in this pass: what is lost no more is good, or was dropped.
    for (const name of this.lost.keys()) if (!seen.has(name)) this.lost.delete(name);
    onChange();
  }
}
