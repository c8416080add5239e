import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import { formatLsn, lsnZero } from "../base/lsn.ts";
import { type Postgres, sealCache, stampCache, unstampCache } from "../engine/index.ts";
import { connectRpc, type RpcClient, Scope, sleep } from "../io/index.ts";
import type { LogFeed } from "../log-driver/index.ts";
import type { StandbyFeedback } from "../wire/index.ts";
import type { AgentDeps } from "./agent-shell.ts";
import { judge, seedFromGenesis } from "./cache-shell.ts";
import { startFeed } from "./feed-shell.ts";
import type { AgentConfig } from "./messages.ts";
import { findRestartLsn } from "./restart-shell.ts";
import { makePostgres } from "./postgres-shell.ts";
import type { RoleFacts, StopKind } from "./role.ts";

const readyTimeoutMs = 60_000;
/** PostgreSQL sends feedback every wal_receiver_status_interval (1 s); it is passed on as it comes. */
const feedbackRetryMs = 1_000;
/** PostgreSQL tries every 100 ms (wal_retrieve_retry_interval). */
const lostAfterAttempts = 60;

/** A hot standby whose walreceiver talks to this agent, which serves WAL from storage and stops at VDL. */
export class ReaderRole {
  private readonly config: AgentConfig;
  private readonly deps: AgentDeps;
  private readonly onBroke: (error: unknown) => void;
  private readonly postgres: Postgres;
  private readonly scope: Scope;
  private feed: LogFeed | undefined;
  private state: RoleFacts["state"] = "starting";
  private feedback: StandbyFeedback | undefined;
  private restartLsn: string | undefined;
  private behindSinceMs: number | undefined;
  /** Attempts of the walreceiver to connect when it last streamed. */
  private attemptsBefore = 0;
  /** Aborts when anything of this role has ended: whatever waits for it must not wait for ever. */
  private readonly broken = new AbortController();

  constructor(config: AgentConfig, deps: AgentDeps, onBroke: (error: unknown) => void) {
    this.config = config;
    this.deps = deps;
    this.onBroke = (error) => {
      this.broken.abort(error);
      onBroke(error);
    };
    this.postgres = makePostgres(config, deps.logger, this.onBroke);
    this.scope = new Scope(this.onBroke);
  }

  /** Builds the cache if there is none to believe, starts the feed, then PostgreSQL. Raises what stood in the way. */
  async start(writerAgentSocket: string, closing: AbortSignal): Promise<void> {
    const { config, deps } = this;
    const signal = AbortSignal.any([closing, this.broken.signal]);
    await this.ensureCache();
    this.feed = await startFeed(config, deps, {
      onFeedback: (feedback) => {
        this.feedback = feedback;
      },
      onPathChanged: () => void this.giveUpCache("it has log that is not the volume's"),
    });
    this.state = "recovering";
    await this.postgres.start("reader");
    await this.postgres.untilReady({ timeoutMs: readyTimeoutMs, signal });
    this.state = "available";
    this.scope.run((stop) => this.passFeedbackOn(writerAgentSocket, stop));
    deps.logger.info({ event: "reader.available", instance: config.instance });
  }

  facts(): RoleFacts {
    const status = this.feed?.status;
    const apply = status && status.apply > lsnZero ? status.apply : undefined;
    return {
      state: this.state,
      isAdmitted: this.state === "available",
      postgresPid: this.postgres.pid,
      epoch: status?.epoch ?? 0,
      timeline: 0,
      vdl: status && status.vdl > lsnZero ? formatLsn(status.vdl) : undefined,
      replayLsn: apply === undefined ? undefined : formatLsn(apply),
      lagMs: this.lagMs(),
      hasQuorum: true,
      restartLsn: this.restartLsn,
    };
  }

  async stop(kind: StopKind): Promise<void> {
    this.state = "stopped";
    await this.scope.close("the reader stops");
    const stopped = await this.postgres.stop(kind === "clean" ? "fast" : "immediate", 5_000);
    await this.feed?.close();
    if (stopped.isClean) await sealCache(this.config.instanceDir);
  }

  private async ensureCache(): Promise<void> {
    const { config, deps } = this;
    const found = await judge(config);
    if (found.kind === "reader") return stampCache(config.instanceDir, volumeId(config.volumeId));
    await seedFromGenesis(config, deps.logger, found.reason);
  }

  /** The cache cannot be read on from: without its stamp the next start builds it again. */
  private async giveUpCache(reason: string): Promise<void> {
    await unstampCache(this.config.instanceDir);
    const why = `the cache of ${this.config.instance} must be built again: ${reason}`;
    this.onBroke(new BorealisError(sqlState.adminShutdown, why));
  }

  /**
   * A standby that followed a timeline which the volume then left behind is refused at each try, and says so only in
   * its log. Nodes that answer and dozens of refused tries in a row tell it apart from nodes that are away.
   */
  private async noticeLostPath(): Promise<void> {
    const { feed } = this;
    const status = feed?.status;
    if (!feed || !status) return;
    if (status.isStreaming) this.attemptsBefore = status.connections;
    if (status.connections - this.attemptsBefore < lostAfterAttempts) return;
    await feed.inspect();
    await this.giveUpCache("its PostgreSQL cannot follow the volume's log");
  }

  /** Milliseconds since the replay position last stood at VDL; 0 while it does. Shown to people, decides nothing. */
  private lagMs(): number | undefined {
    const status = this.feed?.status;
    if (!status || status.heardMs === 0) return undefined;
    const isBehind = status.apply < status.vdl;
    const nowMs = this.deps.clock.nowMs();
    if (!isBehind) this.behindSinceMs = undefined;
    else this.behindSinceMs ??= nowMs;
    return this.behindSinceMs === undefined ? 0 : nowMs - this.behindSinceMs;
  }

  /** hot_standby_feedback travels to the writer's agent, which tells its driver; a lost line is made again. */
  private async passFeedbackOn(writerAgentSocket: string, stop: AbortSignal): Promise<void> {
    let client: RpcClient | undefined;
    while (!stop.aborted) {
      const { feedback } = this;
      try {
        client = client && !client.closed ? client : await this.dialWriter(writerAgentSocket, stop);
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
      await this.noticeLostPath().catch((error: unknown) => {
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
