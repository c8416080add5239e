import { describe, expect, it } from "vitest";
import { instanceId } from "../base/ids.ts";
import type { TopologyFollower } from "./follow-shell.ts";
import type { TopologyMessage } from "./messages.ts";
import { PushedTopology } from "./routing-shell.ts";

type View = TopologyMessage["instances"][number];

function viewOf(id: string, role: View["role"], epoch: number): View {
  return {
    id,
    role,
    epoch,
    isAdmitted: true,
    socketDir: `/s/${id}`,
    agentSocket: `/a/${id}`,
    incarnation: "1.1",
    lagMs: 0,
  };
}

/** A topology to which a test pushes. */
function make(): {
  topology: PushedTopology;
  push: (writer: string | null, ...of: View[]) => void;
} {
  const listeners: (() => void)[] = [];
  const follower = {
    current: {
      writer: null,
      endpoints: [],
      instances: [],
      isRewinding: false,
      lives: [],
    } as TopologyMessage,
    onChange: (listener: () => void) => listeners.push(listener),
  };
  // What a PushedTopology uses of a follower.
  const topology = new PushedTopology(follower as unknown as TopologyFollower);
  const push = (writer: string | null, ...instances: View[]): void => {
    const endpoints = instances.map(({ id }, k) => ({
      id,
      type: "instance" as const,
      port: k + 1,
    }));
    follower.current = { writer, endpoints, instances, isRewinding: false, lives: [] };
    for (const listener of listeners) listener();
  };
  return { topology, push };
}

describe("the reader endpoint", () => {
  it("takes turns among the readers", () => {
    const { topology, push } = make();
    push("w", viewOf("w", "writer", 3), viewOf("r1", "reader", 3), viewOf("r2", "reader", 3));
    const chosen = [topology.reader(), topology.reader(), topology.reader()];
    expect(new Set(chosen.map((target) => target?.instanceId))).toEqual(new Set(["r1", "r2"]));
  });

  it("leaves out a reader that has not heard of the newest epoch, and comes back to it", () => {
    const { topology, push } = make();
    push("w", viewOf("w", "writer", 4), viewOf("r1", "reader", 3), viewOf("r2", "reader", 4));
    expect([topology.reader(), topology.reader()].map((target) => target?.instanceId)).toEqual([
      "r2",
      "r2",
    ]);
    push("w", viewOf("w", "writer", 4), viewOf("r1", "reader", 3));
    expect(topology.reader()?.instanceId).toBe("w");
    push("w", viewOf("w", "writer", 4), viewOf("r1", "reader", 4));
    expect(topology.reader()?.instanceId).toBe("r1");
  });

  it("does not lead to a named reader that has not heard of it either; sessions there go on", () => {
    const { topology, push } = make();
    push("w", viewOf("w", "writer", 3), viewOf("r1", "reader", 3));
    const target = topology.instance(instanceId("r1"));
    push("w", viewOf("w", "writer", 4), viewOf("r1", "reader", 3));
    expect(topology.instance(instanceId("r1"))).toBe(undefined);
    expect(topology.instance(instanceId("w"))?.role).toBe("writer");
    expect(target && topology.hasEnded(target)).toBe(false);
  });

  it("remembers the newest epoch when nobody tells of it any more", () => {
    const { topology, push } = make();
    push("w", viewOf("w", "writer", 4), viewOf("r1", "reader", 3));
    push(null, viewOf("r1", "reader", 3));
    expect(topology.reader()).toBe(undefined);
  });
});

describe("a session", () => {
  it("has ended when the cluster has its instance no more, not while nobody has heard of it", () => {
    const { topology, push } = make();
    push("w", viewOf("w", "writer", 3), viewOf("r1", "reader", 3));
    const target = topology.instance(instanceId("r1"));
    // A control plane that has just begun.
    push(null);
    expect(target && topology.hasEnded(target)).toBe(false);
    push("w", viewOf("w", "writer", 3));
    expect(target && topology.hasEnded(target)).toBe(true);
  });
});
