import type { NodeId, VolumeId } from "../base/ids.ts";
import type { Clock } from "../io/index.ts";
import { inspectNode as ask } from "../log-driver/index.ts";
import type { State } from "../quorum/index.ts";

/** A node that needs longer is shown as down: people look at the status just then. */
const inspectTimeoutMs = 700;

export interface InspectOptions {
  readonly name: string;
  readonly socketPath: string;
  readonly volumeId: VolumeId;
  readonly nodeId: NodeId;
  readonly clock: Clock;
}

/** Asks a node how it is; promises and changes nothing. Undefined if it does not answer in time. */
export function inspectNode(options: InspectOptions): Promise<State | undefined> {
  const { name, nodeId, volumeId, clock, socketPath } = options;
  return ask(
    { nodeId, name, address: { kind: "unix", path: socketPath } },
    { volumeId, sender: "control-plane" },
    { clock, timeoutMs: inspectTimeoutMs },
  );
}
