import type { ScenePlay } from "./scenario.ts";
import { Scene } from "./scene.ts";

export const s19: ScenePlay = {
  id: "S19",
  what: "three nodes have no space; then they have",
  expected: "commits wait, and none is acknowledged falsely; then they go on",
  play: () => {
    const scene = new Scene({ lends: false });
    const writer = scene.opens(1);
    const before = scene.writeDurably(writer);
    for (const n of [1, 2, 3]) scene.node(n).hasSpace = false;
    const end = scene.write(writer);
    scene.pass(5_000);
    scene.expect("it waits", writer.isOpen && writer.driver?.vdl === before);
    scene.expect("a node says so", scene.node(1).acceptor.scl === before);
    for (const n of [1, 2, 3]) scene.node(n).makeSpace();
    scene.until("it goes on", () => writer.driver?.vdl === end);
    scene.writeDurably(writer);
    scene.checkAllHold(writer);
  },
};
