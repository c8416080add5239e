import { Scene } from "./scene.ts";
import type { ScenePlay } from "./scenario.ts";

export const s11: ScenePlay = {
  id: "S11",
  what: "a zone is lost; six become four; one more is lost; the zone returns; four become six",
  expected: "commits go on until the second loss and after it",
  play: () => {
    const scene = new Scene();
    const writer = scene.opens(1);
    scene.writeDurably(writer);
    // Zone c.
    scene.node(3).kill();
    scene.node(6).kill();
    scene.writeDurably(writer);
    scene.changeMembers(writer, 1, 2, 4, 5);
    scene.untilMembers(writer, "1245");
    scene.writeDurably(writer);
    scene.node(5).kill();
    scene.writeDurably(writer);
    for (const n of [3, 5, 6]) scene.node(n).boot();
    scene.changeMembers(writer, 1, 2, 3, 4, 5, 6);
    scene.untilMembers(writer, "123456");
    scene.writeDurably(writer);
    scene.checkAllHold(writer);
  },
};
