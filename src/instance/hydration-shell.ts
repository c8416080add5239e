import { BorealisError, sqlState } from "../base/errors.ts";
import { type Clock, type Logger, startWorker } from "../io/index.ts";
import type { FromHydration, HydrationOrder, HydrationResult } from "./hydration-messages.ts";

const progressEveryMs = 2_000;

export interface HydrationBounds {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Told all the time. */
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  /** An object of a snapshot is good in no store. */
  readonly onUnreadable?: ((object: string) => void) | undefined;
  readonly signal: AbortSignal;
}

/**
 * Builds a cache from the newest snapshot that will do, in a thread of its own; one that is damaged, or lacks something in
 * every store, is passed over. Raises what stood in the way, of the newest that would have done; there is no cache then. When it settles nothing of the thread writes any more.
 */
export async function hydrateInThread(
  order: HydrationOrder,
  bounds: HydrationBounds,
): Promise<HydrationResult> {
  const { signal } = bounds;
  if (signal.aborted) throw signal.reason;
  const worker = startWorker({ name: "./hydration-worker-shell", base: import.meta.url }, order);
  const onAbort = (): void => worker.stop();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await new Promise((resolve, reject) => {
      let result: HydrationResult | undefined;
      let failure: unknown = new BorealisError(sqlState.internal, "the hydrating thread ended");
      const tell = teller(bounds);
      worker.onMessage((raw) => {
        // The thread posts FromHydration and nothing else.
        const message = raw as FromHydration;
        if (message.kind === "failed") failure = failureOf(message);
        else if (isResult(message)) result = message;
        else return tell(message);
        worker.stop();
      });
      worker.onExit((error) => {
        if (result) resolve(result);
        else reject(signal.aborted ? signal.reason : (error ?? failure));
      });
    });
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function failureOf({
  code,
  message,
  hint,
}: Extract<FromHydration, { kind: "failed" }>): BorealisError {
  return new BorealisError(code, message, hint === null ? {} : { hint });
}

function isResult(message: FromHydration): message is HydrationResult {
  return message.kind === "done" || message.kind === "far" || message.kind === "none";
}

type Told = Extract<FromHydration, { kind: "progress" | "skipped" | "healed" }>;

/** Takes what is told on the way to the log. */
function teller({
  clock,
  logger,
  onProgress,
  onUnreadable,
}: HydrationBounds): (message: Told) => void {
  let nextMs = clock.nowMs() + progressEveryMs;
  return (message) => {
    switch (message.kind) {
      case "skipped": {
        const { snapshot, object, reason } = message;
        if (object !== null) onUnreadable?.(object);
        return logger.warn({ event: "snapshot.skipped", snapshot }, reason);
      }
      case "healed": {
        const { store, name, reason } = message;
        return logger.warn({ event: "object.healed", store, name }, reason);
      }
      case "progress": {
        const { doneBytes, totalBytes } = message;
        onProgress(doneBytes, totalBytes);
        if (clock.nowMs() < nextMs) return;
        nextMs = clock.nowMs() + progressEveryMs;
        return logger.info({ event: "cache.hydrating", doneBytes, totalBytes });
      }
    }
  };
}
