import { type ClusterSight, instanceSight, type InstanceStatus } from "../instance/index.ts";
import type { ClusterState } from "./state.ts";

/** An instance as it was when it was last heard. `atMs`: milliseconds since 1970. */
export interface Heard {
  readonly status: InstanceStatus;
  readonly atMs: number;
}

/** A volume has one of six nodes; more of them come with storage on many hosts. */
const protectionGroups = 1;

/**
 * What agents show in SQL of the cluster. Everybody is listed, as Aurora's wrappers need it: who is away as a reader that was
 * heard of when it was, or in 1970 if this control plane has not heard of it: wrappers leave out what is older than five
 * minutes, and would take one that is dead for weeks for alive. Pure.
 */
export function clusterSight(facts: {
  readonly state: ClusterState;
  /** Who takes writes; null: nobody does just now. */
  readonly writer: string | null;
  readonly heard: ReadonlyMap<string, Heard>;
}): ClusterSight {
  const { state, writer, heard } = facts;
  return {
    instances: state.instances.map(({ id }) => {
      const last = heard.get(id);
      if (!last) return unheard(id);
      return instanceSight(last.status, { isWriter: id === writer, heardAtMs: last.atMs });
    }),
    volume: {
      protectionGroups,
      nodes: state.nodes.length,
      branchLsn: state.branchLsn ?? null,
    },
  };
}

function unheard(id: string): ClusterSight["instances"][number] {
  const nothing = { vdl: null, replayLsn: null, lagMs: null, figures: null };
  return { id, isWriter: false, heardAtMs: 0, ...nothing };
}
