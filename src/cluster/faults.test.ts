import { describe, expect, it } from "vitest";
import { parseFaultOrder } from "../storage-node/faults.ts";
import {
  faultEvents,
  heldLogText,
  nodeFaultText,
  nodeOrder,
  nodesOf,
  replicasOf,
} from "./faults.ts";
import type { ClusterState } from "./state.ts";

const names = ["az1-full", "az1-tail", "az2-full", "az2-tail", "az3-full", "az3-tail"];
const state = {
  writer: "instance-2",
  nodes: names.map((id) => ({ id })),
  instances: [1, 2, 3].map((k) => ({ id: `instance-${k}` })),
} as unknown as Pick<ClusterState, "writer" | "nodes" | "instances">;
const untilMs = Date.UTC(2026, 0, 1);

describe("whom a fault is about", () => {
  it("is the node of that number, or all of a disk's", () => {
    expect(nodesOf({ index: 0, isDisk: false }, state)).toEqual(["az1-full"]);
    expect(nodesOf({ index: 5, isDisk: false }, state)).toEqual(["az3-tail"]);
    expect(nodesOf({ index: 0, isDisk: true }, state)).toEqual(names);
  });

  it("is nobody beyond the largest index, which is told", () => {
    expect(() => nodesOf({ index: 6, isDisk: false }, state)).toThrow(/the maximum index is 5/);
    expect(() => nodesOf({ index: 1, isDisk: true }, state)).toThrow(/the maximum index is 0/);
  });

  it("is one reader or all, and never the writer", () => {
    expect(replicasOf("", state)).toEqual(["instance-1", "instance-3"]);
    expect(replicasOf("instance-3", state)).toEqual(["instance-3"]);
    expect(() => replicasOf("instance-2", state)).toThrow("instance-2 is the writer");
    expect(() => replicasOf("instance-9", state)).toThrow('there is no replica "instance-9"');
    const alone = {
      writer: "instance-1",
      instances: [{ id: "instance-1" }],
    } as unknown as ClusterState;
    expect(() => replicasOf("", alone)).toThrow("no readers");
  });
});

describe("a disk's fault", () => {
  const fault = { percent: 40, seconds: 60, index: 1, isDisk: false } as const;
  it("is said to a node as it takes it", () => {
    expect(parseFaultOrder(nodeOrder({ ...fault, kind: "diskFailure" }))).toEqual({
      kind: "failure",
      percent: 40,
      durationMs: 60_000,
      delayMinMs: 0,
      delayMaxMs: 0,
    });
    const congestion = { ...fault, kind: "diskCongestion", minMs: 1.5, maxMs: 99 } as const;
    expect(parseFaultOrder(nodeOrder(congestion))).toMatchObject({
      kind: "congestion",
      delayMinMs: 1.5,
      delayMaxMs: 99,
    });
  });
});

describe("what people read", () => {
  it("is one event for each part, with who asked and until when", () => {
    const order = {
      fault: { kind: "replicaFailure", percent: 100, seconds: 5, replica: "" },
      user: "postgres",
      instance: "instance-2",
    } as const;
    const message =
      "Injected fault: 100 % of the log is kept back, until 2026-01-01T00:00:00.000Z. Asked for by postgres at instance-2.";
    const common = { sourceType: "instance", category: "notification", message };
    expect(faultEvents(order, { on: ["instance-1", "instance-3"], untilMs })).toEqual([
      { ...common, source: "instance-1" },
      { ...common, source: "instance-3" },
    ]);
    const crash = { ...order, fault: { kind: "crash", what: "node" } } as const;
    expect(faultEvents(crash, { on: ["instance-2"], untilMs: null })[0]?.message).toBe(
      "Injected fault: crash of the node: instance, dispatcher and agent. Asked for by postgres at instance-2.",
    );
  });

  it("is shown while it lasts, and nothing where there is none", () => {
    expect(nodeFaultText(undefined)).toEqual({});
    expect(nodeFaultText({ active: [], refused: 3, delayed: 0 })).toEqual({});
    expect(heldLogText(undefined)).toEqual({});
    const failure = {
      kind: "failure",
      percent: 20,
      delayMinMs: 0,
      delayMaxMs: 0,
      untilMs,
    } as const;
    const congestion = { ...failure, kind: "congestion", delayMinMs: 1, delayMaxMs: 9 } as const;
    expect(nodeFaultText({ active: [failure, congestion], refused: 0, delayed: 0 }).fault).toBe(
      "injected: 20 % of requests are refused, until 2026-01-01T00:00:00.000Z; " +
        "injected: 20 % of requests are delayed by 1 to 9 ms, until 2026-01-01T00:00:00.000Z",
    );
  });
});
