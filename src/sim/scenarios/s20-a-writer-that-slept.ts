import { LeaseGate } from "../../session/index.ts";
import type { ScenePlay } from "./scenario.ts";
import { Scene } from "./scene.ts";

function sleeper(gate: "lease" | "round"): void {
  const scene = new Scene({ gate });
  const { network, nodes } = scene.world;
  const old = scene.opens(1);
  scene.writeDurably(old);
  old.gate.read(1);
  scene.until("reads are answered", () => scene.counted.get("reads released") === 1);
  // Asleep: nothing reaches it, and nothing leaves it.
  for (const { name } of nodes) {
    network.partition("i1", name);
    network.partition(name, "i1");
  }
  const next = scene.opens(2);
  scene.writeDurably(next);
  scene.pass(30_000);
  // It believes that it is the writer; its client asks.
  scene.expect("it does not know", old.isOpen);
  old.gate.read(1);
  scene.pass(1_000);
  scene.expect("the result is held", scene.counted.get("reads released") === 1);
  network.heal();
  scene.until("it stands down", () => old.driver === undefined);
  scene.expect("and the result is failed", scene.counted.get("reads refused") === 1);
  next.gate.read(1);
  scene.until("the new writer answers", () => scene.counted.get("reads released") === 2);
}

export const s20: ScenePlay = {
  id: "S20",
  what: "a writer sleeps for 30 s with clients, a new one commits, the old one wakes up (lease gate)",
  expected: "the old one's results are held, then failed over",
  play: () => sleeper("lease"),
};

export const s20Round: ScenePlay = {
  id: "S20b",
  what: "the same under the round gate",
  expected: "the old one's results are held, then failed over",
  play: () => sleeper("round"),
};

export const s20Proxy: ScenePlay = {
  id: "S20c",
  what: "the proxy sleeps with the writer, as its machine does",
  expected: "its own gate is shut when it wakes up, and a lease asked for before does not open it",
  play: () => {
    const scene = new Scene({ gate: "lease" });
    const writer = scene.opens(1);
    const { clock } = writer;
    scene.until("there is a lease", () => (writer.driver?.leaseUntilMs ?? 0) > clock.nowMs);
    const askedAtMs = clock.nowMs;
    const validMs = (writer.driver?.leaseUntilMs ?? 0) - askedAtMs;
    const gate = new LeaseGate(askedAtMs, askedAtMs);
    gate.extend(askedAtMs, validMs);
    scene.expect("it is open", gate.isOpen(askedAtMs));
    // The monotonic clock stood still for 30 s.
    gate.look(askedAtMs + 1, askedAtMs + 30_001);
    scene.expect("it is shut", !gate.isOpen(askedAtMs + 1));
    gate.extend(askedAtMs, validMs);
    scene.expect("and stays so", !gate.isOpen(askedAtMs + 1));
    gate.extend(askedAtMs + 2, validMs);
    scene.expect("a new lease opens it", gate.isOpen(askedAtMs + 2));
  },
};
