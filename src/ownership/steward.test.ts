import { describe, expect, it } from "vitest";
import { epoch } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import {
  anOwnerOfSix,
  changesOf,
  type FakeDriver,
  id,
  World,
} from "../../test/helpers/quorum-world.ts";

const successor = "99999999-2222-4333-8444-555555555555";

function answersOf(driver: FakeDriver): string[] {
  return driver.seen.flatMap((one) => (one.kind === "changeAnswered" ? [one.answer] : []));
}

describe("a change of members", () => {
  it("replaces a dead node under load: both sets count, then the new one alone", () => {
    const { world, driver } = anOwnerOfSix();
    driver.write(50);
    world.settle().down(6);
    driver.step({ kind: "changeMembers", set: world.setOf(1, 2, 3, 4, 5, 7) });
    driver.write(50);
    world.pass(3_000);
    expect(changesOf(driver)).toEqual([
      "1 123456 settled",
      "2 123456/123457",
      "3 123457",
      "3 123457 settled",
    ]);
    expect(world.node(7).log).toBe("1".repeat(100));
    expect(driver.driver.vdl).toBe(1100n);
  });

  it("two at once wait until the new ones hold what is durable (M17)", () => {
    const { world, driver } = anOwnerOfSix();
    world.down(6);
    driver.write(50);
    world.settle();
    world.held = /n[78] (append|pullData)/;
    driver.step({ kind: "changeMembers", set: world.setOf(3, 4, 5, 6, 7, 8) });
    world.pass(3_000);
    expect(changesOf(driver).at(-1)).toBe("2 123456/345678");
    world.unhold().pass(3_000);
    expect(changesOf(driver).at(-1)).toBe("3 345678 settled");
  });

  it("counts by both sets from the first moment: an old set's quorum alone acknowledges nothing", () => {
    const { world, driver } = anOwnerOfSix();
    world.down(3, 4, 7, 8);
    driver.step({ kind: "changeMembers", set: world.setOf(3, 4, 5, 6, 7, 8) });
    driver.write(10);
    world.pass(1_000);
    expect(driver.driver.vdl).toBe(1000n);
    world.up(3, 4, 7, 8);
    for (const n of [3, 4, 7, 8]) driver.step({ kind: "nodeConnected", node: id(n) });
    world.pass(4_000);
    expect(driver.driver.vdl).toBe(1010n);
  });

  it("leaves no lease behind: who kept it has a say until it is over, or until others keep it too", () => {
    const world = new World(6, 2);
    const driver = world.newDriver({ leaseMs: 2_000 }).claim();
    world.pass(200);
    world.held = /n[1237]>d1 heartbeatAck/;
    world.pass(1_000);
    const { leaseUntilMs } = driver.driver;
    expect(leaseUntilMs).toBeGreaterThan(world.nowMs);
    // Of the nodes that keep this lease one leaves; the four others could promise a newer epoch at once.
    driver.step({ kind: "changeMembers", set: world.setOf(1, 2, 3, 4, 5, 7) });
    world.pass(leaseUntilMs - world.nowMs - 150);
    expect(changesOf(driver).at(-1)).toBe("2 123456/123457");
    expect(world.nowMs).toBeLessThan(leaseUntilMs);
    world.pass(200);
    expect(changesOf(driver).at(-1)).toBe("3 123457 settled");
  });

  it("goes back to where it came from when that is asked for", () => {
    const { world, driver } = anOwnerOfSix();
    world.down(7);
    world.held = /configAck/;
    driver.step({ kind: "changeMembers", set: world.setOf(1, 2, 3, 4, 5, 7) });
    world.settle();
    driver.step({ kind: "changeMembers", set: world.setOf(1, 2, 3, 4, 5, 6) });
    world.unhold().pass(2_000);
    expect(changesOf(driver).slice(1)).toEqual(["2 123456/123457", "3 123456", "3 123456 settled"]);
  });

  it("refuses a second change, an unsound set, and no change", () => {
    const { world, driver } = anOwnerOfSix();
    const set = world.setOf(1, 2, 3, 4);
    driver.step({ kind: "changeMembers", set: { ...set, writeQuorum: 2 } });
    driver.step({ kind: "changeMembers", set: world.setOf(1, 2, 3, 4, 5, 6) });
    world.held = /configAck/;
    driver.step({ kind: "changeMembers", set });
    driver.step({ kind: "changeMembers", set: world.setOf(1, 2, 3, 4, 5, 7) });
    expect(answersOf(driver)).toEqual(["unsound", "same", "begun", "busy"]);
  });

  it("left joint by a driver that died is found and finished by the next (S9)", () => {
    const { world, driver } = anOwnerOfSix();
    driver.write(20);
    world.settle();
    world.held = /n\d>d1 (configAck|electAck)/;
    driver.step({ kind: "changeMembers", set: world.setOf(1, 2, 3, 4, 5, 7) });
    world.settle();
    driver.isDead = true;
    world.down(6);
    const next = world.newDriver().claim();
    world.pass(4_000);
    expect(next.driver.situation).toBe("open");
    expect(changesOf(next).at(-1)).toBe("2 123457 settled");
    expect(next.seen.some((one) => one.kind === "membersSeen")).toBe(true);
  });

  it("a claimant with a stale hint finds the members of today (M18)", () => {
    const { world, driver } = anOwnerOfSix();
    driver.step({ kind: "changeMembers", set: world.setOf(1, 2, 3, 4, 7, 8) });
    world.pass(3_000);
    driver.write(10);
    world.settle();
    world.down(5, 6);
    driver.isDead = true;
    const next = world.newDriver().claim();
    world.pass(2_000);
    expect(next.driver.vdl).toBe(1010n);
    expect(next.driver.configuration.sets[0]?.members.map((one) => one.nodeId)).toContain(id(8));
  });
});

describe("the low-water", () => {
  function lowsOf(driver: FakeDriver): bigint[] {
    return driver.seen.flatMap((one) => (one.kind === "lowAdvanced" ? [one.low] : []));
  }

  it("moves in two steps: a floor at a write quorum, then the log below it goes (M26)", () => {
    const { world, driver } = anOwnerOfSix();
    driver.write(100);
    world.settle();
    world.held = /floorAck/;
    driver.step({ kind: "lowWanted", lsn: lsn(1050n) });
    world.pass(200);
    expect([world.node(1).disk.floor, world.node(1).disk.base]).toEqual([1050n, 1000n]);
    expect(lowsOf(driver)).toEqual([]);
    world.unhold().pass(200);
    expect(lowsOf(driver)).toEqual([1050n]);
    for (const node of world.nodes.slice(0, 6)) expect(node.disk.base).toBe(1050n);
  });

  it("waits for the slowest member, and never passes VDL (M24, M25)", () => {
    const { world, driver } = anOwnerOfSix();
    world.down(6);
    driver.write(100);
    world.settle();
    driver.step({ kind: "lowWanted", lsn: lsn(1050n) });
    world.pass(1_000);
    expect(lowsOf(driver)).toEqual([]);
    world.up(6);
    driver.step({ kind: "nodeConnected", node: id(6) });
    world.pass(1_000);
    expect(lowsOf(driver)).toEqual([1050n]);
    driver.step({ kind: "lowWanted", lsn: lsn(1200n) });
    world.pass(1_000);
    expect(lowsOf(driver)).toEqual([1050n]);
  });

  it("a change of members waits for a step that is half done, and none begins while both sets count", () => {
    const { world, driver } = anOwnerOfSix();
    driver.write(100);
    world.settle();
    world.held = /floorAck|n7>d1/;
    driver.step({ kind: "lowWanted", lsn: lsn(1050n) });
    world.pass(100);
    driver.step({ kind: "changeMembers", set: world.setOf(1, 2, 3, 4, 5, 7) });
    world.settle();
    expect(answersOf(driver)).toEqual([]);
    driver.step({ kind: "walDropped", heldFrom: lsn(1050n) });
    world.unhold().pass(3_000);
    expect(answersOf(driver)).toEqual(["begun"]);
    expect(changesOf(driver).at(-1)).toBe("3 123457 settled");
    expect([world.node(7).disk.base, world.node(7).end]).toEqual([1050n, 1100n]);
  });

  it("raises a new member that is first heard of after the change has ended", () => {
    const { world, driver } = anOwnerOfSix();
    driver.write(100);
    world.settle();
    driver.step({ kind: "lowWanted", lsn: lsn(1050n) });
    world.pass(200);
    driver.step({ kind: "walDropped", heldFrom: lsn(1050n) });
    world.down(7);
    driver.step({ kind: "changeMembers", set: world.setOf(1, 2, 3, 4, 5, 7) });
    world.pass(1_000);
    expect(changesOf(driver).at(-1)).toBe("3 123457 settled");
    world.up(7);
    driver.step({ kind: "nodeConnected", node: id(7) });
    world.pass(3_000);
    expect([world.node(7).disk.base, world.node(7).end]).toEqual([1050n, 1100n]);
  });
});

describe("salvage", () => {
  it("seals what is left after an AZ plus one, and nobody can ever own the volume again (S12)", () => {
    const { world, driver } = anOwnerOfSix();
    driver.write(55);
    world.settle();
    world.down(1, 2, 3);
    driver.isDead = true;
    const salvage = world.newDriver({ purpose: "salvage" }).claim();
    world.pass(1_000);
    const decision = salvage.seen.find((one) => one.kind === "decideSalvage");
    expect(decision).toMatchObject({ b: 1050n });
    salvage.step({ kind: "salvageDecided", successor });
    world.settle();
    expect(salvage.driver.situation).toBe("sealed");
    expect(salvage.seen.at(-1)).toMatchObject({ kind: "salvaged", b: 1050n, successor });
    world.up(1, 2, 3);
    const late = world.newDriver().claim();
    world.pass(10_000);
    expect(late.driver.situation).toBe("claiming");
  });

  it("an owner that is only slow to be seen is fenced by it", () => {
    const { world, driver } = anOwnerOfSix();
    const salvage = world.newDriver({ purpose: "salvage" }).claim();
    world.pass(1_000);
    salvage.step({ kind: "salvageDecided", successor });
    world.settle();
    driver.write(10);
    world.pass(1_000);
    expect(driver.driver.situation).toBe("fenced");
  });
});

describe("the undo of a backtrack (S14, decisions.md D28)", () => {
  it("takes the abandoned bytes as its own, and opens only where they end", () => {
    const { world, driver } = anOwnerOfSix();
    driver.write(100);
    world.settle();
    driver.isDead = true;
    const back = world.newDriver({ backtrack: { start: 1040n } }).claim();
    world.pass(1_000);
    expect([back.driver.situation, back.driver.vdl]).toEqual(["open", 1040n]);
    back.isDead = true;
    world.chosen.forgetFrom(1040n);
    const undo = world.newDriver({ backtrack: { start: 1040n, refillTo: 1100n } }).claim();
    world.pass(1_000);
    expect(undo.driver.situation).toBe("electing");
    undo.step({ kind: "walReceived", end: lsn(1100n), recordEnd: lsn(1100n) });
    world.pass(1_000);
    expect([undo.driver.situation, undo.driver.vdl]).toEqual(["open", 1100n]);
    expect(world.node(1).log).toBe("1".repeat(40) + "3".repeat(60));
    expect(undo.driver.history.map((entry) => [entry.epoch, entry.kind])).toEqual([
      [epoch(1), "branch"],
      // Of zero length, and kept: the evidence that history was removed.
      [epoch(2), "backtrack"],
      [epoch(3), "backtrack"],
    ]);
  });
});
