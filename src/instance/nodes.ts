import { nodeId } from "../base/ids.ts";
import type { AgentConfig } from "./messages.ts";

export interface NodeAddress {
  readonly nodeId: ReturnType<typeof nodeId>;
  readonly name: string;
  readonly address: { readonly kind: "unix"; readonly path: string };
}

/** The volume's members, the instance's own zone first, full nodes last: they have other work too. */
export function nodesNearestFirst(config: Pick<AgentConfig, "az" | "nodes">): NodeAddress[] {
  const distance = (node: AgentConfig["nodes"][number]): number =>
    (node.az === config.az ? 0 : 2) + (node.kind === "tail" ? 0 : 1);
  return config.nodes
    .filter((node) => node.isMember)
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
  readonly isMember: boolean;
}

/** Every node that may be a member, as the driver knows them. */
export function volumeNodes(config: Pick<AgentConfig, "nodes">): VolumeMember[] {
  return config.nodes.map((node) => ({
    nodeId: nodeId(node.nodeId),
    name: node.name,
    az: node.az,
    kind: node.kind,
    isMember: node.isMember,
    address: { kind: "unix", path: node.socketPath },
  }));
}
