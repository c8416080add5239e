import { pulseSchema } from "../instance/index.ts";
import { sleep } from "../io/index.ts";
import { ask, type ChangeWorld } from "./writer-change-shell.ts";

/** What asking costs PostgreSQL, an instance can bear so often. */
export const pulseEveryMs = 500;
const lookMs = 20;

/**
 * Whether an agent, and a writer's PostgreSQL, still answers: asked now and then, while somebody looks. It counts as heard
 * when this begins, and our own pauses do not count.
 */
export class SilenceWatch {
  readonly id: string;
  private readonly world: ChangeWorld;
  private heardMs: number;
  private askedMs: number;
  private lookedMs: number;
  private standing = 0;

  constructor(world: ChangeWorld, id: string) {
    this.world = world;
    this.id = id;
    this.heardMs = this.askedMs = this.lookedMs = world.clock.nowMs();
  }

  /** How long it has been silent. To be called more often than it is asked. */
  silentMs(): number {
    const nowMs = this.world.clock.nowMs();
    const pausedMs = Math.max(0, nowMs - this.lookedMs - pulseEveryMs);
    this.heardMs = Math.min(nowMs, this.heardMs + pausedMs);
    this.lookedMs = nowMs;
    if (nowMs - this.askedMs >= pulseEveryMs) void this.ask(nowMs);
    return nowMs - this.heardMs;
  }

  /** How long its promotion has come no nearer to its end, as it said last. */
  get standstillMs(): number {
    return this.standing;
  }

  /** What `work` comes to; undefined once it has been silent for longer than it may be: then `stop` aborts. */
  async whileHeard<T>(
    work: (stop: AbortSignal) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T | undefined> {
    const over = new AbortController();
    const stop = AbortSignal.any([signal, over.signal]);
    try {
      return await Promise.race([work(stop), this.untilSilent(stop)]);
    } finally {
      over.abort(new Error("it is done, or nobody waits for it"));
    }
  }

  private async untilSilent(stop: AbortSignal): Promise<undefined> {
    const { clock, detectionMs } = this.world;
    const silentMaxMs = detectionMs + pulseEveryMs;
    while (!stop.aborted && this.silentMs() <= silentMaxMs) await sleep(clock, lookMs, stop);
  }

  private async ask(nowMs: number): Promise<void> {
    const { world, id } = this;
    this.askedMs = nowMs;
    const told = await ask(world, id, { method: "pulse", timeoutMs: world.detectionMs });
    if (!told) return;
    const { silentMs, standstillMs } = pulseSchema.parse(told.answer);
    this.heardMs = Math.max(this.heardMs, world.clock.nowMs() - silentMs);
    this.standing = standstillMs;
  }
}
