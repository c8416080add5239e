import { type Clock, sleep } from "../io/index.ts";
import type { Target, Topology } from "./topology.ts";

const retryMs = 50;

/** Until the cluster is another, or `signal` aborts, or for a moment. */
export function sleepUntilChange(
  clock: Clock,
  topology: Topology,
  signal?: AbortSignal,
): Promise<void> {
  const changed = new AbortController();
  const stop = topology.onChange(() => changed.abort());
  const either = signal ? AbortSignal.any([changed.signal, signal]) : changed.signal;
  return sleep(clock, retryMs, either).finally(stop);
}

/** The control plane hears of a writer's end about as soon as its sessions do, and appoints another at once. */
const lossKnownMs = 500;

/** Until `topology` says that `target` has ended; for half a second at most. */
export async function untilLossIsKnown(
  { clock, topology }: { readonly clock: Clock; readonly topology: Topology },
  target: Target,
): Promise<void> {
  const untilMs = clock.nowMs() + lossKnownMs;
  while (!topology.hasEnded(target) && clock.nowMs() < untilMs)
    await sleepUntilChange(clock, topology);
}
