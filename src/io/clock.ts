import { uptime } from "node:os";

/** A timer that can be taken back. */
export interface Timer {
  cancel(): void;
}

/** Time, passed in so that a simulator can own it. */
export interface Clock {
  /** Monotonic milliseconds, the same in every thread and process of this host; only differences mean something. */
  nowMs(): number;
  /** The same, going on while the machine sleeps; to 10 ms, and a hundred times as expensive. */
  awakeOrAsleepMs(): number;
  /** Milliseconds since 1970, as the machine believes. */
  wallMs(): number;
  /** Calls `fn` once after `delayMs`. The timer keeps no process alive. */
  after(delayMs: number, fn: () => void): Timer;
}

/** performance.now() counts from the thread's start, process.hrtime() from the host's; the difference stays. */
const threadStartMs = threadStart();

function threadStart(): number {
  let best = { gapMs: Number.POSITIVE_INFINITY, startMs: 0 };
  for (let attempt = 0; attempt < 10; attempt++) {
    const beforeMs = performance.now();
    const [seconds, nanoseconds] = process.hrtime();
    const afterMs = performance.now();
    const gapMs = afterMs - beforeMs;
    if (gapMs < best.gapMs) {
      best = { gapMs, startMs: seconds * 1000 + nanoseconds / 1_000_000 - beforeMs };
    }
  }
  return best.startMs;
}

export const realClock: Clock = {
  nowMs: () => threadStartMs + performance.now(),
  // Only Linux's monotonic clock stands still in sleep.
  awakeOrAsleepMs: () =>
    process.platform === "linux" ? uptime() * 1000 : threadStartMs + performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, fn) {
    const handle = setTimeout(fn, delayMs);
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
};

/**
 * Calls `fn` once everything has been given out that had arrived at this thread's sockets by now: a timer that comes late
 * comes before what arrived meanwhile.
 */
export function afterReading(fn: () => void): Timer {
  const handle = setImmediate(fn);
  return { cancel: () => clearImmediate(handle) };
}

/** Resolves after `delayMs`, or at once when `signal` aborts; the caller looks at the signal. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const onAbort = (): void => {
      timer.cancel();
      resolve();
    };
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
