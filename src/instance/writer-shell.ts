import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { nodeId, volumeId } from "../base/ids.ts";
import { formatLsn, lsnZero, parseLsn, segmentStart } from "../base/lsn.ts";
import { bootstrapUser, dataDirOf, type Postgres, sealCache, stampCache } from "../engine/index.ts";
import { Scope, sleep } from "../io/index.ts";
import {
  type Claimed,
  compareLocalWal,
  type DriverEvent,
  findLow,
  type LogDriverHandle,
  type Opened,
  startLogDriver,
  VolumeReader,
} from "../log-driver/index.ts";
import type { PgClient } from "../wire/index.ts";
import type { AgentDeps } from "./agent-shell.ts";
import { bootstrapSql } from "./bootstrap.ts";
import { hasLaterTimeline, judge, seedFromGenesis } from "./cache-shell.ts";
import { DurabilityWaits } from "./durability-shell.ts";
import { FeedbackBook } from "./feedback.ts";
import type { AgentConfig, Bootstrap, Feedback, WantedMembers } from "./messages.ts";
import { nodesNearestFirst, volumeNodes } from "./nodes.ts";
import { connectAgent, makePostgres } from "./postgres-shell.ts";
import { promoteAt } from "./promotion-shell.ts";
import type { RoleFacts, StopKind } from "./role.ts";

const readyTimeoutMs = 300_000;
/** Of WAL kept in the driver's memory for nodes that lag; beyond it they catch up from their peers. */
const ringBytes = 32 * 1024 * 1024;
const feedbackEveryMs = 1_000;
/** D4: without a quorum a fast stop would wait for ever. */
const fastStopMs = 5_000;

/**
 * The writer: claim the volume, make sure that this instance's log is the volume's, open the epoch, start PostgreSQL,
 * attach the driver, and let nobody in before VDL has passed the end of the local log.
 */
export class WriterRole {
  private readonly config: AgentConfig;
  private readonly deps: AgentDeps;
  private readonly onBroke: (error: unknown) => void;
  private readonly postgres: Postgres;
  private readonly driver: LogDriverHandle;
  private readonly scope: Scope;
  private readonly feedback = new FeedbackBook();
  private client: PgClient | undefined;
  private waits: DurabilityWaits | undefined;
  private opened: Opened | undefined;
  private state: RoleFacts["state"] = "starting";
  private isStopping = false;
  /** Aborts when anything of this role has ended: whatever waits for it must not wait for ever. */
  private readonly broken = new AbortController();

  constructor(config: AgentConfig, deps: AgentDeps, onBroke: (error: unknown) => void) {
    this.config = config;
    this.deps = deps;
    this.onBroke = onBroke;
    this.postgres = makePostgres(config, deps.logger, (error) => this.broke(error));
    this.driver = startLogDriver({
      nodes: volumeNodes(config),
      owner: { volumeId: volumeId(config.volumeId), sender: config.instance },
      leaseMs: 0,
      ringBytes,
      // A file of its own: two writers cannot rotate one.
      logFile: config.logFile.replace(/\.log$/, "-driver.log"),
      logLevel: config.logLevel,
    });
    this.driver.onEvent((event) => this.onDriverEvent(event));
    this.scope = new Scope((error) => this.broke(error));
  }

  /** Raises what stood in the way; the caller then stops this role whole. */
  async start(bootstrap: Bootstrap | null, closing: AbortSignal): Promise<void> {
    const { config, deps, driver } = this;
    const signal = AbortSignal.any([closing, this.broken.signal]);
    await this.postgres.clearOrphans();
    const claimed = await driver.claim();
    deps.logger.info({ event: "epoch.claimed", epoch: claimed.epoch, start: claimed.start });
    this.state = "recovering";
    if (await this.mayKeepTimeline(claimed)) await this.startInPlace(signal);
    else await this.startByPromotion(claimed, signal);
    await driver.attach({
      address: this.postgres.address,
      user: bootstrapUser,
      systemId: config.systemIdentifier,
    });
    this.client = await connectAgent(this.postgres);
    await this.untilLocalLogIsDurable(signal);
    if (bootstrap) await this.run(bootstrapSql(bootstrap), signal);
    this.waits = new DurabilityWaits({
      client: await connectAgent(this.postgres),
      driver,
      signal: this.scope.signal,
    });
    this.state = "available";
    this.scope.run((stop) => this.passFeedbackOn(stop));
    deps.logger.info({ event: "writer.available", epoch: claimed.epoch, vdl: driver.vdl });
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
    };
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

  /**
   * Log before the WAL segment that holds `from` is needed by nobody: it goes on all nodes, up to a record end, as far as
   * the slowest of them allows.
   */
  async needLog(from: string): Promise<void> {
    const { config, deps, driver, opened } = this;
    if (!opened) throw new BorealisError(sqlState.cannotConnectNow, "the writer is not open yet");
    const { low } = await driver.status();
    const reader = {
      nodes: nodesNearestFirst(config),
      owner: { volumeId: volumeId(config.volumeId), sender: config.instance },
      clock: deps.clock,
      signal: this.scope.signal,
    };
    const segment = segmentStart(parseLsn(from));
    const found = await findLow(reader, { path: opened.history, low, segment });
    if (found !== undefined) driver.wantLow(found);
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
    const stopped = await this.postgres.stop(kind === "clean" ? "fast" : "immediate", fastStopMs);
    this.client?.destroy();
    await scope;
    await this.driver.release().catch((error: unknown) => {
      this.deps.logger.debug({ event: "epoch.notReleased" }, messageOf(error));
    });
    this.driver.stop();
    if (stopped.isClean) await sealCache(this.config.instanceDir);
  }

  /**
   * Whether this instance may go on where it was (D2): its WAL is the volume's up to the recovery LSN and reaches it. A
   * volume that was never written takes its log from the genesis image, wherever that is copied to.
   */
  private async mayKeepTimeline(claimed: Claimed): Promise<boolean> {
    const { config, deps } = this;
    const verdict = await judge(config);
    const isVirgin = claimed.history.length === 0;
    if (isVirgin) {
      // Nothing was ever acknowledged: what a start that failed left in the cache is worth nothing.
      await seedFromGenesis(config, deps.logger, "the volume is new");
      return true;
    }
    if (verdict.kind !== "writer" || claimed.timeline === undefined) {
      deps.logger.warn({ event: "cache.notKept", verdict: verdict.kind, reason: verdict.reason });
      return false;
    }
    if (await hasLaterTimeline(config, claimed.timeline)) {
      deps.logger.warn({ event: "cache.notKept", verdict: "branched", timeline: claimed.timeline });
      return false;
    }
    const reader = new VolumeReader({
      nodes: nodesNearestFirst(config),
      owner: { volumeId: volumeId(config.volumeId), sender: config.instance },
      clock: deps.clock,
    });
    try {
      const found = await compareLocalWal({
        pgWalDir: `${dataDirOf(config.instanceDir)}/pg_wal`,
        timeline: claimed.timeline,
        from: claimed.start,
        to: claimed.start,
        base: claimed.low,
        readVolume: (from, to) => reader.read({ path: claimed.history, from, to }),
      });
      deps.logger.info({ event: "localLog.compared", result: found.kind });
      return found.kind === "equal";
    } finally {
      reader.close();
    }
  }

  /**
   * The same timeline goes on: PostgreSQL recovers by itself. It runs before the epoch is opened, so that one that
   * cannot start costs no epoch; nobody is let in and nothing is acknowledged before the driver is attached.
   */
  private async startInPlace(signal: AbortSignal): Promise<void> {
    const { config, postgres } = this;
    await stampCache(config.instanceDir, volumeId(config.volumeId));
    await postgres.start("writer");
    await postgres.untilReady({ timeoutMs: readyTimeoutMs, signal });
    this.opened = await this.driver.open("keep");
  }

  /** The cache is not what the volume says: it is built as a reader's, up to the recovery LSN, and promoted there. */
  private async startByPromotion(claimed: Claimed, signal: AbortSignal): Promise<void> {
    const { config, deps, driver, postgres } = this;
    const found = await judge(config);
    if (found.kind !== "reader") {
      await seedFromGenesis(config, deps.logger, "it is not the volume's");
    }
    await stampCache(config.instanceDir, volumeId(config.volumeId));
    this.opened = await promoteAt({
      config,
      deps,
      postgres,
      at: claimed.start,
      open: () => driver.open("new"),
      signal,
    });
  }

  /** A statement of our own, given up when the role has broken: it may be waiting for a quorum that never answers. */
  private async run(sql: string, signal: AbortSignal): Promise<void> {
    const { client } = this;
    if (signal.aborted) throw signal.reason;
    const onAbort = (): void => client?.destroy();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await client?.query(sql);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Commits that nobody acknowledged are visible after a restart: nobody may see them before they are durable. */
  private async untilLocalLogIsDurable(signal: AbortSignal): Promise<void> {
    const { rows } = (await this.client?.query("SELECT pg_catalog.pg_current_wal_flush_lsn()")) ?? {
      rows: [],
    };
    const end = parseLsn(rows[0]?.[0] ?? "");
    await this.driver.waitForVcl(end, signal);
  }

  private async passFeedbackOn(stop: AbortSignal): Promise<void> {
    let last = "";
    while (!stop.aborted) {
      const horizon = this.feedback.horizon(this.deps.clock.nowMs());
      const text = JSON.stringify(horizon);
      if (text !== last) this.driver.setFeedback(horizon);
      last = text;
      await sleep(this.deps.clock, feedbackEveryMs, stop);
    }
  }

  private onDriverEvent(event: DriverEvent): void {
    const { logger } = this.deps;
    switch (event.kind) {
      case "standDown":
        return this.broke(
          new BorealisError(sqlState.adminShutdown, `the log driver stood down: ${event.reason}`),
        );
      case "failed":
      case "detached":
        return this.broke(
          new BorealisError(
            sqlState.adminShutdown,
            `the log driver ${event.kind}: ${event.reason}`,
          ),
        );
      case "quorumLost":
        logger.warn({ event: "quorum.lost" }, "fewer than four storage nodes answer: writes wait");
        return undefined;
      case "quorumBack":
        logger.info({ event: "quorum.back" });
        return undefined;
      case "attached":
        logger.info({ event: "driver.attached", from: event.from });
        return undefined;
      default:
        return event satisfies never;
    }
  }

  private broke(error: unknown): void {
    this.broken.abort(error);
    if (!this.isStopping) this.onBroke(error);
  }
}
