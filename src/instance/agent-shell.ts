import { messageOf, BorealisError, sqlState } from "../base/errors.ts";
import { type RpcServer, serveRpc, sleep } from "../io/index.ts";
import { type DataKeys, encodeDataKeys } from "../keys/index.ts";
import {
  type AgentConfig,
  beReaderSchema,
  clusterSightSchema,
  beWriterSchema,
  type Building,
  feedbackSchema,
  type InstanceStatus,
  type ReaderOrder,
  readGateSchema,
  type ReadLease,
  type ReadRound,
  type Role,
  setNodesSchema,
  type VolumeNodes,
  writerMovedSchema,
  type WriterOrder,
  type YieldOrder,
  yieldVolumeSchema,
} from "./messages.ts";
import type { AgentDeps } from "./agent-deps-shell.ts";
import { agentStatus, withUnreadable } from "./agent-status.ts";
import { writerHandlers } from "./writer-handlers-shell.ts";
import { leaveTangled } from "./tangled-shell.ts";
import { type LogDriverHandle, LogHold } from "../log-driver/index.ts";
import { endFormerLife } from "./owned-epoch-shell.ts";
import { FailedStarts } from "./failed-starts.ts";
import { InstanceFaults } from "./faults-shell.ts";
import { AgentCounts } from "./agent-counts.ts";
import { InstanceParameters } from "./parameters-shell.ts";
import { makeDriver } from "./make-driver-shell.ts";
import { volumeNodes } from "./nodes.ts";
import { ReaderRole } from "./reader-shell.ts";
import { pulseOf, type RoleOwner, type StopKind } from "./role.ts";
import { removeSightFile, SightFile } from "./sight-file-shell.ts";
import { type Inherited, WriterRole } from "./writer-shell.ts";

const statusEveryMs = 500;
/** A role that failed takes the next order only after a pause, longer each time: no hot loop of restarts. */
const firstPauseMs = 50;
const maxPauseMs = 5_000;

type Situation =
  | { readonly kind: "none" }
  | { readonly kind: "reader"; readonly role: ReaderRole }
  | { readonly kind: "writer"; readonly role: WriterRole };

/**
 * The agent of one instance. It takes no role unasked: the control plane orders one, storage decides whether a writer
 * may write. When anything of a role breaks, the role is taken down whole, the agent reports itself free again, and
 * the next order starts from the beginning: one way up, however it went down.
 */
export class InstanceAgent {
  private readonly config: AgentConfig;
  private readonly deps: AgentDeps;
  /** Undefined: SQL shows nothing of the cluster. */
  private readonly sight: SightFile | undefined;
  private readonly faults: InstanceFaults;
  private readonly parameters: InstanceParameters;
  private situation: Situation = { kind: "none" };
  private incarnation = 1;
  private problem: string | undefined;
  private building: Building | undefined;
  private unreadable: readonly string[] = [];
  private pauseMs = firstPauseMs;
  private server: RpcServer | undefined;
  private changing: Promise<unknown> = Promise.resolve();
  private readonly closing = new AbortController();
  private lastStatus = "";
  /** Started ahead of a promotion that is about to be ordered. */
  private warmDriver: LogDriverHandle | undefined;
  private readonly counts = new AgentCounts();
  /** How often it was told that another is to write: an order to write from before that counts no more. */
  private yields = 0;

  constructor(config: AgentConfig, deps: AgentDeps) {
    this.config = config;
    const hold = new LogHold();
    const situation = (): Situation => this.situation;
    const own = { life: () => this.life, closing: this.closing.signal };
    this.parameters = new InstanceParameters({ ...deps, ...own, config, situation });
    this.deps = {
      ...deps,
      parameters: this.parameters,
      hold,
      starts: this.counts.starts,
      failedStarts: new FailedStarts(),
      driverCounts: this.counts.driverCounts,
      beforeServing: () => this.sight?.writeBeforeServing() ?? removeSightFile(config),
      onBuilding: (building) => (this.building = building),
      onUnreadable: (object) => {
        this.unreadable = withUnreadable(this.unreadable, object);
      },
    };
    if (config.hasSurface) this.sight = new SightFile(config, deps, () => this.status());
    const onNews = (): void => this.report();
    this.faults = new InstanceFaults({ config, deps, hold, sight: this.sight, situation, onNews });
  }

  async start(): Promise<void> {
    this.changing = endFormerLife(this.config, this.deps, this.closing.signal);
    this.server = await serveRpc(
      { kind: "unix", path: this.config.agentSocket },
      {
        status: () => this.status(),
        beWriter: (params) => {
          const order = beWriterSchema.parse(params);
          const { yields } = this;
          return this.take("writer", () => this.becomeWriter(order, yields));
        },
        beReader: (params) => {
          const order = beReaderSchema.parse(params);
          return this.take("reader", () => this.becomeReader(order));
        },
        stage: (params) => {
          const order = beReaderSchema.parse(params);
          return this.change(() => this.becomeReader(order));
        },
        unstage: () => this.unstage(),
        prepareWriter: () => this.prepareWriter(),
        yieldVolume: (params) => this.yieldVolume(yieldVolumeSchema.parse(params)),
        restart: () => this.restart(),
        pulse: () => pulseOf(this.situation),
        figures: () => this.counts.figures,
        warm: () => {
          if (this.situation.kind === "reader") this.situation.role.keepWarm();
        },
        writerMoved: (params) => {
          const { writerAgentSocket } = writerMovedSchema.parse(params);
          const { situation } = this;
          if (situation.kind === "reader") situation.role.writerMoved(writerAgentSocket);
        },
        noteCluster: (params) => this.sight?.take(clusterSightSchema.parse(params)),
        ...this.faults.handlers,
        ...this.parameters.handlers,
        setNodes: (params) => this.setNodes(setNodesSchema.parse(params).nodes),
        ...writerHandlers(() => this.requireWriter(), this.closing.signal),
        readLease: (params) => this.readLease(readGateSchema.parse(params).life),
        readRound: (params) => this.readRound(readGateSchema.parse(params).life),
        feedback: (params) => {
          const { situation } = this;
          if (situation.kind === "writer")
            situation.role.takeFeedback(feedbackSchema.parse(params));
        },
      },
    );
    void this.reportForEver();
    void this.faults.run(this.closing.signal);
    void this.parameters.run();
  }

  /** Takes everything down: a clean stop ends with a shutdown checkpoint that the quorum holds. */
  async close(kind: StopKind): Promise<void> {
    this.closing.abort();
    await this.changing.catch(() => undefined);
    await this.leaveRole(kind);
    this.warmDriver?.stop();
    await this.server?.close();
  }

  status(): InstanceStatus {
    const { situation, incarnation, problem, deps } = this;
    // Before VDL is read: all that was committed until then lies below.
    const nowMs = deps.clock.wallMs();
    const facts = situation.kind === "none" ? undefined : situation.role.facts();
    const { instance: id } = this.config;
    const { building, unreadable } = this;
    const own = this.sight?.ownFigures(incarnation, facts?.postgresPid);
    const found = { building, unreadable, problem };
    const agent = { id, role: situation.kind, incarnation, ...found, nowMs, own, ...deps };
    return agentStatus(agent, facts);
  }

  /** A data key was rotated: snapshots from now on are read with the new one too. */
  takeKeys(keys: DataKeys): void {
    this.config.dataKeys = encodeDataKeys(keys);
  }

  private get life(): string {
    return `${this.deps.pid}.${this.incarnation}`;
  }

  /** The writer of this life; undefined once it is over. */
  private writerOf(life: string): WriterRole | undefined {
    const { situation } = this;
    return situation.kind === "writer" && life === this.life ? situation.role : undefined;
  }

  private async readLease(life: string): Promise<ReadLease> {
    const validMs = await this.writerOf(life)
      ?.readGrants.lease()
      .catch(() => 0);
    return { validMs: this.writerOf(life) ? (validMs ?? 0) : null };
  }

  private async readRound(life: string): Promise<ReadRound> {
    await this.writerOf(life)?.readGrants.round();
    return { isConfirmed: this.writerOf(life) !== undefined };
  }

  /** Feeds and the next driver read the list when they need it; a running driver is told. */
  private setNodes(nodes: VolumeNodes): void {
    this.config.nodes = nodes;
    this.warmDriver?.setNodes(volumeNodes(this.config));
    if (this.situation.kind === "writer") this.situation.role.noteNodes();
  }

  private requireWriter(): WriterRole {
    if (this.situation.kind === "writer") return this.situation.role;
    throw new BorealisError(sqlState.cannotConnectNow, `${this.config.instance} is not the writer`);
  }

  /** A failover to this instance is about to begin: what takes time and disturbs nobody is done now. */
  private async prepareWriter(): Promise<void> {
    const { situation } = this;
    if (situation.kind !== "reader") return;
    // Answered by the thread itself: it has loaded what it needs.
    await Promise.all([this.warmUpDriver().status(), situation.role.warmUp()]);
  }

  /** The backtrack that this reader was made ready for does not take place: the next order makes it one like any other. */
  private unstage(): Promise<void> {
    return this.enqueue(async () => {
      if (this.status().stagedAt === null) return;
      await this.leaveRole("immediate");
      this.report();
    });
  }

  /**
   * Another instance is to write: this one stops, in order if it can, and gives its epoch back. Answered when its
   * PostgreSQL is gone and the epoch released; the next order makes it a reader.
   */
  private yieldVolume({ isHurried }: YieldOrder): Promise<void> {
    const { situation } = this;
    this.yields++;
    if (situation.kind === "writer") {
      situation.role.abandonStart();
      // Beside what is being done: that may be waiting for a PostgreSQL that is frozen.
      if (isHurried) void situation.role.kill().catch(() => undefined);
    }
    return this.enqueue(async () => {
      if (this.situation.kind !== "writer") return;
      this.deps.logger.info({ event: "volume.yielded", instance: this.config.instance });
      const left = this.leaveRole(isHurried ? "immediate" : "handOver");
      this.report();
      await left;
      this.report();
    });
  }

  /** Its PostgreSQL stops in order; the next order starts it again in whatever role. */
  private restart(): Promise<void> {
    return this.enqueue(async () => {
      if (this.situation.kind === "none") return;
      this.deps.logger.info({ event: "instance.restarts", instance: this.config.instance });
      const left = this.leaveRole("handOver");
      this.report();
      await left;
      this.report();
    });
  }

  /** One change of role at a time. */
  private enqueue(change: () => Promise<void>): Promise<void> {
    const next = this.changing.catch(() => undefined).then(change);
    this.changing = next;
    return next;
  }

  /** Raises what made the role fail, after it has been taken down again. */
  private take(role: Exclude<Role, "none">, change: () => Promise<void>): Promise<void> {
    return this.change(() => (this.situation.kind === role ? Promise.resolve() : change()));
  }

  private change(change: () => Promise<void>): Promise<void> {
    return this.enqueue(async () => {
      if (this.closing.signal.aborted) return;
      try {
        await change();
        this.problem = undefined;
        this.pauseMs = firstPauseMs;
        this.deps.failedStarts?.clear();
      } catch (error) {
        await this.fail(error);
        throw error;
      } finally {
        this.report();
      }
    });
  }

  private async becomeWriter(order: WriterOrder, yields: number): Promise<void> {
    // Read late, by one that was frozen: what it would take is another's by now.
    if (yields !== this.yields) return this.withdraw();
    const inherited = await this.takeOver();
    const role: WriterRole = new WriterRole(
      this.config,
      this.deps,
      this.ownerOf(() => role),
      inherited,
    );
    this.situation = { kind: "writer", role };
    this.report();
    await role.start(order, this.closing.signal);
  }

  /** Free under another name, so that whoever wants it to write after all orders it anew. */
  private withdraw(): void {
    this.deps.logger.warn({ event: "order.withdrawn", instance: this.config.instance });
    if (this.situation.kind === "none") this.incarnation++;
  }

  private ownerOf(role: () => ReaderRole | WriterRole): RoleOwner {
    return {
      onBroke: (error) => this.onRoleBroke(role(), error),
      onNews: () => this.report(),
    };
  }

  /** A reader that runs is promoted as it is; anything else is taken down first. */
  private async takeOver(): Promise<Inherited> {
    const { situation, warmDriver: driver } = this;
    this.warmDriver = undefined;
    // The writer to be needs what is kept back.
    this.deps.hold?.end();
    const standby = situation.kind === "reader" ? await situation.role.handOver() : undefined;
    if (!standby) await this.leaveRole("immediate");
    return { standby, driver };
  }

  private async becomeReader(order: ReaderOrder): Promise<void> {
    await this.leaveRole("immediate");
    const role: ReaderRole = new ReaderRole(
      this.config,
      this.deps,
      this.ownerOf(() => role),
    );
    this.situation = { kind: "reader", role };
    this.report();
    await role.start(order, this.closing.signal);
    this.warmUpDriver();
  }

  /** Should it be promoted one day: the thread is there, has loaded what it needs (decisions.md D5), and is linked. */
  private warmUpDriver(): LogDriverHandle {
    this.warmDriver ??= makeDriver(this.config, this.counts.driverCounts);
    this.warmDriver.standBy();
    return this.warmDriver;
  }

  /** Something of a running role ended by itself: its PostgreSQL, its driver, its feed. */
  private onRoleBroke(role: ReaderRole | WriterRole, error: unknown): void {
    const { situation } = this;
    if (situation.kind === "none" || situation.role !== role) return;
    this.enqueue(() => this.failIfStill(role, error)).catch((cause: unknown) => {
      this.deps.logger.error({ event: "role.cannotStop" }, messageOf(cause));
    });
  }

  private async failIfStill(role: ReaderRole | WriterRole, error: unknown): Promise<void> {
    const { situation } = this;
    if (situation.kind !== "none" && situation.role === role) await this.fail(error);
  }

  private async fail(error: unknown): Promise<void> {
    const { logger, clock } = this.deps;
    this.problem = messageOf(error);
    if (!this.closing.signal.aborted) {
      logger.error({ event: "role.failed", role: this.situation.kind }, this.problem);
    }
    await this.leaveRole("immediate");
    await leaveTangled(this.config, this.problem);
    // Free, and its epoch released: who takes over need not wait for the pause. An order to this one does.
    this.report();
    await sleep(clock, this.pauseMs, this.closing.signal);
    this.pauseMs = Math.min(this.pauseMs * 2, maxPauseMs);
  }

  private async leaveRole(kind: StopKind): Promise<void> {
    const { situation } = this;
    if (situation.kind === "none") return;
    await situation.role.stop(kind);
    this.situation = { kind: "none" };
    this.incarnation++;
  }

  private report(): void {
    const status = this.status();
    const text = JSON.stringify(status);
    if (text === this.lastStatus) return;
    this.lastStatus = text;
    this.server?.broadcast("status", status);
  }

  private async reportForEver(): Promise<void> {
    while (!this.closing.signal.aborted) {
      this.report();
      this.sight?.keepFresh();
      await sleep(this.deps.clock, statusEveryMs, this.closing.signal);
    }
  }
}
