/** control/state.json of a cluster that nothing has happened to yet, as a value. */
import { protectionGroupNames, zoneOf } from "../../src/cluster/names.ts";
import type { ClusterState } from "../../src/cluster/state.ts";

/** With `instances` of them, and nodes n1 to n6 in their places. */
export function newState(instances = 0): ClusterState {
  return {
    format: 1,
    clusterId: "borealis",
    volumeId: "11111111-2222-4333-8444-555555555555",
    createdAt: "2026-01-01T00:00:00Z",
    engineVersion: "18.4",
    systemIdentifier: "1",
    genesisLsn: "0/1000000",
    masterUser: "postgres",
    isSuperuser: true,
    encryption: "on",
    isBootstrapped: true,
    writer: "instance-1",
    instances: Array.from({ length: instances }, (_, k) => ({
      id: `instance-${k + 1}`,
      ordinal: k + 1,
      az: zoneOf(k + 1),
      tier: 1,
    })),
    nodes: protectionGroupNames().map((name, i) => ({ ...name, nodeId: `n${i + 1}` })),
  };
}
