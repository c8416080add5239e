import { present } from "../../base/assert.ts";
import { advance, type Lsn } from "../../base/lsn.ts";
import type { Pin } from "../../quorum/index.ts";
import { origin } from "../spans.ts";
import { Scene } from "./scene.ts";
import type { ScenePlay } from "./scenario.ts";

const pinId = "99999999-0000-4000-8000-000000000001";

/** What a clone gets of its prefix from one node. */
function readPrefix(scene: Scene, n: number, { path, from, to }: Pin): Buffer {
  const pieces: Uint8Array[] = [];
  let at: Lsn = from;
  while (at < to) {
    const said = scene.ask(scene.node(n), { kind: "getLog", path, from: at, to, maxVdl: false });
    const runs = said.kind === "logData" ? said.runs : [];
    scene.expect(`n${n} has log from there on`, runs.length > 0);
    for (const { bytes } of runs) {
      pieces.push(bytes);
      at = advance(at, bytes.length);
    }
  }
  return Buffer.concat(pieces);
}

export const s16: ScenePlay = {
  id: "S16",
  what: "a clone at B; its parent backtracks below B, collects, and replaces three nodes",
  expected: "the clone reads its prefix, from the new nodes too",
  play: () => {
    const scene = new Scene({ spares: 3 });
    const parent = scene.opens(1);
    const to = scene.writeDurably(parent);
    const path = present(parent.driver, "it is open").history;
    const pin: Pin = { pinId, path, from: origin, to };
    const prefix = Buffer.from(present(parent.wal, "it is open").view(origin, to));
    scene.world.clones.ask(parent, pin);
    scene.until("the pin is held", () => scene.counted.get("pins complete") > 0);
    parent.forget();

    // Each goes back a little, from where the last one went.
    let heir = parent;
    for (let n = 0; n === 0 || present(heir.driver, "it is open").start >= to; n++) {
      scene.expect("ten steps back are enough", n < 10);
      heir.forget();
      heir = scene.claims(2, true);
      scene.opens(2);
    }
    scene.expect("history was removed", scene.counted.get("backtracks opened") > 0);

    scene.writeDurably(heir);
    const low = scene.writeDurably(heir);
    heir.step({ kind: "lowWanted", lsn: low, nowMs: heir.clock.nowMs });
    scene.until("the parent has collected", () => scene.node(1).acceptor.state.base === low);
    scene.writeDurably(heir);

    const members = [1, 2, 3, 4, 5, 6];
    for (const [index, joins] of [7, 8, 9].entries()) {
      members[index] = joins;
      scene.node(index + 1).kill();
      scene.changeMembers(heir, ...members);
      scene.untilMembers(heir, members.toSorted((a, b) => a - b).join(""));
    }
    for (const n of [7, 8, 9, 4]) {
      const node = scene.node(n);
      scene.until(`n${n} keeps the pin`, () => node.kept.keptTo(pin) === to);
      scene.expect(`n${n} gives the prefix`, readPrefix(scene, n, pin).equals(prefix));
    }
  },
};
