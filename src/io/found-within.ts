import { type Clock, sleep } from "./clock.ts";

const pollMs = 50;

/** What `find` gives first, asked again and again; undefined: nothing came in so long, or the signal has aborted. */
export async function foundWithin<T>(
  clock: Clock,
  find: () => Promise<T | undefined> | T | undefined,
  { withinMs, signal }: { readonly withinMs: number; readonly signal?: AbortSignal },
): Promise<T | undefined> {
  const startMs = clock.nowMs();
  for (;;) {
    const found = await find();
    if (found !== undefined) return found;
    if (signal?.aborted || clock.nowMs() - startMs >= withinMs) return undefined;
    await sleep(clock, pollMs, signal);
  }
}
