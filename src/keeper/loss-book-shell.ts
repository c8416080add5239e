import { adviceOf, BorealisError, messageOf, sqlState } from "../base/errors.ts";
import type { Disk, Logger } from "../io/index.ts";
import {
  extentObject,
  type LostObject,
  type ObjectScrub,
  type SnapshotManifest,
} from "../volume/index.ts";
import { encodeLosses, lossBytesMax, parseLosses } from "./loss-record.ts";

export interface LossBookOptions {
  /** In a folder that is there. */
  readonly file: string;
  readonly disk: Disk;
  readonly logger: Logger;
}

/**
 * Objects of snapshots that are good in no store, until they are good again or no snapshot names them: in a file, since a
 * keeper that has forgotten them would take new snapshots that rest on them, and let go the ones that do not.
 */
export class LossBook {
  private readonly options: LossBookOptions;
  private readonly byName = new Map<string, LostObject & { readonly seenMs: number }>();
  /** How many were ever found, and how many of these the last snapshot that stored everything anew knew of. */
  private found = 0;
  private met = 0;
  /** What an earlier keeper wrote was cut short: the snapshots here may be hurt by more than is known. */
  private isCut = false;
  private version = 0;
  private savedVersion = 0;
  private saving: Promise<void> = Promise.resolve();

  constructor(options: LossBookOptions) {
    this.options = options;
  }

  /** Reads what an earlier keeper wrote. One that cannot be read counts as a loss of who knows what. Before all else. */
  async open(): Promise<void> {
    const { file, logger } = this.options;
    try {
      const text = await this.read();
      if (text === undefined) return;
      const { isMet, isCut, lost } = parseLosses(text);
      this.isCut = isCut;
      for (const one of lost) this.byName.set(one.name, { ...one, seenMs: -Infinity });
      this.found = isMet ? 0 : 1;
      if (lost.length > 0)
        logger.warn({ event: "losses.known", objects: lost.length, isCut, hurt: [...this.hurt] });
    } catch (error) {
      logger.error({ event: "losses.notRead", file }, adviceOf(error));
      this.found = 1;
      this.change();
      await this.settled();
    }
  }

  get lost(): readonly LostObject[] {
    return [...this.byName.values()].map(({ name, snapshots }) => ({ name, snapshots }));
  }

  /** Ids of the snapshots that cannot be read whole. */
  get hurt(): ReadonlySet<string> {
    return new Set([...this.byName.values()].flatMap(({ snapshots }) => snapshots));
  }

  /** The next snapshot has to store everything anew: it can rest on none of those before it. */
  get isUnmet(): boolean {
    return this.found > this.met;
  }

  /** For `noteStored`: the losses that are known now. */
  get mark(): number {
    return this.found;
  }

  /** A scrub has seen now that it is good nowhere. */
  note({ name, snapshots }: LostObject, seenMs: number): void {
    if (!this.byName.has(name)) this.found++;
    this.byName.set(name, { name, snapshots, seenMs });
    this.change();
  }

  /**
   * A snapshot was published whose taking began at `mark`: it rests on nothing that was lost by then. `isAnew`: it has put each
   * of its extents; these are good again, also for others. When more is lost than is known that makes no other one sound.
   */
  noteStored(
    { extents }: Pick<SnapshotManifest, "extents">,
    { mark, isAnew }: { readonly mark: number; readonly isAnew: boolean },
  ): void {
    this.met = mark;
    if (isAnew && !this.isCut)
      for (const id of extents.keys()) this.byName.delete(extentObject(id));
    this.change();
  }

  /**
   * A scrub that began then, with all of these as suspects, has neither met it again nor left it undecided: it is good by now, or
   * nobody names it. When more is lost than is known only a whole one says so: it has met that, too.
   */
  forgetBefore(
    startedMs: number,
    { undecided, isWhole }: Pick<ObjectScrub, "undecided" | "isWhole">,
  ): void {
    if (this.isCut && !isWhole) return;
    this.isCut = false;
    for (const [name, { seenMs }] of this.byName)
      if (seenMs < startedMs && !undecided.has(name)) this.byName.delete(name);
    this.change();
  }

  /** Only of these snapshots anything can be hurt. Repeats what could not be written, too. */
  keepOf(isThere: (id: string) => boolean): void {
    for (const [name, one] of this.byName) {
      const snapshots = one.snapshots.filter(isThere);
      if (snapshots.length === one.snapshots.length) continue;
      if (snapshots.length === 0) this.byName.delete(name);
      else this.byName.set(name, { ...one, snapshots });
      this.version++;
    }
    // What is not known hurts only snapshots that were known to be hurt.
    if (this.byName.size === 0) this.isCut = false;
    this.save();
  }

  /** All that was told is on disk, or the log says why not. */
  settled(): Promise<void> {
    return this.saving;
  }

  private change(): void {
    this.version++;
    this.save();
  }

  private save(): void {
    this.saving = this.saving.then(() => this.write());
  }

  private async write(): Promise<void> {
    const { file, logger } = this.options;
    const { version, isUnmet, isCut, lost } = this;
    if (this.savedVersion === version) return;
    try {
      await this.replace(encodeLosses({ isMet: !isUnmet, isCut, lost }));
      this.savedVersion = version;
    } catch (error) {
      logger.warn({ event: "losses.notWritten", file }, messageOf(error));
    }
  }

  /** Whoever reads it sees the old one or the new one. */
  private async replace(text: string): Promise<void> {
    const { file, disk } = this.options;
    const draft = `${file}.new`;
    await disk.remove(draft);
    const opened = await disk.open(draft, "create");
    try {
      await opened.write(Buffer.from(text), 0);
      await opened.sync();
    } finally {
      await opened.close();
    }
    await disk.rename(draft, file);
    await disk.syncFolder(file.slice(0, file.lastIndexOf("/")));
  }

  private async read(): Promise<string | undefined> {
    const { file, disk } = this.options;
    const facts = await disk.factsOf(file);
    if (!facts) return undefined;
    if (facts.sizeBytes > lossBytesMax) {
      const why = `${file} has ${facts.sizeBytes} bytes: it is no record of lost objects`;
      throw new BorealisError(sqlState.dataCorrupted, why);
    }
    return (await disk.readWhole(file))?.toString("utf8");
  }
}
