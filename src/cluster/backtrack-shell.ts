import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import { bytesBetween, findLsn, formatLsn, type Lsn, lsnMin, parseLsn } from "../base/lsn.ts";
import { type Clock, type Logger, sleep } from "../io/index.ts";
import { isBacktrackDone, parsePath, type VolumeNodes } from "../instance/index.ts";
import type { State } from "../quorum/index.ts";
import { walkToEnd } from "../volume/index.ts";
import type { CommitSpan, MomentTarget } from "../wal/index.ts";
import { PathLog, planBacktrack, reportOf, spanText } from "./backtrack-plan-shell.ts";
import { lostStage, notYet, otherWriter } from "./backtrack.ts";
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
  /** What the open writer has told durable; undefined: there is none. */
  readonly durable: () => { readonly epoch: number; readonly vdl: Lsn } | undefined;
  /** Of every node that answers. */
  readonly inspectAll: () => Promise<State[]>;
  readonly addressBook: () => VolumeNodes;
  /** Whether a cache can be built as it was at `to`, from log that begins at `logFrom`. */
  readonly hasCacheFor: (to: Lsn, logFrom: Lsn) => boolean;
}

const lookEveryMs = 250;
const pollMs = 20;
/** A staged reader that has less than this to replay does it while writes are held. */
const nearBytes = 1024 * 1024;
/** A staged reader that replays nothing for so long never will. */
const stuckMs = 60_000;
const heldDeadlineMs = 600_000;

/** What is not done on the way is done by none. */
const noReport: BacktrackProgress = {
  phase: "none",
  doneBytes: 0,
  totalBytes: 0,
  report: null,
  error: null,
};

/**
 * Takes the cluster back to an earlier moment, in place. Everything that takes long is done while writes go on: the
 * moment is found, and a reader's cache is built anew and replayed up to it (`staged`). Then the backtrack is written into
 * the state together with who is to write next; from there on whoever takes the volume carries it out, so that a control
 * plane, an agent, or everything may die, and what comes up goes on.
 */
export class Backtracks {
  private readonly options: BacktracksOptions;
  private now: BacktrackProgress = noReport;
  /** Names the job that `now` tells of. */
  private askedAtMs = 0;
  private running: { readonly state?: BacktrackState } | undefined;

  constructor(options: BacktracksOptions) {
    this.options = options;
  }

  /** Begins, or plans and does nothing. Answers at once; `progress` says how it goes. Raises 55000 if one is under way. */
  ask({ to, isDryRun }: BacktrackRequest, signal: AbortSignal): { readonly id: number } {
    const { roles, clock } = this.options;
    if (this.running || roles.state.backtrack) {
      const why = "a backtrack is under way";
      throw new BorealisError(sqlState.notInPrerequisiteState, why, {
        hint: "wait for its end: borealis status says backtracking until then",
      });
    }
    const target: MomentTarget =
      to.kind === "lsn"
        ? { kind: "lsn", at: parseLsn(to.at) }
        : { kind: "time", timeUs: BigInt(to.timeUs) };
    this.askedAtMs = clock.wallMs();
    this.running = {};
    this.now = { ...noReport, phase: "planning" };
    void this.run(target, isDryRun, signal)
      .then(
        (report) => {
          this.now = { ...this.now, phase: "done", report };
        },
        (error: unknown) => this.fail(error),
      )
      .finally(() => {
        this.running = undefined;
      });
    return { id: this.askedAtMs };
  }

  /** How the job of this id goes; phase `none`: it is not known, so nothing came of it. */
  progress(id: number): BacktrackProgress {
    const pending = this.options.roles.state.backtrack;
    if (this.askedAtMs === id) return this.now;
    return pending?.askedAtMs === id ? { ...noReport, phase: "holding" } : noReport;
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

  private fail(error: unknown): void {
    const known = error instanceof BorealisError ? error : undefined;
    const { code = sqlState.internal, hint = null } = known ?? {};
    const told = { code, message: messageOf(error), hint };
    this.options.logger.warn({ event: "backtrack.failed", code }, told.message);
    this.now = { ...this.now, phase: "failed", error: told };
  }

  private async run(
    target: MomentTarget,
    isDryRun: boolean,
    signal: AbortSignal,
  ): Promise<BacktrackReport> {
    const { logger, roles } = this.options;
    const { state, report } = await this.plan(target, signal);
    if (isDryRun) return report;
    const { to, refill } = state.order;
    logger.info({ event: "backtrack.begun", to, refill: refill?.to ?? null });
    this.running = { state };
    const successor = roles.findSuccessor();
    if (successor !== undefined) {
      try {
        await this.stage(successor, parseLsn(to), signal);
      } catch (error) {
        await this.unstage(successor);
        throw error;
      }
    }
    return this.hold(state, report, { successor, signal });
  }

  private async plan(target: MomentTarget, signal: AbortSignal) {
    const { clock, config, roles, inspectAll, addressBook, hasCacheFor } = this.options;
    const writer = this.options.durable();
    if (!writer) {
      const why = "there is no writer that has its quorum";
      throw new BorealisError(sqlState.cannotConnectNow, why, {
        hint: "borealis status shows what is missing",
      });
    }
    const { state } = roles;
    return planBacktrack(
      {
        clock,
        volumeId: volumeId(state.volumeId),
        credential: config.credential ?? undefined,
        nodes: addressBook(),
        states: await inspectAll(),
        writer,
        abandoned: state.abandoned ?? [],
        hasCacheFor,
        askedAtMs: this.askedAtMs,
        createdAtUs: BigInt(Date.parse(state.createdAt)) * 1000n,
        signal,
        onProgress: (doneBytes, totalBytes) => this.tell({ doneBytes, totalBytes }),
      },
      target,
    );
  }

  private tell(change: Partial<BacktrackProgress>): void {
    this.now = { ...this.now, ...change };
  }

  /** The reader's cache is built anew, and replays up to the moment; writes go on meanwhile. */
  private async stage(id: string, to: Lsn, signal: AbortSignal): Promise<void> {
    const { clock, logger, roles } = this.options;
    this.tell({ phase: "staging", doneBytes: 0, totalBytes: 0 });
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
        const [doneBytes, totalBytes] = [bytesBetween(first, at), bytesBetween(first, to)];
        this.tell({ doneBytes, totalBytes });
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
    if (this.options.durable()?.epoch !== order.sinceEpoch) throw otherWriter();
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
    this.tell({ phase: "holding", doneBytes: 0, totalBytes: 0 });
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
    const epoch = this.options.durable()?.epoch;
    return epoch !== undefined && epoch > order.sinceEpoch;
  }

  /** The path says what became of it. */
  private async finish(
    state: BacktrackState,
    report: BacktrackReport,
    { heldMs, signal }: { readonly heldMs: number | null; readonly signal: AbortSignal },
  ): Promise<BacktrackReport> {
    const { clock, config, logger, roles, durable, inspectAll } = this.options;
    const { order } = state;
    const { epoch = 0, vdl } = durable() ?? {};
    const node = (await inspectAll()).find(({ accepted }) => accepted === epoch);
    if (!node || vdl === undefined) throw notYet();
    const refill = order.refill
      ? { path: parsePath(order.refill.path), to: parseLsn(order.refill.to) }
      : undefined;
    const wanted = { ...order, to: parseLsn(order.to), refill };
    if (!isBacktrackDone({ start: vdl, history: node.history }, wanted)) {
      roles.changeState((now) => ({ ...now, backtrack: undefined }));
      throw new BorealisError(
        sqlState.notInPrerequisiteState,
        `the backtrack to ${order.to} could not be carried out; nothing was undone`,
        { hint: "borealis logs of the writer says why" },
      );
    }
    const kept = await this.lookAtKept(state, signal);
    const leftAtMs = clock.wallMs();
    const future = { path: state.left, fork: order.to, end: formatLsn(kept.endLsn), leftAtMs };
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
    const undone = reportOf({ ...state, undone: kept.undone }, report.window).undone;
    return { ...report, undone, done: facts };
  }

  /** How the future that was left has ended: writes went on after the plan was made. */
  private async lookAtKept(
    { left, leftEnd, undone }: BacktrackState,
    signal: AbortSignal,
  ): Promise<{ readonly endLsn: Lsn; readonly undone: BacktrackState["undone"] }> {
    const { clock, config, roles, addressBook } = this.options;
    const log = new PathLog({
      clock,
      volumeId: volumeId(roles.state.volumeId),
      credential: config.credential ?? undefined,
      nodes: addressBook(),
      signal,
    });
    try {
      const { endLsn, commits } = await walkToEnd(
        log.of(parsePath(left)),
        parseLsn(leftEnd),
        signal,
      );
      return { endLsn, undone: sum(undone, commits) };
    } finally {
      log.close();
    }
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
    this.askedAtMs = state.askedAtMs;
    const window = { from: "", to: "" };
    try {
      const report = await this.finish(state, reportOf(state, window), { heldMs: null, signal });
      this.now = { ...noReport, phase: "done", report };
    } catch (error) {
      if (this.options.roles.state.backtrack) throw error;
      this.fail(error);
    }
  }

  private forgetOld(): void {
    const { clock, config, roles } = this.options;
    const since = clock.wallMs() - config.backtrackWindowMs;
    const { abandoned = [] } = roles.state;
    const kept = abandoned.filter(({ leftAtMs }) => leftAtMs > since);
    if (kept.length < abandoned.length)
      roles.changeState((state) => ({ ...state, abandoned: kept }));
  }
}

function sum(before: BacktrackState["undone"], more: CommitSpan | undefined) {
  if (!before || !more) return before ?? (more ? spanText(more) : null);
  const next = spanText(more);
  const isLater = BigInt(next.latestUs) > BigInt(before.latestUs);
  const isEarlier = BigInt(next.earliestUs) < BigInt(before.earliestUs);
  return {
    commits: before.commits + next.commits,
    earliestUs: isEarlier ? next.earliestUs : before.earliestUs,
    latestUs: isLater ? next.latestUs : before.latestUs,
  };
}
