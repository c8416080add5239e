import { formattedState } from "../../acceptor/index.ts";
import { epoch, nodeId, timeline, volumeId } from "../../base/ids.ts";
import { Dice } from "../dice.ts";
import { SimFailure } from "../failure.ts";
import { NodeFiles } from "../node-files.ts";
import { trueSimRules } from "../shell-rules.ts";
import type { RecoveredLog } from "../sim-log.ts";
import { lsnAt, origin } from "../spans.ts";
import type { ScenePlay } from "./scenario.ts";
import { Scene } from "./scene.ts";

/** Dice that the script throws: the frame that is hit, and whether a sector that was not synced is lost. */
class Aim extends Dice {
  private readonly index: number;
  private readonly losesSectors: boolean;

  constructor(index: number, losesSectors: boolean) {
    super(1, "aim");
    this.index = index;
    this.losesSectors = losesSectors;
  }
  override pick<T>(from: readonly T[]): T | undefined {
    return from.at(this.index);
  }
  override oneIn(_times: number): boolean {
    return this.losesSectors;
  }
}

const frameBytes = 100;

/** A node's disk with three frames that are synced, and acknowledged. */
function disk(): NodeFiles {
  const ids = {
    volumeId: volumeId("11111111-2222-4333-8444-555555555555"),
    nodeId: nodeId("00000000-0000-4000-8000-000000000001"),
  };
  const files = new NodeFiles(formattedState({ ...ids, base: origin }));
  for (let n = 0; n < 3; n++) {
    write(files, frameBytes);
    files.log.beginSync();
    files.finishLogSync();
  }
  return files;
}

function write(files: NodeFiles, bytes: number): void {
  const payload = Buffer.alloc(bytes, 0x5a);
  files.log.write([{ epoch: epoch(1), timeline: timeline(1), payload }]);
}

function expectLog(found: RecoveredLog, frames: number, what: "whole" | "torn" | "rot"): void {
  const seen = found.rotKnownEnd !== undefined ? "rot" : found.suspectTail ? "torn" : "whole";
  if (seen === what && found.scl === lsnAt(frames * frameBytes)) return;
  throw new SimFailure("script", `${seen} at ${found.scl}, not ${what} behind ${frames} frames`);
}

export const s17: ScenePlay = {
  id: "S17",
  what: "the power goes while a frame is written",
  expected: "cut there; everything that was synced is log",
  play: () => {
    const files = disk();
    // Of four sectors or so, those that a coin says.
    for (let seed = 1; seed <= 50; seed++) {
      write(files, 2_000);
      files.powerOff(new Dice(seed, "tear"));
      const found = files.recover(trueSimRules);
      if (found.rotKnownEnd !== undefined || found.scl < lsnAt(3 * frameBytes))
        throw new SimFailure("script", "a torn frame was taken for rot");
      if (found.suspectTail) return expectLog(found, 3, "torn");
      files.log.cut(lsnAt(3 * frameBytes));
    }
    throw new SimFailure("script", "no frame was ever torn");
  },
};

export const s17Middle: ScenePlay = {
  id: "S17b",
  what: "an acknowledged frame rots, with frames after it",
  expected: "damaged, and not a torn tail, mark or no mark",
  play: () => {
    for (const losesMark of [false, true]) {
      const files = disk();
      files.log.rot(new Aim(1, true), files.durableEnd);
      if (losesMark) files.powerOff(new Aim(1, true));
      expectLog(files.recover(trueSimRules), 1, "rot");
    }
  },
};

export const s17Last: ScenePlay = {
  id: "S17c",
  what: "the last frame rots, with a mark and without one",
  expected: "with one damaged; without one a suspect tail",
  play: () => {
    const marked = disk();
    marked.log.rot(new Aim(-1, true), marked.durableEnd);
    expectLog(marked.recover(trueSimRules), 2, "rot");
    const unmarked = disk();
    unmarked.log.rot(new Aim(-1, true), unmarked.durableEnd);
    // The mark of the last group was written, and is synced with the next one.
    unmarked.powerOff(new Aim(-1, true));
    expectLog(unmarked.recover(trueSimRules), 2, "torn");
  },
};

export const s17Healed: ScenePlay = {
  id: "S17d",
  what: "an acknowledged frame of one node rots; it restarts",
  expected: "it takes no part until its peers have healed it, and then it has all it acknowledged",
  play: () => {
    const scene = new Scene();
    const writer = scene.opens(1);
    for (let n = 0; n < 5; n++) scene.writeDurably(writer);
    scene.checkAllHold(writer);
    const node = scene.node(2);
    const end = node.log.end;
    node.kill();
    node.files.log.rot(new Aim(1, true), node.files.durableEnd);
    node.hasRot = true;
    node.boot();
    scene.expect("it is damaged", node.health === "damaged" && node.log.end < end);
    scene.until("it is healed", () => node.health === "ok" && node.files.durableEnd >= end);
    scene.writeDurably(writer);
    scene.checkAllHold(writer);
  },
};
