import { expect, test } from "vitest";
import type { InstanceStatus } from "../instance/index.ts";
import { clusterSight } from "./sight.ts";
import type { ClusterState } from "./state.ts";

const instances = ["instance-1", "instance-2"].map((id, k) => ({
  id,
  ordinal: k + 1,
  az: "az1",
  tier: 1,
}));
const nodes = ["az1-full", "az1-tail"].map((id) => ({
  id,
  nodeId: id,
  az: "az1",
  kind: "full" as const,
}));
const state: ClusterState = {
  format: 1,
  clusterId: "c",
  volumeId: "v",
  createdAt: "",
  engineVersion: "18.4",
  systemIdentifier: "1",
  genesisLsn: "0/1000000",
  masterUser: "postgres",
  isSuperuser: true,
  encryption: "off",
  isBootstrapped: true,
  writer: "instance-1",
  instances,
  nodes,
};
const status: InstanceStatus = {
  id: "instance-1",
  role: "writer",
  state: "available",
  incarnation: 1,
  agentPid: 1,
  postgresPid: 2,
  isAdmitted: true,
  epoch: 1,
  timeline: 1,
  vdl: "0/5",
  vdlAtMs: null,
  replayLsn: null,
  lagMs: 0,
  hasQuorum: true,
  restartLsn: null,
  stagedAt: null,
  opening: null,
  building: null,
  problem: null,
};
const heard = new Map([["instance-1", { status, atMs: 50 }]]);

test("everybody is listed, who was never heard of with a time that nobody takes for fresh", () => {
  const sight = clusterSight({
    state,
    writer: "instance-1",
    heard,
    loopback: ["127.0.0.11", "127.0.0.12"],
  });
  expect(sight.instances).toMatchObject([
    { id: "instance-1", address: "127.0.0.11", isWriter: true, heardAtMs: 50, vdl: "0/5" },
    {
      id: "instance-2",
      address: "127.0.0.12",
      isWriter: false,
      heardAtMs: 0,
      vdl: null,
      figures: null,
    },
  ]);
  expect(sight.volume).toEqual({ protectionGroups: 1, nodes: 2, branchLsn: null });
});

test("while nobody takes writes nobody is the writer, whoever is meant to be; a clone knows where it began", () => {
  const sight = clusterSight({
    state: { ...state, branchLsn: "0/9" },
    writer: null,
    heard,
    loopback: ["127.0.0.2"],
  });
  expect(sight.instances.map((one) => one.isWriter)).toEqual([false, false]);
  expect(sight.volume.branchLsn).toBe("0/9");
  expect(sight.instances.map((one) => one.address)).toEqual([null, null]);
});
