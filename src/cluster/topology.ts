import type { InstanceStatus } from "../instance/index.ts";
import { endpointPlaces } from "./endpoints.ts";
import { agentSocket, type Layout, postgresSocketDir } from "./layout.ts";
import { isRecorded } from "./lives.ts";
import type { TopologyMessage } from "./messages.ts";
import type { ClusterState } from "./state.ts";

/** What proxies are told: where sessions may go, as the cluster's state and the agents' last words have it. */
export function topologyOf({
  layout,
  port,
  state,
  statusOf,
}: {
  readonly layout: Layout;
  /** Of the writer endpoint. */
  readonly port: number;
  readonly state: ClusterState;
  readonly statusOf: (id: string) => InstanceStatus | undefined;
}): TopologyMessage {
  const writer = statusOf(state.writer);
  const { lives = [] } = state;
  const isOpen = writer?.role === "writer" && writer.isAdmitted && isRecorded(lives, writer);
  return {
    writer: isOpen ? writer.id : null,
    endpoints: endpointPlaces(state, port),
    instances: state.instances.flatMap(({ id }) => {
      const status = statusOf(id);
      if (!status) return [];
      // It may be frozen, and not know: who is connected there must not wait for it.
      const isDeposed = isOpen && status.role === "writer" && id !== writer.id;
      return {
        id,
        role: isDeposed ? ("none" as const) : status.role,
        // Until the master user exists, a reader would refuse everybody in good faith.
        isAdmitted:
          !isDeposed &&
          status.isAdmitted &&
          (status.role === "writer" ? isRecorded(lives, status) : state.isBootstrapped),
        socketDir: postgresSocketDir(layout, id),
        agentSocket: agentSocket(layout, id),
        incarnation: `${status.agentPid}.${status.incarnation}`,
        epoch: status.epoch,
        lagMs: status.lagMs,
      };
    }),
    lives,
  };
}
