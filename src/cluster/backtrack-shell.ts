import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import { bytesBetween, findLsn, formatLsn, type Lsn, lsnMin, parseLsn } from "../base/lsn.ts";
import { type Clock, type Logger, sleep } from "../io/index.ts";
import { isBacktrackDone, parsePath, type VolumeNodes } from "../instance/index.ts";
import type { State } from "../quorum/index.ts";
import type { MomentTarget } from "../wal/index.ts";
import { BacktrackJobs, noProgress } from "./backtrack-jobs.ts";
import { GivingWay } from "./giving-way-shell.ts";
import { countKept, findKept } from "./backtrack-kept-shell.ts";
import { planBacktrack, type PlanFacts, reportOf } from "./backtrack-plan-shell.ts";
import {
  lostStage,
  mergedNews,
  notCounted,
  notYet,
  otherWriter,
  returnedBy,
  targetOf,
  underWay,
  undoneOf,
  withExpired,
  pathIn,
} from "./backtrack.ts";
import type {
  BacktrackProgress,
  BacktrackReport,
  BacktrackRequest,
  ControlConfig,
} from "./messages.ts";
import type { InstanceRoles } from "./roles-shell.ts";
import type { BacktrackState } from "./state.ts";

export interface BacktracksOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly config: ControlConfig;
  readonly roles: InstanceRoles;
  /** Of every node that answers. */
  readonly inspectAll: () => Promise<State[]>;
  readonly addressBook: () => VolumeNodes;
  readonly snapshotReach: PlanFacts["snapshotReach"];
  readonly note: (news: ReturnType<typeof mergedNews>) => void;
}

interface Running {
  readonly id: number;
  state?: BacktrackState;
}

const lookEveryMs = 250;
const pollMs = 20;
/** A staged reader that has less than this to replay does it while writes are held. */
const nearBytes = 1024 * 1024;
/** A staged reader that replays nothing for so long never will. */
const stuckMs = 60_000;
const heldDeadlineMs = 600_000;

/**
 * Takes the cluster back to an earlier moment, in place. Everything that takes long is done while writes go on: the
 * moment is found, and a reader's cache is built anew and replayed up to it (`staged`). Then the backtrack is written into
 * the state together with who is to write next; from there on whoever takes the volume carries it out, so that a control
 * plane, an agent, or everything may die, and what comes up goes on.
 */
export class Backtracks {
  private readonly options: BacktracksOptions;
  private readonly jobs = new BacktrackJobs();
  private running: Running | undefined;
  private readonly counting = new GivingWay();

  constructor(options: BacktracksOptions) {
    this.options = options;
  }

  /** Begins, or plans and does nothing. Answers at once; `progress` says how it goes. Raises 55000 if one is under way. */
  ask({ to, isDryRun }: BacktrackRequest, signal: AbortSignal): { readonly id: number } {
    const { roles, clock } = this.options;
    // Of one that is being counted nothing is left that anybody would have to wait for.
    if ((this.running && !this.counting.isUnderWay) || roles.state.backtrack) throw underWay();
    this.counting.giveWay(new BorealisError(sqlState.queryCanceled, "another one was asked for"));
    const id = this.jobs.newId(clock.wallMs());
    const job: Running = { id };
    this.running = job;
    this.jobs.begin(id);
    void this.run(targetOf(to), { job, isDryRun, signal })
      .then(
        (report) => this.jobs.done(id, report),
        (error: unknown) => this.fail(id, error),
      )
      .finally(() => {
        if (this.running === job) this.running = undefined;
      });
    return { id };
  }

  /** How the job of this id goes; phase `none`: it is not known, so nothing came of it. */
  progress(id: number): BacktrackProgress {
    const known = this.jobs.get(id);
    if (known) return known;
    const pending = this.options.roles.state.backtrack;
    return pending?.askedAtMs === id ? { ...noProgress, phase: "holding" } : noProgress;
  }

  /** Log that is needed from here on: to go back, or to return from where one has gone back to. */
  neededLsn(): Lsn | undefined {
    const { backtrack, abandoned = [] } = this.options.roles.state;
    const needed = abandoned.map(({ fork }) => parseLsn(fork));
    const order = (this.running?.state ?? backtrack)?.order;
    if (order) needed.push(parseLsn(order.to));
    return needed.reduce<Lsn | undefined>(
      (lowest, at) => (lowest === undefined ? at : lsnMin(lowest, at)),
      undefined,
    );
  }

  /** For ever: ends what a control plane before this one has begun, and forgets futures whose window is over. */
  async watch(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.options;
    while (!signal.aborted) {
      try {
        this.forgetOld();
        if (!this.running) await this.tidy(signal);
      } catch (error) {
        logger.debug({ event: "backtrack.notTidied" }, messageOf(error));
      }
      await sleep(clock, lookEveryMs, signal);
    }
  }

  private fail(id: number, error: unknown): void {
    const { code, message } = this.jobs.failed(id, error);
    this.options.logger.warn({ event: "backtrack.failed", code }, message);
  }

  private async run(
    target: MomentTarget,
    order: { readonly job: Running; readonly isDryRun: boolean; readonly signal: AbortSignal },
  ): Promise<BacktrackReport> {
    const { logger, roles } = this.options;
    const { job, isDryRun, signal } = order;
    if (isDryRun) return this.tryOut(target, job, signal);
    // What is undone is counted when writes are in again: there may be a lot to read.
    const { state, report } = await this.plan(target, { id: job.id, isCounted: false, signal });
    const { to, refill } = state.order;
    logger.info({ event: "backtrack.begun", to, refill: refill?.to ?? null });
    job.state = state;
    const successor = roles.findSuccessor();
    if (successor !== undefined) {
      try {
        await this.stage(successor, state, signal);
      } catch (error) {
        await this.unstage(successor);
        throw error;
      }
    }
    return this.hold(state, report, { successor, signal });
  }

  private async plan(
    target: MomentTarget,
    asked: { readonly id: number; readonly isCounted: boolean; readonly signal: AbortSignal },
  ) {
    const { id, isCounted, signal } = asked;
    const { roles, inspectAll, snapshotReach } = this.options;
    const writer = await roles.durableNow();
    if (!writer) {
      const why = "there is no writer that has its quorum";
      throw new BorealisError(sqlState.cannotConnectNow, why, {
        hint: "borealis status shows what is missing",
      });
    }
    const { state } = roles;
    return planBacktrack(
      {
        ...this.nodes(signal),
        states: await inspectAll(),
        writer,
        abandoned: state.abandoned ?? [],
        expired: state.expired ?? [],
        snapshotReach,
        genesisLsn: parseLsn(state.genesisLsn),
        askedAtMs: id,
        createdAtUs: BigInt(Date.parse(state.createdAt)) * 1000n,
        onProgress: this.jobs.progressOf(id),
      },
      target,
      { isCounted },
    );
  }

  /** The reader's cache is built anew, and replays up to the moment; writes go on meanwhile. */
  private async stage(id: string, state: BacktrackState, signal: AbortSignal): Promise<void> {
    const to = parseLsn(state.order.to);
    const { clock, logger, roles } = this.options;
    this.jobs.enter(state.askedAtMs, "staging");
    const onProgress = this.jobs.progressOf(state.askedAtMs);
    const startMs = clock.nowMs();
    await roles.stage(id, formatLsn(to));
    let first: Lsn | undefined;
    let last: Lsn | undefined;
    let movedMs = clock.nowMs();
    for (;;) {
      signal.throwIfAborted();
      const status = roles.status(id);
      if (status && status.stagedAt !== formatLsn(to)) throw lostStage(id, status.problem);
      const at = findLsn(status?.replayLsn ?? "");
      if (at !== undefined) {
        first ??= at;
        if (at !== last) movedMs = clock.nowMs();
        last = at;
        onProgress(bytesBetween(first, at), bytesBetween(first, to));
        if (bytesBetween(at, to) <= nearBytes) break;
      }
      if (clock.nowMs() - movedMs > stuckMs) throw lostStage(id, "it replays nothing");
      await sleep(clock, pollMs, signal);
    }
    const tookMs = Math.round(clock.nowMs() - startMs);
    logger.info({ event: "backtrack.staged", instance: id, tookMs });
  }

  /** What was planned is planned for this epoch of this writer: an epoch more, and the path that is left is another one. */
  private requireSame({ order }: BacktrackState): void {
    if (this.options.roles.durable()?.epoch !== order.sinceEpoch) throw otherWriter();
  }

  /** Raises nothing: `tidy` sees to an agent that is away now. */
  private async unstage(id: string): Promise<void> {
    await this.options.roles.unstage(id).catch(() => undefined);
  }

  /** Once the writer of the path from there on is appointed, there is no way back but by another backtrack. */
  private async hold(
    state: BacktrackState,
    report: BacktrackReport,
    { successor, signal }: { readonly successor: string | undefined; readonly signal: AbortSignal },
  ): Promise<BacktrackReport> {
    const { roles, clock, logger } = this.options;
    this.jobs.enter(state.askedAtMs, "holding");
    const sinceMs = clock.nowMs();
    // Seconds may lie between the beginning of a failover and this, and the writer may have started again in them.
    const appoint = (now: typeof roles.state): typeof roles.state => {
      this.requireSame(state);
      return { ...now, backtrack: state };
    };
    let heldMs: number | undefined;
    try {
      roles.requireSettled();
      if (roles.isFailingOver) throw otherWriter();
      this.requireSame(state);
      if (successor === undefined) await roles.restartWriter(appoint);
      else heldMs = (await roles.replaceWriter(successor, appoint)).heldMs;
    } catch (error) {
      if (roles.state.backtrack !== state) {
        if (successor !== undefined) await this.unstage(successor);
        throw error;
      }
      // Whoever takes the volume carries it out: that is waited for, whatever became of the first attempt.
      logger.warn({ event: "backtrack.slow" }, messageOf(error));
    }
    while (!this.isTaken(state)) {
      signal.throwIfAborted();
      if (clock.nowMs() - sinceMs > heldDeadlineMs) throw notYet();
      await sleep(clock, pollMs, signal);
    }
    heldMs ??= Math.round(clock.nowMs() - sinceMs);
    return this.finish(state, report, { heldMs, signal });
  }

  /** Whether a writer has opened that was ordered to carry it out. */
  private isTaken({ order }: BacktrackState): boolean {
    const epoch = this.options.roles.durable()?.epoch;
    return epoch !== undefined && epoch > order.sinceEpoch;
  }

  /** The path says what became of it. */
  private async finish(
    state: BacktrackState,
    report: BacktrackReport,
    { heldMs, signal }: { readonly heldMs: number | null; readonly signal: AbortSignal },
  ): Promise<BacktrackReport> {
    const { clock, config, logger, roles, inspectAll } = this.options;
    const { order } = state;
    // Writes go on already: what is committed from here on is the present path's.
    const leftAtMs = clock.wallMs();
    const { epoch = 0, vdl } = roles.durable() ?? {};
    const history = pathIn(await inspectAll(), epoch);
    if (!history || vdl === undefined) throw notYet();
    const refill = order.refill
      ? { path: parsePath(order.refill.path), to: parseLsn(order.refill.to) }
      : undefined;
    const wanted = { ...order, to: parseLsn(order.to), refill };
    if (!isBacktrackDone({ start: vdl, history }, wanted)) {
      roles.changeState((now) => ({ ...now, backtrack: undefined }));
      throw new BorealisError(
        sqlState.notInPrerequisiteState,
        `the backtrack to ${order.to} could not be carried out; nothing was undone`,
        { hint: "borealis logs of the writer says why" },
      );
    }
    const { endLsn, firstUs } = await findKept(this.nodes(signal), state);
    const returned = returnedBy(state);
    const future = {
      path: state.left,
      fork: order.to,
      end: formatLsn(endLsn),
      leftAtMs,
      ...(firstUs !== undefined && { firstUs: String(firstUs) }),
      ...(returned && { returned }),
    };
    roles.changeState((now) => ({
      ...now,
      backtrack: undefined,
      backtrackEpoch: epoch,
      abandoned: [...(now.abandoned ?? []), future],
    }));
    const { writer } = roles.state;
    const { timeline = 0 } = roles.status(writer) ?? {};
    const returnableUntil = new Date(leftAtMs + config.backtrackWindowMs).toISOString();
    const facts = { writer, epoch, timeline, heldMs, abandonedEnd: future.end, returnableUntil };
    logger.info({ event: "backtrack.done", to: order.to, ...facts });
    return { ...report, undone: await this.count(state, endLsn, signal), done: facts };
  }

  /** It is done, whatever comes of the counting; and the next one need not wait for that. */
  private async count(
    state: BacktrackState,
    to: Lsn,
    outer: AbortSignal,
  ): Promise<BacktrackReport["undone"]> {
    const onProgress = this.jobs.progressOf(state.askedAtMs);
    this.jobs.enter(state.askedAtMs, "counting");
    try {
      return await this.counting.run(outer, async (signal) =>
        undoneOf(await countKept(this.nodes(signal), state, { to, onProgress })),
      );
    } catch (error) {
      this.options.logger.warn({ event: "backtrack.notCounted" }, messageOf(error));
      return notCounted;
    }
  }

  /** What would be undone, and nothing is. */
  private tryOut(
    target: MomentTarget,
    { id }: Running,
    outer: AbortSignal,
  ): Promise<BacktrackReport> {
    return this.counting.run(outer, async (signal) => {
      return (await this.plan(target, { id, isCounted: true, signal })).report;
    });
  }

  private nodes(signal: AbortSignal) {
    const { clock, config, roles, addressBook } = this.options;
    return {
      clock,
      volumeId: volumeId(roles.state.volumeId),
      credential: config.credential ?? undefined,
      nodes: addressBook(),
      signal,
    };
  }

  /** What a control plane that died has left: a backtrack to be ended, or a reader made ready for one that never came. */
  private async tidy(signal: AbortSignal): Promise<void> {
    const { roles } = this.options;
    const { backtrack, instances } = roles.state;
    if (backtrack && this.isTaken(backtrack)) return this.endPending(backtrack, signal);
    if (backtrack) return this.push(backtrack);
    for (const { id } of instances) if (roles.status(id)?.stagedAt != null) await roles.unstage(id);
  }

  /** A writer that lives and was never asked to stop for it. */
  private async push({ order }: BacktrackState): Promise<void> {
    const { roles } = this.options;
    const status = roles.status(roles.state.writer);
    const isOld =
      status?.role === "writer" && status.isAdmitted && status.epoch <= order.sinceEpoch;
    if (isOld && !roles.isFailingOver) await roles.restartWriter((state) => state);
  }

  private async endPending(state: BacktrackState, signal: AbortSignal): Promise<void> {
    this.jobs.begin(state.askedAtMs);
    const window = { from: "", to: "" };
    try {
      const report = await this.finish(state, reportOf(state, window), { heldMs: null, signal });
      this.jobs.done(state.askedAtMs, report);
    } catch (error) {
      if (this.options.roles.state.backtrack) throw error;
      this.fail(state.askedAtMs, error);
    }
  }

  private forgetOld(): void {
    const { clock, config, roles, logger, note } = this.options;
    const now = { nowMs: clock.wallMs(), windowMs: config.backtrackWindowMs };
    const was = roles.state;
    if (withExpired(was, now) === was) return;
    roles.changeState((state) => withExpired(state, now));
    note(mergedNews(was, roles.state));
    logger.info({ event: "backtrack.expired", newest: roles.state.expired?.at(-1) });
  }
}
