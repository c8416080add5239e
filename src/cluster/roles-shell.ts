import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { findLsn } from "../base/lsn.ts";
import { type Clock, connectRpc, type Logger, type RpcClient, Scope, sleep } from "../io/index.ts";
import {
  type InstanceStatus,
  instanceStatusSchema,
  type ReaderOrder,
  type WriterOrder,
} from "../instance/index.ts";
import { type AgentLine, isMute, isUnheard } from "./agent-line.ts";
import { type Durable, durableIn } from "./durable.ts";
import type { Candidate } from "./failover.ts";
import { agentSocket, type Layout } from "./layout.ts";
import { withLife } from "./lives.ts";
import type { FailoverReport } from "./messages.ts";
import { type OrderFacts, readerOrder, writerOrder } from "./orders.ts";
import { killAgent } from "./processes-shell.ts";
import { ReadersGuard } from "./readers-guard-shell.ts";
import type { ClusterState } from "./state.ts";
import { agentEndMs, codeOf, until } from "./writer-change-shell.ts";
import { type Change, type MovesDeps, WriterMoves } from "./writer-moves-shell.ts";

export interface RolesDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly layout: Layout;
  readonly state: ClusterState;
  readonly masterPassword: () => string;
  readonly saveState: (state: ClusterState) => void;
  /** How long the writer may be silent before another takes over. */
  readonly detectionMs: number;
  /** Something has changed that status or topology may show. */
  readonly onChange: () => void;
  readonly remainingOn: MovesDeps["remainingOn"];
  /** What every agent is told before any order. */
  readonly greet: (client: RpcClient, id: string) => void;
}

/** How often an agent that does not answer is tried again. */
const reconnectMs = 100;
const askMs = 5_000;
/** Agents that live have been heard by then. */
const hearMs = 3_000;

/**
 * Keeps every instance in its role: the one that the cluster's state names writes, the others read. It follows their
 * agents, orders those that have no role, and moves the writer in a failover.
 */
export class InstanceRoles {
  private readonly deps: RolesDeps;
  private readonly agents = new Map<string, AgentLine>();
  private readonly scope: Scope;
  private current: ClusterState;
  private isStopping = false;
  private startedMs = 0;
  private readonly moves: WriterMoves;
  /** Which readers answer nothing, or have not caught up since they did not: nobody is to be sent there, nor to stay. */
  readonly silence: ReadersGuard;

  constructor(deps: RolesDeps) {
    this.deps = deps;
    this.current = deps.state;
    this.scope = new Scope((error) => {
      deps.logger.error({ event: "control.taskFailed" }, messageOf(error));
    });
    this.moves = new WriterMoves({
      ...deps,
      signal: this.scope.signal,
      state: () => this.current,
      isStopping: () => this.isStopping,
      status: (id) => this.status(id),
      client: (id) => this.agents.get(id)?.client,
      killAgent: (agent) => killAgent(deps.layout, agent),
      candidates: () => this.candidates(),
      appoint: (id, change) => this.appoint(id, change),
      writerOrder: (id) => this.writerOrder(id),
    });
    this.silence = new ReadersGuard({
      ...deps,
      statuses: () => this.current.instances.flatMap(({ id }) => this.status(id) ?? []),
      unheard: () => this.readers().filter((id) => isUnheard(this.agents.get(id))),
      writerHeardMs: () => this.moves.writerAnsweredMs,
      client: (id) => this.client(id),
    });
  }

  get state(): ClusterState {
    return this.current;
  }

  status(id: string): InstanceStatus | undefined {
    return this.agents.get(id)?.status;
  }

  /** Changes what is not the roles' own; durable when this returns. */
  changeState(change: (state: ClusterState) => ClusterState): void {
    this.current = change(this.current);
    this.deps.saveState(this.current);
  }

  /** The line to the agent of the writer, if that is open and has its quorum: only there do members change. */
  openWriter(): RpcClient | undefined {
    const { status, client } = this.agents.get(this.current.writer) ?? {};
    const isOpen = status?.role === "writer" && status.isAdmitted && status.hasQuorum;
    return isOpen && !this.isStopping ? client : undefined;
  }

  /** What the open writer has told durable; undefined: there is none. May be half a second old. */
  durable(): Durable | undefined {
    return this.openWriter() && durableIn(this.status(this.current.writer));
  }

  /** Asks it: who wants to go back has often just committed. Raises 08006 if it does not answer. */
  async durableNow(): Promise<Durable | undefined> {
    const answer = await this.openWriter()?.call("status", {}, { timeoutMs: askMs });
    return answer === undefined ? undefined : durableIn(instanceStatusSchema.parse(answer));
  }

  /** What moves the writer from one instance to another. */
  get writerMoves(): WriterMoves {
    return this.moves;
  }

  /** Who is to be the writer after a backtrack: the best reader; undefined: there is none that is ready. */
  findSuccessor(): string | undefined {
    return this.moves.findSuccessor();
  }

  /** A failover whose appointment changes more of the state, in the same move. */
  replaceWriter(target: string, change: Change): Promise<FailoverReport> {
    return this.moves.replaceWriter(target, change);
  }

  client(id: string): RpcClient | undefined {
    return this.agents.get(id)?.client;
  }

  clients(): RpcClient[] {
    return [...this.agents.values()].flatMap(({ client }) => (client ? [client] : []));
  }

  /** The lines to agents that are heard, by instance. */
  agentLines(): ReadonlyMap<string, RpcClient> {
    const lines = [...this.agents].map(([id, { client }]) => [id, client] as const);
    return new Map(lines.flatMap(([id, client]) => (client ? [[id, client]] : [])));
  }

  /** Who is not the writer. */
  readers(): string[] {
    const { instances, writer } = this.current;
    return instances.map(({ id }) => id).filter((id) => id !== writer);
  }

  /** Raises 55000 while the cluster is being created, or goes down. */
  requireSettled(): void {
    if (!this.isStopping && this.current.isBootstrapped) return;
    const why = this.isStopping ? "the cluster is stopping" : "the cluster is being created";
    throw new BorealisError(sqlState.notInPrerequisiteState, why);
  }

  /** A control plane that has just begun knows of nobody: resolves when it has heard each agent, or would have. */
  async untilHeard(): Promise<void> {
    const { clock } = this.deps;
    const isHeard = (): boolean => this.current.instances.every(({ id }) => this.status(id));
    const withinMs = this.startedMs + hearMs - clock.nowMs();
    await until({ clock }, isHeard, { withinMs, signal: this.scope.signal });
  }

  /** Somebody is being promoted: who is the writer may change at any moment. */
  get isFailingOver(): boolean {
    return this.moves.isUnderWay;
  }

  start(): void {
    this.startedMs = this.deps.clock.nowMs();
    this.followInstances();
    this.scope.run((signal) => this.moves.watch(signal));
    this.scope.run((signal) => this.silence.run(signal));
  }

  /** The state's instances have changed: those that are new are given roles, those that are gone are left alone. */
  followInstances(): void {
    const wanted = new Set(this.current.instances.map((one) => one.id));
    for (const [id, line] of this.agents) {
      if (wanted.has(id)) continue;
      this.agents.delete(id);
      line.leaving.abort(new Error(`${id} is removed`));
    }
    for (const id of wanted) if (!this.agents.has(id)) this.follow(id);
    this.deps.onChange();
  }

  private follow(id: string): void {
    const line: AgentLine = {
      client: undefined,
      status: undefined,
      wasMute: false,
      orderedFor: undefined,
      toldWriter: undefined,
      leaving: new AbortController(),
    };
    this.agents.set(id, line);
    this.scope.run((signal) =>
      this.followAgent(id, line, AbortSignal.any([signal, line.leaving.signal])),
    );
  }

  /** The cluster goes down: no more orders. */
  stopOrdering(): void {
    this.isStopping = true;
  }

  close(): Promise<void> {
    return this.scope.close("control plane stops");
  }

  private async followAgent(id: string, line: AgentLine, signal: AbortSignal): Promise<void> {
    const { clock, layout, logger } = this.deps;
    while (!signal.aborted) {
      try {
        const path = agentSocket(layout, id);
        const client = await connectRpc({ kind: "unix", path }, { timeoutMs: 1_000, signal });
        await this.talkTo(id, line, { client, signal });
      } catch (error) {
        logger.debug({ event: "agent.unreachable", instance: id }, messageOf(error));
      }
      line.wasMute = isMute(line);
      line.client = undefined;
      line.status = undefined;
      line.orderedFor = undefined;
      line.toldWriter = undefined;
      this.moves.observe();
      this.deps.onChange();
      await sleep(clock, reconnectMs, signal);
    }
  }

  private async talkTo(
    id: string,
    line: AgentLine,
    { client, signal }: { readonly client: RpcClient; readonly signal: AbortSignal },
  ): Promise<void> {
    line.client = client;
    // A writer claims at every node that may be a member.
    this.deps.greet(client, id);
    const gone = new Promise<void>((resolve) => {
      client.onClose(resolve);
      signal.addEventListener("abort", () => resolve(), { once: true });
      if (signal.aborted) resolve();
    });
    const take = (data: unknown): void => {
      line.status = instanceStatusSchema.parse(data);
      this.recordLife(line.status);
      this.moves.observe();
      this.order(id, line, client);
      this.deps.onChange();
    };
    await client.follow({ method: "status", event: "status", timeoutMs: 5_000 }, take);
    await gone;
    client.close();
  }

  /** Before anybody is told that it takes sessions. */
  private recordLife(status: InstanceStatus): void {
    const { lives = [], backtrack } = this.current;
    const next = withLife(lives, status, { isReturn: Boolean(backtrack?.order.refill) });
    if (next !== lives) this.changeState((state) => ({ ...state, lives: [...next] }));
  }

  /** Sees to it that an agent is what the cluster's state says; it never takes a role by itself. */
  private order(id: string, line: AgentLine, client: RpcClient): void {
    const { status } = line;
    if (!status || this.isStopping || line.leaving.signal.aborted) return;
    const isWriter = id === this.current.writer;
    if (status.role === "none") return this.orderRole(id, line, client);
    line.orderedFor = undefined;
    if (status.role === "reader" && isWriter) this.moves.resume();
    else if (status.role === "reader") this.tellWriter(line, client);
    // The job that appointed another asks it to yield; after that it is one that has not noticed yet.
    else if (!isWriter && !this.moves.isUnderWay) this.dethrone(id, status, client);
  }

  private orderRole(id: string, line: AgentLine, client: RpcClient): void {
    const { status } = line;
    const life = `${status?.agentPid}.${status?.incarnation}`;
    if (line.orderedFor === life) return;
    line.orderedFor = life;
    const isWriter = id === this.current.writer;
    const params = isWriter ? this.writerOrder(id) : this.readerOrder(id);
    const event = "role.ordered";
    this.deps.logger.info({ event, instance: id, role: isWriter ? "writer" : "reader" });
    if (!isWriter) line.toldWriter = this.current.writer;
    client.call(isWriter ? "beWriter" : "beReader", params).then(
      () => this.onRoleTaken(id, isWriter),
      (error: unknown) => {
        this.deps.logger.warn({ event: "role.refused", instance: id }, messageOf(error));
        line.orderedFor = undefined;
        if (isWriter) void this.noteFailed(id, client, error);
        // The agent reports its state again after each failure; that report repeats the order.
      },
    );
  }

  /** The end of an agent is found otherwise; that of its PostgreSQL is told under the same code. */
  private async noteFailed(id: string, client: RpcClient, error: unknown): Promise<void> {
    const code = codeOf(error);
    if (code === sqlState.connectionFailure)
      await sleep(this.deps.clock, agentEndMs, this.scope.signal);
    if (this.client(id) === client) this.moves.noteFailed(id, code);
  }

  private writerOrder(id: string): WriterOrder {
    return writerOrder(this.orderFacts, id, this.deps.masterPassword);
  }

  private readerOrder(id: string): ReaderOrder {
    return readerOrder(this.orderFacts, id);
  }

  private get orderFacts(): OrderFacts {
    const { layout } = this.deps;
    return { state: this.current, layout, status: (id) => this.status(id) };
  }

  /** Makes a reader ready for a backtrack to `stageAt`; resolves when it replays. Raises what stands in the way. */
  async stage(id: string, stageAt: string): Promise<void> {
    const client = this.agents.get(id)?.client;
    if (!client) throw new BorealisError(sqlState.cannotConnectNow, `${id} is away`);
    await client.call("stage", { ...this.readerOrder(id), stageAt });
  }

  /** What was made ready becomes a reader like any other. */
  async unstage(id: string): Promise<void> {
    await this.agents.get(id)?.client?.call("unstage", {}, { timeoutMs: 30_000 });
  }

  /** Stops the writer, after a change of the state that its next order depends on. It is ordered again when it is free. */
  async restartWriter(change: (state: ClusterState) => ClusterState): Promise<void> {
    this.changeState(change);
    this.deps.onChange();
    const { client } = this.agents.get(this.current.writer) ?? {};
    await client?.call("yieldVolume", {}, { timeoutMs: 30_000 });
  }

  /** A reader's feedback goes to the writer's agent, which may be another one now. */
  private tellWriter(line: AgentLine, client: RpcClient): void {
    const { writer } = this.current;
    if (line.toldWriter === writer) return;
    line.toldWriter = writer;
    const params = { writerAgentSocket: agentSocket(this.deps.layout, writer) };
    client.call("writerMoved", params, { timeoutMs: 5_000 }).catch(() => {
      line.toldWriter = undefined; // told again at its next report
    });
  }

  /** One that still believes to be the writer, and cannot hear from the nodes that it is not, hears it from us. */
  private dethrone(id: string, status: InstanceStatus, client: RpcClient): void {
    const writer = this.agents.get(this.current.writer)?.status;
    if (writer?.role !== "writer" || !writer.isAdmitted || writer.epoch <= status.epoch) return;
    this.deps.logger.warn({ event: "writer.dethroned", instance: id, epoch: status.epoch });
    client.call("yieldVolume", {}, { timeoutMs: 10_000 }).catch(() => undefined);
  }

  /** Durable before anybody is ordered anything: whoever resumes knows who is meant. */
  private appoint(writer: string, change: Change = (state) => state): void {
    const next = { ...change(this.current), writer };
    if (this.current.writer !== writer || next.backtrack !== this.current.backtrack) {
      this.current = next;
      this.deps.saveState(this.current);
    }
    this.deps.onChange();
  }

  private candidates(): Candidate[] {
    return this.current.instances.map(({ id, ordinal, tier }) => {
      const status = this.agents.get(id)?.status;
      const isReady = status?.role === "reader" && status.isAdmitted;
      const isSilent = status !== undefined && this.silence.isSilent(status);
      const replayLsn = findLsn(status?.replayLsn ?? "");
      const state = status?.state ?? "stopped";
      return { id, ordinal, tier, isReady, isSilent, replayLsn, state };
    });
  }

  private onRoleTaken(id: string, isWriter: boolean): void {
    if (!isWriter || this.current.isBootstrapped) return;
    this.current = { ...this.current, isBootstrapped: true };
    this.deps.saveState(this.current);
    this.deps.onChange();
    this.deps.logger.info({ event: "volume.bootstrapped", instance: id });
  }
}
