import { nodeId } from "../base/ids.ts";
import type { AgentConfig } from "./messages.ts";

export interface NodeAddress {
  readonly nodeId: ReturnType<typeof nodeId>;
  readonly name: string;
  readonly address: { readonly kind: "unix"; readonly path: string };
}

/** The volume's nodes, the instance's own zone first, full nodes last: they have other work too. */
export function nodesNearestFirst(config: Pick<AgentConfig, "az" | "nodes">): NodeAddress[] {
  const distance = (node: AgentConfig["nodes"][number]): number =>
    (node.az === config.az ? 0 : 2) + (node.kind === "tail" ? 0 : 1);
  return config.nodes
    .toSorted((a, b) => distance(a) - distance(b))
    .map((node) => ({
      nodeId: nodeId(node.nodeId),
      name: node.name,
      address: { kind: "unix", path: node.socketPath },
    }));
}

export interface VolumeMember extends NodeAddress {
  readonly az: string;
  readonly kind: "full" | "tail";
}

/** Every node of the volume, as the driver claims them. */
export function volumeNodes(config: Pick<AgentConfig, "nodes">): VolumeMember[] {
  return config.nodes.map((node) => ({
    nodeId: nodeId(node.nodeId),
    name: node.name,
    az: node.az,
    kind: node.kind,
    address: { kind: "unix", path: node.socketPath },
  }));
}
