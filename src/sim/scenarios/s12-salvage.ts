import { volumeId } from "../../base/ids.ts";
import { HandDriver } from "./hand-driver.ts";
import { Scene } from "./scene.ts";
import type { ScenePlay } from "./scenario.ts";

const successor = volumeId("99999999-2222-4333-8444-555555555555");

export const s12: ScenePlay = {
  id: "S12",
  what: "a zone and one more node are lost; what is left is salvaged; the three return",
  expected: "the successor's log is complete; the old volume opens for nobody",
  play: () => {
    const scene = new Scene();
    const writer = scene.opens(1);
    const end = scene.writeDurably(writer);
    for (const n of [3, 6, 1]) scene.node(n).kill();
    writer.forget();
    const salvage = new HandDriver(scene, "salvage");
    scene.until("what is left is known", () => salvage.decision !== undefined);
    scene.expect("nothing durable is missing", salvage.decision?.b === end);
    salvage.step({ kind: "salvageDecided", successor, nowMs: salvage.nowMs });
    scene.until("it is sealed", () => salvage.driver.situation === "sealed");
    const source = scene.world.nodeOf(salvage.decision?.node ?? scene.node(2).nodeId);
    scene.checkCommitted(source ?? scene.node(2), end);
    for (const n of [3, 6, 1]) scene.node(n).boot();
    const late = scene.claims(2);
    scene.pass(20_000);
    scene.expect("nobody owns it any more", late.driver?.situation === "claiming");
  },
};
