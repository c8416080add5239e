import { type Clock, sleep } from "../io/index.ts";
import type { Topology } from "./topology.ts";

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
