import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { epochNone, volumeId } from "../base/ids.ts";
import { formatLsn, type Lsn, lsnZero, parseLsn } from "../base/lsn.ts";
import {
  logDriverName,
  type Postgres,
  sealCache,
  stampCache,
  unstampCache,
} from "../engine/index.ts";
import { connectRpc, readCpuTime, type RpcClient, Scope, sleep } from "../io/index.ts";
import { inspectVolume, type LogFeed, type OwnLog, type VolumeSight } from "../log-driver/index.ts";
import { type History, meetsBacktrack, timelineSpans } from "../quorum/index.ts";
import type { BaseBackup, PgClient, StandbyFeedback } from "../wire/index.ts";
import type { AgentDeps } from "./agent-deps-shell.ts";
import { rebuildBelow } from "./backtrack-shell.ts";
import { isCacheOnPath, noteCachePath, noteCapGone } from "./cache-path-shell.ts";
import { judge } from "./cache-shell.ts";
import { judgeFormerWriter } from "./former-writer-shell.ts";
import { installPathHistory, newestHistoryFile } from "./history-shell.ts";
import { WarmKeeper } from "./keep-warm-shell.ts";
import { LagHistory } from "./lag-history.ts";
import type { AgentConfig, BackupSource, ReaderOrder } from "./messages.ts";
import { linkOwner, nodesNearestFirst } from "./nodes.ts";
import { untilCaughtUp } from "./catch-up-shell.ts";
import { connectAgent } from "./postgres-shell.ts";
import { Pulse } from "./pulse-shell.ts";
import { beyondTheVolume, rebuildCache } from "./rebuild-shell.ts";
import { findRestartLsn } from "./restart-shell.ts";
import type { RoleFacts, RoleOwner, StopKind } from "./role.ts";
import { Standby } from "./standby-shell.ts";
import { letWriterGoFirst } from "./writer-first-shell.ts";

const readyTimeoutMs = 60_000;
/** PostgreSQL sends feedback every wal_receiver_status_interval (1 s); it is passed on as it comes. */
const feedbackRetryMs = 1_000;
/** PostgreSQL tries every 100 ms (wal_retrieve_retry_interval). */
const lostAfterAttempts = 60;
/** A diverged cache is not urgent: the instance that took over is up in a moment, and can be copied then. */
const copyPatienceMs = 30_000;
const durablePollMs = 50;
const askTimeoutMs = 1_000;
/** Between two looks whether PostgreSQL answers; and how many times in a row it may not have since the last look but one. */
const silenceLookMs = 2_000;
const silentLooksMax = 4;
/** Questions whether it answers that may be on their way at once. */
const pulsesMax = 3;
const pulseMaxMs = 4_000;

/** A hot standby whose walreceiver talks to this agent, which serves WAL from storage and stops at VDL. */
export class ReaderRole {
  private readonly config: AgentConfig;
  private readonly deps: AgentDeps;
  private readonly onBroke: (error: unknown) => void;
  private readonly standby: Standby;
  private readonly scope: Scope;
  private writerAgentSocket = "";
  private state: RoleFacts["state"] = "starting";
  private feedback: StandbyFeedback | undefined;
  private restartLsn: string | undefined;
  /** Ready for a backtrack to here; undefined: a reader like any other. */
  private stagedAt: Lsn | undefined;
  /** The path that is noted beside the cache; undefined: it is not known which one that is of. */
  private notedPath: History | undefined;
  private isGivenUp = false;
  private readonly lag = new LagHistory();
  private readonly warmth: WarmKeeper;
  private readonly pulse: Pulse;
  /** Attempts of the walreceiver to connect when it last streamed. */
  private attemptsBefore = 0;
  /** Aborts when anything of this role has ended: whatever waits for it must not wait for ever. */
  private readonly broken = new AbortController();

  constructor(config: AgentConfig, deps: AgentDeps, owner: RoleOwner) {
    this.config = config;
    this.deps = deps;
    this.onBroke = (error) => {
      this.broken.abort(error);
      owner.onBroke(error);
    };
    this.standby = new Standby(config, deps, {
      onBroke: this.onBroke,
      onDying: () => {
        this.state = "stopped";
        owner.onNews();
      },
      onFeedback: (feedback) => {
        this.feedback = feedback;
      },
      onPathChanged: () => void this.giveUpCache("it has log that is not the volume's"),
    });
    this.scope = new Scope(this.onBroke);
    this.warmth = new WarmKeeper(config, deps);
    const connect = (signal: AbortSignal): Promise<PgClient> =>
      connectAgent(this.standby.postgres, { database: "postgres", signal });
    const { clock } = deps;
    const bounds = { atOnceMax: pulsesMax, giveUpMs: pulseMaxMs, cpuTime: readCpuTime };
    this.pulse = new Pulse({ clock, connect, ...bounds });
  }

  /** Builds the cache if there is none to believe, starts the feed, then PostgreSQL. Raises what stood in the way. */
  async start(order: ReaderOrder, closing: AbortSignal): Promise<void> {
    const { config, deps, standby } = this;
    this.writerAgentSocket = order.writerAgentSocket;
    const signal = AbortSignal.any([closing, this.broken.signal]);
    await standby.postgres.clearOrphans();
    this.stagedAt = order.stageAt === null ? undefined : parseLsn(order.stageAt);
    const feed = await standby.openFeed(this.stagedAt);
    const bounds = { clock: deps.clock, timeoutMs: askTimeoutMs, signal };
    const sight = await inspectVolume(nodesNearestFirst(config), linkOwner(config), bounds);
    const path = sight?.path;
    const isStaged = this.stagedAt !== undefined;
    if (!sight && (order.mustKnowPath || isStaged)) throw pathUnknown(config.instance);
    await this.leaveOldPath(path);
    // What is built now may go beyond what the cache before was kept below.
    await noteCapGone(config);
    const own =
      sight && isStaged
        ? await this.buildStage(sight, signal)
        : await this.ensureCache(feed, order.sources, { path, signal });
    if (own) {
      await noteCachePath(config, own.path, this.stagedAt);
      this.notedPath = own.path;
      feed.follow(own);
    }
    await this.dropStrayHistory(feed);
    this.state = "recovering";
    await standby.start({ timeoutMs: readyTimeoutMs, signal });
    await this.prepareToServe(feed, signal);
    await deps.beforeServing?.();
    if (this.broken.signal.aborted) throw this.broken.signal.reason;
    this.pulse.begin();
    this.state = "available";
    this.scope.run((stop) => this.passFeedbackOn(stop));
    this.scope.run((stop) => this.watchSilence(stop));
    deps.logger.info({ event: "reader.available", instance: config.instance });
  }

  /** Feedback goes to another instance's agent from now on. */
  writerMoved(writerAgentSocket: string): void {
    this.writerAgentSocket = writerAgentSocket;
  }

  /** What the writer works with is read ahead, beside all else. */
  keepWarm(): void {
    if (this.state !== "available") return;
    this.scope.run((stop) => this.warmth.warm(this.writerAgentSocket, stop));
  }

  /** It may be promoted in a moment. */
  warmUp(): Promise<void> {
    return this.state === "available" ? this.standby.warmUp() : Promise.resolve();
  }

  /** The running standby, for a promotion; this role is over. Undefined while there is none that takes sessions. */
  async handOver(): Promise<Standby | undefined> {
    if (this.state !== "available" || this.broken.signal.aborted) return undefined;
    this.state = "stopped";
    // Until its new owner takes it: what breaks now is found when it is used.
    this.standby.handTo({ onBroke: () => undefined });
    await this.scope.close("the reader is promoted");
    return this.standby;
  }

  /** Milliseconds since its PostgreSQL last answered a new session; 0 while it may have reasons not to. */
  silentMs(): number {
    return this.state === "available" ? this.pulse.silentMs() : 0;
  }

  get postgres(): Postgres {
    return this.standby.postgres;
  }

  facts(): RoleFacts {
    const status = this.standby.feed?.status;
    const apply = status && status.apply > lsnZero ? status.apply : undefined;
    return {
      state: this.state,
      isAdmitted: this.state === "available" && this.stagedAt === undefined,
      postgresPid: this.standby.postgres.pid,
      epoch: status?.epoch ?? 0,
      timeline: 0,
      vdl: status && status.vdl > lsnZero ? formatLsn(status.vdl) : undefined,
      replayLsn: apply === undefined ? undefined : formatLsn(apply),
      lagMs: this.lagMs(),
      hasQuorum: true,
      restartLsn: this.restartLsn,
      stagedAt: this.stagedAt === undefined ? undefined : formatLsn(this.stagedAt),
      receivedLsn: status && status.flush > lsnZero ? formatLsn(status.flush) : undefined,
      feedback: this.feedback && pickFeedback(this.feedback),
    };
  }

  async stop(kind: StopKind): Promise<void> {
    this.state = "stopped";
    await this.scope.close("the reader stops");
    const stopped = await this.standby.stop(kind);
    if (kind === "clean" && stopped.isClean) await sealCache(this.config.instanceDir);
  }

  private async prepareToServe(feed: LogFeed, signal: AbortSignal): Promise<void> {
    const client = await connectAgent(this.standby.postgres);
    try {
      // A former writer's slot would keep all log from there on, and vacuum on the new writer from its rows, for ever.
      await client.query(
        "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots " +
          `WHERE slot_name = '${logDriverName}'`,
      );
      // A staged one is kept below what is durable.
      if (this.stagedAt === undefined) await untilCaughtUp(client, feed, this.deps, signal);
    } finally {
      client.destroy();
    }
  }

  /** What a backtrack removed while this instance was down may be in its cache; and a staged one is always a new one. */
  private async leaveOldPath(path: History | undefined): Promise<void> {
    const { config, deps, stagedAt } = this;
    const found = await judge(config);
    if (found.kind !== "reader") return;
    const isOnPath = path === undefined || (await isCacheOnPath(config, path));
    if (isOnPath && stagedAt === undefined) return;
    if (!isOnPath) deps.logger.warn({ event: "cache.leftBehind", instance: config.instance });
    await unstampCache(config.instanceDir);
  }

  private buildStage(
    { path, base }: VolumeSight,
    signal: AbortSignal,
  ): Promise<OwnLog | undefined> {
    const { config, deps, stagedAt: limit } = this;
    if (limit === undefined) return Promise.resolve(undefined);
    return rebuildBelow({ config, deps, path, base, limit, signal });
  }

  /** What log is in the cache; `path`: on which a reader's was found to be. Undefined: nobody says which path it is of. */
  private async ensureCache(
    feed: LogFeed,
    sources: readonly BackupSource[],
    { path, signal }: { readonly path: History | undefined; readonly signal: AbortSignal },
  ): Promise<OwnLog | undefined> {
    const { config, deps } = this;
    const keep = async (of: History | undefined): Promise<OwnLog | undefined> => {
      await stampCache(config.instanceDir, volumeId(config.volumeId));
      return of ? { path: of, end: undefined } : undefined;
    };
    const found = await judge(config);
    if (found.kind === "reader") return keep(path);
    const former =
      found.kind === "writer"
        ? await judgeFormerWriter({ config, deps }, feed, signal)
        : { kind: "rebuild" as const, reason: found.reason };
    if (former.kind === "keep") return keep(former.path);
    const hasDiverged = found.kind === "writer";
    const { clock } = deps;
    await letWriterGoFirst({ writerAgentSocket: () => this.writerAgentSocket, clock, signal });
    return rebuildCache({
      config,
      deps,
      sources,
      reason: former.reason,
      patienceMs: hasDiverged ? copyPatienceMs : 0,
      wish: undefined,
      untilUsable: (backup) => this.untilUsable(backup, feed, signal),
      signal,
    });
  }

  /** A copy of a writer may hold what no quorum has yet: it counts when VDL has passed its end, on its timeline. */
  private async untilUsable(backup: BaseBackup, feed: LogFeed, signal: AbortSignal): Promise<void> {
    for (;;) {
      const { vdl, path } = await feed.inspect();
      const spans = timelineSpans(path);
      const index = spans.findLastIndex((span) => span.timeline === backup.endTimeline);
      const next = spans[index + 1];
      if (index < 0 || (next && next.start < backup.endLsn)) throw beyondTheVolume(backup);
      if (vdl >= backup.endLsn) return;
      if (signal.aborted) throw signal.reason;
      await sleep(this.deps.clock, durablePollMs, signal);
    }
  }

  /** A history file of a branch that the volume left would lead PostgreSQL there (D38). */
  private async dropStrayHistory(feed: LogFeed): Promise<void> {
    if ((await newestHistoryFile(this.config)) === 0) return;
    try {
      const { path } = await feed.inspect();
      await installPathHistory(this.config, timelineSpans(path));
    } catch (error) {
      // Nobody answers: the reader shows what it has, and a wrong turn is noticed when the volume is back.
      this.deps.logger.info({ event: "history.notChecked" }, messageOf(error));
    }
  }

  /** The cache cannot be read on from: without its stamp the next start builds it again. */
  private async giveUpCache(reason: string): Promise<void> {
    this.isGivenUp = true;
    await unstampCache(this.config.instanceDir);
    const why = `the cache of ${this.config.instance} must be built again: ${reason}`;
    this.onBroke(new BorealisError(sqlState.adminShutdown, why));
  }

  /**
   * A backtrack to where this cache had not come yet, as to a reader that was built between the two epochs of a return: the
   * feed has found it to be on the new path. Without a note of that it would be built again before it could be promoted.
   */
  private async noteFollowed(): Promise<void> {
    const { config, notedPath, standby } = this;
    const view = standby.feed?.view;
    if (!view?.isKnown || view.epoch === epochNone) return;
    const path = view.visiblePath();
    if (!notedPath || this.stagedAt !== undefined || this.isGivenUp) return;
    if (!meetsBacktrack(notedPath, path)) return;
    this.notedPath = path;
    await noteCachePath(config, path);
  }

  /**
   * A standby that followed a timeline which the volume then left behind is refused at each try, and says so only in
   * its log. Nodes that answer and dozens of refused tries in a row tell it apart from nodes that are away.
   */
  private async noticeLostPath(): Promise<void> {
    const { feed } = this.standby;
    const status = feed?.status;
    if (!feed || !status) return;
    if (status.isStreaming) this.attemptsBefore = status.connections;
    if (status.connections - this.attemptsBefore < lostAfterAttempts) return;
    await feed.inspect();
    await this.giveUpCache("its PostgreSQL cannot follow the volume's log");
  }

  /** For how long there has been durable log that is not replayed; 0: there is none. Shown to people, decides nothing. */
  private lagMs(): number | undefined {
    const status = this.standby.feed?.status;
    if (!status || status.heardMs === 0) return undefined;
    const nowMs = this.deps.clock.nowMs();
    this.lag.note(status.vdl, nowMs);
    return this.lag.lagMs(status.apply, nowMs);
  }

  /**
   * A PostgreSQL that takes connections and answers nothing is ended, and started again: whoever is connected there would
   * wait for ever. It has about ten seconds, as no writes wait for it. Looks are counted, since we may have been frozen.
   */
  private async watchSilence(stop: AbortSignal): Promise<void> {
    const { clock, logger } = this.deps;
    let silentLooks = 0;
    while (silentLooks < silentLooksMax) {
      await sleep(clock, silenceLookMs, stop);
      if (stop.aborted) return;
      silentLooks = this.pulse.silentMs() > 2 * silenceLookMs ? silentLooks + 1 : 0;
    }
    logger.warn({ event: "reader.silent", instance: this.config.instance });
    this.state = "stopped";
    await this.standby.kill();
    this.onBroke(new BorealisError(sqlState.cannotConnectNow, "its PostgreSQL answered nothing"));
  }

  /** hot_standby_feedback travels to the writer's agent, which tells its driver; a lost line is made again. */
  private async passFeedbackOn(stop: AbortSignal): Promise<void> {
    let client: RpcClient | undefined;
    let dialled = "";
    // Whoever promotes this reader must not wait for the answer of a writer that is frozen.
    stop.addEventListener("abort", () => client?.close(), { once: true });
    while (!stop.aborted) {
      const { feedback, writerAgentSocket } = this;
      try {
        if (dialled !== writerAgentSocket) client?.close();
        if (!client || client.closed || dialled !== writerAgentSocket) {
          client = await this.dialWriter(writerAgentSocket, stop);
        }
        dialled = writerAgentSocket;
        if (feedback)
          await client.call(
            "feedback",
            { from: this.config.instance, ...feedback },
            { timeoutMs: 2_000 },
          );
      } catch (error) {
        this.deps.logger.debug({ event: "feedback.notPassed" }, messageOf(error));
      }
      this.restartLsn = await findRestartLsn(this.config.instanceDir);
      const look = this.noteFollowed().then(() => this.noticeLostPath());
      await look.catch((error: unknown) => {
        this.deps.logger.debug({ event: "feed.unknown" }, messageOf(error));
      });
      await sleep(this.deps.clock, feedbackRetryMs, stop);
    }
    client?.close();
  }

  private dialWriter(path: string, signal: AbortSignal): Promise<RpcClient> {
    return connectRpc({ kind: "unix", path }, { timeoutMs: 1_000, signal });
  }
}

function pickFeedback({ xmin, xminEpoch }: StandbyFeedback): RoleFacts["feedback"] {
  return { xmin, xminEpoch };
}

/** Its cache may have log that a backtrack removed: it is not shown before somebody says that it has not. */
function pathUnknown(instance: string): BorealisError {
  const why = `no storage node says which path the volume is on: ${instance} shows nothing yet`;
  return new BorealisError(sqlState.cannotConnectNow, why);
}
