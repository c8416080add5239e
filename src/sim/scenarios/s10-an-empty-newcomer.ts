import { Scene } from "./scene.ts";
import type { ScenePlay } from "./scenario.ts";

export const s10: ScenePlay = {
  id: "S10",
  what: "a change to two newcomers is to finish while they are empty",
  expected: "refused until they have caught up",
  play: () => {
    const scene = new Scene({ spares: 2 });
    const writer = scene.opens(1);
    scene.node(6).kill();
    scene.writeDurably(writer);
    // The newcomers hear of the change, and get no log.
    scene.lost = />n[78] (append|pullData)/;
    scene.changeMembers(writer, 3, 4, 5, 6, 7, 8);
    scene.untilMembers(writer, "123456/345678");
    scene.pass(5_000);
    scene.expect("both sets count still", scene.membersOf(writer) === "123456/345678");
    scene.lost = undefined;
    scene.untilMembers(writer, "345678");
    scene.writeDurably(writer);
    scene.checkAllHold(writer);
  },
};
