import { createServer } from "node:net";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { ClusterState, Layout, NodePorts } from "../cluster/index.ts";
import { type ClusterCredential, type ClusterRole, realRng } from "../io/index.ts";
import { openCredentials } from "./cluster-certificates.ts";

/** How this host's processes reach storage nodes. */
export interface LinkTransport {
  readonly nodePorts: NodePorts;
  /** What a process of this role shows; null where all links are unix sockets. */
  readonly credentialOf: (role: ClusterRole) => ClusterCredential | null;
}

const roles: readonly ClusterRole[] = ["storage-node", "instance", "control-plane"];
// Below the ports that systems hand out to whoever connects: a node that starts anew finds its own free.
const portMin = 20_000;
const portMax = 32_000;

/** Unix sockets, or loopback ports with the cluster's certificates, made when they are first needed. */
export async function openLinkTransport(
  kind: "unix" | "tls",
  layout: Layout,
  state: ClusterState,
): Promise<LinkTransport> {
  if (kind === "unix") return { nodePorts: {}, credentialOf: () => null };
  const credentials = await openCredentials(layout.linkTlsDir, roles);
  const nodePorts: Record<string, [number, number]> = {};
  const taken = new Set<number>();
  for (const { id } of state.nodes) {
    const ports: [number, number] = [await findFreePort(taken), await findFreePort(taken)];
    nodePorts[id] = ports;
  }
  return { nodePorts, credentialOf: (role) => credentials.get(role) ?? null };
}

/** Noted in `taken`. */
async function findFreePort(taken: Set<number>): Promise<number> {
  for (let attempt = 0; attempt < 1_000; attempt++) {
    const port = portMin + realRng.below(portMax - portMin);
    if (taken.has(port) || !(await isFree(port))) continue;
    taken.add(port);
    return port;
  }
  throw new BorealisError(sqlState.notInPrerequisiteState, "no free port for a storage node");
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host: "127.0.0.1", port }, () => server.close(() => resolve(true)));
  });
}
