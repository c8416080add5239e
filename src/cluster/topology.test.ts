import { describe, expect, it } from "vitest";
import type { InstanceStatus } from "../instance/index.ts";
import { layoutOf } from "./layout.ts";
import type { ClusterState } from "./state.ts";
import { topologyOf } from "./topology.ts";

const state = {
  writer: "instance-2",
  isBootstrapped: true,
  instances: [1, 2].map((n) => ({ id: `instance-${n}`, ordinal: n, az: "az1", tier: 1 })),
  lives: [
    { incarnation: "instance-1.7.1", epoch: 1, cutoff: "700", postmaster: "instance-1 1" },
    { incarnation: "instance-2.8.1", epoch: 2, cutoff: "800", postmaster: "instance-2 1" },
  ],
} as unknown as ClusterState; // what a topology is made of

function status(n: number, facts: Partial<InstanceStatus>): InstanceStatus {
  const id = `instance-${n}`;
  const all = {
    id,
    agentPid: 6 + n,
    incarnation: 1,
    isAdmitted: true,
    lagMs: 0,
    epoch: n,
    ...facts,
  };
  return all as InstanceStatus;
}

function topology(
  statuses: readonly InstanceStatus[],
  { givenUp, restarting, silent }: { givenUp?: string; restarting?: string; silent?: string } = {},
) {
  const { writer, instances, unheard } = topologyOf({
    state,
    layout: layoutOf("/d", "/r"),
    port: 5432,
    status: (id) => statuses.find((one) => one.id === id),
    moves: {
      isGivenUp: ({ id }) => id === givenUp,
      isRestarting: ({ id }) => id === restarting,
    },
    lagOf: () => ({ lagMs: 0, isLagging: false }),
    silence: { isSilent: ({ id }) => id === silent, isUnheard: (id) => id === silent },
  });
  const roles = instances.map(
    ({ id, role, isAdmitted, isLeaving, isSilent }) =>
      `${id} ${role} ${isAdmitted}${isLeaving ? " leaving" : ""}${isSilent ? " silent" : ""}`,
  );
  return { writer, roles, ...(unheard.length > 0 && { unheard }) };
}

describe("what the proxies are told", () => {
  const old = status(1, { role: "writer" });

  it("is that nobody writes while one hands over to another, and that who is there still is to begin nothing", () => {
    expect(topology([old, status(2, { role: "reader" })])).toEqual({
      writer: null,
      roles: ["instance-1 writer true leaving", "instance-2 reader true"],
    });
  });

  it("is that nobody writes while the writer is to be started again", () => {
    const statuses = [status(1, { role: "reader" }), status(2, { role: "writer" })];
    expect(topology(statuses)).toEqual({
      writer: "instance-2",
      roles: ["instance-1 reader true", "instance-2 writer true"],
    });
    expect(topology(statuses, { restarting: "instance-2" })).toEqual({
      writer: null,
      roles: ["instance-1 reader true", "instance-2 writer true leaving"],
    });
  });

  it("is that a writer which was given up is gone, though it says nothing of the kind", () => {
    const { writer, roles } = topology([old, status(2, { role: "reader" })], {
      givenUp: "instance-1",
    });
    expect(writer).toBe(null);
    // Its heir takes nobody new until it writes.
    expect(roles).toEqual(["instance-1 none false", "instance-2 reader false"]);
  });

  it("is that the heir of a writer which has ended takes nobody new before it writes, and another reader does", () => {
    const readers = [status(1, { role: "reader" }), status(2, { role: "reader" })];
    expect(topology(readers).roles).toEqual(["instance-1 reader true", "instance-2 reader false"]);
  });

  it("is that a writer is open only once its life is recorded", () => {
    const unrecorded = status(2, { role: "writer", epoch: 3 });
    expect(topology([unrecorded])).toEqual({
      writer: null,
      roles: ["instance-2 writer false"],
    });
    expect(topology([status(2, { role: "writer" })])).toEqual({
      writer: "instance-2",
      roles: ["instance-2 writer true"],
    });
  });

  it("is that an older writer is gone when the newer one is open", () => {
    expect(topology([old, status(2, { role: "writer" })]).roles).toEqual([
      "instance-1 none false",
      "instance-2 writer true",
    ]);
  });

  it("is that a reader which answers nothing takes nobody, and keeps nobody; as a writer it is judged otherwise", () => {
    const reader = status(1, { role: "reader" });
    const writer = status(2, { role: "writer" });
    expect(topology([reader, writer], { silent: "instance-1" }).roles).toEqual([
      "instance-1 reader false silent",
      "instance-2 writer true",
    ]);
    expect(topology([writer], { silent: "instance-1" })).toEqual({
      writer: "instance-2",
      roles: ["instance-2 writer true"],
      unheard: ["instance-1"],
    });
    expect(topology([reader, writer], { silent: "instance-2" })).toEqual({
      writer: "instance-2",
      roles: ["instance-1 reader true", "instance-2 writer true"],
    });
  });
});
