import { messageOf } from "../base/errors.ts";
import { type InstanceStatus, pulseSchema } from "../instance/index.ts";
import { type Clock, type Logger, type RpcClient, sleep } from "../io/index.ts";
import { type Loss, WriterWatch } from "./detection.ts";

export interface GuardWorld {
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long the writer may be silent. */
  readonly detectionMs: number;
  /** Who is to write. */
  writer(): string;
  status(id: string): InstanceStatus | undefined;
  client(id: string): RpcClient | undefined;
  /** Somebody is at it: the writer is stopped or moved on purpose. */
  isBusy(): boolean;
  /** A job that outlives its control plane may stop the writer, which then starts again. */
  mayStop(): boolean;
  /** Another instance takes over; false: there is none that could. */
  takeOver(from: string, loss: Loss): boolean;
}

const stepMaxMs = 250;

/** Watches the writer, and has it replaced when it is lost; where there is no reader, it starts again where it was. */
export class WriterGuard {
  private readonly world: GuardWorld;
  private readonly stepMs: number;
  private readonly watch: WriterWatch;
  private watched = "";
  private isAsking = false;

  constructor(world: GuardWorld) {
    this.world = world;
    const { clock, detectionMs } = world;
    this.stepMs = Math.min(stepMaxMs, detectionMs / 4);
    this.watch = new WriterWatch({ detectionMs, stepMs: this.stepMs, nowMs: clock.nowMs() });
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
    if (world.isBusy() || writer !== this.watched) watch.reset(nowMs);
    this.watched = writer;
    if (world.isBusy()) return;
    if (world.mayStop()) watch.expectEnd(nowMs);
    else watch.noteStatus(world.status(writer), nowMs);
    const loss = watch.judge(nowMs);
    if (loss) this.replace(writer, loss);
  }

  private replace(writer: string, loss: Loss): void {
    const { world } = this;
    world.logger.warn({ event: "writer.lost", instance: writer, loss });
    const isReplaced = world.takeOver(writer, loss);
    this.watch.reset(world.clock.nowMs());
    if (isReplaced || loss !== "silent") return;
    // Nobody else can write. One that answers nobody is killed, and is ordered anew when its agent is free.
    const killed = world.client(writer)?.call("yieldVolume", { isHurried: true });
    killed?.catch((error: unknown) => {
      world.logger.warn({ event: "writer.notKilled", instance: writer }, messageOf(error));
    });
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
      if (writer === this.watched) this.watch.notePulse(silentMs, clock.nowMs());
    } catch {
      // Silence: it counts as such.
    } finally {
      this.isAsking = false;
    }
  }
}
