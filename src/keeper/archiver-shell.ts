import { adviceOf, messageOf } from "../base/errors.ts";
import {
  advance,
  bytesBetween,
  findLsn,
  formatLsn,
  type Lsn,
  lsnMaxOf,
  lsnMin,
  parseLsn,
} from "../base/lsn.ts";
import { epoch } from "../base/ids.ts";
import { realRng, sleep } from "../io/index.ts";
import {
  ArchiveIndex,
  type Healing,
  isSamePath,
  leftBehind,
  listArchivedLog,
  logObject,
  type LogPath,
  type LogRange,
  newestEpoch,
  type ObjectStore,
  planMerge,
  putArchivedLog,
  sharedUpTo,
} from "../volume/index.ts";
import { ArchiveHealing, nobodyAnswers } from "./archive-heal-shell.ts";
import { inheritArchive } from "./archive-inherit-shell.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import { Lane } from "./lane-shell.ts";
import type { ArchiveReport, SnapshotReport } from "./messages.ts";
import type { ObjectBase } from "./object-base-shell.ts";
import { ReachedKeeping } from "./reached-keeping-shell.ts";
import { RecordKeeping } from "./record-keeping-shell.ts";
import { readLog, seeVolume } from "./volume-sight-shell.ts";

/** Plain bytes of an object; so much is lost on a reader that wants a part of it. */
const objectBytes = 4 * 1024 * 1024;
/** How many are read, sealed and put at a time: a far store answers slowly. */
const atOnce = 4;
const againMs = { first: 1_000, most: 60_000 } as const;
const planEveryMs = 60_000;
const listEveryMs = 3_600_000;

export interface ArchiverOptions {
  readonly context: KeeperContext;
  /** What snapshots say of it. */
  readonly snapshots: () => Pick<SnapshotReport, "logFrom" | "earliestTime">;
  readonly base: Pick<ObjectBase, "isMissing" | "planArchive">;
  readonly onChange: () => void;
}

/** The volume as it was found: a path that is open, and up to where its log is durable. */
interface Target {
  readonly path: LogPath;
  readonly vdl: Lsn;
}

/**
 * Copies what is durable of the volume's log to the object store, for ever, a moment later. What it has done the names of
 * the objects say: it looks for the first log of the path that is not archived, and archives that. So it may be killed at any
 * moment, and goes on over failovers and backtracks as over anything else.
 */
export class Archiver {
  private readonly options: ArchiverOptions;
  private readonly record: RecordKeeping;
  private readonly reached: ReachedKeeping;
  /** What is healed must not be merged or dropped meanwhile. */
  private readonly lane = new Lane();
  private readonly healing: ArchiveHealing;
  private index: ArchiveIndex | undefined;
  private path: LogPath = [];
  /** Half of the nodes have log from here on. */
  private base: Lsn | undefined;
  /** All log of the path up to here is archived, or lost to the archive for good. */
  private archived: Lsn | undefined;
  private vdl: Lsn | undefined;
  private problem: string | undefined;
  private listedMs: number | undefined;
  private plannedMs: number | undefined;
  private plannedFrom: Lsn | undefined;

  constructor(options: ArchiverOptions) {
    this.options = options;
    this.record = new RecordKeeping(options.context);
    this.reached = new ReachedKeeping(options.context);
    this.healing = new ArchiveHealing(options.context, () => this.record.left);
  }

  report(): ArchiveReport {
    const { archived, path, vdl, problem } = this;
    const { isOn } = this.options.context.config.archive;
    const hasBase = !(isOn && this.options.base.isMissing);
    const latestMs = hasBase ? this.reached.latestMs : undefined;
    return {
      isOn,
      hasBase,
      epoch: isOn && archived !== undefined ? newestEpoch(path) : null,
      archivedLsn: isOn && archived !== undefined ? formatLsn(archived) : null,
      lagBytes:
        archived === undefined || vdl === undefined
          ? null
          : Math.max(0, bytesBetween(archived, vdl)),
      latestTime: latestMs === undefined ? null : new Date(latestMs).toISOString(),
      earliestTime: this.earliestTime(),
      problem: problem ?? null,
    };
  }

  private earliestTime(): string | null {
    const { clock, config } = this.options.context;
    const { earliestTime } = this.options.snapshots();
    const { retentionMs } = config.snapshots;
    if (earliestTime === null || retentionMs === 0) return earliestTime;
    const windowStart = new Date(clock.wallMs() - retentionMs).toISOString();
    return earliestTime > windowStart ? earliestTime : windowStart;
  }

  /** The keeper was told how the cluster is. */
  noteWorld(): void {
    const { durable } = this.options.context.world();
    if (!durable) return;
    this.vdl = parseLsn(durable.vdl);
    this.reached.see(durable);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { context, onChange } = this.options;
    const { clock, logger, config } = context;
    if (!config.archive.isOn) return;
    let pauseMs = 0;
    while (!signal.aborted) {
      try {
        const store = context.objects();
        if (store) await this.lane.run(() => this.tick(store, signal));
        if (this.problem !== undefined) logger.info({ event: "archive.goesOn" });
        this.problem = undefined;
        pauseMs = 0;
      } catch (error) {
        if (signal.aborted) return;
        if (this.problem !== adviceOf(error))
          logger.warn({ event: "archive.stopped" }, adviceOf(error));
        this.problem = adviceOf(error);
        pauseMs = Math.min(againMs.most, pauseMs * 2 || againMs.first);
      }
      onChange();
      const waitMs = Math.max(config.archive.intervalMs, pauseMs * (0.5 + realRng.next() / 2));
      await sleep(clock, waitMs, signal);
    }
  }

  /** The cluster stops, and its writer has: what it wrote last is archived, if it takes no longer than this. */
  async finish(withinMs: number): Promise<void> {
    const { clock, logger, config, objects } = this.options.context;
    const store = objects();
    if (!config.archive.isOn || !store || this.problem !== undefined) return;
    const over = new AbortController();
    // What the control plane told of VDL is older than the end.
    this.base = undefined;
    const last = this.lane.run(() => this.tick(store, over.signal));
    await Promise.race([last, sleep(clock, withinMs)]).catch((error: unknown) => {
      logger.info({ event: "archive.notFinished" }, messageOf(error));
    });
    over.abort(new Error("the keeper stops"));
    last.catch(() => undefined);
  }

  /** As ArchiveHealing.heal, in turn with what else is done to the archive. */
  healLog(store: ObjectStore, range: LogRange, signal: AbortSignal): Promise<Healing> {
    return this.lane.run(() => this.healing.heal(store, range, signal));
  }

  /** As RecordKeeping.heal, likewise. Raises 58030 while nobody says which path the volume is on. */
  healRecord(store: ObjectStore, signal: AbortSignal): Promise<Healing> {
    return this.lane.run(async () => {
      const path = (await seeVolume(this.options.context, signal))?.path ?? [];
      const newest = newestEpoch(path) < newestEpoch(this.path) ? this.path : path;
      if (newest.length === 0) throw nobodyAnswers();
      return this.record.heal(store, newest);
    });
  }

  private async tick(store: ObjectStore, signal: AbortSignal): Promise<void> {
    const { clock } = this.options.context;
    const isOld = this.listedMs !== undefined && clock.nowMs() - this.listedMs > listEveryMs;
    if (!this.index || isOld) {
      this.index = await listArchivedLog(store);
      this.listedMs = clock.nowMs();
      // Somebody may have deleted what was there: the first hole is looked for anew.
      this.archived = undefined;
    }
    const target = await this.look(signal);
    if (!target) return;
    // Of a clone: only what its parent's archive has not is read from the nodes and put.
    if (await this.record.isFirst(store))
      await inheritArchive(this.options.context, {
        store,
        index: this.index,
        path: target.path,
        signal,
      });
    await this.goTo(store, target.path);
    await this.catchUp(store, target, signal);
    await this.mergeSmall(store, signal);
    const nowMs = clock.nowMs();
    const logFrom = this.logFrom();
    const isFresh = this.plannedMs !== undefined && nowMs - this.plannedMs < planEveryMs;
    if (isFresh && this.plannedFrom === logFrom) return;
    await this.dropOld(store);
    this.plannedMs = nowMs;
    this.plannedFrom = logFrom;
  }

  /** Undefined: nobody knows now. */
  private async look(signal: AbortSignal): Promise<Target | undefined> {
    const { context } = this.options;
    const { durable } = context.world();
    if (durable && newestEpoch(this.path) === epoch(durable.epoch) && this.base !== undefined)
      return { path: this.path, vdl: parseLsn(durable.vdl) };
    const sight = await seeVolume(context, signal);
    // Nodes that have missed something may be all that answer.
    if (!sight || newestEpoch(sight.path) < newestEpoch(this.path)) return undefined;
    this.base = sight.base;
    const { path, vdl } = sight;
    // Nodes may not have heard yet that the writer's epoch is open; what they know is good, and older.
    const isSameEpoch = durable && newestEpoch(path) === epoch(durable.epoch);
    return { path, vdl: isSameEpoch ? lsnMaxOf(vdl, parseLsn(durable.vdl)) : vdl };
  }

  /** From now on this is the volume's path. The record says so before log of it is archived. */
  private async goTo(store: ObjectStore, path: LogPath): Promise<void> {
    const { record, index } = this;
    const { clock, logger } = this.options.context;
    if (!index) return;
    if (!isSamePath(path, this.path)) {
      const before = await record.pathBefore(store, this.path);
      const left = leftBehind(before, path, { index, nowMs: clock.wallMs() });
      if (left) {
        logger.info({ event: "archive.pathLeft", from: left.from, epoch: newestEpoch(before) });
        record.addLeft(left);
      }
      const first = path[0]?.start;
      if (this.archived !== undefined && first !== undefined)
        this.archived = sharedUpTo(before, path, { from: first, limit: this.archived });
      this.path = path;
    }
    await record.write(store, path);
  }

  /** Archives everything of the path up to the target that is not archived, oldest first. */
  private async catchUp(store: ObjectStore, { vdl }: Target, signal: AbortSignal): Promise<void> {
    const { context, onChange } = this.options;
    const { clock, config } = context;
    const { rateMaxBytes } = config.archive;
    this.archived ??= this.firstWanted();
    if (this.base !== undefined && this.base > this.archived) this.passOver(this.base);
    for (;;) {
      if (signal.aborted) throw signal.reason;
      const startMs = clock.nowMs();
      const batch = this.nextBatch(vdl);
      if (batch.length === 0) break;
      await this.archive(store, batch, signal);
      await this.advanceTo(store, vdl);
      onChange();
      const bytes = batch.reduce((sum, { from, to }) => sum + bytesBetween(from, to), 0);
      const isMore = bytes >= objectBytes * atOnce;
      const waitMs =
        (bytes / (rateMaxBytes || Number.POSITIVE_INFINITY)) * 1000 - (clock.nowMs() - startMs);
      if (isMore && waitMs > 0) await sleep(clock, waitMs, signal);
    }
    await this.advanceTo(store, vdl);
  }

  /** Where the archive of a volume begins that has none. */
  private firstWanted(): Lsn {
    const { config } = this.options.context;
    return this.logFrom() ?? parseLsn(config.genesisLsn);
  }

  /** Snapshots need log from here on; undefined: not known. */
  private logFrom(): Lsn | undefined {
    return findLsn(this.options.snapshots().logFrom ?? "");
  }

  /** Log that the nodes have no longer, and that may not be archived: a store that came late, or an archive that was off. */
  private passOver(base: Lsn): void {
    const { index, path, options } = this;
    const from = this.archived ?? base;
    const hole = index?.nextHole(path, from, base);
    if (hole) options.context.logger.warn({ event: "archive.hole", from: hole.from, to: base });
    this.archived = base;
  }

  private async advanceTo(store: ObjectStore, vdl: Lsn): Promise<void> {
    const { index, path, reached } = this;
    if (!index || this.archived === undefined) return;
    this.archived = lsnMaxOf(this.archived, lsnMin(index.archivedUpTo(path, this.archived), vdl));
    await reached.reach(store, this.archived);
  }

  private nextBatch(vdl: Lsn): LogRange[] {
    const { index, path } = this;
    const batch: LogRange[] = [];
    let at = this.archived;
    while (index && at !== undefined && batch.length < atOnce) {
      const hole = index.nextHole(path, at, vdl);
      if (!hole) break;
      const to = lsnMin(hole.to, advance(hole.from, objectBytes));
      batch.push({ ...hole, to });
      at = to;
    }
    return batch;
  }

  private async archive(
    store: ObjectStore,
    batch: readonly LogRange[],
    signal: AbortSignal,
  ): Promise<void> {
    const putting: Promise<void>[] = [];
    try {
      for (const range of batch) {
        const plain = await this.readRange(range, signal);
        const put = this.put(store, range, plain);
        // Waited for below; until then nobody looks.
        put.catch(() => undefined);
        putting.push(put);
      }
    } catch (error) {
      // The log is gone from the nodes, or none answers: look at them anew.
      this.base = undefined;
      throw error;
    } finally {
      await Promise.allSettled(putting);
    }
    await Promise.all(putting);
  }

  private async readRange({ from, to }: LogRange, signal: AbortSignal): Promise<Buffer> {
    const pieces: Buffer[] = [];
    const { context } = this.options;
    for await (const bytes of readLog(context, { path: this.path, from, to }, signal))
      pieces.push(bytes);
    return Buffer.concat(pieces);
  }

  private async put(store: ObjectStore, range: LogRange, plain: Buffer): Promise<void> {
    const { context } = this.options;
    const sizeBytes = await putArchivedLog(store, context.sealer(), range, plain);
    this.index?.add({ ...range, sizeBytes, putAtMs: context.clock.wallMs() });
  }

  /** A quiet volume would have an object for each look at it otherwise. */
  private async mergeSmall(store: ObjectStore, signal: AbortSignal): Promise<void> {
    const { index, healing } = this;
    const all = index?.ranges(newestEpoch(this.path)) ?? [];
    const ranges = all.filter((range) => !healing.isLost(range));
    const small = planMerge(ranges, objectBytes);
    const [first, last] = [small?.[0], small?.at(-1)];
    if (!index || !small || !first || !last) return;
    const plain: Buffer[] = [];
    for (const range of small) {
      const bytes = await healing.open(store, range, signal);
      // Somebody took it away: the listing is not to be trusted any more.
      if (!bytes && !healing.isLost(range)) this.index = undefined;
      if (!bytes) return;
      plain.push(bytes);
    }
    await this.put(store, { ...first, to: last.to }, Buffer.concat(plain));
    await this.drop(store, small);
  }

  private async dropOld(store: ObjectStore): Promise<void> {
    const { index, record, path } = this;
    const { context } = this.options;
    if (!index) return;
    const plan = await this.options.base.planArchive(store, index, {
      path,
      left: record.left,
      logFrom: this.logFrom(),
      nowMs: context.clock.wallMs(),
      windowMs: context.config.snapshots.retentionMs,
    });
    if (plan.drop.length > 0) {
      await this.drop(store, plan.drop);
      context.logger.info({ event: "archive.dropped", objects: plan.drop.length });
    }
    if (plan.left.length < record.left.length) {
      record.left = plan.left;
      await record.write(store, path);
    }
  }

  private async drop(store: ObjectStore, ranges: readonly LogRange[]): Promise<void> {
    await store.delete(ranges.map(({ epoch: of, from, to }) => logObject(of, from, to)));
    for (const range of ranges) this.index?.remove(range);
  }
}
