import { BorealisError, messageOf } from "../base/errors.ts";
import { findLsn, formatLsn, type Lsn, parseLsn } from "../base/lsn.ts";
import { parsePath } from "../instance/index.ts";
import { foundWithin, sleep } from "../io/index.ts";
import {
  collectExtents,
  type Deletions,
  deleteSnapshot,
  isSnapshotDue,
  learnDeletions,
  type LogPath,
  type ObjectStore,
  reachOf,
  type SnapshotManifest,
} from "../volume/index.ts";
import { ExtentCount } from "./extent-count-shell.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import { Lane } from "./lane-shell.ts";
import { JobTelling } from "./job-telling-shell.ts";
import type { LossBook } from "./loss-book-shell.ts";
import type {
  ListedSnapshot,
  SnapshotDeleted,
  SnapshotJob,
  SnapshotReached,
  SnapshotReport,
  SnapshotRow,
} from "./messages.ts";
import { PathSeen } from "./path-seen-shell.ts";
import { notLooked, requireFreeId, unknownSnapshot, userSnapshotId } from "./snapshot-names.ts";
import { ObjectBase } from "./object-base-shell.ts";
import { type KnownSnapshot, planKeeping, requireNotNeeded } from "./snapshot-retention.ts";
import { SnapshotCopies } from "./snapshot-copies-shell.ts";
import { rowOf } from "./snapshot-rows.ts";
import { SnapshotShelf } from "./snapshot-shelf-shell.ts";
import { realWays, type SnapshotWays, takeGenesis } from "./snapshot-taking-shell.ts";
import { inEach, isSafeIn, replicasOf, storesOf } from "./stores-shell.ts";

const tickMs = 1_000;
/** How often the stores are looked at, and what is old enough goes. */
const planEveryMs = 60_000;
/** After automatic deletions, of which there may be one a minute; reading all manifests is not for nothing. */
const collectSoonMs = 600_000;
const againMs = { first: 5_000, most: 60_000 } as const;
/** Less log than this is not worth a snapshot, for a day. */
const logBytesMin = 16 * 1024 * 1024;
const anyLogEveryMs = 24 * 3_600_000;
/** A line between processes has room for 4 MiB. */
const listedMax = 10_000;
const lookedWithin = { withinMs: 30_000 };
const begun = { id: null, doneBytes: 0, totalBytes: null } as const;

/** Takes, keeps, deletes and collects the volume's snapshots: one job after the other, and asks nobody. */
export class SnapshotJobs {
  private readonly context: KeeperContext;
  private readonly losses: LossBook;
  private readonly onChange: () => void;
  private readonly ways: SnapshotWays;
  private readonly lane = new Lane();
  private readonly shelf = new SnapshotShelf();
  private readonly copies: SnapshotCopies;
  private readonly extents: ExtentCount;
  readonly base: ObjectBase;
  private readonly telling: JobTelling;
  private problem: string | undefined;
  private logFrom: Lsn | undefined;
  private earliestMs: number | undefined;
  private readonly path: PathSeen;
  private plannedMs: number | undefined;
  /** Nobody wrote when it was to be planned: that is not a minute's wait. */
  private isUnplanned = false;
  private collectAtMs: number;
  private pauseMs = 0;
  private notBeforeMs = 0;
  private signal: AbortSignal = new AbortController().signal;

  constructor(context: KeeperContext, losses: LossBook, onChange: () => void, ways = realWays) {
    this.context = context;
    this.losses = losses;
    this.onChange = onChange;
    this.ways = ways;
    this.telling = new JobTelling(context.clock, onChange);
    this.path = new PathSeen(context, ways.see);
    this.copies = new SnapshotCopies(context, (store) => this.base.spared(store));
    this.base = new ObjectBase({
      context,
      deletions: this.copies.deletions,
      live: () => this.sound(),
      path: () => this.path.last,
    });
    this.extents = new ExtentCount(context);
    this.collectAtMs = context.clock.nowMs() + context.config.snapshots.collectEveryMs;
  }

  report(): SnapshotReport {
    const { logFrom, earliestMs, shelf, extents } = this;
    return {
      snapshots: shelf.hasLooked ? shelf.count : null,
      newestTime: shelf.newestTime() ?? null,
      automaticTime: shelf.newestTime((kind) => kind !== "manual") ?? null,
      logFrom: logFrom === undefined ? null : formatLsn(logFrom),
      earliestTime: earliestMs === undefined ? null : new Date(earliestMs).toISOString(),
      extents: extents.report,
      job: this.telling.job,
    };
  }

  isBehind(store: ObjectStore): boolean {
    return this.copies.isBehind(store);
  }

  /** Why something does not go on; undefined: all is well. */
  get trouble(): string | undefined {
    return this.problem ?? this.shelf.problem;
  }

  /** Why snapshots do not go to this store, or are not looked for there. Undefined: they are, as far as is known. */
  troubleWith(store: ObjectStore): string | undefined {
    return this.copies.whyLeftOut(store);
  }

  async run(signal: AbortSignal): Promise<void> {
    this.signal = signal;
    const { clock } = this.context;
    while (!signal.aborted) {
      // While the store is not open, whoever opens it says why.
      if (this.context.objects() && clock.nowMs() >= this.notBeforeMs) await this.try();
      this.onChange();
      await sleep(clock, tickMs, signal);
    }
  }

  private async try(): Promise<void> {
    const { clock, logger } = this.context;
    try {
      await this.tick();
      this.pauseMs = 0;
      this.problem = undefined;
    } catch (error) {
      if (this.signal.aborted) return;
      if (this.problem !== messageOf(error))
        logger.warn({ event: "snapshots.notDone" }, messageOf(error));
      this.problem = messageOf(error);
      this.pauseMs = Math.min(againMs.most, this.pauseMs * 2 || againMs.first);
      this.notBeforeMs = clock.nowMs() + this.pauseMs;
    }
  }

  /**
   * The snapshots, oldest first, as the stores have them now, and those that cannot be read; the newest if there are very many. While a job is
   * under way, as they had them when it began. Raises 57P03 if nobody has come to look at the stores.
   */
  async list(): Promise<ListedSnapshot[]> {
    if (this.lane.length === 0) await this.lane.run(() => this.look());
    await this.untilLooked();
    return this.shelf.rows.slice(-listedMax);
  }

  /** Where snapshots lead to on a path, as far as is known; stores that cannot be listed now had them before. Raises 57P03 as list. */
  async reach(on: { readonly path: LogPath; readonly base: Lsn }): Promise<SnapshotReached> {
    if (this.lane.length === 0) await this.lane.run(() => this.look()).catch(orAsKnown);
    await this.untilLooked();
    const from = reachOf(this.sound(), on);
    return { from: from === undefined ? null : formatLsn(from) };
  }

  /** A keeper that was just started begins with a job: until it has looked, none is known, which is not that there is none. */
  private async untilLooked(): Promise<void> {
    const hasLooked = (): true | undefined => this.shelf.hasLooked || undefined;
    if (!(await foundWithin(this.context.clock, hasLooked, lookedWithin))) throw notLooked();
  }

  /**
   * Takes one that stays until it is deleted, with its own log. Raises 22023 for an id that cannot be, or is taken, and what
   * takeVolumeSnapshot raises.
   */
  async create(id: string | undefined): Promise<SnapshotRow> {
    const wanted = id ?? userSnapshotId(this.context.clock.wallMs());
    requireFreeId(wanted, this.shelf);
    return this.lane.run(async () => {
      await this.look();
      requireFreeId(wanted, this.shelf);
      return rowOf(await this.take(wanted));
    });
  }

  /** Takes an automatic one now, due or not. */
  createAutomatic(): Promise<SnapshotRow> {
    return this.lane.run(async () => {
      const manifest = await this.take(undefined);
      await this.keepPlan();
      return rowOf(manifest);
    });
  }

  /**
   * Gone for good when it resolves, with the stores that follow when they are back; its extents go with the next collection,
   * which is soon. Raises 22023 if there is none, and what stood in the way when too few stores would know.
   */
  delete(id: string): Promise<SnapshotDeleted> {
    return this.lane.run(async () => {
      await this.look();
      if (!this.shelf.has(id)) throw unknownSnapshot(id);
      requireNotNeeded(id, this.shelf.facts, this.losses.hurt);
      const waiting = await this.drop([id]);
      this.collectAtMs = 0;
      this.plannedMs = undefined;
      return { waiting };
    });
  }

  /** Whether there is a snapshot of this id, or may be: nobody has looked yet. */
  mayHave(id: string): boolean {
    return !this.shelf.hasLooked || this.shelf.has(id);
  }

  /** Does it while nothing else is done with snapshots, with all that the stores say of deletions. */
  inTurn<Result>(work: (deletions: Deletions) => Promise<Result>): Promise<Result> {
    return this.lane.run(async () => {
      await learnDeletions(storesOf(this.context), this.context.sealer(), this.copies.deletions);
      return work(this.copies.deletions);
    });
  }

  /** Gives every store the snapshots that it lacks, as far as one slice of time reaches. */
  catchUp(): Promise<void> {
    return this.lane.run(() => {
      this.copies.lookAgain();
      return this.copy();
    });
  }

  private async tick(): Promise<void> {
    const { clock, world } = this.context;
    const nowMs = clock.nowMs();
    const isPlanOld = this.plannedMs === undefined || nowMs - this.plannedMs >= planEveryMs;
    if (isPlanOld || (this.isUnplanned && world().durable)) {
      await this.lane.run(() => this.keepPlan());
      this.plannedMs = nowMs;
      this.copies.lookAgain();
    }
    if (this.copies.isDue) await this.lane.run(() => this.copy());
    if (await this.isDue()) {
      await this.lane.run(async () => {
        // Somebody else's may have been taken while this one waited.
        if (!(await this.isDue())) return;
        await this.take(undefined);
        await this.keepPlan();
      });
    }
    if (nowMs >= this.collectAtMs) {
      await this.lane.run(() => this.collect());
      this.collectAtMs = nowMs + this.context.config.snapshots.collectEveryMs;
    }
    if (this.extents.isDue) await this.extents.count(this.signal);
  }

  private copy(): Promise<void> {
    const what: SnapshotJob = { ...begun, what: "copying" };
    return this.telling.during(what, async () => {
      await this.copies.goOn(this.signal);
      if (this.shelf.hasLooked) await this.base.look();
    });
  }

  private async isDue(): Promise<boolean> {
    const { config, world, clock } = this.context;
    const { durable } = world();
    const vdl = findLsn(durable?.vdl ?? "");
    const path = await this.path.now(this.signal);
    if (!path || vdl === undefined) return false;
    const snapshots = this.sound();
    const { logBytes, maxAgeMs } = config.snapshots;
    const schedule = { everyLogBytes: logBytes, everyMs: maxAgeMs, logBytesMin, anyLogEveryMs };
    return isSnapshotDue(schedule, { snapshots, path, vdl, nowMs: clock.wallMs() });
  }

  /** Gives whether every store was listed: else a snapshot may be there that none of the others shows. */
  private async look(): Promise<boolean> {
    const { context, shelf } = this;
    const stores = storesOf(context);
    const sealer = context.sealer();
    const { deletions } = this.copies;
    await learnDeletions(stores, sealer, deletions);
    const replicas = replicasOf(context, stores);
    const isSafe = isSafeIn(context);
    const away = await shelf.look({ stores, replicas, sealer, deletions, isSafe });
    // A volume that is just born; or a store that it has just been given.
    if (shelf.count === 0) shelf.add(await takeGenesis(context, this.signal));
    // Before the control plane has told which nodes there are, there seem to be none.
    return away.size === 0 && stores.length > 1;
  }

  /** Those that can be read whole, as far as is known. */
  private sound(): KnownSnapshot[] {
    const { hurt } = this.losses;
    return this.shelf.facts.filter(({ id }) => !hurt.has(id));
  }

  /**
   * When something is lost it rests on none of those before it, and stores everything anew. What the cluster still has of what
   * was lost is good again with it, also for older snapshots.
   */
  private async take(id: string | undefined): Promise<SnapshotManifest> {
    const what: SnapshotJob = { ...begun, what: "taking", id: id ?? null };
    return this.telling.during(what, async () => {
      const { losses } = this;
      const { mark, isUnmet: isAnew } = losses;
      const manifest = await this.ways.take(this.context, {
        id,
        known: this.sound(),
        isAnew,
        onProgress: (doneBytes, totalBytes) => {
          this.telling.say({ ...what, doneBytes, totalBytes: totalBytes ?? null });
        },
        signal: this.signal,
      });
      losses.noteStored(manifest, { mark, isAnew });
      this.shelf.add(manifest);
      await this.base.look();
      this.extents.noteChange();
      return manifest;
    });
  }

  /** Looks at what there is, and lets go what the retention window does not need. */
  private async keepPlan(): Promise<void> {
    const { config, clock, world } = this.context;
    const areAll = await this.look();
    const { hurt } = this.losses;
    this.losses.keepOf((id) => !areAll || this.shelf.has(id));
    await this.base.look();
    // What cannot be read may be what everything rests on.
    const isReadable = this.shelf.unreadable.size === 0;
    const path = isReadable ? await this.path.now(this.signal) : undefined;
    this.isUnplanned = isReadable && !path;
    if (!path) return;
    const futures = world().futures.map((future) => ({
      path: parsePath(future.path),
      fork: parseLsn(future.fork),
      end: parseLsn(future.end),
    }));
    const windowMs = config.snapshots.retentionMs;
    const now = { path, futures, nowMs: clock.wallMs(), windowMs, hurt };
    const plan = planKeeping(this.shelf.facts, now);
    if (plan.drop.length > 0) {
      await this.drop(plan.drop);
      this.collectAtMs = Math.min(this.collectAtMs, clock.nowMs() + collectSoonMs);
    }
    // Only now: as long as a snapshot is there, its log is.
    this.logFrom = plan.logFrom;
    this.earliestMs = plan.earliestMs;
  }

  /** Gives the labels of the stores that follow when they are back. */
  private drop(ids: readonly string[]): Promise<string[]> {
    const { context, shelf, copies, losses } = this;
    const what: SnapshotJob = { ...begun, what: "deleting", id: ids[0] ?? null };
    return this.telling.during(what, async () => {
      const waiting = new Set<string>();
      const needing = await this.base.needing(ids);
      for (const id of ids) {
        const follow = await deleteSnapshot({
          id,
          stores: storesOf(context),
          spared: needing,
          deletions: copies.deletions,
          sealer: context.sealer(),
          nowMs: context.clock.wallMs(),
          onLeftOut: ({ label: store }, error) => {
            context.logger.warn({ event: "snapshot.notDeleted", store }, error.message);
          },
        });
        for (const { label } of follow) waiting.add(label);
        shelf.remove(id);
        losses.keepOf((one) => one !== id);
        context.logger.info({ event: "snapshot.deleted", snapshot: id });
      }
      return [...waiting];
    });
  }

  private collect(): Promise<void> {
    const { clock, config, logger } = this.context;
    // What an unknown, half dead keeper may be about to name.
    const graceMs = config.snapshots.collectEveryMs;
    const what: SnapshotJob = { ...begun, what: "collecting" };
    return this.telling.during(what, async () => {
      const collect = async (store: ObjectStore): Promise<void> => {
        // What is copied there by and by is named by nothing yet.
        if (this.isBehind(store)) return;
        const collected = await collectExtents(store, {
          sealer: this.context.sealer(),
          nowMs: clock.wallMs(),
          graceMs,
          signal: this.signal,
        });
        logger.info({ event: "extents.collected", store: store.label, ...collected });
      };
      await inEach(this.context, collect, "extents.notCollected");
      this.extents.noteChange();
    });
  }
}

function orAsKnown(error: unknown): void {
  if (!(error instanceof BorealisError)) throw error;
}
