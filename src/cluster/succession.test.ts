import { describe, expect, it } from "vitest";
import { makeScene, type Scene } from "../../test/helpers/change-world.ts";
import type { ScriptedAgent } from "../../test/helpers/scripted-agents.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { install } from "./succession-shell.ts";

const never = new AbortController().signal;

/** Installs the first reader, which nobody has named or somebody has; who writes in the end. */
function installed({ clock, world, first }: Scene, isNamed = false): Promise<string> {
  const { id: target } = first;
  world.appoint(target);
  const heir = isNamed
    ? { target, patienceMs: 10_000 }
    : { target, patienceMs: world.detectionMs, isReady: Promise.resolve(true) };
  return clock.during(install(world, heir, never));
}

/** It takes so long to write. */
function slowly({ clock }: Scene, ms: number) {
  return (agent: ScriptedAgent) =>
    new Promise<void>((resolve) => {
      clock.after(ms, () => {
        agent.tell({ role: "writer" });
        resolve();
      });
    });
}

/** It refuses after so long, for this reason. */
function refusal({ clock }: Scene, code: string, ms: number) {
  return () =>
    new Promise<never>((_, reject) => {
      clock.after(ms, () => reject(new BorealisError(code, "as scripted")));
    });
}

describe("the successor", () => {
  it.each([false, true])(
    "whose PostgreSQL answers, and comes no nearer to writing, is followed by the next (named: %s)",
    async (isNamed) => {
      const scene = makeScene();
      const { clock, first } = scene;
      const pulse = () => ({ silentMs: 0, standstillMs: clock.nowMs() });
      first.script = { beWriter: () => new Promise(() => undefined), pulse };
      expect(await installed(scene, isNamed)).toBe("instance-3");
      expect(clock.nowMs()).toBeGreaterThan(5_000);
      expect(clock.nowMs()).toBeLessThan(12_000);
      expect(first.asked.at(-1)).toEqual({ method: "yieldVolume", params: { isHurried: true } });
    },
  );

  it("is left to it for as long as it comes nearer", async () => {
    const scene = makeScene();
    const { clock, first, second } = scene;
    const pulse = () => ({ silentMs: 0, standstillMs: clock.nowMs() % 4_000 });
    first.script = { beWriter: slowly(scene, 60_000), pulse };
    expect(await installed(scene)).toBe("instance-2");
    expect(second.count("prepareWriter")).toBe(0);
  });

  it("is waited for, whatever it does, where there is no other", async () => {
    const scene = makeScene();
    const { clock, first, second } = scene;
    second.tell({ isAdmitted: false });
    const pulse = () => ({ silentMs: clock.nowMs(), standstillMs: clock.nowMs() });
    first.script = { beWriter: slowly(scene, 60_000), pulse };
    expect(await installed(scene)).toBe("instance-2");
  });

  it.each([0, 12_000])("that cannot write is followed by the next (after %i ms)", async (ms) => {
    const scene = makeScene();
    scene.first.script = { beWriter: refusal(scene, sqlState.cannotConnectNow, ms) };
    expect(await installed(scene)).toBe("instance-3");
    expect(scene.clock.nowMs()).toBeLessThan(ms + 1_000);
  });

  it("is followed by nobody for the quorum's sake, which the next would lack, too", async () => {
    const scene = makeScene();
    const { clock, first, second } = scene;
    first.script = { beWriter: refusal(scene, sqlState.quorumMissing, 3_000) };
    // It is ordered anew by whoever follows it.
    clock.after(30_000, () => first.tell({ role: "writer" }));
    expect(await installed(scene)).toBe("instance-2");
    expect(second.count("beWriter")).toBe(0);
  });

  it("that was named is waited for when its agent ends, and is followed by the next when it cannot write", async () => {
    const restarted = makeScene();
    const { clock, first } = restarted;
    first.script = { beWriter: refusal(restarted, sqlState.connectionFailure, 0) };
    clock.after(50, () => first.tell({ agentPid: 7 })); // it is told a moment after
    clock.after(5_000, () => first.tell({ role: "writer" }));
    expect(await installed(restarted, true)).toBe("instance-2");
    // Its PostgreSQL's end is told by either.
    for (const code of [sqlState.adminShutdown, sqlState.connectionFailure]) {
      const unable = makeScene();
      unable.first.script = { beWriter: refusal(unable, code, 0) };
      expect(await installed(unable, true)).toBe("instance-3");
      expect(unable.clock.nowMs()).toBeLessThan(2_000);
    }
  });

  it("does not count as silent for as long as we stood still ourselves", async () => {
    const scene = makeScene();
    const { clock, first } = scene;
    first.script = { beWriter: slowly(scene, 63_000) };
    clock.after(1_200, () => clock.standStill(60_000));
    expect(await installed(scene)).toBe("instance-2");
  });
});
