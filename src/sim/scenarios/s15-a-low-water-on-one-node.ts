import { present, InvariantBroken } from "../../base/assert.ts";
import { advance } from "../../base/lsn.ts";
import { origin } from "../spans.ts";
import { HandDriver } from "./hand-driver.ts";
import { Scene } from "./scene.ts";
import type { ScenePlay } from "./scenario.ts";

/** i1 wants the log below its VDL dropped; what of it is lost, the script says. */
function trimmed(lost: RegExp) {
  const scene = new Scene();
  const writer = scene.opens(1);
  const low = scene.writeDurably(writer);
  scene.writeDurably(writer);
  scene.until("all hold it", () => scene.world.nodes.every((one) => one.log.end > low));
  scene.lost = lost;
  writer.step({ kind: "lowWanted", lsn: low, nowMs: writer.clock.nowMs });
  return { scene, writer, low };
}

/** A backtrack through n1: which targets it may choose from. */
function backtrackThrough(scene: Scene, ...down: number[]) {
  scene.lost = undefined;
  for (const n of down) scene.node(n).kill();
  const driver = new HandDriver(scene, "own");
  scene.until("a target is to be chosen", () => driver.decision !== undefined);
  const decision = present(driver.decision, "it was waited for");
  if (decision.kind !== "decideBranch") throw new InvariantBroken("it owns, it does not salvage");
  return { driver, decision };
}

export const s15: ScenePlay = {
  id: "S15",
  what: "the low-water has reached one node only; a backtrack's recovery goes through that node",
  expected: "a target below it is refused",
  play: () => {
    const { scene, writer, low } = trimmed(/i1>n[^1] advanceLow/);
    scene.until("n1 dropped its log", () => scene.node(1).acceptor.state.base === low);
    scene.expect("n2 did not", scene.node(2).acceptor.state.base === origin);
    writer.forget();
    const { driver, decision } = backtrackThrough(scene, 5, 6);
    scene.expect("the floor is known", decision.floor >= low);
    let refused = "";
    try {
      const start = advance(low, -8);
      const timeline = decision.nextTimeline;
      const { nowMs } = driver;
      driver.step({ kind: "branchDecided", start, timeline, entryKind: "backtrack", nowMs });
    } catch (error) {
      refused = error instanceof InvariantBroken ? error.message : "";
    }
    scene.expect("the target is refused", refused.includes("a backtrack lies in [floor, b]"));
  },
};

export const s15NotDropped: ScenePlay = {
  id: "S15b",
  what: "the floor has reached one node only; a backtrack's recovery goes without that node",
  expected: "nothing is dropped; a target below it is taken",
  play: () => {
    const { scene, writer, low } = trimmed(/i1>n[^1] floor/);
    scene.until("n1 has the floor", () => scene.node(1).acceptor.state.floor === low);
    scene.pass(5_000);
    scene.expect(
      "nothing is dropped",
      scene.world.nodes.every((one) => one.acceptor.state.base === origin),
    );
    writer.forget();
    const { driver, decision } = backtrackThrough(scene, 1, 6);
    scene.expect("no floor is known", decision.floor === origin);
    const { nowMs } = driver;
    const { nextTimeline: timeline } = decision;
    scene.world.observer.noteBacktrack(decision.epoch);
    driver.step({ kind: "branchDecided", start: origin, timeline, entryKind: "backtrack", nowMs });
    scene.until("it opens there", () => driver.driver.situation === "open");
    scene.expect("at the beginning", driver.driver.vdl === origin);
  },
};
