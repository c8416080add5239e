import { describe, expect, it } from "vitest";
import { instanceId } from "../base/ids.ts";
import type { TopologyFollower } from "./follow-shell.ts";
import { noTopology, type TopologyMessage } from "./messages.ts";
import type { Target } from "../session/index.ts";
import { PushedTopology } from "./routing-shell.ts";

type View = TopologyMessage["instances"][number];

function viewOf(id: string, role: View["role"], epoch: number): View {
  return {
    id,
    role,
    epoch,
    isAdmitted: true,
    isLeaving: false,
    isSilent: false,
    socketDir: `/s/${id}`,
    agentSocket: `/a/${id}`,
    incarnation: "1.1",
    lagMs: 0,
    isLagging: false,
  };
}

/** A topology to which a test pushes. */
function make(): {
  topology: PushedTopology;
  push: (writer: string | null, ...of: View[]) => void;
  /** There are these custom endpoints, from the next push on. */
  routes: TopologyMessage["custom"];
  /** The agents of these say nothing, from the next push on. */
  unheard: string[];
} {
  const routes: TopologyMessage["custom"] = [];
  const unheard: string[] = [];
  const listeners: (() => void)[] = [];
  const follower = {
    current: noTopology,
    onChange: (listener: () => void) => listeners.push(listener),
  };
  // What a PushedTopology uses of a follower.
  const topology = new PushedTopology(follower as unknown as TopologyFollower, 18);
  const push = (writer: string | null, ...instances: View[]): void => {
    const ids = [...instances.map(({ id }) => id), ...unheard];
    const endpoints = ids.map((id, k) => ({
      id,
      type: "instance" as const,
      port: k + 1,
    }));
    const custom = [...routes];
    const told = { writer, endpoints, instances, custom, unheard: [...unheard] };
    follower.current = { ...noTopology, ...told };
    for (const listener of listeners) listener();
  };
  return { topology, push, routes, unheard };
}

/** What a new session chooses by. */
function choice(facts: { loads?: Record<string, number>; lost?: string; suspect?: string } = {}) {
  return {
    loadOf: (id: string) => facts.loads?.[id] ?? 0,
    isLost: ({ instanceId: id }: Target) => id === facts.lost,
    isSuspect: ({ instanceId: id }: Target) => id === facts.suspect,
  };
}

describe("the reader endpoint", () => {
  it("takes turns among the readers", () => {
    const { topology, push } = make();
    push("w", viewOf("w", "writer", 3), viewOf("r1", "reader", 3), viewOf("r2", "reader", 3));
    const chosen = [topology.reader(), topology.reader(), topology.reader()];
    expect(new Set(chosen.map((target) => target?.instanceId))).toEqual(new Set(["r1", "r2"]));
  });

  it("leads to the reader with the fewest sessions, and not to the writer", () => {
    const { topology, push } = make();
    push("w", viewOf("w", "writer", 3), viewOf("r1", "reader", 3), viewOf("r2", "reader", 3));
    const loads = { w: 0, r1: 2, r2: 1 };
    expect(topology.reader(choice({ loads }))?.instanceId).toBe("r2");
    expect(topology.reader(choice({ loads, suspect: "r2" }))?.instanceId).toBe("r1");
    // Of one that does not answer rather to the writer, if that does.
    push("w", viewOf("w", "writer", 3), viewOf("r1", "reader", 3));
    expect(topology.reader(choice({ suspect: "r1" }))?.instanceId).toBe("w");
    push(null, viewOf("r1", "reader", 3));
    expect(topology.reader(choice({ suspect: "r1" }))?.instanceId).toBe("r1");
  });

  it("leaves out a reader beyond the bound of lag; without another, the writer stands in", () => {
    const { topology, push } = make();
    const late = { ...viewOf("r1", "reader", 3), lagMs: 16_000, isLagging: true };
    push("w", viewOf("w", "writer", 3), late, viewOf("r2", "reader", 3));
    const loads = { r2: 100 };
    expect(topology.reader(choice({ loads }))?.instanceId).toBe("r2");
    push("w", viewOf("w", "writer", 3), late);
    expect(topology.reader(choice())?.instanceId).toBe("w");
  });

  it("does not lead a session back to the server that it has just lost", () => {
    const { topology, push } = make();
    push("w", viewOf("w", "writer", 3), viewOf("r1", "reader", 3), viewOf("r2", "reader", 3));
    const loads = { r2: 100 };
    expect(topology.reader(choice({ loads, lost: "r1" }))?.instanceId).toBe("r2");
    push("w", viewOf("w", "writer", 3), viewOf("r1", "reader", 3));
    expect(topology.reader(choice({ lost: "r1" }))?.instanceId).toBe("w");
    push(null, viewOf("r1", "reader", 3));
    expect(topology.reader(choice({ lost: "r1" }))).toBe(undefined);
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

describe("a custom endpoint", () => {
  const all = [viewOf("w", "writer", 3), viewOf("r1", "reader", 3), viewOf("r2", "reader", 3)];

  it("says why it leads to nobody", () => {
    const { topology, push, routes } = make();
    routes.push({ id: "alone", type: "reader", members: ["w"] });
    routes.push({ id: "away", type: "reader", members: ["r9"] });
    push("w", ...all);
    expect(topology.custom("alone", choice())).toBe(undefined);
    expect(topology.whyNobody("alone")).toBe("it leads to readers only, and w is the writer now");
    expect(topology.whyNobody("away")).toBe("none of its instances is available");
    expect(topology.whyNobody("gone")).toBe(undefined);
  });

  it("leads to its members of its type, and to nobody else", () => {
    const { topology, push, routes } = make();
    routes.push({ id: "reports", type: "reader", members: ["w", "r1"] });
    routes.push({ id: "both", type: "any", members: ["w", "r1"] });
    push("w", ...all);
    expect(topology.custom("reports", choice({ loads: { r1: 9 } }))?.instanceId).toBe("r1");
    expect(topology.custom("both", choice({ loads: { r1: 9 } }))?.instanceId).toBe("w");
    expect(topology.custom("none", choice())).toBe(undefined);
    push("w", viewOf("w", "writer", 3), viewOf("r2", "reader", 3));
    expect(topology.custom("reports", choice())).toBe(undefined);
  });

  it("drops a member that becomes the writer if it is for readers", () => {
    const { topology, push, routes } = make();
    routes.push({ id: "reports", type: "reader", members: ["w", "r1"] });
    routes.push({ id: "both", type: "any", members: ["r1"] });
    push("w", ...all);
    push("r1", viewOf("w", "reader", 4), viewOf("r1", "writer", 4), viewOf("r2", "reader", 4));
    expect(topology.custom("reports", choice({ loads: { w: 9 } }))?.instanceId).toBe("w");
    expect(topology.custom("both", choice())).toMatchObject({ instanceId: "r1", role: "writer" });
  });

  it("does not lead to a writer that hands over to another", () => {
    const { topology, push, routes } = make();
    routes.push({ id: "both", type: "any", members: ["w", "r1"] });
    push(null, ...all);
    expect(topology.custom("both", choice({ loads: { r1: 9 } }))?.instanceId).toBe("r1");
  });

  it("leads to members that lag only while all do", () => {
    const { topology, push, routes } = make();
    const late = { ...viewOf("r1", "reader", 3), lagMs: 16_000, isLagging: true };
    routes.push({ id: "reports", type: "reader", members: ["r1", "r2"] });
    push("w", viewOf("w", "writer", 3), late, viewOf("r2", "reader", 3));
    expect(topology.custom("reports", choice({ loads: { r2: 9 } }))?.instanceId).toBe("r2");
    push("w", viewOf("w", "writer", 3), late);
    expect(topology.custom("reports", choice())?.instanceId).toBe("r1");
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

  it("is to leave a reader that answers nothing, and is sent nowhere but to those that do", () => {
    const { topology, push, routes, unheard } = make();
    routes.push({ id: "reports", type: "reader", members: ["r1"] });
    const silent = { ...viewOf("r1", "reader", 3), isAdmitted: false, isSilent: true };
    const both = [viewOf("w", "writer", 3), viewOf("r2", "reader", 3)];
    push("w", ...both, viewOf("r1", "reader", 3));
    const target = topology.instance(instanceId("r1"));
    if (!target) throw new Error("r1 is there");
    expect(topology.isSilent(target)).toBe(false);
    push("w", ...both, silent);
    expect([topology.isSilent(target), topology.hasEnded(target)]).toEqual([true, false]);
    expect(topology.reader(choice({ loads: { r2: 9 } }))?.instanceId).toBe("r2");
    expect(topology.instance(instanceId("r1"))).toBe(undefined);
    expect(topology.custom("reports", choice())).toBe(undefined);
    // All of them at once: a busy machine, perhaps.
    push("w", viewOf("w", "writer", 3), silent);
    expect(topology.reader(choice())?.instanceId).toBe("w");
    // Its next life is another one.
    push("w", ...both, { ...silent, incarnation: "1.2" });
    expect(topology.isSilent(target)).toBe(false);
    push("w", ...both, viewOf("r1", "reader", 3));
    expect(topology.custom("reports", choice())).toEqual(target);
    // A control plane that has just begun knows but that its agent says nothing.
    unheard.push("r1");
    push("w", ...both);
    expect([topology.isSilent(target), topology.hasEnded(target)]).toEqual([true, false]);
  });
});
