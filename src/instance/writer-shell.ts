import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { nodeId, volumeId } from "../base/ids.ts";
import { formatLsn, lsnZero, parseLsn } from "../base/lsn.ts";
import { bootstrapUser, dataDirOf, type Postgres, sealCache, stampCache } from "../engine/index.ts";
import { Scope } from "../io/index.ts";
import {
  type Claimed,
  type DriverEvent,
  type LogDriverHandle,
  type Opened,
  type TimelineChoice,
} from "../log-driver/index.ts";
import type { PgClient } from "../wire/index.ts";
import type { AgentDeps } from "./agent-deps-shell.ts";
import { carryOutBacktrack } from "./backtrack-shell.ts";
import { AheadCache, type GoingOn } from "./ahead-shell.ts";
import { isCacheOnPath } from "./cache-path-shell.ts";
import { judge, timelineOfCache } from "./cache-shell.ts";
import { type Cutoff, openingOf, readStartCutoff } from "./cutoff-shell.ts";
import { problemOf } from "./driver-events.ts";
import { DurabilityWaits } from "./durability-shell.ts";
import { FeedbackBook } from "./feedback.ts";
import { passFeedbackOn } from "./feedback-shell.ts";
import { historyBelow, installPathHistory } from "./history-shell.ts";
import { readHotBlocks } from "./hot-blocks-shell.ts";
import type { AgentConfig, Feedback, HotBlocks, WantedMembers, WriterOrder } from "./messages.ts";
import { isUnwritten, mayKeepTimeline } from "./keep-timeline-shell.ts";
import { linkOwner, nodesNearestFirst, volumeNodes } from "./nodes.ts";
import { noteOwnedEpoch, releaseOwnedEpoch } from "./owned-epoch-shell.ts";
import type { OwnedVolume } from "./pins-shell.ts";
import { connectAgent } from "./postgres-shell.ts";
import { type DrainTimes, drainSessions } from "./drain-shell.ts";
import { type Pulse, writerPulse } from "./pulse-shell.ts";
import { promoteAt } from "./promotion-shell.ts";
import { beyondTheVolume, rebuildCache } from "./rebuild-shell.ts";
import { makeDriver } from "./make-driver-shell.ts";
import { ReadGrants } from "./read-gate-shell.ts";
import type { RoleFacts, RoleOwner, StopKind } from "./role.ts";
import { StartWatch } from "./start-phases.ts";
import { Standby } from "./standby-shell.ts";
import { Standstill } from "./standstill.ts";
import { bootstrapVolume, keepSurface } from "./surface-shell.ts";

const readyTimeoutMs = 300_000;

/** What a writer may take over from the reader that it was. */
export interface Inherited {
  /** Runs, and takes sessions. */
  readonly standby?: Standby | undefined;
  /** Warm: its thread has started. */
  readonly driver?: LogDriverHandle | undefined;
}

/**
 * The writer: claim the volume, make sure that this instance's log is the volume's, open the epoch, start PostgreSQL,
 * attach the driver, and let nobody in before VDL has passed the end of the local log.
 */
export class WriterRole {
  private readonly config: AgentConfig;
  private readonly deps: AgentDeps;
  private readonly owner: RoleOwner;
  private readonly standby: Standby;
  readonly driver: LogDriverHandle;
  /** What proxies ask before they tell a client what this PostgreSQL said. */
  readonly readGrants: ReadGrants;
  private readonly scope: Scope;
  private readonly feedback = new FeedbackBook();
  private client: PgClient | undefined;
  private waits: DurabilityWaits | undefined;
  private opened: Opened | undefined;
  /** What was claimed last for being opened, and the cutoff there. */
  private claimed: Claimed | undefined;
  private cutoff: Cutoff | undefined;
  private state: RoleFacts["state"] = "starting";
  private isStopping = false;
  private isDead = false;
  private isAbandoned = false;
  private readonly pulse: Pulse;
  private readonly standstill = new Standstill();
  /** The PostgreSQL that it has from the reader it was: it takes sessions from the first moment on. */
  private readonly inheritedPid: number | undefined;
  /** Aborts when anything of this role has ended: whatever waits for it must not wait for ever. */
  private readonly broken = new AbortController();

  constructor(config: AgentConfig, deps: AgentDeps, owner: RoleOwner, inherited: Inherited = {}) {
    this.config = config;
    this.deps = deps;
    this.owner = owner;
    const standbyOwner = {
      onBroke: (error: unknown): void => this.broke(error),
      onDying: (): void => this.die(),
      onCutoff: (cutoff: Cutoff): void => this.noteCutoff(cutoff),
    };
    this.standby = inherited.standby ?? new Standby(config, deps, standbyOwner);
    this.standby.handTo(standbyOwner);
    this.driver = inherited.driver ?? makeDriver(config, deps.driverCounts);
    // A driver that was made long ago knows the nodes of then.
    this.noteNodes();
    const { clock } = deps;
    this.readGrants = new ReadGrants({ driver: this.driver, clock, leaseMs: config.leaseMs });
    this.pulse = writerPulse(clock, () => connectAgent(this.postgres), this.driver);
    this.inheritedPid = this.postgres.pid;
    this.pulse.begin();
    this.driver.onEvent((event) => this.onDriverEvent(event));
    this.scope = new Scope((error) => this.broke(error));
  }

  get postgres(): Postgres {
    return this.standby.postgres;
  }

  /** Raises what stood in the way; the caller then stops this role whole. */
  async start(order: WriterOrder, closing: AbortSignal): Promise<void> {
    const { bootstrap } = order;
    const { config, deps, driver, standby } = this;
    const signal = AbortSignal.any([closing, this.broken.signal]);
    if (!standby.isRunning) await this.postgres.clearOrphans();
    const isAhead = !standby.isRunning && order.backtrack === null;
    const ahead = isAhead ? new AheadCache(config, deps, signal) : undefined;
    const watch = new StartWatch(deps);
    try {
      const claimed = await driver.claim();
      watch.passed("claim");
      deps.logger.info({ event: "epoch.claimed", epoch: claimed.epoch, start: claimed.start });
      this.state = "recovering";
      this.opened = await this.backtrack(claimed, order, signal);
      const isBuilt = (await ahead?.isFor(claimed)) ?? false;
      if (!this.opened) await this.goOn(claimed, { sources: order.sources, isBuilt, signal });
      watch.passed("recovery");
    } finally {
      await ahead?.cancel();
    }
    const target = { address: this.postgres.address, user: bootstrapUser };
    const [client, waiting] = await Promise.all([
      standby.takeSession(),
      connectAgent(this.postgres),
      driver.attach({ ...target, systemId: config.systemIdentifier }),
    ]);
    this.client = client;
    await this.untilLocalLogIsDurable(signal);
    const surface = { ...config, postgres: this.postgres, deps };
    if (bootstrap) await bootstrapVolume({ ...surface, client, signal }, bootstrap);
    await deps.beforeServing?.();
    this.waits = new DurabilityWaits({
      client: waiting,
      driver,
      signal: this.scope.signal,
    });
    if (this.isDead) throw new BorealisError(sqlState.adminShutdown, "PostgreSQL ended");
    this.pulse.begin();
    this.state = "available";
    this.scope.run((stop) => passFeedbackOn(this.feedback, { driver, clock: deps.clock }, stop));
    watch.passed("attachment");
    this.scope.run((stop) => keepSurface({ ...surface, signal: stop }));
    deps.logger.info({ event: "writer.available", epoch: this.facts().epoch, vdl: driver.vdl });
  }

  /** Undefined: none is ordered, or there is none to be done. */
  private async backtrack(
    claimed: Claimed,
    { backtrack }: WriterOrder,
    signal: AbortSignal,
  ): Promise<Opened | undefined> {
    if (!backtrack) return undefined;
    const { config, deps, driver, standby, standstill } = this;
    const open = (now: Claimed, choice: TimelineChoice): Promise<Opened> => this.open(now, choice);
    const work = { config, deps, driver, standby, standstill, claimed, open, signal };
    return carryOutBacktrack(work, backtrack);
  }

  /** From the recovery LSN on. */
  private async goOn(claimed: Claimed, how: GoingOn): Promise<void> {
    const { config, standby } = this;
    const { isBuilt, signal } = how;
    if (standby.isRunning && !(await isCacheOnPath(config, claimed.history))) {
      // A backtrack that it has not noticed yet has removed log that it has replayed.
      await this.postgres.stop("immediate", 5_000);
      await standby.closeFeed();
    }
    if (standby.isRunning) await this.promote(claimed, signal);
    else if (!isBuilt && (await mayKeepTimeline(config, this.deps, claimed)))
      await this.startInPlace(claimed, signal);
    else await this.startByPromotion(claimed, how);
  }

  facts(): RoleFacts {
    const progress = this.driver.progress;
    const vdl = progress.vdl > lsnZero ? formatLsn(progress.vdl) : undefined;
    return {
      state: this.state,
      isAdmitted: this.state === "available",
      postgresPid: this.postgres.pid,
      epoch: this.opened?.epoch ?? 0,
      timeline: this.opened?.timeline ?? 0,
      vdl,
      replayLsn: vdl,
      lagMs: 0,
      hasQuorum: progress.hasQuorum,
      opening: this.claimed && this.cutoff ? openingOf(this.claimed, this.cutoff) : null,
    };
  }

  /** A shutdown checkpoint will have little left to write. */
  async checkpoint(): Promise<void> {
    if (this.state === "available") await this.client?.query("CHECKPOINT");
  }

  /** What a reader that may be promoted has to have in memory. */
  hotBlocks(): Promise<HotBlocks> {
    return readHotBlocks(this.postgres);
  }

  /** Gives up a start that is under way: whatever it waits for, it waits no longer. */
  abandonStart(): void {
    if (this.state === "available") return;
    this.isStopping = true;
    this.isAbandoned = true;
    this.broken.abort(new BorealisError(sqlState.adminShutdown, "another instance is to write"));
    void this.driver.resign().catch(() => undefined);
  }

  /** No session gets an answer any more; who waits for another writer need not wait for our end. */
  private die(): void {
    this.isDead = true;
    this.state = "stopped";
    this.owner.onNews();
  }

  /** It answers nobody: nothing of it is to wait for. */
  async kill(): Promise<void> {
    this.die();
    await this.standby.kill();
  }

  /** Milliseconds since its PostgreSQL last answered a new session; undefined while it may have reasons not to. */
  silentMs(): number | undefined {
    const { pid } = this.postgres;
    // One that stops refuses new sessions until its end: that is an answer.
    const isThere = pid !== undefined && (pid === this.inheritedPid || this.isStopping);
    return isThere || this.state === "available" ? this.pulse.silentMs() : undefined;
  }

  /** Milliseconds since its promotion last came nearer to its end, where only its PostgreSQL can be what it waits for. */
  standstillMs(): number {
    return this.standstill.asked(this.deps.clock.nowMs(), this.driver.progress);
  }

  /** Waits until the statements that run now have ended. */
  async drain(times: DrainTimes): Promise<void> {
    if (this.state !== "available") return;
    await drainSessions(this.postgres, { clock: this.deps.clock, ...times });
  }

  takeFeedback(feedback: Feedback): void {
    this.feedback.record(feedback, this.deps.clock.nowMs());
  }

  async untilDurable(what: "flushed" | "inserted"): Promise<void> {
    if (!this.waits)
      throw new BorealisError(sqlState.cannotConnectNow, "the writer is not open yet");
    await this.waits.until(what);
  }

  /** Resolves when these are the members of the volume, and who is out may go. */
  changeMembers(members: WantedMembers): Promise<void> {
    return this.driver.changeMembers(
      members.map((member) => ({ ...member, nodeId: nodeId(member.nodeId) })),
    );
  }

  /** The volume while it is this writer's. Raises 57P03 before it is open. */
  get volume(): OwnedVolume {
    const { config, deps, driver, opened, scope } = this;
    if (!opened) throw new BorealisError(sqlState.cannotConnectNow, "the writer is not open yet");
    const reader = { nodes: nodesNearestFirst(config), owner: linkOwner(config) };
    return { driver, opened, reader: { ...reader, clock: deps.clock, signal: scope.signal } };
  }

  /** The address book has changed. */
  noteNodes(): void {
    this.driver.setNodes(volumeNodes(this.config));
  }

  /** D6: the epoch is released only after the last process of this PostgreSQL is gone. */
  async stop(kind: StopKind): Promise<void> {
    this.isStopping = true;
    this.state = "stopped";
    const scope = this.scope.close("the writer stops");
    const stopped = await this.standby.stop(kind);
    this.client?.destroy();
    await scope;
    await this.driver.release().catch(async (error: unknown) => {
      this.deps.logger.debug({ event: "epoch.notReleased" }, messageOf(error));
      // Its thread is gone, and so is PostgreSQL: the same from outside, while the next start goes on.
      await this.releaseOwned();
    });
    // A driver that has resigned releases nothing, and its epoch may have been open.
    if (this.isAbandoned) await this.releaseOwned();
    this.driver.stop();
    if (kind === "clean" && stopped.isClean) await sealCache(this.config.instanceDir);
  }

  private releaseOwned(): Promise<void> {
    return releaseOwnedEpoch(this.config, this.deps, new AbortController().signal);
  }

  /**
   * The same timeline goes on: PostgreSQL recovers by itself. It runs before the epoch is opened, so that one that
   * cannot start costs no epoch; nobody is let in and nothing is acknowledged before the driver is attached.
   */
  private async startInPlace(claimed: Claimed, signal: AbortSignal): Promise<void> {
    const { config, postgres } = this;
    await stampCache(config.instanceDir, volumeId(config.volumeId));
    await installPathHistory(config, historyBelow(claimed));
    const born = await timelineOfCache(config);
    await this.standby.startAs("writer", { timeoutMs: readyTimeoutMs, signal });
    const client = await connectAgent(postgres);
    const cutoff = await readStartCutoff(client, dataDirOf(config.instanceDir));
    client.destroy();
    this.opened = await this.open(claimed, isUnwritten(config, claimed) ? { born } : "keep");
    this.noteCutoff(cutoff);
  }

  private async open(claimed: Claimed, timeline: TimelineChoice): Promise<Opened> {
    await noteOwnedEpoch(this.config, claimed.epoch);
    this.claimed = claimed;
    return this.driver.open(timeline);
  }

  private noteCutoff(cutoff: Cutoff): void {
    this.cutoff = cutoff;
    this.owner.onNews();
  }

  /** The cache is not what the volume says: it is built as a reader's, up to the recovery LSN, and promoted there. */
  private async startByPromotion(
    claimed: Claimed,
    { sources, isBuilt, signal }: GoingOn,
  ): Promise<void> {
    const { config, deps } = this;
    const isFit = isBuilt || (await this.hasReadersCache(claimed));
    if (!isFit) {
      await rebuildCache({
        config,
        deps,
        sources,
        reason: "it is not the volume's",
        // Writes wait for this one.
        patienceMs: 0,
        wish: { path: claimed.history, at: claimed.start, base: claimed.low },
        untilUsable: (backup) =>
          backup.endLsn <= claimed.start
            ? Promise.resolve()
            : Promise.reject(beyondTheVolume(backup)),
        signal,
      });
    }
    await stampCache(config.instanceDir, volumeId(config.volumeId));
    await this.promote(claimed, signal);
  }

  private async hasReadersCache({ history }: Claimed): Promise<boolean> {
    const { kind } = await judge(this.config);
    return kind === "reader" && isCacheOnPath(this.config, history);
  }

  private async promote(claimed: Claimed, signal: AbortSignal): Promise<void> {
    const { config, deps, standby, standstill } = this;
    const open = (): Promise<Opened> => this.open(claimed, "new");
    const work = { config, deps, standby, standstill, claimed, open, signal };
    this.opened = await promoteAt(work);
  }

  /** Commits that nobody acknowledged are visible after a restart: nobody may see them before they are durable. */
  private async untilLocalLogIsDurable(signal: AbortSignal): Promise<void> {
    const { rows } = (await this.client?.query("SELECT pg_catalog.pg_current_wal_flush_lsn()")) ?? {
      rows: [],
    };
    const end = parseLsn(rows[0]?.[0] ?? "");
    await this.driver.waitForVcl(end, signal);
  }

  private onDriverEvent(event: DriverEvent): void {
    const problem = problemOf(event, this.deps.logger);
    if (problem) this.broke(problem);
  }

  private broke(error: unknown): void {
    this.broken.abort(error);
    if (this.isStopping) return;
    // The driver may notice the end of PostgreSQL before the agent does.
    this.die();
    this.owner.onBroke(error);
  }
}
