import { SimFailure } from "../failure.ts";
import type { SimInstance } from "../sim-instance.ts";
import type { ScenePlay } from "./scenario.ts";
import { Scene } from "./scene.ts";

/** i1 replaces n6, which is down, by n7, and dies when the script says; n6 comes back, and i2 claims. */
function replace(begin: (scene: Scene, first: SimInstance, change: () => void) => void): string {
  const scene = new Scene({ spares: 2 });
  const { world } = scene;
  const first = scene.opens(1);
  scene.writeDurably(first);
  scene.node(6).kill();
  begin(scene, first, () => scene.changeMembers(first, 1, 2, 3, 4, 5, 7));
  first.forget();
  scene.lost = undefined;
  scene.node(6).boot();
  // As a control plane that heard of nothing would.
  world.configuration = world.first;
  const next = scene.opens(2);
  scene.writeDurably(next);
  scene.until("one set is left", () => next.driver?.configuration.sets.length === 1);
  scene.checkAllHold(next);
  return scene.membersOf(next);
}

function setsAt(scene: Scene, n: number): number {
  return scene.node(n).acceptor.state.configuration.sets.length;
}

function expectG(members: string): void {
  if (members !== "123457") throw new SimFailure("script", `it ends with ${members}`);
}

export const s09: ScenePlay = {
  id: "S9",
  what: "F is replaced by G; the driver dies before both sets count; F comes back",
  expected: "the claim finds a configuration that counts; nothing is lost",
  play: () => {
    replace((scene, _, change) => {
      // One node alone hears of both sets.
      scene.lost = /i1>n[^1] configChange|configAck/;
      change();
      scene.until("n1 has both sets", () => setsAt(scene, 1) === 2);
    });
  },
};

export const s09Joint: ScenePlay = {
  id: "S9b",
  what: "F is replaced by G; the driver dies when every node knows both sets; F comes back",
  expected: "the next driver finds both, and finishes",
  play: () => {
    const members = replace((scene, _, change) => {
      // It hears from nobody, so it cannot finish.
      scene.lost = /configAck/;
      change();
      const knows = (n: number): boolean => setsAt(scene, n) === 2;
      scene.until("every member has both sets", () => [1, 2, 3, 4, 5, 7].every(knows));
    });
    expectG(members);
  },
};

export const s09Finish: ScenePlay = {
  id: "S9c",
  what: "F is replaced by G; the driver dies when one node has heard that it is finished; F comes back",
  expected: "the next driver finds the finished configuration, or both sets, and ends with G",
  play: () => {
    const members = replace((scene, first, change) => {
      change();
      scene.untilMembers(first, "123456/123457");
      scene.until("both sets are known", () => [1, 2, 3, 4].every((n) => setsAt(scene, n) === 2));
      scene.lost = /i1>n[^7] configChange/;
      scene.until("n7 alone has heard", () => setsAt(scene, 7) === 1);
      scene.expect("n1 has not", setsAt(scene, 1) === 2);
    });
    expectG(members);
  },
};
