import { messageOf } from "../base/errors.ts";
import { readLeaseSchema, readRoundSchema } from "../instance/index.ts";
import { type Clock, type Logger, sleep } from "../io/index.ts";
import {
  LeaseGate,
  type ReadGate,
  type ReadGates,
  RoundGate,
  type Target,
} from "../session/index.ts";
import type { AgentLines } from "./agent-lines-shell.ts";
import type { PushedTopology } from "./routing-shell.ts";

export interface GatesOptions {
  readonly mode: "lease" | "round";
  readonly leaseMs: number;
  readonly topology: PushedTopology;
  readonly lines: AgentLines;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A lease is asked for this often within its length. */
const asksPerLease = 4;
const retryMs = 20;
/** An instance that the topology does not name: gone, or not heard of yet by a control plane that has just begun. */
const absentRetryMs = 500;
const answerTimeoutMs = 3_000;

/** The gates of the writers that this proxy knows: one for each life of a writer, kept while it may be asked. */
export class AgentGates implements ReadGates {
  private readonly options: GatesOptions;
  private readonly gates = new Map<string, LifeGate>();

  constructor(options: GatesOptions) {
    this.options = options;
    options.topology.onChange(() => this.onTopologyChange());
  }

  find(target: Target): ReadGate | undefined {
    return target.role === "writer" ? this.gateOf(target) : undefined;
  }

  private onTopologyChange(): void {
    for (const [incarnation, gate] of this.gates) if (gate.isOver) this.gates.delete(incarnation);
    // Asked for at once, so that the first session finds a lease.
    const writer = this.options.topology.writer();
    if (writer) this.gateOf(writer);
  }

  private gateOf(target: Target): LifeGate {
    const known = this.gates.get(target.incarnation);
    if (known) return known;
    const { mode, ...rest } = this.options;
    const gate =
      mode === "lease" ? new AgentLeaseGate(target, rest) : new AgentRoundGate(target, rest);
    this.gates.set(target.incarnation, gate);
    return gate;
  }
}

type LifeOptions = Omit<GatesOptions, "mode">;

/** What both kinds share: whom to ask, for how long, and who waits. */
abstract class LifeGate implements ReadGate {
  protected readonly options: LifeOptions;
  private readonly target: Target;
  private readonly life: string;
  private watchers = new Set<() => void>();
  private hasEnded = false;

  constructor(target: Target, options: LifeOptions) {
    this.target = target;
    this.options = options;
    // The topology's name of this life, behind the instance's.
    this.life = target.incarnation.slice(target.instanceId.length + 1);
  }

  abstract arrive(): number;
  abstract isOpen(ticket: number): boolean;

  /** This life of the writer is over: nothing of it will ever be told again. */
  get isOver(): boolean {
    return this.hasEnded;
  }

  onceMoved(fn: () => void): () => void {
    let isWanted = true;
    this.watchers.add(() => {
      if (isWanted) fn();
    });
    return () => {
      isWanted = false;
    };
  }

  protected moved(): void {
    const { watchers } = this;
    // Those who find it closed still come back.
    this.watchers = new Set();
    for (const watcher of watchers) watcher();
  }

  protected end(): void {
    this.hasEnded = true;
    this.options.logger.debug({ event: "gate.over", incarnation: this.target.incarnation });
  }

  protected async ask(method: string): Promise<unknown> {
    const line = await this.options.lines.to(this.target.instanceId);
    return line.call(method, { life: this.life }, { timeoutMs: answerTimeoutMs });
  }

  /** The agent does not answer. While the topology still names this life it may be back. */
  protected async pause(error: unknown): Promise<void> {
    const { clock, logger, topology } = this.options;
    const { instanceId } = this.target;
    logger.debug({ event: "gate.noAnswer", instance: instanceId }, messageOf(error));
    await sleep(clock, topology.agentSocketOf(instanceId) ? retryMs : absentRetryMs);
    if (topology.hasEnded(this.target)) this.end();
  }
}

class AgentLeaseGate extends LifeGate {
  private readonly lease: LeaseGate;
  private hurry: (() => void) | undefined;

  constructor(target: Target, options: LifeOptions) {
    super(target, options);
    this.lease = new LeaseGate(options.clock.nowMs(), options.clock.awakeOrAsleepMs());
    void this.keepLease();
  }

  arrive(): number {
    return 0;
  }

  isOpen(): boolean {
    const { clock } = this.options;
    const nowMs = clock.nowMs();
    if (this.lease.mustLook(nowMs)) this.lease.look(nowMs, clock.awakeOrAsleepMs());
    return this.lease.isOpen(nowMs);
  }

  override onceMoved(fn: () => void): () => void {
    this.hurry?.();
    return super.onceMoved(fn);
  }

  private async keepLease(): Promise<void> {
    const { clock, leaseMs } = this.options;
    while (!this.isOver) {
      try {
        const askedAtMs = clock.nowMs();
        const { validMs } = readLeaseSchema.parse(await this.ask("readLease"));
        if (validMs === null) break;
        this.lease.look(clock.nowMs(), clock.awakeOrAsleepMs());
        this.lease.extend(askedAtMs, validMs);
        // The agent has waited for a lease itself, unless it is about to give the writer up.
        if (!this.isOpen()) await sleep(clock, retryMs);
        else await this.untilDue(leaseMs / asksPerLease);
      } catch (error) {
        await this.pause(error);
      }
    }
    this.lease.close();
    if (!this.isOver) this.end();
  }

  /** Sooner when somebody waits. */
  private untilDue(afterMs: number): Promise<void> {
    this.moved();
    return new Promise((resolve) => {
      const timer = this.options.clock.after(afterMs, resolve);
      this.hurry = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}

class AgentRoundGate extends LifeGate {
  private readonly rounds = new RoundGate();
  private isAsking = false;

  arrive(): number {
    const ticket = this.rounds.arrive();
    if (!this.isAsking) void this.askRounds();
    return ticket;
  }

  isOpen(ticket: number): boolean {
    return this.rounds.isOpen(ticket);
  }

  /** One round at a time; it serves all who came before it was asked for. */
  private async askRounds(): Promise<void> {
    this.isAsking = true;
    for (;;) {
      const ticket = this.isOver ? undefined : this.rounds.ticketToAsk();
      if (ticket === undefined) break;
      try {
        const { isConfirmed } = readRoundSchema.parse(await this.ask("readRound"));
        if (isConfirmed) this.rounds.confirm(ticket);
        else this.end();
        this.moved();
      } catch (error) {
        await this.pause(error);
      }
    }
    this.isAsking = false;
  }
}
