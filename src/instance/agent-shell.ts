import { messageOf, BorealisError, sqlState } from "../base/errors.ts";
import { type Clock, type Logger, type RpcServer, serveRpc, sleep } from "../io/index.ts";
import type { Rng } from "../base/rng.ts";
import {
  type AgentConfig,
  beReaderSchema,
  beWriterSchema,
  changeMembersSchema,
  feedbackSchema,
  type InstanceStatus,
  needLogSchema,
  type Role,
  setNodesSchema,
  untilDurableSchema,
  type VolumeNodes,
} from "./messages.ts";
import { ReaderRole } from "./reader-shell.ts";
import type { RoleFacts, StopKind } from "./role.ts";
import { WriterRole } from "./writer-shell.ts";

export interface AgentDeps {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly logger: Logger;
  /** This process's own pid, for the status. */
  readonly pid: number;
}

const statusEveryMs = 500;
/** A role that failed reports itself free only after a pause, longer each time: no hot loop of restarts. */
const firstPauseMs = 50;
const maxPauseMs = 5_000;

type Situation =
  | { readonly kind: "none" }
  | { readonly kind: "reader"; readonly role: ReaderRole }
  | { readonly kind: "writer"; readonly role: WriterRole };

const noFacts: RoleFacts = {
  state: "stopped",
  isAdmitted: false,
  postgresPid: undefined,
  epoch: 0,
  timeline: 0,
  vdl: undefined,
  replayLsn: undefined,
  lagMs: undefined,
  hasQuorum: false,
};

/**
 * The agent of one instance. It takes no role unasked: the control plane orders one, storage decides whether a writer
 * may write. When anything of a role breaks, the role is taken down whole, the agent reports itself free again, and
 * the next order starts from the beginning: one way up, however it went down.
 */
export class InstanceAgent {
  private readonly config: AgentConfig;
  private readonly deps: AgentDeps;
  private situation: Situation = { kind: "none" };
  private incarnation = 1;
  private problem: string | undefined;
  private pauseMs = firstPauseMs;
  private server: RpcServer | undefined;
  private changing: Promise<unknown> = Promise.resolve();
  private readonly closing = new AbortController();
  private lastStatus = "";

  constructor(config: AgentConfig, deps: AgentDeps) {
    this.config = config;
    this.deps = deps;
  }

  async start(): Promise<void> {
    this.server = await serveRpc(
      { kind: "unix", path: this.config.agentSocket },
      {
        status: () => this.status(),
        beWriter: (params) => {
          const { bootstrap } = beWriterSchema.parse(params);
          return this.take("writer", () => this.becomeWriter(bootstrap));
        },
        beReader: (params) => {
          const { writerAgentSocket } = beReaderSchema.parse(params);
          return this.take("reader", () => this.becomeReader(writerAgentSocket));
        },
        setNodes: (params) => this.setNodes(setNodesSchema.parse(params).nodes),
        changeMembers: (params) =>
          this.requireWriter().changeMembers(changeMembersSchema.parse(params).members),
        needLog: (params) => this.requireWriter().needLog(needLogSchema.parse(params).from),
        untilDurable: (params) =>
          this.requireWriter().untilDurable(untilDurableSchema.parse(params).what),
        feedback: (params) => {
          const { situation } = this;
          if (situation.kind === "writer")
            situation.role.takeFeedback(feedbackSchema.parse(params));
        },
      },
    );
    void this.reportForEver();
  }

  /** Takes everything down: a clean stop ends with a shutdown checkpoint that the quorum holds. */
  async close(kind: StopKind): Promise<void> {
    this.closing.abort();
    await this.changing.catch(() => undefined);
    await this.leaveRole(kind);
    await this.server?.close();
  }

  status(): InstanceStatus {
    const facts = this.situation.kind === "none" ? noFacts : this.situation.role.facts();
    return {
      id: this.config.instance,
      role: this.situation.kind,
      state: this.problem !== undefined && this.situation.kind === "none" ? "failed" : facts.state,
      incarnation: this.incarnation,
      agentPid: this.deps.pid,
      postgresPid: facts.postgresPid ?? null,
      isAdmitted: facts.isAdmitted,
      epoch: facts.epoch,
      timeline: facts.timeline,
      vdl: facts.vdl ?? null,
      replayLsn: facts.replayLsn ?? null,
      lagMs: facts.lagMs ?? null,
      hasQuorum: facts.hasQuorum,
      restartLsn: facts.restartLsn ?? null,
      problem: this.problem ?? null,
    };
  }

  /** Feeds and the next driver read the list when they need it; a running driver is told. */
  private setNodes(nodes: VolumeNodes): void {
    this.config.nodes = nodes;
    if (this.situation.kind === "writer") this.situation.role.noteNodes();
  }

  private requireWriter(): WriterRole {
    if (this.situation.kind === "writer") return this.situation.role;
    throw new BorealisError(sqlState.cannotConnectNow, `${this.config.instance} is not the writer`);
  }

  /** One change of role at a time. Raises what made the role fail, after it has been taken down again. */
  private take(role: Exclude<Role, "none">, change: () => Promise<void>): Promise<void> {
    const next = this.changing
      .catch(() => undefined)
      .then(async () => {
        if (this.closing.signal.aborted || this.situation.kind === role) return;
        if (this.situation.kind !== "none") await this.leaveRole("immediate");
        try {
          await change();
          this.problem = undefined;
          this.pauseMs = firstPauseMs;
        } catch (error) {
          await this.fail(error);
          throw error;
        } finally {
          this.report();
        }
      });
    this.changing = next;
    return next;
  }

  private async becomeWriter(bootstrap: Parameters<WriterRole["start"]>[0]): Promise<void> {
    const role = new WriterRole(this.config, this.deps, (error) => this.onRoleBroke(role, error));
    this.situation = { kind: "writer", role };
    this.report();
    await role.start(bootstrap, this.closing.signal);
  }

  private async becomeReader(writerAgentSocket: string): Promise<void> {
    const role = new ReaderRole(this.config, this.deps, (error) => this.onRoleBroke(role, error));
    this.situation = { kind: "reader", role };
    this.report();
    await role.start(writerAgentSocket, this.closing.signal);
  }

  /** Something of a running role ended by itself: its PostgreSQL, its driver, its feed. */
  private onRoleBroke(role: ReaderRole | WriterRole, error: unknown): void {
    const { situation } = this;
    if (situation.kind === "none" || situation.role !== role) return;
    const next = this.changing.catch(() => undefined).then(() => this.failIfStill(role, error));
    this.changing = next;
    next.catch((cause: unknown) => {
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
    await sleep(clock, this.pauseMs, this.closing.signal);
    this.pauseMs = Math.min(this.pauseMs * 2, maxPauseMs);
    this.report();
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
      await sleep(this.deps.clock, statusEveryMs, this.closing.signal);
    }
  }
}
