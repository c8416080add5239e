import { describe, expect, it } from "vitest";
import {
  type EndpointWish,
  isEligible,
  listed,
  plannedEndpoint,
  withEndpoint,
  withEndpointChanged,
  withoutEndpoint,
} from "./custom-endpoints.ts";
import { endpointPlaces, whyNobody } from "./endpoints.ts";
import { plannedInstance, withInstance, withoutInstance } from "./instances.ts";
import type { ClusterState } from "./state.ts";

const instance = (n: number) => ({ id: `instance-${n}`, ordinal: n, az: "az1", tier: 1 });
const three = {
  writer: "instance-1",
  instances: [1, 2, 3].map(instance),
  nodes: [],
} as unknown as ClusterState; // what endpoints are about

function wish(id: string, facts: Partial<EndpointWish> = {}): EndpointWish {
  return { id, type: "reader", list: undefined, ...facts };
}

function created(state: ClusterState, ...wishes: EndpointWish[]): ClusterState {
  return wishes.reduce((now, one) => withEndpoint(now, plannedEndpoint(now, one)), state);
}

const only = (...instances: string[]) => ({ kind: "static", instances }) as const;
const but = (...instances: string[]) => ({ kind: "exclude", instances }) as const;

function membersOf(state: ClusterState, id: string): string[] {
  const found = state.endpoints?.find((one) => one.id === id);
  return found ? listed(state, found) : [];
}

describe("a custom endpoint", () => {
  it("has a port from N+31 on, in the order of creation, and keeps it", () => {
    const state = created(three, wish("one"), wish("two"), wish("three"));
    const portsOf = (now: ClusterState) =>
      endpointPlaces(now, 5432)
        .filter(({ type }) => type === "custom")
        .map(({ id, port }) => `${id} ${port}`);
    expect(portsOf(state)).toEqual(["one 5463", "two 5464", "three 5465"]);
    const without = withoutEndpoint(state, "two");
    expect(portsOf(without)).toEqual(["one 5463", "three 5465"]);
    expect(portsOf(created(without, wish("four")))).toEqual([
      "one 5463",
      "four 5464",
      "three 5465",
    ]);
  });

  it("means everybody, exactly those of a static list, or all but those of an exclusion list", () => {
    const state = created(
      three,
      wish("all"),
      wish("fixed", { list: only("instance-3", "instance-1") }),
      wish("rest", { list: but("instance-2") }),
    );
    expect(membersOf(state, "all")).toEqual(["instance-1", "instance-2", "instance-3"]);
    expect(membersOf(state, "fixed")).toEqual(["instance-1", "instance-3"]);
    expect(membersOf(state, "rest")).toEqual(["instance-1", "instance-3"]);
    const more = withInstance(state, plannedInstance(state, { id: null, az: null, tier: null }));
    expect(membersOf(more, "all")).toContain("instance-4");
    expect(membersOf(more, "fixed")).toEqual(["instance-1", "instance-3"]);
    expect(membersOf(more, "rest")).toEqual(["instance-1", "instance-3", "instance-4"]);
  });

  it("is for readers, or for whoever is there", () => {
    expect([isEligible("reader", "reader"), isEligible("any", "reader")]).toEqual([true, true]);
    expect([isEligible("reader", "writer"), isEligible("any", "writer")]).toEqual([false, true]);
    expect([isEligible("reader", "none"), isEligible("any", "none")]).toEqual([false, false]);
  });

  it("that leads to nobody says why: a member that writes is available, only not here", () => {
    const seen = [
      { id: "instance-1", role: "writer", isAdmitted: true } as const,
      { id: "instance-2", role: "reader", isAdmitted: false } as const,
    ];
    const why = (type: "reader" | "any", ...members: string[]): string =>
      whyNobody({ type, members }, seen);
    const writes = "it leads to readers only, and instance-1 is the writer now";
    expect(why("reader", "instance-1")).toBe(writes);
    expect(why("reader", "instance-1", "instance-2")).toBe(
      `${writes}, and none of its other instances is available`,
    );
    expect(why("reader", "instance-2")).toBe("none of its instances is available");
    expect(why("any", "instance-2")).toBe("none of its instances is available");
    expect(why("any")).toBe("its list is empty");
  });

  it("gets another list, or another type, in place of what it had", () => {
    const state = created(three, wish("a", { list: only("instance-2") }), wish("b"));
    const other = withEndpointChanged(
      state,
      wish("a", { type: undefined, list: but("instance-2") }),
    );
    expect(other.endpoints?.[0]).toEqual({
      id: "a",
      ordinal: 0,
      type: "reader",
      list: but("instance-2"),
    });
    const any = withEndpointChanged(state, wish("a", { type: "any" }));
    expect(any.endpoints?.[0]).toMatchObject({ type: "any", list: only("instance-2") });
    expect(any.endpoints?.[1]).toEqual(state.endpoints?.[1]);
  });

  it("does not mean an instance any more that was removed, nor another one of its name", () => {
    const state = created(
      three,
      wish("fixed", { list: only("instance-3") }),
      wish("rest", { list: but("instance-3") }),
    );
    const removed = withoutInstance(state, "instance-3");
    expect(membersOf(removed, "fixed")).toEqual([]);
    const { leaving: _, ...gone } = removed;
    const again = withInstance(gone, instance(3));
    expect(membersOf(again, "fixed")).toEqual([]);
    expect(membersOf(again, "rest")).toContain("instance-3");
  });

  it("leaves no trace when the last one goes", () => {
    expect(withoutEndpoint(created(three, wish("a")), "a")).toEqual(three);
  });
});

describe("what cannot be an endpoint", () => {
  const full = created(three, ...["a", "b", "c", "d", "e"].map((id) => wish(id)));

  it.each([
    [three, wish("Reports"), "22023", /cannot be the name of an endpoint/],
    [three, wish("a--b"), "22023", /cannot be the name of an endpoint/],
    [three, wish(`a${"b".repeat(63)}`), "22023", /cannot be the name of an endpoint/],
    [three, wish("instance-9"), "22023", /a name for an instance's own endpoint/],
    [three, wish("reader"), "55000", /there is an endpoint "reader" already/],
    [full, wish("a"), "55000", /there is an endpoint "a" already/],
    [full, wish("f"), "55000", /there are 5 custom endpoints, which is the most/],
    [three, wish("x", { type: undefined }), "22023", /needs a type/],
    [three, wish("x", { list: only("instance-9") }), "22023", /there is no instance "instance-9"/],
    [three, wish("x", { list: but("instance-9") }), "22023", /there is no instance "instance-9"/],
    [three, wish("x", { list: only() }), "22023", /leads nowhere/],
    [three, wish("x", { list: only("instance-2", "instance-2") }), "22023", /named twice/],
  ] as const)("is refused with a way out: %#", (state, asked, code, says) => {
    const refusal = expect.objectContaining({
      code,
      message: expect.stringMatching(says),
      hint: expect.stringMatching(/./),
    });
    expect(() => plannedEndpoint(state, asked)).toThrow(refusal);
  });

  it("also as a change, and for an endpoint that is none", () => {
    const change = (one: EndpointWish) => () => withEndpointChanged(full, one);
    expect(change(wish("a", { type: undefined }))).toThrow(/nothing to change/);
    expect(change(wish("a", { list: only("nobody") }))).toThrow(/no instance "nobody"/);
    expect(change(wish("z"))).toThrow(/no custom endpoint "z"/);
    expect(() => withoutEndpoint(full, "reader")).toThrow(/"reader" is no custom endpoint/);
    expect(() => withoutEndpoint(three, "z")).toThrow(/no custom endpoint "z"/);
  });

  it("is the name of an instance that comes later", () => {
    const asked = { id: "a", az: null, tier: null };
    expect(() => plannedInstance(full, asked)).toThrow(/the name "a" is taken/);
  });
});
