import { describe, expect, it } from "vitest";
import { newState } from "../../test/helpers/cluster-state.ts";
import {
  plannedInstance,
  withInstance,
  withoutInstance,
  withoutLeft,
  withTier,
} from "./instances.ts";
import type { ClusterState } from "./state.ts";

const nothing = { id: null, az: null, tier: null };

function add(state: ClusterState, wish: Partial<typeof nothing> | { id: string } = {}) {
  return withInstance(state, plannedInstance(state, { ...nothing, ...wish }));
}

describe("an instance that is added", () => {
  it("has the first free number, and lives where the fewest are", () => {
    const four = add(newState(3));
    expect(four.instances.at(-1)).toEqual({ id: "instance-4", ordinal: 4, az: "az1", tier: 1 });
    expect(add(four).instances.at(-1)).toMatchObject({ id: "instance-5", az: "az2" });
  });

  it("has the port that its name says, whichever are free", () => {
    const state = add(newState(3), { id: "instance-9" });
    expect(state.instances.at(-1)).toMatchObject({ id: "instance-9", ordinal: 9 });
    expect(add(state).instances.map((one) => one.ordinal)).toEqual([1, 2, 3, 4, 9]);
  });

  it("takes any free port with a name of its own, which instance-K then has not", () => {
    const state = add(newState(3), { id: "reports" });
    expect(state.instances.at(-1)).toMatchObject({ id: "reports", ordinal: 4 });
    expect(() => add(state, { id: "instance-4" })).toThrow("reports has the port of instance-4");
    expect(add(state).instances.at(-1)).toMatchObject({ id: "instance-5", ordinal: 5 });
  });

  it.each(["", "1st", "Upper", "a--b", "a-", "a_b", "a/b", "../x", "ä", "a".repeat(64)])(
    "cannot be called %j",
    (id) => expect(() => add(newState(3), { id })).toThrow("cannot be the name of an instance"),
  );

  it.each(["writer", "reader", "proxy", "control-plane", "az1-full", "instance-1-driver"])(
    "cannot be called %s, which is something else",
    (id) => expect(() => add(newState(3), { id })).toThrow("is taken by something else"),
  );

  it.each(["instance-0", "instance-17", "instance-04", "instance-100"])(
    "cannot be called %s, since no endpoint has its port",
    (id) => expect(() => add(newState(3), { id })).toThrow("no endpoint has its port"),
  );

  it("is refused where it cannot be", () => {
    const wish = (one: object) => () => plannedInstance(newState(3), { ...nothing, ...one });
    expect(wish({ id: "instance-2" })).toThrow('there is an instance "instance-2" already');
    expect(wish({ az: "az4" })).toThrow('there is no availability zone "az4"');
    for (const tier of [-1, 16, 1.5, Number.NaN]) expect(wish({ tier })).toThrow("from 0 to 15");
  });

  it("is refused when there are sixteen", () => {
    expect(add(newState(15)).instances.at(-1)?.id).toBe("instance-16");
    expect(() => add(newState(16))).toThrow("there are 16 instances, which is the most");
  });
});

describe("an instance that is removed", () => {
  it("keeps its name and number until nothing of it is left", () => {
    const leaving = withoutInstance(newState(3), "instance-2");
    expect(leaving.instances.map((one) => one.id)).toEqual(["instance-1", "instance-3"]);
    expect(() => add(leaving, { id: "instance-2" })).toThrow("is still being removed");
    expect(add(leaving).instances.at(-1)?.id).toBe("instance-4");
    const left = withoutLeft(leaving, ["instance-2"]);
    expect(left).not.toHaveProperty("leaving");
    expect(add(left).instances.map((one) => one.id)).toEqual([
      "instance-1",
      "instance-2",
      "instance-3",
    ]);
  });

  it("leaves those that are not gone yet on their way", () => {
    const both = withoutInstance(withoutInstance(newState(3), "instance-2"), "instance-3");
    expect(withoutLeft(both, ["instance-3"]).leaving?.map((one) => one.id)).toEqual(["instance-2"]);
  });

  it("is not the writer, and is one", () => {
    expect(() => withoutInstance(newState(3), "instance-1")).toThrow("is the writer");
    expect(() => withoutInstance(newState(3), "instance-4")).toThrow("there is no instance");
  });
});

describe("the cluster's state", () => {
  it("remembers how many readers it was born with", () => {
    const once = add(newState(3));
    expect(once.readersAtBirth).toBe(2);
    expect(withoutInstance(add(once), "instance-2").readersAtBirth).toBe(2);
  });

  it("takes another tier for an instance, the writer too", () => {
    const state = withTier(newState(3), "instance-1", 0);
    expect(state.instances.map((one) => one.tier)).toEqual([0, 1, 1]);
    expect(() => withTier(newState(3), "instance-1", 16)).toThrow("from 0 to 15");
    expect(() => withTier(newState(3), "instance-7", 1)).toThrow("there is no instance");
  });
});
