import { messageOf, sqlState } from "../base/errors.ts";
import { countedSilence } from "../base/slowness.ts";
import { type InstanceStatus, pulseSchema } from "../instance/index.ts";
import { type Clock, type Logger, readCpuTime, sleep } from "../io/index.ts";
import { type Loss, WriterWatch } from "./detection.ts";
import type { KillAgent } from "./process-messages.ts";
import type { AgentCaller } from "./writer-change-shell.ts";

export interface GuardWorld {
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long the writer may be silent. */
  readonly detectionMs: number;
  /** Who is to write. */
  writer(): string;
  status(id: string): InstanceStatus | undefined;
  client(id: string): AgentCaller | undefined;
  /** Somebody is at it: another is made the writer. */
  isBusy(): boolean;
  /** It was asked to stop and start again, by an agent that lives on. */
  isRestarting(): boolean;
  /** A job that outlives its control plane may stop the writer, which then starts again. */
  mayStop(): boolean;
  /** Another instance takes over; false: there is none that could. */
  takeOver(from: string, loss: Loss): boolean;
  /** Has an agent that hangs killed, if that is it still; it is started anew. */
  killAgent(agent: KillAgent): Promise<void>;
}

const stepMaxMs = 250;
/** Starts of a writer that fail before another is to write. The first may be the end of what the last one left behind. */
const failuresMax = 2;

/** Between two looks at who may be silent. */
export function guardStepMs(detectionMs: number): number {
  return Math.min(stepMaxMs, detectionMs / 4);
}

/** Watches the writer, and has it replaced when it is lost; where there is no reader, it starts again where it was. */
export class WriterGuard {
  private readonly world: GuardWorld;
  private readonly stepMs: number;
  private readonly watch: WriterWatch;
  private watched = "";
  private isAsking = false;
  /** When the writer's agent last answered, whatever its PostgreSQL did. */
  private agentHeardMs: number;
  /** What the system had given us by then. */
  private cpuTime = readCpuTime();
  private agentPid: number | undefined;
  /** Starts that failed since it was open, or another was. */
  private failures = 0;

  constructor(world: GuardWorld) {
    this.world = world;
    const { clock, detectionMs } = world;
    this.stepMs = guardStepMs(detectionMs);
    this.agentHeardMs = clock.nowMs();
    this.watch = new WriterWatch({ detectionMs, stepMs: this.stepMs, nowMs: this.agentHeardMs });
  }

  /** When the PostgreSQL of an open writer last answered. */
  get answeredMs(): number | undefined {
    return this.watch.answeredMs;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.observe();
      if (!this.isAsking && !this.world.isBusy()) void this.ask();
      await sleep(this.world.clock, this.stepMs, signal);
    }
  }

  /** Something was told of an instance, or its line is gone: an end counts at once. */
  observe(): void {
    const { watch, world } = this;
    const nowMs = world.clock.nowMs();
    const writer = world.writer();
    if (world.isBusy() || writer !== this.watched) {
      watch.reset(nowMs);
      this.noteHeard(nowMs);
      this.failures = 0;
    }
    this.watched = writer;
    const { agentPid, role, isAdmitted = false } = world.status(writer) ?? {};
    if (role === "writer" && isAdmitted) this.failures = 0;
    // One that has just begun lives, though it has not answered yet.
    if (agentPid !== undefined && agentPid !== this.agentPid) this.noteHeard(nowMs);
    this.agentPid = agentPid ?? this.agentPid;
    if (world.isBusy()) return;
    if (world.isRestarting()) watch.expectRestart(world.status(writer));
    else if (world.mayStop()) watch.expectEnd(nowMs);
    else watch.noteStatus(world.status(writer), nowMs);
    const loss = watch.judge(nowMs, (ms) => countedSilence(ms, this.cpuTime, readCpuTime()));
    if (loss) this.replace(writer, loss);
  }

  /** It was ordered to write, and could not: for `code`. Whoever else is ready is to, if it does not help to try again. */
  noteFailed(writer: string, code: string): void {
    const { world } = this;
    if (writer !== this.watched || world.isBusy() || world.mayStop()) return;
    // Another would lack it, too.
    if (code === sqlState.quorumMissing) return;
    this.failures++;
    if (this.failures < failuresMax) return;
    this.failures = 0;
    this.replace(writer, "unfit");
  }

  private noteHeard(nowMs: number): void {
    this.agentHeardMs = nowMs;
    this.cpuTime = readCpuTime();
  }

  private replace(writer: string, loss: Loss): void {
    const { world } = this;
    world.logger.warn({ event: "writer.lost", instance: writer, loss });
    const isReplaced = world.takeOver(writer, loss);
    const nowMs = world.clock.nowMs();
    this.watch.reset(nowMs);
    // It starts again by itself, as often as need be.
    if (isReplaced || loss === "ended" || loss === "unfit") return;
    const isAgentSilent = nowMs - this.agentHeardMs > world.detectionMs;
    this.revive(writer, isAgentSilent).catch((error: unknown) => {
      world.logger.warn({ event: "writer.notKilled", instance: writer }, messageOf(error));
    });
  }

  /**
   * Nobody else can write. A PostgreSQL that answers nobody is killed by its agent, and ordered anew when that is free; an
   * agent that answers nobody is killed itself. One that was never heard may be starting, and is left to it.
   */
  private async revive(writer: string, isAgentSilent: boolean): Promise<void> {
    const { world } = this;
    const pid = world.status(writer)?.agentPid;
    if (!isAgentSilent) await world.client(writer)?.call("yieldVolume", { isHurried: true });
    else if (pid !== undefined) await world.killAgent({ id: writer, pid });
  }

  private async ask(): Promise<void> {
    const { clock, detectionMs } = this.world;
    const writer = this.world.writer();
    const client = this.world.client(writer);
    if (!client) return;
    this.isAsking = true;
    try {
      const answer = await client.call("pulse", {}, { timeoutMs: detectionMs });
      const { silentMs } = pulseSchema.parse(answer);
      if (writer !== this.watched) return;
      this.noteHeard(clock.nowMs());
      this.watch.notePulse(silentMs, this.agentHeardMs);
    } catch {
      // Silence: it counts as such.
    } finally {
      this.isAsking = false;
    }
  }
}
