import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { type Clock, type Logger, orAborted } from "../io/index.ts";
import type { InstanceStatus, WriterOrder } from "../instance/index.ts";
import type { Loss } from "./detection.ts";
import { type Candidate, requireTarget } from "./failover.ts";
import { failOver } from "./failover-shell.ts";
import { FailoverMeter, type FailoverKind } from "./failover-meter.ts";
import { WriterGuard } from "./guard-shell.ts";
import { lifeOf } from "./lives.ts";
import type { FailoverReport } from "./messages.ts";
import type { KillAgent } from "./process-messages.ts";
import type { ClusterState } from "./state.ts";
import { takeOver } from "./takeover-shell.ts";
import {
  type AgentCaller,
  type ChangeWorld,
  drain,
  superseded,
  until,
} from "./writer-change-shell.ts";

/** A writer's restart on purpose. */
interface Restart {
  /** What it has been until then. */
  readonly life: string;
  /** Aborts when another is to write: nobody waits for this one any more. */
  readonly replaced: AbortController;
}

export type Change = (state: ClusterState) => ClusterState;

export interface MovesDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long the writer may be silent before another takes over. */
  readonly detectionMs: number;
  readonly signal: AbortSignal;
  readonly state: () => ClusterState;
  readonly isStopping: () => boolean;
  status(id: string): InstanceStatus | undefined;
  client(id: string): AgentCaller | undefined;
  /** See GuardWorld.killAgent. */
  killAgent(agent: KillAgent): Promise<void>;
  candidates(): Candidate[];
  /** Makes `id` the one that is to write, durably, with whatever else `change` does. */
  appoint(id: string, change?: Change): void;
  writerOrder(id: string): WriterOrder;
  remainingOn: ChangeWorld["remainingOn"];
  /** Something has changed that the topology shows. */
  onChange(): void;
}

const drainMs = 1_000;
const stopMs = 30_000;
const restartMs = 60_000;

/**
 * Everything that changes who writes, or stops who does: failovers that are asked for, takeovers from a writer that is
 * lost, restarts. One at a time.
 */
export class WriterMoves {
  private readonly deps: MovesDeps;
  private readonly guard: WriterGuard;
  readonly meter = new FailoverMeter();
  private failover: { target: string; readonly done: Promise<FailoverReport> } | undefined;
  /** The writer that is stopped and started again. */
  private restarting: Restart | undefined;
  /** The life of a writer that was given up, though it may not know. */
  private givenUp: string | undefined;

  constructor(deps: MovesDeps) {
    this.deps = deps;
    this.guard = new WriterGuard({
      ...deps,
      writer: () => deps.state().writer,
      isBusy: () => this.isBusy,
      isRestarting: () => this.restarting !== undefined,
      mayStop: () => deps.state().backtrack !== undefined,
      takeOver: (from, loss) => this.takeOver(from, loss),
    });
  }

  /** Somebody is being promoted: who is the writer may change at any moment. */
  get isUnderWay(): boolean {
    return this.failover !== undefined;
  }

  /** Replaces a writer that is lost, until `signal` aborts. */
  watch(signal: AbortSignal): Promise<void> {
    return this.guard.run(signal);
  }

  /** When the PostgreSQL of an open writer last answered; undefined: there is none, or it is being changed. */
  get writerAnsweredMs(): number | undefined {
    return this.isBusy ? undefined : this.guard.answeredMs;
  }

  /** An agent has told something, or its line is gone. */
  observe(): void {
    this.guard.observe();
  }

  /** `id` was ordered to write, outside of any change of the writer, and could not, for `code`. */
  noteFailed(id: string, code: string): void {
    this.guard.noteFailed(id, code);
  }

  /** Nobody is to be sent there, nor to stay. */
  isGivenUp(status: InstanceStatus): boolean {
    return this.givenUp === lifeOf(status);
  }

  /** What runs there may end; nothing more is to begin. */
  isRestarting(status: InstanceStatus): boolean {
    return this.restarting?.life === lifeOf(status);
  }

  /**
   * Promotes `wanted`, or the best reader. Resolves when it accepts writes; raises what stands in the way. One under way
   * is joined, but gives way to another name: whoever was to write before may be in trouble.
   */
  failOver(wanted: string | null): Promise<FailoverReport> {
    const { failover, deps } = this;
    if (failover && (wanted === null || wanted === failover.target)) return failover.done;
    const { writer } = deps.state();
    const target = requireTarget(deps.candidates(), { writer, wanted: wanted ?? undefined });
    return this.beginFailover(target).then((report) => {
      // Somebody took over, as it had to be; but not whom somebody has named.
      if (wanted !== null && report.writer !== wanted) throw superseded(wanted, report.writer);
      return report;
    });
  }

  /** A failover whose appointment changes more of the state, in the same move. */
  replaceWriter(target: string, change: Change): Promise<FailoverReport> {
    return this.beginFailover(target, change);
  }

  /** The best reader that is not among `tried`; undefined: there is none that is ready. */
  findSuccessor(tried: ReadonlySet<string> = new Set()): string | undefined {
    const { writer } = this.deps.state();
    const candidates = this.deps.candidates().filter((one) => !tried.has(one.id));
    try {
      return requireTarget(candidates, { writer, wanted: undefined });
    } catch {
      return undefined;
    }
  }

  /** A control plane before this one had appointed who is a reader still, and did not come to the end. */
  resume(): void {
    if (this.failover) return;
    this.beginFailover(this.deps.state().writer).catch((error: unknown) => {
      this.deps.logger.warn({ event: "failover.notDone" }, messageOf(error));
    });
  }

  /**
   * Stops an instance's PostgreSQL in order, and has it started again in its role; resolves when it takes sessions. A writer
   * whose agent falls silent meanwhile is replaced like any other: then this raises 55000.
   */
  async restart(id: string): Promise<void> {
    const { client: lineTo, status: statusOf } = this.deps;
    const before = statusOf(id);
    const client = lineTo(id);
    if (!client || !before) {
      const why = `${id} cannot be restarted: there is no such instance, or it is away`;
      throw new BorealisError(sqlState.notInPrerequisiteState, why, {
        hint: "borealis status shows the instances",
      });
    }
    if (this.isBusy || this.restarting || this.deps.state().backtrack) {
      const why = `${id} cannot be restarted while the writer is being changed`;
      throw new BorealisError(sqlState.notInPrerequisiteState, why);
    }
    if (before.role !== "writer") return this.restartNow(before, client, this.deps.signal);
    const replaced = new AbortController();
    this.restarting = { life: lifeOf(before), replaced };
    const signal = AbortSignal.any([this.deps.signal, replaced.signal]);
    try {
      this.deps.onChange();
      await orAborted(this.restartNow(before, client, signal), replaced.signal);
    } finally {
      this.restarting = undefined;
      this.deps.onChange();
      this.guard.observe();
    }
  }

  private async restartNow(
    before: InstanceStatus,
    client: AgentCaller,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, status: statusOf } = this.deps;
    const { id } = before;
    if (before.role === "writer") await drain(this.world(), id, { drainMs, signal });
    if (signal.aborted) return;
    await client.call("restart", {}, { timeoutMs: stopMs });
    const isBack = (): boolean => {
      const status = statusOf(id);
      return status?.isAdmitted === true && lifeOf(status) !== lifeOf(before);
    };
    await until({ clock }, isBack, { withinMs: restartMs, signal });
    if (isBack()) return;
    const problem = statusOf(id)?.problem ?? statusOf(id)?.state ?? "it is away";
    throw new BorealisError(sqlState.cannotConnectNow, `${id} is not available yet: ${problem}`);
  }

  private get isBusy(): boolean {
    const { failover, deps } = this;
    return Boolean(failover || !deps.state().isBootstrapped || deps.isStopping());
  }

  /** The writer is lost: false if there is no reader to take its place. */
  private takeOver(from: string, loss: Loss): boolean {
    const { deps } = this;
    const first = this.findUnappointed(from) ?? this.findSuccessor();
    if (first === undefined) return false;
    const lost = deps.status(from);
    this.givenUp = lost?.role === "writer" ? lifeOf(lost) : undefined;
    const work = takeOver(this.world(), { from, loss, first }, deps.signal);
    this.begin("failover", first, work).catch((error: unknown) => {
      deps.logger.warn({ event: "takeover.notDone" }, messageOf(error));
    });
    return true;
  }

  /** Whom a failover was to replace that a control plane before this one has begun: it may never have heard of it. */
  private findUnappointed(appointed: string): string | undefined {
    const { state, status } = this.deps;
    const isOpen = (id: string): boolean => {
      const seen = status(id);
      return seen?.role === "writer" && seen.isAdmitted && !this.isGivenUp(seen);
    };
    return state().instances.find(({ id }) => id !== appointed && isOpen(id))?.id;
  }

  private beginFailover(target: string, change?: Change): Promise<FailoverReport> {
    return this.begin("switchover", target, failOver(this.world(change), target, this.deps.signal));
  }

  private begin(
    kind: FailoverKind,
    target: string,
    work: Promise<FailoverReport>,
  ): Promise<FailoverReport> {
    work.then(
      ({ heldMs }) => this.meter.done(kind, heldMs),
      () => this.meter.failed(kind),
    );
    const done = work.finally(() => {
      if (this.failover?.done !== done) return;
      this.failover = undefined;
      this.guard.observe();
    });
    this.failover = { target, done };
    this.restarting?.replaced.abort(notRestarted(target));
    return done;
  }

  private world(change?: Change): ChangeWorld {
    const { deps } = this;
    return {
      ...deps,
      meter: this.meter,
      instances: deps.state().instances.map((one) => one.id),
      appoint: (id) => {
        if (this.failover) this.failover.target = id;
        deps.appoint(id, change);
      },
      appointed: () => deps.state().writer,
      // The cache that a backtrack was prepared on is not to be had twice.
      choose: (tried) => (deps.state().backtrack ? undefined : this.findSuccessor(tried)),
    };
  }
}

/** Why a restart of the writer is not seen to its end. */
function notRestarted(by: string): BorealisError {
  const why = `it was not started again as the writer: ${by} was to write meanwhile`;
  return new BorealisError(sqlState.notInPrerequisiteState, why, {
    hint: "borealis status shows the instances",
  });
}
