import { parseAddress } from "../base/address.ts";
import { nodeId, type NodeId, volumeId, type VolumeId } from "../base/ids.ts";
import type { Address, Clock, ClusterCredential } from "../io/index.ts";
import { inspectNode as ask } from "../log-driver/index.ts";
import type { State } from "../quorum/index.ts";
import { type Layout, nodeAddress } from "./layout.ts";
import { shownNode } from "./replacement.ts";
import type { ClusterState, NodeState } from "./state.ts";
import { nodeView, type NodeView } from "./status.ts";

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

/** As whom the cluster's state knows it. */
export function inspectMember(
  node: NodeState,
  deps: {
    readonly clock: Clock;
    readonly layout: Layout;
    readonly nodePorts: Parameters<typeof nodeAddress>[1];
    readonly credential: ClusterCredential | null;
    readonly state: Pick<ClusterState, "volumeId">;
  },
): Promise<State | undefined> {
  const shown = shownNode(node);
  return inspectNode({
    name: node.id,
    address: parseAddress(nodeAddress(deps.layout, deps.nodePorts, shown)),
    credential: deps.credential ?? undefined,
    volumeId: volumeId(deps.state.volumeId),
    nodeId: nodeId(shown.nodeId),
    clock: deps.clock,
  });
}

/** Asks a node how it is; promises and changes nothing. Undefined if it does not answer in time. */
export function inspectNode(options: InspectOptions): Promise<State | undefined> {
  const { name, address, credential, clock } = options;
  return ask(
    { nodeId: options.nodeId, name, address },
    { volumeId: options.volumeId, sender: "control-plane", credential },
    { clock, timeoutMs: inspectTimeoutMs },
  );
}

/** What those say that answer, by their names. */
export async function inspectAll(
  nodes: readonly NodeState[],
  inspect: (node: NodeState) => Promise<State | undefined>,
): Promise<ReadonlyMap<string, NodeView>> {
  const views = new Map<string, NodeView>();
  await Promise.all(
    nodes.map(async (node) => {
      const view = await inspect(node);
      if (view) views.set(node.id, nodeView(view));
    }),
  );
  return views;
}

/** Of those that answer. */
export async function inspectStates(
  nodes: readonly NodeState[],
  inspect: (node: NodeState) => Promise<State | undefined>,
): Promise<State[]> {
  const states = await Promise.all(nodes.map(inspect));
  return states.flatMap((state) => state ?? []);
}
