import type { SimNode } from "../sim-node.ts";
import type { ScenePlay } from "./scenario.ts";
import { Scene } from "./scene.ts";

/** From now on nothing fits: what is written is dropped before it is synced. Gives what ends that. */
function fill(node: SimNode): () => void {
  const sync = node.sync.bind(node);
  node.sync = () => {
    const scl = node.files.durableEnd;
    node.files.log.cut(scl);
    // The write is over, too.
    Object.assign(node, { isWriting: false });
    node.post({ kind: "logFull", scl, nowMs: node.nowMs });
  };
  return () => {
    node.sync = sync;
    node.post({ kind: "healthChanged", health: "ok", suspectTail: false });
  };
}

export const s19: ScenePlay = {
  id: "S19",
  what: "three nodes have no space; then they have",
  expected: "commits wait, and none is acknowledged falsely; then they go on",
  play: () => {
    const scene = new Scene({ lends: false });
    const writer = scene.opens(1);
    const before = scene.writeDurably(writer);
    const makeSpace = [1, 2, 3].map((n) => fill(scene.node(n)));
    const end = scene.write(writer);
    scene.pass(5_000);
    scene.expect("it waits", writer.isOpen && writer.driver?.vdl === before);
    scene.expect("a node says so", scene.node(1).acceptor.scl === before);
    for (const make of makeSpace) make();
    scene.until("it goes on", () => writer.driver?.vdl === end);
    scene.writeDurably(writer);
    scene.checkAllHold(writer);
  },
};
