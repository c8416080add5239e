import { type Address, parseAddress } from "../base/address.ts";
import { nodeId, volumeId } from "../base/ids.ts";
import type { LinkOwner } from "../log-driver/index.ts";
import type { AgentConfig } from "./messages.ts";

export interface NodeAddress {
  readonly nodeId: ReturnType<typeof nodeId>;
  readonly name: string;
  readonly address: Address;
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
      address: parseAddress(node.address),
    }));
}

/** The members that keep objects, the instance's own zone first. */
export function fullNodes(config: Pick<AgentConfig, "az" | "nodes">): NodeAddress[] {
  const nodes = config.nodes.filter((node) => node.kind === "full");
  return nodesNearestFirst({ ...config, nodes });
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
    address: parseAddress(node.address),
    isMember: node.isMember,
  }));
}

/** Who this instance is to the volume's nodes. */
export function linkOwner(
  config: Pick<AgentConfig, "volumeId" | "instance" | "credential">,
): LinkOwner {
  const { credential } = config;
  return {
    volumeId: volumeId(config.volumeId),
    sender: config.instance,
    ...(credential ? { credential } : {}),
  };
}
