import { type Clock, sleep } from "../io/index.ts";
import { isSameLife } from "./load-book.ts";
import { isGone, type Target, type Topology } from "./topology.ts";

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

/** Until `topology` shows that `target` has ended, or writes no more; for half a second at most. */
export async function untilLossIsKnown(
  { clock, topology }: { readonly clock: Clock; readonly topology: Topology },
  target: Target,
): Promise<void> {
  const untilMs = clock.nowMs() + lossKnownMs;
  while (!isLossKnown(topology, target) && clock.nowMs() < untilMs)
    await sleepUntilChange(clock, topology);
}

function isLossKnown(topology: Topology, target: Target): boolean {
  if (target.role === "reader") return isGone(topology, target);
  // Of one whose agent is gone, too, nothing is known but that it does not write: it may not be in the list at all.
  const writer = topology.writer();
  return topology.hasEnded(target) || !writer || !isSameLife(writer, target);
}
