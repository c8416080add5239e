import { BorealisError, sqlState } from "../base/errors.ts";
import { formatLsn, type Lsn } from "../base/lsn.ts";
import {
  dataDirOf,
  dropUnreachedTimeline,
  EndedAtStart,
  type Postgres,
  type Role,
  type StopResult,
  unstampCache,
} from "../engine/index.ts";
import type { LogFeed } from "../log-driver/index.ts";
import type { History } from "../quorum/index.ts";
import type { PgClient, StandbyFeedback } from "../wire/index.ts";
import type { AgentDeps } from "./agent-deps-shell.ts";
import type { Cutoff } from "./cutoff-shell.ts";
import { startFeed } from "./feed-shell.ts";
import type { AgentConfig } from "./messages.ts";
import { connectAgent, makePostgres } from "./postgres-shell.ts";
import type { StopKind } from "./role.ts";

/** The role that a standby works for; told what it cannot know otherwise. */
export interface StandbyOwner {
  /** Its PostgreSQL has ended without having been asked to. */
  onBroke(error: unknown): void;
  /** The same, at once: what is left of it is being ended. */
  onDying?(): void;
  onFeedback?(feedback: StandbyFeedback): void;
  /** Its log is not the volume's any more. */
  onPathChanged?(): void;
  /** It is about to be promoted, and will give out transaction ids from there on. */
  onCutoff?(cutoff: Cutoff): void;
}

interface StartWait {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** A clean stop waits no longer than this for the shutdown checkpoint (D4: without a quorum it would wait for ever). */
const fastStopMs = 5_000;
/** Long for a busy machine. */
const firstAnswerMs = 15_000;

/**
 * One PostgreSQL and the feed that it drinks from. A reader's; or one on its way to be the writer, which takes it over
 * as it runs: a restart would cost a failover most of its time.
 */
export class Standby {
  readonly postgres: Postgres;
  private readonly config: AgentConfig;
  private readonly deps: AgentDeps;
  private owner: StandbyOwner;
  private running: LogFeed | undefined;
  private session: PgClient | undefined;
  /** Should it not start now, it is started otherwise. */
  private isAttempt = false;

  constructor(config: AgentConfig, deps: AgentDeps, owner: StandbyOwner) {
    this.config = config;
    this.deps = deps;
    this.owner = owner;
    this.postgres = makePostgres(config, deps, {
      onDying: () => {
        if (!this.isAttempt) this.owner.onDying?.();
      },
      onBroke: (error) => {
        if (!this.isAttempt) this.owner.onBroke(error);
      },
    });
  }

  get feed(): LogFeed | undefined {
    return this.running;
  }
  get isRunning(): boolean {
    return this.postgres.pid !== undefined;
  }

  /** Opens a session ahead of a promotion, which then need not wait for one. Resolves when PostgreSQL has answered on it. */
  async warmUp(): Promise<void> {
    if (!this.isRunning) return;
    const kept = this.session;
    this.session = undefined;
    // It may have been taken off since, as all sessions are before a promotion, also one that came to nothing.
    if (kept && (await answers(kept))) return this.giveSession(kept);
    kept?.destroy();
    const session = await connectAgent(this.postgres);
    await session.query("SELECT 1");
    this.giveSession(session);
  }

  /** A session of the agent's own: the one that was opened ahead, or a new one. Whoever takes it ends it. */
  async takeSession(): Promise<PgClient> {
    const { session } = this;
    this.session = undefined;
    return session && !session.isClosed ? session : connectAgent(this.postgres);
  }

  /** It is not needed any more just now, but may be soon. */
  giveSession(session: PgClient): void {
    if (this.session) session.destroy();
    else this.session = session;
  }

  /** From now on another role answers for it. */
  handTo(owner: StandbyOwner): void {
    this.owner = owner;
  }

  /** The feed listens; with `cap` it gives not a byte beyond. `path`: known to be open; older nodes are not heard. */
  async openFeed(cap?: Lsn, path?: History): Promise<LogFeed> {
    this.running ??= await startFeed(this.config, this.deps, {
      ...(path ? { path } : {}),
      onFeedback: (feedback) => this.owner.onFeedback?.(feedback),
      onPathChanged: () => this.owner.onPathChanged?.(),
    });
    if (cap !== undefined) {
      this.running.setCap(cap);
      this.deps.logger.info({ event: "feed.capped", at: formatLsn(cap) });
    }
    return this.running;
  }

  tellCutoff(cutoff: Cutoff): void {
    this.owner.onCutoff?.(cutoff);
  }

  async closeFeed(): Promise<void> {
    const { running } = this;
    this.running = undefined;
    await running?.close();
  }

  /** Starts PostgreSQL as a hot standby, and waits until it takes sessions. The feed must be open. */
  async start(wait: StartWait): Promise<void> {
    if (!this.running) {
      throw new BorealisError(sqlState.internal, "a standby without a feed would wait for ever");
    }
    const dropped = await dropUnreachedTimeline(dataDirOf(this.config.instanceDir));
    if (dropped !== undefined)
      this.deps.logger.info({ event: "log.unreachedDropped", segment: dropped });
    await this.startAs("reader", wait);
  }

  /**
   * Starts PostgreSQL with what users have set, and without if it does not start with that, or not in time, or answers nobody:
   * no value keeps an instance from running. Resolves when it takes sessions.
   */
  async startAs(role: Role, wait: StartWait): Promise<void> {
    const { parameters } = this.deps;
    const attempts = (await parameters?.attempts()) ?? [new Map<string, string>()];
    let failure: unknown;
    for (const [index, values] of attempts.entries()) {
      const isLast = index === attempts.length - 1;
      parameters?.starting(values);
      try {
        this.isAttempt = !isLast;
        await this.postgres.start(role);
        await this.postgres.untilReady(wait);
        if (!isLast) await askOnce(this.postgres, wait.signal);
        break;
      } catch (error) {
        if (isLast) await this.noteFailure(error);
        if (isLast || wait.signal.aborted) throw error;
        // One that has started with them before, and runs, waits for something else: its log, the quorum.
        if (this.isRunning && (await parameters?.haveStarted(values)) === true) throw error;
        failure ??= error;
        await this.postgres.killAll();
      } finally {
        this.isAttempt = false;
      }
    }
    await parameters?.serving(this.postgres, failure);
  }

  /** One that ends by itself time and again begins with another cache. */
  private async noteFailure(error: unknown): Promise<void> {
    const { config, deps } = this;
    if (!(error instanceof EndedAtStart) || deps.failedStarts?.note(error) !== true) return;
    deps.logger.warn({ event: "cache.givenUp", instance: config.instance }, error.message);
    await unstampCache(config.instanceDir);
  }

  /** Its processes are gone when this resolves, whatever state they were in. */
  kill(): Promise<void> {
    return this.postgres.killAll();
  }

  async stop(kind: StopKind): Promise<StopResult> {
    this.session?.destroy();
    this.session = undefined;
    const stopped = await this.postgres.stop(
      kind === "immediate" ? "immediate" : "fast",
      fastStopMs,
    );
    await this.closeFeed();
    return stopped;
  }
}

/** Raises if it does not answer. */
async function askOnce(postgres: Postgres, signal: AbortSignal): Promise<void> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(firstAnswerMs)]);
  const session = await connectAgent(postgres);
  const onLimit = (): void => session.destroy();
  limit.addEventListener("abort", onLimit, { once: true });
  try {
    await session.query("SELECT 1");
  } finally {
    limit.removeEventListener("abort", onLimit);
    session.destroy();
  }
}

async function answers(session: PgClient): Promise<boolean> {
  try {
    await session.query("SELECT 1");
    return true;
  } catch {
    return false;
  }
}
