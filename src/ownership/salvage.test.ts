import { describe, expect, it } from "vitest";
import { type FakeDriver, World } from "../../test/helpers/quorum-world.ts";

const successor = "99999999-2222-4333-8444-555555555555";

/** Three of six are left, which hold everything; a salvage has decided, and its Seal reached node 4 alone. */
function halfSealed(): { world: World; first: FakeDriver } {
  const world = new World(6);
  const driver = world.newDriver().claim();
  world.pass(200);
  driver.write(50);
  world.settle().down(1, 2, 3);
  driver.isDead = true;
  const first = world.newDriver({ purpose: "salvage" }).claim();
  world.pass(1_000);
  world.lost = /d2>n[56] seal/;
  first.step({ kind: "salvageDecided", successor });
  world.settle();
  expect(world.node(4).disk.sealed).toBe(successor);
  return { world, first };
}

function finishes(world: World): FakeDriver {
  world.lost = undefined;
  const second = world.newDriver({ purpose: "salvage" }).claim();
  world.pass(10_000);
  expect(second.driver.situation).toBe("deciding");
  second.step({ kind: "salvageDecided", successor });
  world.pass(1_000);
  return second;
}

describe("salvage", () => {
  it("is finished by the next one when its process dies between two seals", () => {
    const { world, first } = halfSealed();
    first.isDead = true;
    expect(finishes(world).driver.situation).toBe("sealed");
  });

  it("is finished by the next one when an instance claims between two seals", () => {
    const { world, first } = halfSealed();
    // One node comes back for a moment, so that somebody claims in the ordinary way.
    world.up(1);
    const eager = world.newDriver().claim();
    world.pass(1_000);
    eager.isDead = true;
    world.down(1);
    world.lost = undefined;
    world.pass(2_000);
    expect(first.driver.situation).toBe("fenced");
    expect(finishes(world).driver.situation).toBe("sealed");
  });
});
