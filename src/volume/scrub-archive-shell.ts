import { BorealisError, sqlState } from "../base/errors.ts";
import { type Pace, restMs } from "../base/pace.ts";
import { type Clock, sleep } from "../io/index.ts";
import type { ArchivedRange } from "./archive-index.ts";
import type { ExtentSealer } from "./extent-sealer-shell.ts";
import { listArchivedLog, openArchivedLog } from "./log-archive-shell.ts";
import { logObject, type LogRange, volumeObject } from "./object-names.ts";
import type { ObjectStore } from "./object-store-shell.ts";
import type { ScrubTally } from "./scrub-tally.ts";
import { readVolumeRecord } from "./volume-record-shell.ts";

/** What came of one that seemed bad: it is good; it was put again; nobody needs it any more; nobody has its content. */
export type Healing = "good" | "healed" | "gone" | "lost";

export interface ArchiveScrubOptions {
  /** The object store: nobody else has an archive. */
  readonly store: ObjectStore;
  readonly sealer: () => ExtentSealer;
  readonly tally: ScrubTally<ObjectStore>;
  readonly pace: Pace;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Judges archived log once more, and heals it, while nobody merges or drops any. Raises 58030 when that cannot be known now. */
  healLog(range: LogRange): Promise<Healing>;
  /** Likewise volume.json, damaged or missing. */
  healRecord(): Promise<Healing>;
  readonly events: {
    onHealed(name: string): void;
    onNotHealed(name: string, error: BorealisError): void;
    /** `range`: undefined of volume.json. */
    onLost(name: string, range: LogRange | undefined): void;
  };
}

/** So many failures in a row, and the store is away: the rest of it is not asked for. */
const failuresMax = 3;

/**
 * Reads every object of archived log in the object store, and volume.json, and opens it. There is one copy of each: what is
 * damaged is made again from the log that storage nodes still have, or from what the keeper knows.
 */
export async function scrubArchive(options: ArchiveScrubOptions): Promise<void> {
  const scrub = new ArchiveScrub(options);
  await scrub.record();
  await scrub.log();
}

class ArchiveScrub {
  private readonly options: ArchiveScrubOptions;
  private failures = 0;

  constructor(options: ArchiveScrubOptions) {
    this.options = options;
  }

  async record(): Promise<void> {
    const { store, healRecord } = this.options;
    const read = (): Promise<unknown> => readVolumeRecord(store);
    await this.check({ name: volumeObject, bytes: 0, range: undefined }, read, healRecord);
  }

  async log(): Promise<void> {
    const { store, sealer, tally, pace, clock, signal, healLog } = this.options;
    const ranges = await this.list();
    const totalBytes = ranges.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    tally.noteToCome(totalBytes);
    for (const range of ranges) {
      const name = logObject(range.epoch, range.from, range.to);
      const read = (): Promise<unknown> => openArchivedLog(store, sealer(), range);
      // One that is missing was merged or dropped since.
      const heal = (): Promise<Healing> => healLog(range);
      await this.check({ name, bytes: range.sizeBytes, range }, read, heal);
      if (this.failures >= failuresMax) return;
      if (pace === "now") continue;
      const { intervalMs } = pace;
      await sleep(clock, restMs(range.sizeBytes, { totalBytes, intervalMs }), signal);
    }
  }

  private async list(): Promise<ArchivedRange[]> {
    try {
      const index = await listArchivedLog(this.options.store);
      return index.epochs.flatMap((epoch) => [...index.ranges(epoch)]);
    } catch (error) {
      this.noteFailure(error);
      return [];
    }
  }

  private async check(
    one: { readonly name: string; readonly bytes: number; readonly range: LogRange | undefined },
    read: () => Promise<unknown>,
    heal: () => Promise<Healing>,
  ): Promise<void> {
    const { tally, store, signal } = this.options;
    signal.throwIfAborted();
    try {
      const isThere = (await read()) !== undefined;
      this.failures = 0;
      if (isThere) tally.noteChecked(store, one.bytes);
      // Of archived log somebody has merged or dropped it since; of the record its writer knows.
      if (isThere || one.range) return;
    } catch (error) {
      const isDamaged = error instanceof BorealisError && error.code === sqlState.dataCorrupted;
      if (!isDamaged && (one.range || !isOfNewer(error))) return this.noteFailure(error);
      this.failures = 0;
      tally.noteChecked(store, one.bytes);
    }
    await this.heal(one, heal);
  }

  private async heal(
    { name, range }: { readonly name: string; readonly range: LogRange | undefined },
    heal: () => Promise<Healing>,
  ): Promise<void> {
    const { tally, store, signal, events } = this.options;
    try {
      const healing = await heal();
      if (healing === "healed") {
        tally.noteHealed(store);
        events.onHealed(name);
      } else if (healing === "lost") {
        tally.noteUnhealed(store, describeLostLog(name, range));
        events.onLost(name, range);
      }
    } catch (error) {
      if (signal.aborted || !(error instanceof BorealisError)) throw error;
      tally.noteUnhealed(store, error.message);
      events.onNotHealed(name, error);
    }
  }

  private noteFailure(error: unknown): void {
    const { tally, store, signal } = this.options;
    if (signal.aborted || !(error instanceof BorealisError)) throw error;
    tally.noteUnread(store, error.message);
    if (error.code === sqlState.ioError) this.failures++;
  }
}

/** A flipped bit in the number of its format looks like that; who wrote it can tell. */
function isOfNewer(error: unknown): boolean {
  return error instanceof BorealisError && error.code === sqlState.notSupported;
}

/** For people: what cannot be read any more. */
export function describeLostLog(name: string, range: LogRange | undefined): string {
  const what = `${name} is damaged, and nobody has its content`;
  return range ? `${what}: no restore replays over it, only one that begins behind it` : what;
}
