import { expect, test } from "vitest";
import type { InstanceStatus } from "../instance/index.ts";
import { clusterSight, hear, type Heard } from "./sight.ts";
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
const lag = { ms: 0, atMs: 50 };
const heard = new Map([["instance-1", { status, atMs: 50, lag }]]);

test("everybody is listed, who was never heard of with a time that nobody takes for fresh", () => {
  const sight = clusterSight({
    state,
    writer: "instance-1",
    heard,
    loopback: ["127.0.0.11", "127.0.0.12"],
    nowMs: 60,
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
    nowMs: 60,
  });
  expect(sight.instances.map((one) => one.isWriter)).toEqual([false, false]);
  expect(sight.volume.branchLsn).toBe("0/9");
  expect(sight.instances.map((one) => one.address)).toEqual([null, null]);
});

test("one that fell, or starts, lags by the time since its lag was known, and by what it says as soon as it says it", () => {
  const shown = (last: Heard, nowMs: number, writer: string | null = "instance-2") =>
    clusterSight({
      state,
      writer,
      heard: new Map([["instance-1", last]]),
      loopback: [],
      nowMs,
    }).instances[0]?.lagMs;
  const wrote = hear(undefined, status, { isWriter: true, atMs: 1_000 });
  // As it is told while nobody has heard of its fall, and then by its agent, without a PostgreSQL.
  const fell = hear(wrote, status, { isWriter: false, atMs: 1_500 });
  expect(shown(fell, 1_600)).toBe(600);
  const down = { ...status, role: "none" as const, lagMs: null };
  const restarting = hear(fell, down, { isWriter: false, atMs: 2_000 });
  expect(shown(restarting, 2_100)).toBe(1_100);
  const reads = { ...status, role: "reader" as const, lagMs: 40 };
  const back = hear(restarting, reads, { isWriter: false, atMs: 3_000 });
  expect([shown(back, 3_200), shown(back, 9_000)]).toEqual([40, 40]);
  const again = hear(back, down, { isWriter: false, atMs: 4_000 });
  expect(shown(again, 4_000)).toBe(1_040);
  // A clock that was set back.
  expect(shown(again, 0)).toBe(40);
  expect(shown(hear(undefined, down, { isWriter: false, atMs: 5_000 }), 5_100)).toBe(0);
});
