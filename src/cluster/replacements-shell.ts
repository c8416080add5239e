import { unreachable } from "../base/assert.ts";
import type { Lsn } from "../base/lsn.ts";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { type Clock, connectRpc, type Logger, type RpcClient, sleep } from "../io/index.ts";
import type { Layout } from "./layout.ts";
import type { ReplacementReport } from "./messages.ts";
import { type ProcessReport, processesSchema } from "./process-messages.ts";
import {
  asked,
  chosen,
  filled,
  made,
  membersWithNext,
  nextStep,
  replaced,
  type ReplacementStep,
} from "./replacement.ts";
import type { State } from "../quorum/index.ts";
import { DamageWatch } from "./damage-watch.ts";
import type { ClusterState, NodeState } from "./state.ts";

export interface ReplacementsOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly layout: Layout;
  readonly newNodeId: () => string;
  /** The cluster's state, and its durable replacement in one go. */
  readonly state: () => ClusterState;
  readonly save: (change: (state: ClusterState) => ClusterState) => void;
  /** The line to the agent of a writer that is open and has a write quorum. */
  readonly openWriter: () => RpcClient | undefined;
  /** Tells every agent the address book. */
  readonly tellAgents: () => void;
  /** What the open writer has told durable; undefined: there is none. */
  readonly durable: () => { readonly epoch: number; readonly vdl: Lsn } | undefined;
  /** Whether the keeper copies snapshots to a full node that lacks some. */
  readonly isCopying: (node: NodeState) => boolean;
  /** What a node says of itself; undefined: it does not answer. */
  readonly inspect: (node: NodeState) => Promise<State | undefined>;
}

/** Between two looks at disks and processes. */
const lookEveryMs = 500;
/** Damage is repaired by the node itself: this only finds what cannot be. */
const inspectEveryMs = 10_000;
/** A failed step is tried again after this: its cause (no quorum, a process that starts) passes. */
const retryMs = 300;
/** The supervisor may have to wait for a frozen process before it kills it. */
const makeTimeoutMs = 30_000;

/**
 * Carries out replacements of storage nodes, one at a time, for ever: those that were asked for and those whose disk is
 * lost. replacement.ts decides; the supervisor makes, starts and wipes; the writer's agent changes the members.
 */
export class Replacements {
  private readonly options: ReplacementsOptions;
  private processes: ReadonlyMap<string, ProcessReport> = new Map();
  private poked: (() => void) | undefined;
  private step: ReplacementStep = { kind: "rest" };
  private readonly damage = new DamageWatch();

  constructor(options: ReplacementsOptions) {
    this.options = options;
  }

  /** As the supervisor said last. */
  get lastProcesses(): ReadonlyMap<string, ProcessReport> {
    return this.processes;
  }

  /** Gives the member of that name a successor, in its turn. Raises 22023 for a name that is none. */
  ask(id: string): ReplacementReport {
    const before = this.report(id);
    this.options.save((state) => asked(state, id, "asked for"));
    this.options.logger.info({ event: "replacement.asked", node: id, nodeId: before.nodeId });
    this.poked?.();
    return this.report(id);
  }

  /** Where the replacement of that node stands. Raises 22023 for a name that is none. */
  report(id: string): ReplacementReport {
    const { nodes } = this.options.state();
    const node = nodes.find((one) => one.id === id);
    if (!node) {
      throw new BorealisError(sqlState.invalidParameter, `there is no storage node "${id}"`, {
        hint: `there are ${nodes.map((one) => one.id).join(", ")}`,
      });
    }
    const { nodeId, next, replaceWhy, isFilling } = node;
    const rest = isFilling ? "filling" : this.options.isCopying(node) ? "copying" : "none";
    const phase = replaceWhy === undefined ? rest : this.phaseOf(id);
    return { id, nodeId, next: next?.nodeId ?? null, why: replaceWhy ?? null, phase };
  }

  private phaseOf(id: string): ReplacementReport["phase"] {
    const { step } = this;
    if (step.kind === "rest" || step.id !== id) return "queued";
    if (step.kind === "wait") return "waiting";
    return step.kind === "change" ? "joining" : "making";
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let pauseMs = lookEveryMs;
      try {
        await this.look(signal);
        this.step = this.decide();
        if (await this.carryOut(this.step)) pauseMs = 0;
      } catch (error) {
        this.options.logger.warn(
          { event: "replacement.stepFailed", step: this.step.kind },
          messageOf(error),
        );
        pauseMs = retryMs;
      }
      if (pauseMs > 0) await this.pause(pauseMs, signal);
    }
  }

  /** Beside run: asks for the replacement of nodes that are damaged beyond repair. */
  async watchDamage(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(this.options.clock, inspectEveryMs, signal);
      for (const node of this.options.state().nodes)
        if (!node.next && !signal.aborted) await this.lookForDamage(node);
    }
  }

  private async lookForDamage(node: NodeState): Promise<void> {
    const { inspect, openWriter, clock, save, logger } = this.options;
    const { id, nodeId, replaceWhy } = node;
    const state = await inspect(node);
    const isOpen = openWriter() !== undefined;
    const seen = state && { isDamaged: state.health === "damaged", scl: state.scl, isOpen };
    if (!this.damage.look(nodeId, seen, clock.nowMs()) || replaceWhy !== undefined) return;
    logger.warn({ event: "replacement.asked", node: id, nodeId }, "damaged beyond repair");
    save((now) => asked(now, id, "it is damaged beyond repair"));
  }

  private decide(): ReplacementStep {
    const { state, openWriter } = this.options;
    return nextStep(state(), {
      isOpen: openWriter() !== undefined,
      diskOf: (name) => this.processes.get(name)?.disk,
    });
  }

  private async look(signal: AbortSignal): Promise<void> {
    const answer = await this.askSupervisor("processes", {}, 2_000, signal);
    const processes = processesSchema.parse(answer);
    this.processes = new Map(processes.map((one) => [one.name, one]));
  }

  /** True if it came further. */
  private async carryOut(step: ReplacementStep): Promise<boolean> {
    switch (step.kind) {
      case "rest":
      case "wait":
        return false;
      case "choose":
        return this.choose(step.id, step.why);
      case "make":
        return this.make(step.id);
      case "change":
        return this.change(step.id);
      case "fill":
        return this.fill(step.id);
      default:
        return unreachable(step);
    }
  }

  private choose(id: string, why: string): boolean {
    const nodeId = this.options.newNodeId();
    this.options.save((state) => chosen(state, id, nodeId, why));
    this.options.logger.info({ event: "replacement.begun", node: id, nodeId, why });
    return true;
  }

  private async make(id: string): Promise<boolean> {
    const nodeId = this.nextOf(id);
    await this.askSupervisor("makeNode", { id }, makeTimeoutMs);
    this.options.save((state) => made(state, id, nodeId));
    // It runs from here on, and everybody knows where.
    await this.askSupervisor("followState", {}, makeTimeoutMs);
    this.options.tellAgents();
    this.options.logger.info({ event: "replacement.made", node: id, nodeId });
    return true;
  }

  private async change(id: string): Promise<boolean> {
    const { state, openWriter, logger } = this.options;
    const nodeId = this.nextOf(id);
    const writer = openWriter();
    if (!writer) return false;
    // A control plane that died here has not told the supervisor or the agents: again, it costs nothing.
    await this.askSupervisor("followState", {}, makeTimeoutMs);
    this.options.tellAgents();
    const members = membersWithNext(state(), id);
    logger.info({ event: "replacement.joining", node: id, nodeId });
    if (!(await this.untilChanged(writer, members, id))) return true;
    this.options.save((now) => replaced(now, id, nodeId));
    this.options.tellAgents();
    await this.askSupervisor("followState", {}, makeTimeoutMs);
    logger.info({ event: "replacement.done", node: id, nodeId });
    return true;
  }

  /** Whether it has caught up with what was durable when it was asked. */
  private async fill(id: string): Promise<boolean> {
    const { state, inspect, durable, save, logger } = this.options;
    const node = state().nodes.find((one) => one.id === id);
    const goal = durable();
    if (!node || !goal) return false;
    const seen = await inspect(node);
    if (!seen || seen.accepted !== goal.epoch || seen.scl < goal.vdl) return false;
    save((now) => filled(now, id));
    logger.info({ event: "replacement.filled", node: id, nodeId: node.nodeId, scl: seen.scl });
    return true;
  }

  /** False: it may never end this way, since the successor's own disk is lost, or this writer is the writer no more. */
  private async untilChanged(
    writer: RpcClient,
    members: ReturnType<typeof membersWithNext>,
    id: string,
  ): Promise<boolean> {
    const watching = new AbortController();
    const changed = writer.call("changeMembers", { members }).then(() => true);
    const lost = this.untilLost(writer, id, watching.signal).then(() => false);
    try {
      return await Promise.race([changed, lost]);
    } finally {
      watching.abort(new Error("the change has ended"));
      changed.catch(() => undefined);
      await lost;
    }
  }

  /** Resolves when the successor's disk is lost, the writer another or none, or the signal aborts. */
  private async untilLost(writer: RpcClient, id: string, signal: AbortSignal): Promise<void> {
    const { clock, logger, openWriter } = this.options;
    while (!signal.aborted) {
      await sleep(clock, lookEveryMs, signal);
      if (signal.aborted || openWriter() !== writer) return;
      await this.look(signal).catch((error: unknown) => {
        logger.debug({ event: "supervisor.unreachable" }, messageOf(error));
      });
      const disk = this.processes.get(id)?.disk;
      if (disk !== undefined && disk !== "ok") return;
    }
  }

  private nextOf(id: string): string {
    const node = this.options.state().nodes.find((one) => one.id === id);
    if (node?.next) return node.next.nodeId;
    throw new BorealisError(sqlState.internal, `${id} has no successor`);
  }

  private async askSupervisor(
    method: string,
    params: unknown,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<unknown> {
    const path = this.options.layout.supervisorSocket;
    const bounds = { timeoutMs: 1_000, ...(signal ? { signal } : {}) };
    const client = await connectRpc({ kind: "unix", path }, bounds);
    try {
      return await client.call(method, params, { timeoutMs });
    } finally {
      client.close();
    }
  }

  private async pause(ms: number, signal: AbortSignal): Promise<void> {
    const poke = new AbortController();
    this.poked = () => poke.abort(new Error("a replacement was asked for"));
    await sleep(this.options.clock, ms, AbortSignal.any([signal, poke.signal]));
    this.poked = undefined;
  }
}
