import { messageOf } from "../base/errors.ts";
import type { Lsn } from "../base/lsn.ts";
import { type RpcClient, type RpcServer, Scope, serveRpc } from "../io/index.ts";
import type { InstanceStatus } from "../instance/index.ts";
import type { World } from "../keeper/index.ts";
import { ArchiveWatch } from "./archive-watch.ts";
import { Clones } from "./clones-shell.ts";
import type { ControlDeps } from "./control-deps-shell.ts";
import { Backtracks } from "./backtrack-shell.ts";
import { endpointPlaces } from "./endpoints.ts";
import { inspectAll, inspectStates, inspectMember } from "./inspect-shell.ts";
import { Events } from "./events-shell.ts";
import { FaultDesk } from "./faults-shell.ts";
import { EndpointChanges } from "./endpoint-changes-shell.ts";
import { InstanceChanges } from "./instance-changes-shell.ts";
import { KeeperLine } from "./keeper-line-shell.ts";
import { type Lag, LagWatch } from "./lag-watch.ts";
import { keeperWorld } from "./keeper-world.ts";
import { ListenWatch } from "./listen-watch-shell.ts";
import { masterPasswordHandlers } from "./master-password-shell.ts";
import {
  backtrackRequestSchema,
  failoverRequestSchema,
  type Health,
  namedSchema,
  pinCloneSchema,
  type ShutPort,
  type TopologyMessage,
} from "./messages.ts";
import { Parameters } from "./parameters-shell.ts";
import type { ProcessReport } from "./process-messages.ts";
import type { StatusReport } from "./status-messages.ts";
import type { State } from "../quorum/index.ts";
import { Metrics } from "./metrics-shell.ts";
import { askProcesses } from "./processes-shell.ts";
import { addressBook } from "./replacement.ts";
import { Replacements } from "./replacements-shell.ts";
import { type Retention, retentionOf } from "./retention-shell.ts";
import { InstanceRoles } from "./roles-shell.ts";
import { scrubNodes } from "./scrub-nodes-shell.ts";
import { SessionWatch } from "./session-watch.ts";
import { SnapshotDesk } from "./snapshot-desk-shell.ts";
import type { ClusterState, NodeState } from "./state.ts";
import type { SharedLog } from "./volume-figures.ts";
import { type StatusFacts, statusReport } from "./status.ts";
import { SightTeller } from "./sight-shell.ts";
import { topologyOf } from "./topology.ts";
import { incarnationOf } from "./lives.ts";
import { keepReadersWarm } from "./warm-shell.ts";
import { z } from "zod";

const releaseSchema = z.object({ pinId: z.uuid() });

/**
 * Membership, health and endpoints of one cluster. It asks agents to take roles and tells proxies where sessions may
 * go; it decides nothing about what is durable, so killing it at any moment costs only time.
 */
export class ControlPlane {
  private readonly deps: ControlDeps;
  private readonly roles: InstanceRoles;
  private readonly replacements: Replacements;
  private readonly instances: InstanceChanges;
  private readonly endpoints: EndpointChanges;
  private readonly lag: LagWatch;
  private readonly retention: Retention;
  private readonly keeper: KeeperLine;
  private readonly snapshots: SnapshotDesk;
  private readonly archive = new ArchiveWatch();
  private readonly listening = new ListenWatch();
  private readonly sessions = new SessionWatch();
  private readonly clones: Clones;
  private readonly backtracks: Backtracks;
  /** For Prometheus. */
  readonly metrics: Metrics;
  private readonly events: Events;
  private readonly parameters: Parameters;
  private sight: SightTeller | undefined;
  private readonly scope: Scope;
  private readonly closing = new AbortController();
  private server: RpcServer | undefined;
  private isStopping = false;
  private lastTopology = "";

  constructor(deps: ControlDeps) {
    this.deps = deps;
    this.scope = new Scope((error) => {
      deps.logger.error({ event: "control.taskFailed" }, messageOf(error));
    });
    this.roles = new InstanceRoles({
      ...deps,
      detectionMs: deps.config.detectionMs,
      onChange: () => this.publish(),
      remainingOn: (id) => this.listening.remainingOn(id, incarnationOf(this.roles.status(id))),
      greet: (client, id) => {
        this.tellNodes(client);
        this.parameters.greet(id, client);
      },
    });
    const { roles } = this;
    this.lag = new LagWatch(deps.config.lagMaxMs);
    this.replacements = new Replacements({
      ...deps,
      state: () => roles.state,
      save: (change) => roles.changeState(change),
      openWriter: () => roles.openWriter(),
      tellAgents: () => {
        for (const client of roles.clients()) this.tellNodes(client);
      },
      durable: () => roles.durable(),
      inspect: (node) => this.inspectNode(node),
      isCopying: ({ nodeId: own, kind }) =>
        kind === "full" && this.keeper.report?.nodesComplete?.includes(own) === false,
    });
    this.keeper = new KeeperLine({
      ...deps,
      socket: deps.layout.keeperSocket,
      world: () => this.world(),
      onReport: () => {
        this.snapshots.takeReport(this.keeper.report);
        this.archive.take(this.keeper.report?.archive);
      },
    });
    const changes = {
      ...deps,
      state: () => roles.state,
      save: (change: (state: ClusterState) => ClusterState) => roles.changeState(change),
      requireReady: () => roles.requireSettled(),
    };
    this.instances = new InstanceChanges({ ...changes, roles });
    const { port } = deps.config;
    this.endpoints = new EndpointChanges({ ...changes, port, onChange: () => this.publish() });
    this.clones = this.makeClones();
    this.backtracks = this.makeBacktracks();
    const backtrackLsn = (): Lsn | undefined => this.backtracks.neededLsn();
    this.retention = retentionOf({ ...deps, roles, archive: this.archive, backtrackLsn });
    this.snapshots = new SnapshotDesk(deps.clock, this.keeper, this.retention);
    this.metrics = this.makeMetrics();
    this.events = this.makeEvents();
    this.parameters = new Parameters(deps, roles, (news) => this.events.note(news));
  }

  private async askParts(): Promise<Pick<StatusFacts, "nodes" | "processes">> {
    const inspected = inspectAll(this.state.nodes, (node) => this.inspectNode(node));
    const [nodes, processes] = await Promise.all([inspected, askProcesses(this.deps)]);
    return { nodes, processes };
  }

  private makeClones(): Clones {
    const { roles } = this;
    return new Clones({
      ...this.deps,
      state: () => roles.state,
      save: (change) => roles.changeState(change),
      openWriter: () => roles.openWriter(),
    });
  }

  private makeBacktracks(): Backtracks {
    const { deps, roles } = this;
    return new Backtracks({
      ...deps,
      roles,
      inspectAll: () => inspectStates(roles.state.nodes, (node) => this.inspectNode(node)),
      addressBook: () => addressBook(this.state, deps.layout, deps.config.nodePorts),
      snapshotReach: (path, base) => this.snapshots.reach(path, base),
      note: (news) => this.events.note(news),
    });
  }

  async start(): Promise<void> {
    const closing = this.closing.signal;
    this.server = await serveRpc(
      { kind: "unix", path: this.deps.layout.controlSocket },
      {
        status: () => this.status(),
        topology: () => this.topology(),
        health: () => this.health(),
        ...this.listening.handlers,
        ...this.sessions.handlers,
        ...this.events.handlers,
        ...new FaultDesk(this.deps, this.roles, (news) => this.events.note(news)).handlers,
        failover: async (params) => {
          const { target } = failoverRequestSchema.parse(params);
          return (await this.settled()).writerMoves.failOver(target);
        },
        scrub: (params, peer) =>
          scrubNodes(params, this.state, { ...this.deps, keeper: this.keeper, peer }),
        nodes: () => addressBook(this.state, this.deps.layout, this.deps.config.nodePorts),
        stopping: () => {
          this.isStopping = true;
          this.roles.stopOrdering();
        },
        ...masterPasswordHandlers(this.roles),
        ...this.instances.handlers,
        ...this.endpoints.handlers,
        ...this.parameters.handlers,
        restartInstance: async (params) => {
          const { id } = namedSchema.parse(params);
          return (await this.settled()).writerMoves.restart(id);
        },
        backtrack: async (params) => {
          await this.settled();
          return this.backtracks.ask(backtrackRequestSchema.parse(params), closing);
        },
        backtrackProgress: (params) =>
          this.backtracks.progress(z.object({ id: z.number() }).parse(params).id),
        replaceNode: (params) => this.replacements.ask(namedSchema.parse(params).id),
        replacement: (params) => this.replacements.report(namedSchema.parse(params).id),
        ...this.snapshots.handlers,
        pinClone: (params) => this.clones.pin(pinCloneSchema.parse(params)),
        releaseClone: (params) => this.clones.release(releaseSchema.parse(params).pinId),
        clones: () => this.clones.list(),
      },
    );
    this.roles.start();
    this.scope.run((signal) => this.instances.run(signal));
    this.scope.run((signal) => this.replacements.run(signal));
    this.scope.run((signal) => this.replacements.watchDamage(signal));
    this.scope.run((signal) => this.retention.run(signal));
    this.scope.run((signal) => this.keeper.run(signal));
    if (this.deps.config.hasSurface) this.startSight();
    this.scope.run((signal) => this.events.run(signal));
    this.scope.run((signal) => this.clones.run(signal));
    this.scope.run((signal) => this.backtracks.watch(signal));
    const warmth = { ...this.deps, everyMs: this.deps.config.warmEveryMs };
    this.scope.run((signal) => keepReadersWarm(this.roles, warmth, signal));
  }

  private startSight(): void {
    const sight = new SightTeller(this.deps, this.roles, {
      writer: () => this.topology().writer,
      loopback: () => this.listening.lastKnownLoopback,
    });
    this.sight = sight;
    this.scope.run((signal) => sight.run(signal));
  }

  async close(): Promise<void> {
    this.closing.abort(new Error("control plane stops"));
    // The lines to the agents first: a task may wait for an answer.
    await this.roles.close();
    this.keeper.close();
    await this.scope.close("control plane stops");
    await this.server?.close();
  }

  private get state(): ClusterState {
    return this.roles.state;
  }

  /** Whether writes are accepted now, who listens, and what people should know about it. */
  health(): Health {
    const report = statusReport(this.facts(new Map(), new Map()));
    const { state, writer } = report.cluster;
    const ports = this.listening.sight(endpointPlaces(this.state, this.deps.config.port));
    return { isWritable: state === "available", state, writer, ...ports };
  }

  /** The status page listens, or could not: only who opens it knows. */
  noteStatusPage(page: ShutPort | "open"): void {
    this.listening.takePage(page);
  }

  async status(): Promise<StatusReport> {
    return (await this.look()).status;
  }

  private async look() {
    const [parts, shared] = await Promise.all([this.askParts(), this.clones.sharedLog()]);
    const { nodes, processes } = parts;
    // Who lags is a matter of the moment: what is shown here the proxies go by, too.
    this.publish();
    return { status: statusReport(this.facts(nodes, processes, shared)), processes };
  }

  private makeEvents(): Events {
    return new Events({
      ...this.deps,
      file: this.deps.eventFile,
      snapshots: () => this.snapshots.namesNow(),
      parts: () => this.askParts(),
      status: ({ nodes, processes }) => statusReport(this.facts(nodes, processes)),
      loginsRefused: () => this.sessions.figures?.loginsRefused,
      connectionsRefused: () => {
        const counts = this.sessions.figures?.connectionsRefused;
        return counts && Object.values(counts).reduce((sum, count) => sum + count, 0);
      },
      auditLost: () => this.sessions.figures?.auditLost,
      healedObjects: () => this.keeper.report?.healed,
    });
  }

  private makeMetrics(): Metrics {
    const { roles } = this;
    return new Metrics({
      ...this.deps,
      agents: () => roles.agentLines(),
      facts: async () => {
        const { status, processes } = await this.look();
        return {
          status,
          processes: [...processes.values()],
          snapshotAt: this.snapshots.automaticTime,
          sessions: this.sessions.figures,
          failovers: roles.writerMoves.meter.figures,
        };
      },
    });
  }

  private facts(
    nodes: StatusFacts["nodes"],
    processes: ReadonlyMap<string, ProcessReport>,
    shared: SharedLog = { pins: [], branch: undefined },
  ): StatusFacts {
    const instances = new Map<string, InstanceStatus>();
    for (const { id } of this.state.instances) {
      const status = this.roles.status(id);
      if (status) instances.set(id, status);
    }
    const { state, isStopping } = this;
    const { latestTime, earliestTime } = this.archive;
    const { report } = this.keeper;
    return {
      ...this.deps.config,
      loopback: this.listening.loopback,
      state,
      isStopping,
      instances,
      lagOf: (status) => this.lagOf(status),
      isSilent: (status) => this.roles.silence.isSilent(status),
      nodes,
      processes,
      snapshots: this.snapshots.count,
      damage: report?.damage ?? null,
      problem: report?.problem ?? null,
      parts: { ...shared, extents: this.snapshots.extents ?? undefined },
      archive: { latestTime, earliestTime, report: report?.archive },
    };
  }

  private topology(): TopologyMessage {
    const { roles, state, deps } = this;
    return topologyOf({
      state,
      layout: deps.layout,
      port: deps.config.port,
      status: (id) => roles.status(id),
      moves: roles.writerMoves,
      lagOf: (status) => this.lagOf(status),
      silence: roles.silence,
    });
  }

  /** Raises where the cluster's own roles are not settled yet; agents have been heard after it. */
  private async settled(): Promise<InstanceRoles> {
    this.roles.requireSettled();
    await this.roles.untilHeard();
    return this.roles;
  }

  private lagOf(status: InstanceStatus): Lag {
    const nowMs = this.deps.clock.nowMs();
    this.lag.noteWriter(this.roles.status(this.state.writer), nowMs);
    return this.lag.lagOf(status, nowMs);
  }

  private publish(): void {
    const topology = this.topology();
    const text = JSON.stringify(topology);
    if (text === this.lastTopology) return;
    this.lastTopology = text;
    this.server?.broadcast("topology", topology);
    this.sight?.tellNow();
    this.events.lookNow();
    this.deps.logger.info({ event: "topology.changed", writer: topology.writer });
  }

  /** The node that has the name now. */
  private inspectNode(node: NodeState): Promise<State | undefined> {
    return inspectMember(node, { ...this.deps, ...this.deps.config, state: this.state });
  }

  private world(): World {
    const { state, roles, deps } = this;
    const { layout, config } = deps;
    const nodes = addressBook(state, layout, config.nodePorts);
    const status = (id: string): InstanceStatus | undefined => roles.status(id);
    return keeperWorld({ state, layout, nodes, status, durable: roles.durable() });
  }

  private tellNodes(client: RpcClient): void {
    const { layout, config, logger } = this.deps;
    const nodes = addressBook(this.state, layout, config.nodePorts);
    client.call("setNodes", { nodes }).catch((error: unknown) => {
      logger.debug({ event: "agent.notTold" }, messageOf(error));
    });
  }
}
