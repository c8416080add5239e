import { type Clock, sleep } from "../io/index.ts";
import type { Topology } from "./topology.ts";

const retryMs = 50;

/** Until the cluster is another, or for a moment. */
export function sleepUntilChange(clock: Clock, topology: Topology): Promise<void> {
  const changed = new AbortController();
  const stop = topology.onChange(() => changed.abort());
  return sleep(clock, retryMs, changed.signal).finally(stop);
}
