import { expect, test } from "vitest";
import type { ClusterSight, InstanceSight, InstanceStatus, KeptSight } from "./messages.ts";
import { instanceSight, parseKept, sightText } from "./sight.ts";

const nowMs = Date.UTC(2026, 0, 1);
const status: InstanceStatus = {
  id: "instance-2",
  role: "reader",
  state: "available",
  incarnation: 1,
  agentPid: 1,
  postgresPid: 2,
  isAdmitted: true,
  epoch: 3,
  timeline: 0,
  vdl: "0/3000000",
  vdlAtMs: null,
  replayLsn: "1/10",
  lagMs: 1.5,
  hasQuorum: true,
  restartLsn: null,
  stagedAt: null,
  opening: null,
  building: null,
  problem: null,
  figures: {
    sessionId: "s2",
    cpu: 7,
    receivedLsn: "1/20",
    feedback: { xmin: 700, xminEpoch: 1 },
  },
};

interface Shown {
  readonly instances: Record<string, unknown>[];
  readonly volume: unknown;
}

const of = "v/instance-2";

function shown(own: InstanceStatus, told?: ClusterSight, kept?: KeptSight): Shown {
  return JSON.parse(sightText({ of, own, told, kept, nowMs })) as Shown;
}

function other(id: string, isWriter: boolean): InstanceSight {
  return instanceSight({ ...status, id }, { isWriter, heardAtMs: nowMs - 2_000, address: null });
}

const volume = { protectionGroups: 1, nodes: 6, branchLsn: null };
const told = {
  instances: [other("instance-10", false), other("instance-1", true), other("instance-2", false)],
  volume,
};

test("a reader shows all of its figures, and decimal positions beyond what a number holds", () => {
  const [row] = shown({ ...status, replayLsn: "FFFFFFFF/FFFFFFFF" }).instances;
  expect(row).toEqual({
    server_id: "instance-2",
    address: null,
    session_id: "s2",
    is_current: true,
    last_update_timestamp: "2026-01-01T00:00:00.000Z",
    cpu: 7,
    durable_lsn: "18446744073709551615",
    highest_lsn_rcvd: String(0x1_0000_0020),
    current_read_lsn: "18446744073709551615",
    feedback_xmin: 700,
    feedback_epoch: 1,
    replica_lag_in_msec: 1.5,
  });
});

test("others are as they were told, in the order of their numbers", () => {
  const { instances, volume: ofAll } = shown(status, told);
  expect(instances.map((row) => row["server_id"])).toEqual([
    "instance-1",
    "instance-2",
    "instance-10",
  ]);
  expect(instances[0]).toMatchObject({
    session_id: "MASTER_SESSION_ID",
    durable_lsn: String(0x3000000),
    last_update_timestamp: "2025-12-31T23:59:58.000Z",
  });
  expect(instances[0]).not.toHaveProperty("replica_lag_in_msec");
  expect(ofAll).toEqual(volume);
});

test("who has opened its epoch knows that it alone writes; who only wants to does not", () => {
  const writers = (own: InstanceStatus): unknown[] =>
    shown(own, told)
      .instances.filter((row) => row["session_id"] === "MASTER_SESSION_ID")
      .map((row) => row["server_id"]);
  expect(writers({ ...status, role: "writer", isAdmitted: false })).toEqual(["instance-2"]);
  expect(writers({ ...status, role: "writer", epoch: 0 })).toEqual(["instance-1"]);
  // It was the writer, and is told so still.
  expect(writers({ ...status, id: "instance-1" })).toEqual([]);
});

test("before anybody was heard there is oneself", () => {
  expect(shown({ ...status, figures: undefined }).instances).toMatchObject([
    { server_id: "instance-2", session_id: null, cpu: 0, highest_lsn_rcvd: null },
  ]);
  expect(shown(status).volume).toBeNull();
});

test("who starts anew shows whom it knew with their times, nobody of them as the writer, until it is told", () => {
  const text = sightText({
    of,
    own: { ...status, lagMs: 8 },
    told,
    kept: undefined,
    nowMs,
  });
  const kept = parseKept(text, of);
  const again = shown({ ...status, role: "writer", epoch: 0, lagMs: null }, undefined, kept);
  expect(again.volume).toEqual(volume);
  expect(again.instances).toMatchObject([
    { server_id: "instance-1", session_id: null, durable_lsn: String(0x3000000) },
    { server_id: "instance-2", replica_lag_in_msec: null },
    { server_id: "instance-10", session_id: "s2", replica_lag_in_msec: 1.5 },
  ]);
  expect(again.instances[0]).toHaveProperty("last_update_timestamp", "2025-12-31T23:59:58.000Z");
  expect(shown(status, { ...told, instances: [] }, kept).instances).toHaveLength(1);
});

test("nothing is taken from another's file, nor from one that cannot be read", () => {
  const text = sightText({
    of: "w/instance-2",
    own: status,
    told,
    kept: undefined,
    nowMs,
  });
  for (const bad of [text, "", "{", '{"instances":[],"volume":null}', `{"of":"${of}"}`])
    expect(parseKept(bad, of), bad).toBeUndefined();
});
