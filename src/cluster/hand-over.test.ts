import { describe, expect, it } from "vitest";
import { makeScene } from "../../test/helpers/change-world.ts";
import type { ScriptedAgent } from "../../test/helpers/scripted-agents.ts";
import { failOver } from "./failover-shell.ts";

const never = new AbortController().signal;

describe("the writer that is to hand over", () => {
  it.each(["checkpoint", "drain", "yieldVolume"] as const)(
    "and freezes at its %s is not waited for longer than any writer that is silent",
    async (step) => {
      const { clock, world, writer, first } = makeScene();
      let frozenMs = 0;
      const freeze = (agent: ScriptedAgent): Promise<never> => {
        frozenMs = clock.nowMs();
        agent.freeze();
        return new Promise(() => undefined);
      };
      writer.script = { [step]: freeze };
      const report = await clock.during(failOver(world, first.id, never));
      expect(report.writer).toBe(first.id);
      expect(clock.nowMs() - frozenMs).toBeLessThan(4_000);
      expect(writer.asked.at(-1)).toEqual({ method: "yieldVolume", params: { isHurried: true } });
    },
  );

  it("and whose PostgreSQL hangs meanwhile is killed", async () => {
    const { clock, world, writer, first } = makeScene();
    const pulse = () => ({ silentMs: clock.nowMs(), standstillMs: 0 });
    writer.script = { yieldVolume: () => new Promise(() => undefined), pulse };
    await clock.during(failOver(world, first.id, never));
    expect(clock.nowMs()).toBeLessThan(4_000);
    expect(writer.asked.at(-1)).toEqual({ method: "yieldVolume", params: { isHurried: true } });
  });

  it("is waited for while it says that it lives", async () => {
    const { clock, world, writer, first } = makeScene();
    let yieldedMs: number | undefined;
    const yieldVolume = (agent: ScriptedAgent): Promise<void> =>
      new Promise((resolve) => {
        clock.after(8_000, () => {
          yieldedMs = clock.nowMs();
          agent.tell({ role: "none" });
          resolve();
        });
      });
    let orderedMs = 0;
    const beWriter = (agent: ScriptedAgent): void => {
      orderedMs = clock.nowMs();
      agent.tell({ role: "writer" });
    };
    writer.script = { yieldVolume };
    first.script = { beWriter };
    await clock.during(failOver(world, first.id, never));
    expect(yieldedMs).toBeGreaterThanOrEqual(8_000);
    expect(orderedMs).toBeGreaterThanOrEqual(yieldedMs ?? 0);
  });
});
