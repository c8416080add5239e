import { describe, expect, it } from "vitest";
import { type FakeDriver, id, World } from "../../test/helpers/quorum-world.ts";
import { type Pin } from "../quorum/index.ts";
import { lsn } from "../base/lsn.ts";

const pinId = "77777777-2222-4333-8444-555555555555";

describe("Release", () => {
  it("ends the lease of an epoch that had fewer rounds than the one before", () => {
    const world = new World(6);
    const first = world.newDriver({ leaseMs: 2_000 }).claim();
    world.pass(20_000);
    first.step({ kind: "release" });
    const second = world.newDriver({ leaseMs: 2_000 }).claim();
    world.pass(1_000);
    expect(second.driver.situation).toBe("open");
    second.step({ kind: "release" });
    const third = world.newDriver({ leaseMs: 2_000 }).claim();
    world.pass(1_000);
    expect(third.driver.situation).toBe("open");
  });
});

describe("pins", () => {
  function aPin(driver: FakeDriver): Pin {
    return { pinId, path: driver.driver.history, from: lsn(1000n), to: lsn(1050n) };
  }
  function aDriver(): { world: World; driver: FakeDriver } {
    const world = new World(6);
    const driver = world.newDriver().claim();
    world.pass(200);
    driver.write(100);
    world.settle();
    return { world, driver };
  }

  it("are released when nodes have heard of that, not when they answer what was asked before", () => {
    const { world, driver } = aDriver();
    world.lost = /d1>n\d (pin|unpin)$/;
    driver.step({ kind: "pin", pin: aPin(driver) });
    world.pass(100);
    driver.step({ kind: "unpin", pinId });
    world.pass(100);
    // The pin arrived after all, everywhere, and its acknowledgements come now; no Unpin has arrived.
    const { epoch } = driver.driver;
    for (let n = 1; n <= 6; n++)
      driver.step({ kind: "received", node: id(n), message: { kind: "pinAck", epoch, pinId } });
    world.pass(5_000);
    expect(driver.seen.some((one) => one.kind === "unpinned")).toBe(false);
  });

  it("that nodes refuse do not stop writes", () => {
    const { world, driver } = aDriver();
    driver.step({ kind: "pin", pin: aPin(driver) });
    world.pass(500);
    driver.write(10);
    world.pass(300);
    expect(driver.driver.vdl).toBe(1110n);
  });
});
