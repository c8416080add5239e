import { describe, expect, it } from "vitest";
import { instanceId } from "../base/ids.ts";
import { PlainTopology } from "../../test/helpers/endpoints.ts";
import { VirtualClock } from "../../test/helpers/virtual-clock.ts";
import { untilLossIsKnown } from "./until-change-shell.ts";
import type { Target } from "./topology.ts";

function life(incarnation: string): Target {
  const address = { socketDir: "/nowhere", port: 5432, major: 18 };
  return { instanceId: instanceId("instance-1"), role: "writer", address, incarnation };
}

describe("that a server's loss is known", () => {
  it("is waited for until the cluster says so", async () => {
    const clock = new VirtualClock();
    const topology = new PlainTopology(life("1"));
    clock.after(120, () => topology.set({ writer: life("2"), reader: undefined }));
    await clock.during(untilLossIsKnown({ clock, topology }, life("1")));
    expect(clock.nowMs()).toBe(120);
    await clock.during(untilLossIsKnown({ clock, topology }, life("1")));
    expect(clock.nowMs()).toBe(120);
  });

  it("is there when nobody writes, whatever became of who did: its agent may be gone, too", async () => {
    const clock = new VirtualClock();
    const topology = new PlainTopology(life("1"));
    clock.after(80, () => topology.set({ writer: undefined, reader: undefined }));
    await clock.during(untilLossIsKnown({ clock, topology }, life("1")));
    expect(clock.nowMs()).toBe(80);
  });

  it("is not waited for without end: one server may have ended alone", async () => {
    const clock = new VirtualClock();
    const topology = new PlainTopology(life("1"));
    await clock.during(untilLossIsKnown({ clock, topology }, life("1")));
    expect(clock.nowMs()).toBeGreaterThanOrEqual(500);
    expect(clock.nowMs()).toBeLessThan(700);
  });
});
