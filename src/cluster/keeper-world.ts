import { formatLsn } from "../base/lsn.ts";
import type { InstanceStatus } from "../instance/index.ts";
import type { World } from "../keeper/index.ts";
import { futuresOf } from "./backtrack.ts";
import type { Durable } from "./durable.ts";
import { type Layout, postgresSocketDir } from "./layout.ts";
import type { ClusterState } from "./state.ts";

/** What the keeper needs to know of the cluster. Pure. */
export function keeperWorld(facts: {
  readonly state: ClusterState;
  readonly layout: Layout;
  readonly nodes: World["nodes"];
  readonly status: (id: string) => InstanceStatus | undefined;
  readonly durable: Durable | undefined;
}): World {
  const { state, layout, nodes, durable } = facts;
  return {
    nodes,
    instances: state.instances.map(({ id, az }) => {
      const status = facts.status(id);
      return {
        id,
        az,
        role: status?.role ?? ("none" as const),
        isAvailable: status?.state === "available",
        socketDir: postgresSocketDir(layout, id),
        replayLsn: status?.replayLsn ?? null,
      };
    }),
    durable: durable ? { ...durable, vdl: formatLsn(durable.vdl) } : null,
    futures: futuresOf(state),
  };
}
