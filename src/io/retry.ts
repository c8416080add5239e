import type { Rng } from "../base/rng.ts";
import { type Clock, sleep } from "./clock.ts";

export interface RetryOptions {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  /** Whichever bound comes first ends the trying; the last error is then thrown. */
  readonly maxAttempts?: number;
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
  readonly mayRetry?: (error: unknown) => boolean;
}

/** Runs `attempt` until it succeeds: exponential back-off with jitter. Raises the last error. */
export async function retry<T>(options: RetryOptions, attempt: () => Promise<T>): Promise<T> {
  const startMs = options.clock.nowMs();
  let delayMs = options.firstDelayMs;
  for (let count = 1; ; count++) {
    try {
      return await attempt();
    } catch (error) {
      const isLast =
        count >= (options.maxAttempts ?? Number.POSITIVE_INFINITY) ||
        options.clock.nowMs() - startMs + delayMs >
          (options.deadlineMs ?? Number.POSITIVE_INFINITY) ||
        options.signal?.aborted === true ||
        options.mayRetry?.(error) === false;
      if (isLast) throw error;
      await sleep(options.clock, delayMs * (0.5 + options.rng.next() / 2), options.signal);
      delayMs = Math.min(delayMs * 2, options.maxDelayMs);
    }
  }
}
