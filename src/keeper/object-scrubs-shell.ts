import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import type { Pace } from "../base/pace.ts";
import { sleep } from "../io/index.ts";
import { describeLost, ObjectScrub, type ObjectStore, type ScrubTally } from "../volume/index.ts";
import type { ArchiveScrubs } from "./archive-scrubs-shell.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import type { LossBook } from "./loss-book-shell.ts";
import { type ScrubReach, scrubRequestSchema, type StoreScrub } from "./messages.ts";
import type { SnapshotJobs } from "./snapshot-jobs-shell.ts";
import { storesOf } from "./stores-shell.ts";

/** Between two passes in the background. */
const restMs = 60_000;

export interface ObjectScrubsOptions {
  readonly context: KeeperContext;
  readonly snapshots: Pick<SnapshotJobs, "catchUp" | "inTurn" | "mayHave">;
  readonly losses: LossBook;
  readonly archive: Pick<ArchiveScrubs, "damage" | "pass">;
  /** Undefined: it is the object store. */
  readonly nodeIdOf: (store: ObjectStore) => string | undefined;
  /** `damage` is another one. */
  readonly onChange: () => void;
}

/**
 * The scrubs of objects: snapshots' in full nodes and in the object store, the log's archive, and volume.json. The one that never
 * ends, and those that are asked for. Nodes scrub their log by themselves; their objects only who has the keys can judge.
 */
export class ObjectScrubs {
  private readonly options: ObjectScrubsOptions;
  private readonly closing = new AbortController();
  /** Of the newest pass that was asked for and is under way. */
  private asked: ScrubTally<ObjectStore> | undefined;

  constructor(options: ObjectScrubsOptions) {
    this.options = options;
  }

  /** What is good in no store and snapshots name that are there still; for people. Null: nothing. */
  get damage(): string | null {
    const { snapshots, losses } = this.options;
    const hurting = losses.lost.flatMap((one) => {
      const hurt = one.snapshots.filter((id) => snapshots.mayHave(id));
      return hurt.length === 0 ? [] : [{ ...one, snapshots: hurt }];
    });
    return describeLost(hurting) ?? this.options.archive.damage;
  }

  /** Reads all of it through again and again, slowly. */
  async forEver(signal: AbortSignal): Promise<void> {
    const { context } = this.options;
    const pace = { intervalMs: context.config.scrubIntervalMs };
    while (!signal.aborted) {
      await sleep(context.clock, Math.min(pace.intervalMs, restMs), signal);
      if (signal.aborted) return;
      try {
        const archive = context.objects();
        const targets = (): ObjectStore[] => this.complete();
        await this.pass({ pace, targets, archive, isOfAll: true, signal });
      } catch (error) {
        if (signal.aborted) return;
        context.logger.warn({ event: "objects.notScrubbed" }, messageOf(error));
      }
    }
  }

  /**
   * Reads through at once what these stores have, and gives what was found in each. A node that is no full member has no part in
   * it. Raises 57P03 while the object store is not open.
   */
  async now(params: unknown): Promise<StoreScrub[]> {
    const { nodeIds, objectStore } = scrubRequestSchema.parse(params);
    const isAsked = (store: ObjectStore): boolean => {
      const id = this.nodeIdOf(store);
      return id === null ? objectStore : nodeIds.includes(id);
    };
    const asked = storesOf(this.options.context).filter(isAsked);
    const scrub = await this.pass({
      pace: "now",
      targets: () => this.complete().filter(isAsked),
      archive: objectStore ? this.options.context.objects() : undefined,
      isOfAll: asked.length === storesOf(this.options.context).length,
      signal: this.closing.signal,
    });
    return asked.map((store) => {
      const { problem, ...figures } = scrub.tally.figuresOf(store);
      const isBehind = this.options.context.isBehind(store);
      const lacks = isBehind ? "it is being given the snapshots that it lacks: scrub again" : null;
      return { nodeId: this.nodeIdOf(store), ...figures, problem: problem ?? lacks };
    });
  }

  /**
   * Judges an extent or a manifest that somebody found good nowhere, and gives whether that is certain. Raises 57P03 while the object
   * store is not open.
   */
  async judge(name: string, signal: AbortSignal): Promise<boolean> {
    const { context } = this.options;
    const stores = storesOf(context);
    const scrub = this.scrubOf({ pace: "now", targets: () => stores, signal });
    const isCertain = await scrub.judge(name);
    await this.options.losses.settled();
    return isCertain;
  }

  /** How far the one has come that was asked for; null: none is under way. */
  reach(): ScrubReach {
    return this.asked?.progress ?? null;
  }

  close(): void {
    this.closing.abort(new BorealisError(sqlState.cannotConnectNow, "the keeper stops"));
  }

  private async pass(pass: {
    readonly pace: Pace;
    readonly targets: () => ObjectStore[];
    /** The store whose archive is read, too. */
    readonly archive: ObjectStore | undefined;
    /** It may forget what it finds to be well. */
    readonly isOfAll: boolean;
    readonly signal: AbortSignal;
  }): Promise<ObjectScrub> {
    const { context, snapshots, losses } = this.options;
    const { logger, clock } = context;
    const startedMs = clock.nowMs();
    await snapshots.catchUp();
    // Before the control plane has told which nodes there are, what only they show seems to be nobody's.
    const mayForget = pass.isOfAll && context.nodeStores().length > 0;
    const scrub = this.scrubOf({ ...pass, suspects: losses.lost.map(({ name }) => name) });
    const { archive: store, pace, signal } = pass;
    const { tally } = scrub;
    if (pace === "now") this.asked = tally;
    const works = [scrub.run()];
    if (store) works.push(this.options.archive.pass({ store, tally, pace, signal }));
    // Both have ended when this goes on, also if one has failed.
    const ends = await Promise.allSettled(works);
    if (this.asked === tally) this.asked = undefined;
    for (const end of ends) if (end.status === "rejected") throw end.reason;
    for (const one of tally.stores) {
      logger.info({ event: "objects.scrubbed", store: one.label, ...tally.figuresOf(one) });
    }
    if (mayForget) losses.forgetBefore(startedMs, scrub);
    this.options.onChange();
    // Who asked is told of nothing that the keeper may forget.
    await losses.settled();
    return scrub;
  }

  private scrubOf(how: {
    readonly pace: Pace;
    readonly targets: () => readonly ObjectStore[];
    readonly suspects?: readonly string[];
    readonly signal: AbortSignal;
  }): ObjectScrub {
    const { context, snapshots, losses } = this.options;
    const { logger, sealer, clock } = context;
    return new ObjectScrub({
      ...how,
      stores: () => storesOf(context),
      sealer,
      inTurn: (work) => snapshots.inTurn(work),
      clock,
      events: {
        onHealed: (store, name, reason) => context.noteHealed(store, name, reason),
        onNotHealed: (store, name, error) => {
          logger.warn({ event: "object.notHealed", store: store.label, name }, messageOf(error));
        },
        onLost: (object) => {
          losses.note(object, clock.nowMs());
          logger.error({ event: "object.lost", ...object });
          this.options.onChange();
        },
      },
    });
  }

  /** Those that have all snapshots: what the others lack is brought to them by and by. */
  private complete(): ObjectStore[] {
    const { context } = this.options;
    return storesOf(context).filter((store) => !context.isBehind(store));
  }

  private nodeIdOf(store: ObjectStore): string | null {
    return this.options.nodeIdOf(store) ?? null;
  }
}
