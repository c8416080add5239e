import type { NodeId, VolumeId } from "../base/ids.ts";
import type { Address, Clock, ClusterCredential } from "../io/index.ts";
import type { LinkOptions } from "../quorum/index.ts";

/** Where one storage node of the volume listens. */
export interface NodeEndpoint {
  readonly nodeId: NodeId;
  readonly name: string;
  readonly address: Address;
}

/** Who asks: the volume, and the name that the node logs. */
export interface LinkOwner {
  readonly volumeId: VolumeId;
  readonly sender: string;
  /** For nodes that are reached over TCP. Copied between threads, never logged. */
  readonly credential?: ClusterCredential | undefined;
}

export function linkTo(
  endpoint: NodeEndpoint,
  owner: LinkOwner,
  bounds: { readonly clock: Clock; readonly timeoutMs: number; readonly signal?: AbortSignal },
): LinkOptions {
  return { address: endpoint.address, nodeId: endpoint.nodeId, ...owner, ...bounds };
}
