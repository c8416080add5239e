import { describe, expect, it } from "vitest";
import { newState } from "../../test/helpers/cluster-state.ts";
import { layoutOf } from "./layout.ts";
import {
  addressBook,
  asked,
  chosen,
  type DiskVerdict,
  filled,
  made,
  membersWithNext,
  nextStep,
  replaced,
} from "./replacement.ts";
import { parseClusterState } from "./state.ts";

const layout = layoutOf("/data", "/run/b");

function seen(disks: Record<string, DiskVerdict> = {}, isOpen = true) {
  return { isOpen, diskOf: (name: string) => disks[name] };
}

describe("the replacement of a storage node", () => {
  it("rests while nothing is lost or asked for; a node that nobody could look at is not lost", () => {
    expect(nextStep(newState(), seen())).toEqual({ kind: "rest" });
    expect(nextStep(newState(), seen({ "az1-full": "ok" }))).toEqual({ kind: "rest" });
  });

  it("goes from the choice to the member, a write of the state at each step", () => {
    let state = asked(newState(), "az2-tail", "asked for");
    expect(nextStep(state, seen())).toEqual({ kind: "choose", id: "az2-tail", why: "asked for" });
    state = chosen(state, "az2-tail", "n7", "asked for");
    expect(nextStep(state, seen())).toEqual({ kind: "make", id: "az2-tail" });
    expect(addressBook(state, layout, {})).toHaveLength(6);
    state = made(state, "az2-tail", "n7");
    expect(nextStep(state, seen())).toEqual({ kind: "change", id: "az2-tail" });
    expect(membersWithNext(state, "az2-tail").map((member) => member.nodeId)).toEqual(
      "n1 n2 n3 n7 n5 n6".split(" "),
    );
    const joining = addressBook(state, layout, {}).filter((node) => !node.isMember);
    expect(joining.map((node) => node.nodeId)).toEqual(["n7"]);
    state = replaced(state, "az2-tail", "n7");
    expect(nextStep(state, seen())).toEqual({ kind: "fill", id: "az2-tail" });
    state = filled(state, "az2-tail");
    expect(nextStep(state, seen())).toEqual({ kind: "rest" });
    expect(state.nodes[3]).toEqual({
      id: "az2-tail",
      nodeId: "n7",
      az: "az2",
      kind: "tail",
      side: 1,
    });
  });

  it("survives being written and read at each step", () => {
    const state = chosen(asked(newState(), "az1-full", "asked for"), "az1-full", "n7", "x");
    expect(parseClusterState(JSON.stringify(state))).toEqual({ kind: "state", state });
  });

  it("ends what has begun, then rebuilds what is lost, then does what was asked for", () => {
    let state = asked(newState(), "az3-full", "asked for");
    const lost = seen({ "az1-tail": "missing" });
    expect(nextStep(state, lost)).toMatchObject({ kind: "choose", id: "az1-tail" });
    state = made(chosen(state, "az1-full", "n7", "x"), "az1-full", "n7");
    expect(nextStep(state, lost)).toEqual({ kind: "change", id: "az1-full" });
  });

  it("gives up nobody without need while a new member fills itself", () => {
    const full = made(chosen(newState(), "az1-full", "n7", "x"), "az1-full", "n7");
    const filling = asked(replaced(full, "az1-full", "n7"), "az2-full", "asked for");
    expect(nextStep(filling, seen())).toEqual({ kind: "fill", id: "az1-full" });
    const lost = seen({ "az3-tail": "missing" });
    expect(nextStep(filling, lost)).toMatchObject({ kind: "choose", id: "az3-tail" });
    const again = asked(filling, "az1-full", "asked for");
    expect(nextStep(again, seen())).toMatchObject({ kind: "choose", id: "az1-full" });
    expect(nextStep(filled(filling, "az1-full"), seen())).toMatchObject({ id: "az2-full" });
  });

  it("waits for an open writer before it chooses, and before members change", () => {
    const closed = seen({ "az1-full": "failed" }, false);
    expect(nextStep(newState(), closed)).toEqual({ kind: "wait", id: "az1-full" });
    const state = made(chosen(newState(), "az1-full", "n7", "x"), "az1-full", "n7");
    expect(nextStep(state, seen({}, false))).toEqual({ kind: "wait", id: "az1-full" });
  });

  it("gives a successor that loses its own disk another one", () => {
    const state = made(chosen(newState(), "az1-full", "n7", "x"), "az1-full", "n7");
    const step = nextStep(state, seen({ "az1-full": "missing", "az1-full.old": "missing" }));
    expect(step).toMatchObject({ kind: "choose", id: "az1-full" });
    // Its process has the member's name only once it was made: what is missing before says nothing.
    const begun = chosen(state, "az1-full", "n8", "y");
    expect(nextStep(begun, seen({ "az1-full": "missing" }))).toEqual({
      kind: "make",
      id: "az1-full",
    });
    expect(made(begun, "az1-full", "n7")).toEqual(begun);
    expect(replaced(begun, "az1-full", "n7")).toEqual(begun);
  });
});
