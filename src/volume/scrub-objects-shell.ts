import { BorealisError, sqlState } from "../base/errors.ts";
import { type Pace, restMs } from "../base/pace.ts";
import { type Clock, sleep } from "../io/index.ts";
import { liveSnapshots } from "./deletions-shell.ts";
import type { ExtentSealer } from "./extent-sealer-shell.ts";
import { parseManifest } from "./manifest-codec.ts";
import type { SnapshotManifest } from "./manifest.ts";
import {
  extentObject,
  findExtentId,
  findSnapshotId,
  snapshotObject,
  tombstoneObject,
} from "./object-names.ts";
import type { ObjectStore } from "./object-store-shell.ts";
import { Replicas } from "./replicas-shell.ts";
import { describeLost, type LostObject, ScrubTally } from "./scrub-tally.ts";
import { readSnapshot } from "./snapshots-shell.ts";
import { type Deletions, parseTombstone, tombstoneBytesMax } from "./tombstone.ts";

export interface ScrubEvents {
  onHealed?(store: ObjectStore, name: string, reason: string): void;
  onNotHealed?(store: ObjectStore, name: string, error: unknown): void;
  /** No store has a good copy of it. */
  onLost?(object: LostObject): void;
}

export interface ObjectScrubOptions {
  /** All of the volume's, nearest first: where good copies are looked for. Asked anew all the time, as `targets`. */
  readonly stores: () => readonly ObjectStore[];
  /** Those of them whose copies are to be checked. They have all snapshots: each should have all that these name. */
  readonly targets: () => readonly ObjectStore[];
  /** With all data keys that there are by now. */
  readonly sealer: () => ExtentSealer;
  /** Does it while nobody takes, deletes, copies or collects, with all that is known of deletions. */
  readonly inTurn: <Result>(work: (deletions: Deletions) => Promise<Result>) => Promise<Result>;
  readonly pace: Pace;
  /** Names of extents and manifests that were good nowhere when somebody looked: see `undecided`. None unless told. */
  readonly suspects?: readonly string[];
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly events?: ScrubEvents;
}

/** Extents between two rests, each of a MiB at most; and how many are looked at at once. */
const pacedStretch = { extents: 1, parallel: 1 } as const;
const quickStretch = { extents: 256, parallel: 4 } as const;
const manifestRestMs = 1_000;
/** A store that failed so often in a row is not asked for so long: one unreadable file is no outage. */
const failuresMax = 3;
const silentMs = 60_000;

interface Failing {
  readonly why: string;
  readonly count: number;
  readonly untilMs: number;
}

type Copy<T> = { readonly kind: "good"; readonly value: T } | { readonly kind: Finding };
type Finding = "damaged" | "missing" | "unread";
type Open<T> = (bytes: Buffer) => Promise<T>;

/**
 * Reads every object that the volume's snapshots name in every store that should have it, and opens it: its tag or CRC, its
 * name, its content's hash. One that is damaged or missing is put again from a good copy in another store; what has no good
 * copy anywhere is told of. Stores need no keys for what they keep, so who has the keys has to look.
 *
 * Reading is done at any time; what seems bad is judged again and healed in turn, when nothing comes or goes. Snapshots that a
 * store lacks whole are brought to it by replicateSnapshots, not by this.
 */
export class ObjectScrub {
  readonly tally = new ScrubTally<ObjectStore>();
  /**
   * Of the suspects, and of what was to be looked at so far, what was neither read well in some store, nor is lost or named by no
   * snapshot for sure.
   */
  readonly undecided: Set<string>;
  private readonly options: ObjectScrubOptions;
  /** Stores that failed last, how often in a row, and until when they are not asked again. */
  private readonly failing = new Map<ObjectStore, Failing>();
  private readBytes = 0;
  private hasListedAll = false;

  constructor(options: ObjectScrubOptions) {
    this.options = options;
    this.undecided = new Set(options.suspects);
  }

  /** When `run` has ended: whether all that is lost was found. */
  get isWhole(): boolean {
    return this.hasListedAll && this.undecided.size === 0;
  }

  /** One pass; an ObjectScrub is made for each. Raises what `inTurn` raises, and the signal's reason. */
  async run(): Promise<void> {
    await this.tombstones();
    const named = await this.manifests();
    await this.extents(named);
  }

  /**
   * Judges one extent or manifest, which somebody found good nowhere: heals it, or tells that it is lost if a snapshot names it.
   * Gives whether that is certain: a store that has it may be away. Raises as `run`.
   */
  async judge(name: string): Promise<boolean> {
    const [extent, snapshot] = [findExtentId(name), findSnapshotId(name)];
    const { stores, inTurn } = this.options;
    const bad = new Map(extent === undefined ? [] : [[extent, stores().slice(0, 1)]]);
    if (snapshot !== undefined) await this.manifest(snapshot);
    if (bad.size > 0) await inTurn((deletions) => this.heal(bad, new Map(), deletions));
    const { lost, stores: told } = this.tally;
    return lost.length > 0 || told.every((one) => this.tally.figuresOf(one).problem === null);
  }

  // Manifests.

  /** Checks the snapshots' manifests, and gives the extents that they name with their stored bytes. */
  private async manifests(): Promise<Map<string, number>> {
    const { stores, inTurn } = this.options;
    const live = await inTurn((deletions) => liveSnapshots(stores(), deletions));
    const ids = [...live.ids.keys()];
    const named = new Map<string, number>();
    this.hasListedAll = live.failures.size === 0;
    let isComplete = this.hasListedAll;
    for (const id of ids) {
      this.undecided.add(snapshotObject(id));
      const manifest = await this.manifest(id);
      if (!manifest) isComplete = false;
      for (const [extent, { storedBytes }] of manifest?.extents ?? [])
        named.set(extent, storedBytes);
      await this.rest((intervalMs) => Math.min(manifestRestMs, intervalMs / ids.length));
    }
    if (isComplete) this.decideUnnamed(named);
    return named;
  }

  /** Undefined: it is gone, or nobody can read it. */
  private async manifest(id: string): Promise<SnapshotManifest | undefined> {
    const { sealer, inTurn } = this.options;
    const open: Open<SnapshotManifest> = async (bytes) =>
      parseManifest(id, await sealer().openManifest(id, bytes));
    let manifest: SnapshotManifest | undefined;
    const damaged: ObjectStore[] = [];
    for (const store of this.options.targets()) {
      const copy = await this.look(store, snapshotObject(id), open);
      if (copy.kind === "good") manifest ??= copy.value;
      if (copy.kind === "damaged") damaged.push(store);
    }
    if (damaged.length === 0) return manifest;
    return inTurn(async (deletions) => {
      // It may be an older one of that id, which was deleted: sweepDeletions takes it away.
      if (deletions.concerns(id)) return manifest;
      for (const store of damaged) {
        try {
          manifest = await readSnapshot(this.replicasFrom(store), id, sealer(), deletions);
          this.undecided.delete(snapshotObject(id));
        } catch (error) {
          // Deleted meanwhile.
          if (error instanceof BorealisError && error.code === sqlState.invalidParameter) continue;
          this.noteNotHealed(store, { name: snapshotObject(id), snapshots: [id] }, error);
        }
      }
      return manifest;
    });
  }

  // Tombstones.

  /** One that is good in no store says nothing (learnDeletions), and is nobody's loss. */
  private async tombstones(): Promise<void> {
    const { inTurn, sealer, targets } = this.options;
    const known = await inTurn((deletions) => Promise.resolve(deletions.all));
    for (const name of known.map(tombstoneObject)) {
      const open: Open<unknown> = async (bytes) =>
        parseTombstone(name, (await sealer().open(name, bytes, tombstoneBytesMax)).plain);
      for (const store of targets()) {
        const { kind } = await this.look(store, name, open);
        if (kind !== "damaged") continue;
        await inTurn(async () => {
          try {
            await this.replicasFrom(store).find(name, open, { heals: "damaged" });
          } catch (error) {
            this.noteNotHealed(store, undefined, error);
          }
        });
      }
    }
  }

  // Extents.

  private async extents(named: Map<string, number>): Promise<void> {
    const { pace } = this.options;
    const stretch = pace === "now" ? quickStretch : pacedStretch;
    const stores = this.options.targets().length;
    const totalBytes = stores * [...named.values()].reduce((sum, bytes) => sum + bytes, 0);
    this.tally.noteToCome(this.readBytes + totalBytes);
    while (named.size > 0) {
      const ids = firstOf(named, stretch.extents);
      for (const id of ids) {
        named.delete(id);
        this.undecided.add(extentObject(id));
      }
      const before = this.readBytes;
      const bad = await this.stretch(ids, stretch.parallel);
      if (bad.size > 0) await this.options.inTurn((known) => this.heal(bad, named, known));
      const bytes = this.readBytes - before;
      await this.rest((intervalMs) => restMs(bytes, { totalBytes, intervalMs }));
    }
  }

  /** Gives those that are not good in some store, with these stores. */
  private async stretch(
    ids: readonly string[],
    parallel: number,
  ): Promise<Map<string, ObjectStore[]>> {
    const left = [...ids];
    const bad = new Map<string, ObjectStore[]>();
    const lane = async (): Promise<void> => {
      for (let id = left.pop(); id !== undefined; id = left.pop()) {
        for (const store of this.options.targets()) {
          const { kind } = await this.look(store, extentObject(id), this.opener(id));
          if (kind === "damaged" || kind === "missing")
            bad.set(id, [...(bad.get(id) ?? []), store]);
        }
      }
    };
    // All of them have ended when this goes on, also if one has failed.
    const ends = await Promise.allSettled(Array.from({ length: parallel }, lane));
    for (const end of ends) if (end.status === "rejected") throw end.reason;
    return bad;
  }

  /** Heals what is named still, and forgets of `named` what is not. */
  private async heal(
    bad: ReadonlyMap<string, readonly ObjectStore[]>,
    named: Map<string, number>,
    deletions: Deletions,
  ): Promise<void> {
    const { namers, notRead } = await this.namersOf(bad, named, deletions);
    for (const [id, stores] of bad) {
      const snapshots = namers.get(id);
      if (!snapshots) {
        // Its snapshots were deleted meanwhile, if all say so.
        if (notRead) for (const store of stores) this.tally.noteUnread(store, notRead.message);
        continue;
      }
      const object: LostObject = { name: extentObject(id), snapshots };
      for (const store of stores) {
        try {
          await this.replicasFrom(store).get(object.name, this.opener(id));
          this.undecided.delete(object.name);
        } catch (error) {
          this.noteNotHealed(store, object, error);
        }
      }
    }
  }

  /**
   * Which snapshots name these extents now; `notRead`: why one could not be asked. What no snapshot names any more is taken
   * out of `named`.
   */
  private async namersOf(
    wanted: ReadonlyMap<string, unknown>,
    named: Map<string, number>,
    deletions: Deletions,
  ): Promise<{ namers: Map<string, string[]>; notRead: BorealisError | undefined }> {
    const { stores, sealer, signal } = this.options;
    const { ids, failures } = await liveSnapshots(stores(), deletions);
    const namers = new Map<string, string[]>();
    const live = new Set<string>();
    let notRead: BorealisError | undefined;
    let isComplete = failures.size === 0;
    for (const id of ids.keys()) {
      signal.throwIfAborted();
      try {
        const replicas = this.replicasFrom(undefined);
        const { extents } = await readSnapshot(replicas, id, sealer(), deletions);
        for (const extent of extents.keys()) {
          live.add(extent);
          if (wanted.has(extent)) namers.set(extent, [...(namers.get(extent) ?? []), id]);
        }
      } catch (error) {
        if (!(error instanceof BorealisError)) throw error;
        isComplete = false;
        // One that is lost is told of as such.
        if (error.code !== sqlState.dataCorrupted) notRead = error;
      }
    }
    if (isComplete) {
      for (const extent of named.keys()) if (!live.has(extent)) named.delete(extent);
      this.decideUnnamed(live);
    }
    return { namers, notRead };
  }

  /** All live manifests were read, and name these extents. */
  private decideUnnamed(live: Pick<ReadonlySet<string>, "has">): void {
    for (const name of this.undecided) {
      const extent = findExtentId(name);
      if (extent === undefined || !live.has(extent)) this.undecided.delete(name);
    }
  }

  private opener(id: string): Open<Buffer> {
    return (bytes) => this.options.sealer().openExtent(id, bytes);
  }

  // One copy.

  private async look<T>(store: ObjectStore, name: string, open: Open<T>): Promise<Copy<T>> {
    const { signal, clock } = this.options;
    signal.throwIfAborted();
    const failing = this.failing.get(store);
    if (failing && clock.nowMs() < failing.untilMs) {
      this.tally.noteUnread(store, failing.why);
      return { kind: "unread" };
    }
    try {
      const bytes = await store.get(name);
      this.noteRead(store, bytes?.length ?? 0);
      if (!bytes) return { kind: "missing" };
      const value = await open(bytes);
      this.undecided.delete(name);
      return { kind: "good", value };
    } catch (error) {
      if (signal.aborted || !(error instanceof BorealisError)) throw error;
      if (error.code === sqlState.dataCorrupted) return { kind: "damaged" };
      this.noteFailure(store, error);
      return { kind: "unread" };
    }
  }

  private noteRead(store: ObjectStore, bytes: number): void {
    this.failing.delete(store);
    this.readBytes += bytes;
    this.tally.noteChecked(store, bytes);
  }

  /** It did not answer; or what it gave can be judged by no key or version that is here. */
  private noteFailure(store: ObjectStore, { message: why, code }: BorealisError): void {
    this.tally.noteUnread(store, why);
    if (code !== sqlState.ioError) return;
    const count = (this.failing.get(store)?.count ?? 0) + 1;
    const restMs = count < failuresMax ? 0 : silentMs;
    this.failing.set(store, { why, count, untilMs: this.options.clock.nowMs() + restMs });
  }

  /** Reads this one first, so that it is healed if it is bad; undefined: in the usual order. */
  private replicasFrom(first: ObjectStore | undefined): Replicas {
    const { stores, events } = this.options;
    const others = stores().filter((store) => store !== first);
    return new Replicas({
      stores: first ? [first, ...others] : others,
      isSafe: () => true, // nothing new is put
      onHealed: (store, name, reason) => {
        this.tally.noteHealed(store);
        events?.onHealed?.(store, name, reason);
      },
      onNotHealed: (store, name, error) => {
        const why = error instanceof BorealisError ? error.message : String(error);
        this.tally.noteUnhealed(store, why);
        events?.onNotHealed?.(store, name, error);
      },
    });
  }

  /** There is no good copy of it, or none that could be reached. */
  private noteNotHealed(store: ObjectStore, object: LostObject | undefined, error: unknown): void {
    if (this.options.signal.aborted || !(error instanceof BorealisError)) throw error;
    if (!object) return;
    const { events } = this.options;
    const isLost = error.code === sqlState.dataCorrupted;
    this.tally.noteUnhealed(store, (isLost && describeLost([object])) || error.message);
    if (!isLost) return events?.onNotHealed?.(store, object.name, error);
    this.undecided.delete(object.name);
    if (this.tally.noteLost(object)) events?.onLost?.(object);
  }

  /** Nothing when somebody waits for the scrub. */
  private async rest(msOf: (intervalMs: number) => number): Promise<void> {
    const { pace, clock, signal } = this.options;
    if (pace !== "now") await sleep(clock, msOf(pace.intervalMs), signal);
  }
}

function firstOf(named: ReadonlyMap<string, unknown>, count: number): string[] {
  const ids: string[] = [];
  for (const id of named.keys()) {
    if (ids.length >= count) break;
    ids.push(id);
  }
  return ids;
}
