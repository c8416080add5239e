import { describe, expect, it } from "vitest";
import { Acceptor, encodeAcceptorState } from "../acceptor/index.ts";
import { epoch } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import { trueRules } from "../quorum/index.ts";
import {
  anOwnerOfSix,
  changesOf,
  type FakeDriver,
  id,
  type World,
} from "../../test/helpers/quorum-world.ts";
import { Membership } from "./membership.ts";

/** Node 6 is behind at 1020 and no member; the low-water, and what the driver holds, begin at 1080. */
function leftBehind(world: World, driver: FakeDriver): void {
  driver.step({ kind: "changeMembers", set: world.setOf(1, 2, 3, 4, 5, 7) });
  world.pass(3_000);
  expect(changesOf(driver).at(-1)).toBe("3 123457 settled");
  driver.write(80);
  world.pass(1_000);
  driver.step({ kind: "lowWanted", lsn: lsn(1080n) });
  world.pass(1_000);
  driver.step({ kind: "walDropped", heldFrom: lsn(1080n) });
  for (const n of [1, 2, 3, 4, 5, 7]) expect(world.node(n).disk.base).toBe(1080n);
}

describe("re-joining below the low-water", () => {
  it("a node that was away while its change ended is raised to the low-water when it comes (I9)", () => {
    const { world, driver } = anOwnerOfSix();
    driver.write(20);
    world.settle().down(6);
    leftBehind(world, driver);
    driver.step({ kind: "changeMembers", set: world.setOf(1, 2, 3, 4, 6, 7) });
    world.pass(3_000);
    expect(changesOf(driver).at(-1)).toBe("5 123467 settled");
    world.up(6);
    driver.step({ kind: "nodeConnected", node: id(6) });
    world.pass(20_000);
    expect([world.node(6).disk.base, world.node(6).end]).toEqual([1080n, 1100n]);
  });

  it("... and then no longer holds the low-water back for the rest of the epoch", () => {
    const { world, driver } = anOwnerOfSix();
    driver.write(20);
    world.settle().down(6);
    leftBehind(world, driver);
    driver.step({ kind: "changeMembers", set: world.setOf(1, 2, 3, 4, 6, 7) });
    world.pass(3_000);
    world.up(6);
    driver.step({ kind: "nodeConnected", node: id(6) });
    world.pass(2_000);
    driver.step({ kind: "lowWanted", lsn: lsn(1090n) });
    world.pass(10_000);
    expect(world.node(1).disk.base).toBe(1090n);
  });
});

describe("a change that cannot go on", () => {
  it("goes back to where it came from though the new nodes never answered", () => {
    const { world, driver } = anOwnerOfSix(3);
    world.down(7, 8, 9);
    driver.step({ kind: "changeMembers", set: world.setOf(1, 2, 3, 7, 8, 9) });
    driver.write(10);
    world.pass(2_000);
    driver.step({ kind: "changeMembers", set: world.setOf(1, 2, 3, 4, 5, 6) });
    world.pass(60_000);
    expect([driver.driver.vdl, changesOf(driver).at(-1)]).toEqual([1010n, "3 123456 settled"]);
  });

  it("does not stop writes because nodes have no room for its configuration", () => {
    const { world, driver } = anOwnerOfSix();
    for (const node of world.nodes) {
      node.acceptor = new Acceptor({
        state: node.disk,
        scl: lsn(node.synced),
        nowMs: world.nowMs,
        lendsAppends: false,
        stateBytesMax: encodeAcceptorState(node.disk).length + 60,
      });
      node.carry(node.acceptor.step({ kind: "started", nowMs: world.nowMs }));
    }
    driver.write(10);
    world.pass(1_000);
    expect(driver.driver.vdl).toBe(1010n);
    driver.step({ kind: "changeMembers", set: world.setOf(1, 2, 3, 4, 5, 7) });
    world.pass(1_000);
    driver.write(10);
    world.pass(30_000);
    expect(driver.driver.vdl).toBe(1020n);
  });

  it("each question is answered, also the first of two that wait for a floor", () => {
    const { world, driver } = anOwnerOfSix();
    driver.write(100);
    world.settle();
    world.held = /floorAck/;
    driver.step({ kind: "lowWanted", lsn: lsn(1050n) });
    world.pass(100);
    driver.step({ kind: "changeMembers", set: world.setOf(1, 2, 3, 4, 5, 7) });
    driver.step({ kind: "changeMembers", set: world.setOf(1, 2, 3, 4, 5, 8) });
    world.unhold().pass(3_000);
    const answers = driver.seen.filter((one) => one.kind === "changeAnswered");
    expect(answers).toHaveLength(2);
  });
});

describe("VCL", () => {
  it("that was reported is held by a write quorum of a set that counts alone", () => {
    const { world, driver } = anOwnerOfSix();
    world.lost = /(d1>n[1278] append|n\d>n[1278] pullData)$/;
    // The walker is late by one record: VCL is at its end, VDL before it. A cancelled commit waits for VCL.
    driver.step({ kind: "walReceived", end: lsn(1010n), recordEnd: lsn(1000n) });
    world.settle();
    expect([driver.driver.vdl, driver.driver.vcl]).toEqual([1000n, 1010n]);
    driver.step({ kind: "changeMembers", set: world.setOf(1, 2, 3, 4, 7, 8) });
    world.pass(3_000);
    const holders = [1, 2, 3, 4, 7, 8].filter((n) => world.node(n).synced >= driver.driver.vcl);
    const isAlone = driver.driver.configuration.sets.length === 1;
    expect(isAlone ? holders.length : 4).toBeGreaterThanOrEqual(4);
  });
});

describe("a late answer", () => {
  it("to the change that a node joined by before does not count for the one that it joins by now (I9)", () => {
    const { world } = anOwnerOfSix();
    const six = world.setOf(1, 2, 3, 4, 5, 6);
    const other = world.setOf(1, 2, 3, 4, 5, 7);
    const e = epoch(1);
    const membership = new Membership({ id: { epoch: e, version: 1 }, sets: [six] }, trueRules);
    const acked = (by: "elect" | "change", ...names: number[]): void => {
      const { id: newest } = membership.configuration;
      for (const n of names) membership.noteAcked(id(n), newest, by);
    };
    const view = {
      vcl: lsn(1000n),
      heldBy: () => lsn(1000n),
      arePinsHeldBy: () => true,
      areLeasesKeptBy: () => true,
    };
    acked("elect", 1, 2, 3, 4, 5, 6);
    for (const set of [other, six]) {
      expect(membership.begin(set)).toBe("begun");
      acked("change", 1, 2, 3, 4, 5);
      expect(membership.finish(view)).toHaveLength(1);
      acked("change", 1, 2, 3, 4, 5);
    }
    expect(membership.begin(other)).toBe("begun");
    membership.noteAcked(id(7), { epoch: e, version: 2 }, "change");
    acked("elect", 7);
    // Only the ConfigChange brings a node that lay below the low-water above it.
    expect(membership.mustTell(id(7), 0)).toBe(true);
  });
});
