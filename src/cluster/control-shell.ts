import { findLsn, formatLsn, type Lsn, parseLsn } from "../base/lsn.ts";
import { messageOf } from "../base/errors.ts";
import { nodeId, volumeId } from "../base/ids.ts";
import {
  type Clock,
  connectRpc,
  type Logger,
  type RpcClient,
  type RpcServer,
  Scope,
  serveRpc,
  sleep,
} from "../io/index.ts";
import { type InstanceStatus, instanceStatusSchema } from "../instance/index.ts";
import { inspectNode } from "./inspect-shell.ts";
import { agentSocket, type Layout, nodeSocket, postgresSocketDir } from "./layout.ts";
import {
  type ControlConfig,
  processesSchema,
  type ProcessReport,
  type TopologyMessage,
} from "./messages.ts";
import { addressBook } from "./replacement.ts";
import { Retention } from "./retention-shell.ts";
import { Replacements } from "./replacements-shell.ts";
import type { State } from "../quorum/index.ts";
import type { ClusterState, NodeState } from "./state.ts";
import { type NodeView, type StatusFacts, statusReport } from "./status.ts";
import { z } from "zod";

export interface ControlDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly layout: Layout;
  readonly config: ControlConfig;
  readonly state: ClusterState;
  /** The master password, needed once: for the bootstrap SQL of a new volume. */
  readonly masterPassword: () => string;
  /** Writes control/state.json whole and atomically. */
  readonly saveState: (state: ClusterState) => void;
  /** An identity for a new storage node. */
  readonly newNodeId: () => string;
}

const namedSchema = z.object({ id: z.string() });
const snapshotSchema = z.object({ lsn: z.string() });

/** How often an agent that does not answer is tried again. */
const reconnectMs = 100;

/** What the control plane knows of one agent. */
interface AgentLine {
  client: RpcClient | undefined;
  status: InstanceStatus | undefined;
  /** The order that was given to this life of the agent, so that it is given once. */
  orderedFor: string | undefined;
}

/**
 * Membership, health and endpoints of one cluster. It asks agents to take roles and tells proxies where sessions may
 * go; it decides nothing about what is durable, so killing it at any moment costs only time.
 */
export class ControlPlane {
  private readonly deps: ControlDeps;
  private readonly agents = new Map<string, AgentLine>();
  private readonly scope: Scope;
  private state: ClusterState;
  private server: RpcServer | undefined;
  private isStopping = false;
  private lastTopology = "";
  private readonly replacements: Replacements;
  private readonly retention: Retention;

  constructor(deps: ControlDeps) {
    this.deps = deps;
    this.state = deps.state;
    this.scope = new Scope((error) => {
      deps.logger.error({ event: "control.taskFailed" }, messageOf(error));
    });
    this.replacements = new Replacements({
      ...deps,
      state: () => this.state,
      save: (change) => {
        this.state = change(this.state);
        deps.saveState(this.state);
      },
      openWriter: () => this.openWriter(),
      tellAgents: () => {
        for (const { client } of this.agents.values()) if (client) this.tellNodes(client);
      },
      inspect: (node) => this.inspectNode(node),
    });
    this.retention = new Retention({
      ...deps,
      snapshotLsn: parseLsn(deps.state.genesisLsn),
      readers: () => this.restartLsns(),
      openWriter: () => this.openWriter(),
    });
  }

  async start(): Promise<void> {
    this.server = await serveRpc(
      { kind: "unix", path: this.deps.layout.controlSocket },
      {
        status: () => this.status(),
        topology: () => this.topology(),
        health: () => this.health(),
        stopping: () => {
          this.isStopping = true;
        },
        replaceNode: (params) => this.replacements.ask(namedSchema.parse(params).id),
        // Until snapshots exist, for tests: nothing is dropped otherwise.
        setSnapshotLsn: (params) => {
          this.retention.setSnapshotLsn(parseLsn(snapshotSchema.parse(params).lsn));
        },
        replacement: (params) => this.replacements.report(namedSchema.parse(params).id),
      },
    );
    for (const instance of this.state.instances) {
      this.agents.set(instance.id, { client: undefined, status: undefined, orderedFor: undefined });
      this.scope.run((signal) => this.followAgent(instance.id, signal));
    }
    this.scope.run((signal) => this.replacements.run(signal));
    this.scope.run((signal) => this.replacements.watchDamage(signal));
    this.scope.run((signal) => this.retention.run(signal));
  }

  async close(): Promise<void> {
    await this.scope.close("control plane stops");
    await this.server?.close();
  }

  /** Whether writes are accepted now, and what people should know about it. */
  health(): { isWritable: boolean; state: string; writer: string | null } {
    const report = statusReport(this.facts(new Map(), new Map()));
    const { state, writer } = report.cluster;
    return { isWritable: state === "available", state, writer };
  }

  async status(): Promise<unknown> {
    const [nodes, processes] = await Promise.all([this.inspectNodes(), this.processes()]);
    return statusReport(this.facts(nodes, processes));
  }

  private facts(
    nodes: ReadonlyMap<string, NodeView>,
    processes: ReadonlyMap<string, ProcessReport>,
  ): StatusFacts {
    const instances = new Map<string, InstanceStatus>();
    for (const [id, line] of this.agents) if (line.status) instances.set(id, line.status);
    const { state, isStopping } = this;
    return { ...this.deps.config, state, isStopping, instances, nodes, processes };
  }

  private topology(): TopologyMessage {
    const writer = this.agents.get(this.state.writer)?.status;
    return {
      writer: writer?.role === "writer" && writer.isAdmitted ? writer.id : null,
      instances: this.state.instances.flatMap(({ id }) => {
        const status = this.agents.get(id)?.status;
        if (!status) return [];
        return {
          id,
          role: status.role,
          // Until the master user exists, a reader would refuse everybody in good faith.
          isAdmitted: status.isAdmitted && (this.state.isBootstrapped || status.role === "writer"),
          socketDir: postgresSocketDir(this.deps.layout, id),
          agentSocket: agentSocket(this.deps.layout, id),
          incarnation: `${status.agentPid}.${status.incarnation}`,
          lagMs: status.lagMs,
        };
      }),
    };
  }

  private publish(): void {
    const topology = this.topology();
    // Lag moves all the time; proxies are told of it only along with something that changes where sessions go.
    const text = JSON.stringify({
      ...topology,
      instances: topology.instances.map((one) => ({ ...one, lagMs: 0 })),
    });
    if (text === this.lastTopology) return;
    this.lastTopology = text;
    this.server?.broadcast("topology", topology);
    this.deps.logger.info({ event: "topology.changed", writer: topology.writer });
  }

  private async followAgent(id: string, signal: AbortSignal): Promise<void> {
    const { clock, layout, logger } = this.deps;
    while (!signal.aborted) {
      try {
        const path = agentSocket(layout, id);
        const client = await connectRpc({ kind: "unix", path }, { timeoutMs: 1_000, signal });
        await this.talkTo(id, client, signal);
      } catch (error) {
        logger.debug({ event: "agent.unreachable", instance: id }, messageOf(error));
      }
      const line = this.agents.get(id);
      if (line) {
        line.client = undefined;
        line.status = undefined;
        line.orderedFor = undefined;
      }
      this.publish();
      await sleep(clock, reconnectMs, signal);
    }
  }

  private async talkTo(id: string, client: RpcClient, signal: AbortSignal): Promise<void> {
    const line = this.agents.get(id);
    if (!line) return;
    line.client = client;
    // Before any order: a writer claims at every node that may be a member.
    this.tellNodes(client);
    const gone = new Promise<void>((resolve) => {
      client.onClose(resolve);
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    const take = (data: unknown): void => {
      line.status = instanceStatusSchema.parse(data);
      this.order(id, line, client);
      this.publish();
    };
    await client.follow({ method: "status", event: "status", timeoutMs: 5_000 }, take);
    await gone;
    client.close();
  }

  /** Members change only where an open writer has its quorum. */
  private openWriter(): RpcClient | undefined {
    const line = this.agents.get(this.state.writer);
    const { status } = line ?? {};
    const isOpen = status?.role === "writer" && status.isAdmitted && status.hasQuorum;
    return isOpen && !this.isStopping ? line?.client : undefined;
  }

  /** Of every instance that reads; one that is away may come back with what it last had. */
  private restartLsns(): (Lsn | undefined)[] {
    const readers = this.state.instances.filter(({ id }) => id !== this.state.writer);
    return readers.map(({ id }) => findLsn(this.agents.get(id)?.status?.restartLsn ?? ""));
  }

  private tellNodes(client: RpcClient): void {
    const nodes = addressBook(this.state, this.deps.layout);
    client.call("setNodes", { nodes }).catch((error: unknown) => {
      this.deps.logger.debug({ event: "agent.notTold" }, messageOf(error));
    });
  }

  /** An agent without a role is given the one that the cluster's state says; it never takes one by itself. */
  private order(id: string, line: AgentLine, client: RpcClient): void {
    const { status } = line;
    if (!status || status.role !== "none" || this.isStopping) {
      line.orderedFor = undefined;
      return;
    }
    const life = `${status.agentPid}.${status.incarnation}`;
    if (line.orderedFor === life) return;
    line.orderedFor = life;
    const isWriter = id === this.state.writer;
    const params = isWriter
      ? { bootstrap: this.bootstrap() }
      : { writerAgentSocket: agentSocket(this.deps.layout, this.state.writer) };
    const event = "role.ordered";
    this.deps.logger.info({ event, instance: id, role: isWriter ? "writer" : "reader" });
    client.call(isWriter ? "beWriter" : "beReader", params).then(
      () => this.onRoleTaken(id, isWriter),
      (error: unknown) => {
        this.deps.logger.warn({ event: "role.refused", instance: id }, messageOf(error));
        line.orderedFor = undefined;
        // The agent reports its state again after each failure; that report repeats the order.
      },
    );
  }

  private onRoleTaken(id: string, isWriter: boolean): void {
    if (!isWriter || this.state.isBootstrapped) return;
    this.state = { ...this.state, isBootstrapped: true };
    this.deps.saveState(this.state);
    this.publish();
    this.deps.logger.info({ event: "volume.bootstrapped", instance: id });
  }

  private bootstrap(): { masterUser: string; password: string; isSuperuser: boolean } | null {
    if (this.state.isBootstrapped) return null;
    const { masterUser, isSuperuser } = this.state;
    return { masterUser, isSuperuser, password: this.deps.masterPassword() };
  }

  private async inspectNodes(): Promise<ReadonlyMap<string, NodeView>> {
    const views = new Map<string, NodeView>();
    await Promise.all(
      this.state.nodes.map(async (node) => {
        const view = await this.inspectNode(node);
        if (!view) return;
        views.set(node.id, {
          scl: view.scl,
          sclText: formatLsn(view.scl),
          epoch: view.accepted,
          baseText: formatLsn(view.base),
          logBytes: view.logBytes,
        });
      }),
    );
    return views;
  }

  /** The node that has the name now. */
  private inspectNode({ id, nodeId: member, next }: NodeState): Promise<State | undefined> {
    const shown = next?.nodeId ?? member;
    return inspectNode({
      name: id,
      socketPath: nodeSocket(this.deps.layout, { id, nodeId: shown }),
      volumeId: volumeId(this.state.volumeId),
      nodeId: nodeId(shown),
      clock: this.deps.clock,
    });
  }

  private async processes(): Promise<ReadonlyMap<string, ProcessReport>> {
    try {
      const path = this.deps.layout.supervisorSocket;
      const client = await connectRpc({ kind: "unix", path }, { timeoutMs: 1_000 });
      const answer = await client.call("processes", {}, { timeoutMs: 2_000 });
      client.close();
      return new Map(processesSchema.parse(answer).map((one) => [one.name, one]));
    } catch (error) {
      this.deps.logger.warn({ event: "supervisor.unreachable" }, messageOf(error));
      return new Map();
    }
  }
}
