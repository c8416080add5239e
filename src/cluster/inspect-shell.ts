import type { NodeId, VolumeId } from "../base/ids.ts";
import type { Address, Clock, ClusterCredential } from "../io/index.ts";
import { inspectNode as ask } from "../log-driver/index.ts";
import type { State } from "../quorum/index.ts";

/** A node that needs longer is shown as down: people look at the status just then. */
const inspectTimeoutMs = 700;

export interface InspectOptions {
  readonly name: string;
  readonly address: Address;
  readonly credential: ClusterCredential | undefined;
  readonly volumeId: VolumeId;
  readonly nodeId: NodeId;
  readonly clock: Clock;
}

/** Asks a node how it is; promises and changes nothing. Undefined if it does not answer in time. */
export function inspectNode(options: InspectOptions): Promise<State | undefined> {
  const { name, nodeId, volumeId, clock, address, credential } = options;
  return ask(
    { nodeId, name, address },
    { volumeId, sender: "control-plane", credential },
    { clock, timeoutMs: inspectTimeoutMs },
  );
}
