import { describe, expect, it } from "vitest";
import { seededRng } from "../base/rng.ts";
import { World } from "../../test/helpers/quorum-world.ts";

/** One random run: rival drivers, lost, doubled and reordered messages, crashes that lose what was not synced. */
function run(seed: number, steps: number): { opened: number; chosen: number; crashes: number } {
  const rng = seededRng(seed);
  const world = new World(rng.below(2) === 0 ? 6 : 3);
  const fanOut = seed % 2 === 0 ? "quorumFirst" : "everyNode";
  let crashes = 0;
  for (let step = 0; step < steps; step++) {
    const n = 1 + rng.below(world.nodes.length);
    const driver = world.drivers[rng.below(Math.max(1, world.drivers.length))];
    switch (rng.below(12)) {
      case 0:
        if (driver && rng.below(12) === 0) driver.isDead = true;
        if (rng.below(6) === 0) world.newDriver({ seed: seed + step, fanOut }).claim();
        break;
      case 1:
        if (rng.below(4) !== 0) break;
        crashes++;
        world.down(n);
        break;
      case 2:
        for (const [index, node] of world.nodes.entries()) if (!node.isUp) world.up(index + 1);
        break;
      case 3:
        world.node(n).holdsSync = !world.node(n).holdsSync;
        break;
      case 4:
        if (world.node(n).isUp && world.node(n).end > world.node(n).synced) world.node(n).sync();
        break;
      case 5:
      case 6:
        if (driver?.driver.situation === "open") driver.write(1 + rng.below(30));
        break;
      case 7:
        world.tickAll(50 + rng.below(300));
        break;
      default:
        world.stir(rng, 1 + rng.below(20));
    }
  }
  // Faults end: a last driver must open, and find all that was ever acknowledged.
  for (const [index, node] of world.nodes.entries()) {
    if (!node.isUp) world.up(index + 1);
    node.holdsSync = false;
    if (node.end > node.synced) node.sync();
  }
  world.settle();
  for (const driver of world.drivers) driver.isDead = true;
  const last = world.newDriver({ seed: seed + steps, fanOut }).claim();
  world.pass(12_000, 200);
  expect(last.driver.situation, `seed ${seed}`).toBe("open");
  last.write(10);
  world.pass(8_000, 200);
  expect(Number(last.driver.vdl) % 10).toBe(0);
  for (const node of world.nodes) expect(world.chosen.isHeldBy(node), `seed ${seed}`).toBe(true);
  const opened = world.drivers.filter((one) => one.durable.length > 0).length;
  return { opened, chosen: world.chosen.length, crashes };
}

describe("any order of events", () => {
  it("an Elect that waited behind a fill is not acknowledged with the SCL from before its cut", () => {
    // The node acknowledged to epoch 4 what it had pulled of epoch 3 and was about to cut: I1 broken.
    run(1398, 400);
  });

  it("keeps what was acknowledged, and lets a lone driver open in the end", () => {
    const sum = { opened: 0, chosen: 0, crashes: 0 };
    for (let seed = 1; seed <= 60; seed++) {
      const one = run(seed, 400);
      sum.opened += one.opened;
      sum.chosen += one.chosen;
      sum.crashes += one.crashes;
    }
    // A run in which nothing happened proves nothing.
    expect(sum.opened).toBeGreaterThan(100);
    expect(sum.chosen).toBeGreaterThan(1_000);
    expect(sum.crashes).toBeGreaterThan(100);
  }, 60_000);
});
