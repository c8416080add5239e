import { Dice } from "../dice.ts";
import type { ScenePlay } from "./scenario.ts";
import { Scene } from "./scene.ts";

export const s18: ScenePlay = {
  id: "S18",
  what: "syncs fail at two nodes; then everybody restarts, and the power goes",
  expected: "the two stay out; nothing acknowledged is lost",
  play: () => {
    const scene = new Scene();
    const { world } = scene;
    const writer = scene.opens(1);
    scene.writeDurably(writer);
    // As many as the volume can spare.
    world.faults.syncFails = 1;
    scene.writeDurably(writer);
    world.faults.syncFails = 0;
    const lost = world.nodes.filter((node) => node.fate === "lost");
    scene.expect("two syncs failed", lost.length === 2);
    scene.write(writer);
    writer.forget();
    for (const node of world.nodes) node.kill();
    for (const node of world.nodes) node.powerOff(new Dice(world.seed, node.name));
    for (const node of world.nodes) if (node.fate === "down") node.boot();
    const next = scene.opens(2);
    scene.writeDurably(next);
    scene.checkAllHold(next);
    scene.expect(
      "they stay out",
      lost.every((node) => !node.isUp),
    );
  },
};
