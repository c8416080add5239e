import { formatLsn } from "../base/lsn.ts";
import type { InstanceStatus } from "../instance/index.ts";
import type { World } from "../keeper/index.ts";
import type { LeftFuture } from "../volume/index.ts";
import { futuresOf, leftFutures } from "./backtrack.ts";
import type { Durable } from "./durable.ts";
import { type Layout, postgresSocketDir } from "./layout.ts";
import type { ClusterState } from "./state.ts";

function toText({
  fork,
  end,
  leftAtMs,
  firstUs,
  returned,
  untilMs,
  merged,
  isParents,
}: LeftFuture): World["left"][number] {
  return {
    fork: formatLsn(fork),
    end: formatLsn(end),
    leftAtMs,
    firstUs: firstUs === undefined ? null : String(firstUs),
    returned: returned
      ? {
          leftAtMs: returned.leftAtMs,
          to: formatLsn(returned.to),
          nextUs: returned.nextUs === undefined ? null : String(returned.nextUs),
        }
      : null,
    untilMs: untilMs ?? null,
    merged: merged ?? null,
    isParents: isParents ?? false,
  };
}

/** Of all instances together; the keeper judges each once. */
const unreadableMax = 64;

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
    unreadable: [
      ...new Set(state.instances.flatMap(({ id }) => facts.status(id)?.unreadable ?? [])),
    ].slice(0, unreadableMax),
    futures: futuresOf(state),
    left: leftFutures({ ...state, backtrack: undefined }, 0).map(toText),
  };
}
