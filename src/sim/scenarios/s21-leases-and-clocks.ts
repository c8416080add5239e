import { present } from "../../base/assert.ts";
import { SimFailure } from "../failure.ts";
import type { ScenePlay } from "./scenario.ts";
import { Scene } from "./scene.ts";

export const s21: ScenePlay = {
  id: "S21",
  what: "every node restarts inside a lease; somebody claims at once",
  expected: "they wait as long as a lease may last, and then promise",
  play: () => {
    const scene = new Scene({ gate: "lease" });
    const writer = scene.opens(1);
    const { clock } = writer;
    scene.until("there is a lease", () => (writer.driver?.leaseUntilMs ?? 0) > clock.nowMs);
    cutOff(scene);
    const { leaseUntilMs } = present(writer.driver, "it is open");
    for (const node of scene.world.nodes) {
      node.kill();
      node.boot();
    }
    scene.claims(2);
    scene.until("it opens", () => scene.instance(2).isOpen);
    scene.expect("after the lease", clock.nowMs >= leaseUntilMs);
    scene.expect(
      "which was told to wait",
      scene.sent.some((one) => /^n\d>i2 wait$/.test(one)),
    );
  },
};

function cutOff(scene: Scene): void {
  for (const { name } of scene.world.nodes) {
    scene.world.network.partition("i1", name);
    scene.world.network.partition(name, "i1");
  }
}

/** A writer cut off while somebody else claims, and asked for reads all the time; the observer looks at each (I10). */
function readsWith(nodeRate: number): number {
  const scene = new Scene({
    gate: "lease",
    rateOf: (name) => (name.startsWith("n") ? nodeRate : 1),
  });
  const writer = scene.opens(1);
  scene.writeDurably(writer);
  scene.until("there is a lease", () => (writer.driver?.leaseUntilMs ?? 0) > writer.clock.nowMs);
  cutOff(scene);
  scene.claims(2);
  for (let n = 0; n < 500; n++) {
    writer.gate.read(0.1);
    scene.pass(1);
  }
  scene.expect("the claim has won", scene.instance(2).isOpen);
  return scene.counted.get("reads released");
}

export const s21Bound: ScenePlay = {
  id: "S21b",
  what: "the nodes' clocks run fast by as much as a lease allows for",
  expected: "every read is fresh",
  play: () => {
    // ρ = 5 %: a node's lease of L ends after 0.95 L of the driver's time, when the driver's own does.
    for (const rate of [0.9, 1, 1.04, 1 / 0.95]) {
      if (readsWith(rate) === 0) throw new SimFailure("script", "no read was answered");
    }
  },
};

export const s21Beyond: ScenePlay = {
  id: "S21c",
  what: "the nodes' clocks run at twice their rate",
  expected: "nothing is promised beyond the bound, and it shows: a read is stale",
  play: () => {
    try {
      readsWith(2);
    } catch (error) {
      if (error instanceof SimFailure && error.law === "I10") return;
      throw error;
    }
    throw new SimFailure("script", "the drift made no difference: the scene proves nothing");
  },
};
