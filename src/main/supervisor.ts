import { chmodSync, lstatSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { z } from "zod";
import { BorealisError, sqlState } from "../base/errors.ts";
import { connectRpc, findBootId, type Logger, type RpcServer, serveRpc } from "../io/index.ts";
import {
  type ClusterState,
  type InstanceState,
  killAgentSchema,
  type Layout,
  type NodePorts,
  type ProcessReport,
  type Rotation,
} from "../cluster/index.ts";
import type { OsUser } from "../engine/index.ts";
import { readState } from "./data-dir.ts";
import { HangGuard } from "./hang-guard.ts";
import { InstanceProcesses } from "./instance-processes.ts";
import { ManagedProcess } from "./managed-process.ts";
import { type NodeFacts, NodeProcesses } from "./node-processes.ts";
import { isProcessOf } from "./process-identity.ts";
import { replaceFile } from "./replace-file.ts";
import { rotateKeys } from "./rotate-keys.ts";
import type { VolumeKeys } from "./volume-keys.ts";

/** Bounds of an orderly stop; together they stay far below what an impatient operator waits. */
const proxyStopMs = 3_000;
const readerStopMs = 8_000;
const writerStopMs = 15_000;
const otherStopMs = 5_000;

/** A storage node waits half a minute for a disk that its other threads use, without a word, and then ends by itself. */
const nodeHangMs = 45_000;

export interface SupervisorPlan {
  readonly layout: Layout;
  readonly state: ClusterState;
  readonly logger: Logger;
  /** Undefined: the volume is not encrypted. */
  readonly keys: VolumeKeys | undefined;
  readonly proxy: () => unknown;
  readonly control: () => unknown;
  readonly keeper: () => unknown;
  readonly agent: (instance: InstanceState) => unknown;
  readonly instanceDir: (id: string) => string;
  readonly osUser: OsUser | undefined;
  readonly node: (node: NodeFacts) => unknown;
  /** As control/state.json says now: the control plane changes it. */
  readonly stateNow: () => ClusterState;
  readonly nodePorts: NodePorts;
  /** A process that hangs is killed after this long, and started again; 0: never. */
  readonly hangMs: number;
}

/** `bootId`: pids of another start of the machine are other processes'. */
const runtimeSchema = z.object({ pids: z.array(z.number()), bootId: z.string().optional() });

/** The node looks at the order itself. */
const injectSchema = z.object({ ids: z.array(z.string()).max(16), order: z.unknown() });

/** Starts, watches, restarts and stops every process of the cluster. It decides nothing else. */
export class Supervisor {
  private readonly plan: SupervisorPlan;
  private readonly nodes: NodeProcesses;
  private readonly agents: InstanceProcesses;
  private readonly proxy: ManagedProcess;
  private readonly control: ManagedProcess;
  private readonly keeper: ManagedProcess;
  private readonly hangs: HangGuard;
  private readonly bootId = findBootId();
  private server: RpcServer | undefined;
  private onDownAsked: (isImmediate: boolean) => void = () => undefined;

  constructor(plan: SupervisorPlan) {
    this.plan = plan;
    const make = (
      name: string,
      entry: string,
      config: () => unknown,
      mayStart?: () => Promise<boolean>,
    ): ManagedProcess =>
      new ManagedProcess(
        {
          name,
          entry,
          config,
          stderrFile: `${plan.layout.logDir}/${name}.stderr`,
          onStarted: () => this.remember(),
          ...(mayStart ? { mayStart } : {}),
        },
        plan.logger,
      );
    this.control = make("control-plane", "control-plane", plan.control);
    this.keeper = make("keeper", "keeper", plan.keeper);
    this.proxy = make("proxy", "proxy", plan.proxy);
    this.nodes = new NodeProcesses({
      layout: plan.layout,
      logger: plan.logger,
      state: plan.stateNow,
      config: plan.node,
      nodePorts: plan.nodePorts,
      process: (name, { config, mayStart }) => make(name, "storage-node", config, mayStart),
    });
    this.hangs = new HangGuard(
      () => this.all,
      (one) => this.hangLimitOf(one),
    );
    this.agents = new InstanceProcesses({
      ...plan,
      state: plan.stateNow,
      process: (instance) => make(instance.id, "instance-agent", () => plan.agent(instance)),
    });
  }

  private hangLimitOf({ name }: ManagedProcess): number {
    const { hangMs } = this.plan;
    return hangMs > 0 && this.nodes.find(name) ? Math.max(hangMs, nodeHangMs) : hangMs;
  }

  private get all(): ManagedProcess[] {
    return [...this.nodes.all, ...this.agents.all, this.control, this.keeper, this.proxy];
  }

  async start(onDownAsked: (isImmediate: boolean) => void): Promise<void> {
    this.onDownAsked = onDownAsked;
    await endLeftovers(this.plan.layout, this.plan.logger);
    this.server = await serveRpc(
      { kind: "unix", path: this.plan.layout.supervisorSocket },
      {
        processes: () => this.report(),
        down: (params) => {
          const { immediate } = z.object({ immediate: z.boolean() }).parse(params);
          this.onDownAsked(immediate);
        },
        stopNodes: (params) => this.stopNodes(this.namedNodes(params)),
        keys: () => this.requireKeys().report(),
        rotateKeys: (params) => {
          const { master } = z.object({ master: z.boolean() }).parse(params);
          return this.rotateKeys(master);
        },
        startNodes: (params) => {
          for (const node of this.namedNodes(params)) node.start();
        },
        makeNode: (params) => this.nodes.makeNext(z.object({ id: z.string() }).parse(params).id),
        injectFault: (params) => {
          const { ids, order } = injectSchema.parse(params);
          return this.nodes.injectFault(ids, order);
        },
        followState: () => this.nodes.followState(),
        killAgent: (params) => {
          const { id, pid } = killAgentSchema.parse(params);
          this.agents.find(id)?.kill(pid);
        },
        followInstances: () => ({ leaving: this.agents.followState() }),
      },
    );
    for (const process of this.all) process.start();
    this.hangs.start();
  }

  /** Who writes with them is told, and who reads what they wrote. */
  private rotateKeys(isMaster: boolean): Promise<Rotation> {
    const readers = [this.keeper, ...this.agents.all];
    return rotateKeys(this.requireKeys(), { nodes: this.nodes.all, readers, isMaster });
  }

  private requireKeys(): VolumeKeys {
    if (this.plan.keys) return this.plan.keys;
    throw new BorealisError(sqlState.notInPrerequisiteState, "this volume is not encrypted", {
      hint: "encryption is chosen when a cluster is created (setting storage.encryption)",
    });
  }

  /** Stops everything in the order in which nobody loses what it waits for. */
  async stop(isImmediate: boolean): Promise<void> {
    const scale = isImmediate ? 0.2 : 1;
    this.hangs.close();
    await this.tellControlPlane();
    await this.proxy.stop(proxyStopMs * scale);
    const writer = this.agents.find((readState(this.plan.layout) ?? this.plan.state).writer);
    const readers = this.agents.all.filter((agent) => agent !== writer);
    await Promise.all(readers.map((agent) => agent.stop(readerStopMs * scale)));
    await writer?.stop(writerStopMs * scale);
    // While the nodes are there: it archives what the writer wrote last.
    await this.keeper.stop(otherStopMs * scale);
    await Promise.all(
      [this.control, ...this.nodes.all].map((one) => one.stop(otherStopMs * scale)),
    );
    await this.server?.close();
    rmSync(this.plan.layout.runtimeFile, { force: true });
    rmSync(this.plan.layout.runtimeDir, { recursive: true, force: true });
  }

  private report(): Promise<ProcessReport[]> {
    return Promise.all(
      this.all.map(async (one) => ({
        name: one.name,
        pid: one.pid ?? null,
        state: one.state,
        restarts: one.restarts,
        ...this.nodes.diskOf(one.name),
        ...(await this.nodes.faultsOf(one.name)),
      })),
    );
  }

  /** So that the control plane gives no more orders to agents that stop. */
  private async tellControlPlane(): Promise<void> {
    try {
      const path = this.plan.layout.controlSocket;
      const client = await connectRpc({ kind: "unix", path }, { timeoutMs: 500 });
      await client.call("stopping", {}, { timeoutMs: 500 });
      client.close();
    } catch {
      // It is down already; then it gives no orders either.
    }
  }

  private async stopNodes(nodes: ManagedProcess[]): Promise<void> {
    await Promise.all(nodes.map((node) => node.stop(otherStopMs)));
  }

  private namedNodes(params: unknown): ManagedProcess[] {
    const { ids } = z.object({ ids: z.array(z.string()) }).parse(params);
    return ids.flatMap((id) => {
      const found = this.nodes.find(id);
      if (found) return found;
      throw new BorealisError(sqlState.invalidParameter, `there is no storage node "${id}"`, {
        hint: `there are ${this.nodes.names.join(", ")}`,
      });
    });
  }

  /** Pids on disk, so that the next supervisor can make sure that none of these still runs. */
  private remember(): void {
    const pids = this.all.flatMap((one) => (one.pid === undefined ? [] : [one.pid]));
    const text = JSON.stringify({ pids, bootId: this.bootId });
    replaceFile(this.plan.layout.runtimeFile, text, { isDurable: false });
  }
}

/**
 * Two processes on one node's files would be two nodes under one name: whatever a killed supervisor left behind
 * (frozen processes too) is ended before anything is started. Pids are checked against what they are now.
 */
export async function endLeftovers(layout: Layout, logger: Logger): Promise<void> {
  let left: z.infer<typeof runtimeSchema>;
  try {
    left = runtimeSchema.parse(JSON.parse(readFileSync(layout.runtimeFile, "utf8")));
  } catch {
    return; // no file, or half a file: the supervisor before this one ended in order, or never got so far
  }
  if (left.bootId !== undefined && left.bootId !== findBootId()) return;
  // In a container that was started again our own pid may be among them.
  const others = left.pids.filter((pid) => pid !== process.pid);
  const alive = others.filter((pid) => isProcessOf(pid, "borealis"));
  for (const pid of alive) {
    logger.warn({ event: "leftover.killed", pid });
    process.kill(pid, "SIGKILL");
  }
  const deadlineMs = performance.now() + 5_000;
  while (alive.some((pid) => isProcessOf(pid, "borealis"))) {
    if (performance.now() > deadlineMs) {
      throw new BorealisError(
        sqlState.notInPrerequisiteState,
        `processes of the last run do not end: ${alive.join(", ")}`,
        { hint: "end them (kill -9), then start again" },
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Its name can be foretold, in a directory where everybody may write: raises 55000 if another was there first. */
function requireOwnFolder(folder: string, mode: number): void {
  const found = lstatSync(folder);
  if (!found.isDirectory() || found.uid !== (process.getuid?.() ?? found.uid)) {
    throw new BorealisError(
      sqlState.notInPrerequisiteState,
      `${folder} is not a directory of this user: its sockets would not be safe there`,
      { hint: "look who made it, and remove it; or set TMPDIR to a directory of your own" },
    );
  }
  if ((found.mode & 0o777) !== mode) chmodSync(folder, mode);
}

/** Directories that every run needs, made or cleaned. */
export function prepareRuntimeDir(layout: Layout): void {
  const isRoot = process.getuid?.() === 0;
  // Root's PostgreSQL, which is another user, has its sockets below.
  const mode = isRoot ? 0o711 : 0o700;
  mkdirSync(layout.runtimeDir, { recursive: true, mode });
  requireOwnFolder(layout.runtimeDir, mode);
  mkdirSync(layout.logDir, { recursive: true, mode: 0o700 });
}
