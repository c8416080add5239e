import { describe, expect, it } from "vitest";
import { ScriptedAgent } from "../../test/helpers/scripted-agents.ts";
import { newState } from "../../test/helpers/cluster-state.ts";
import { VirtualClock } from "../../test/helpers/virtual-clock.ts";
import { openLogger } from "../io/index.ts";
import { WriterMoves } from "./writer-moves-shell.ts";

/** It takes the volume in a moment. */
const writes = (agent: ScriptedAgent): void =>
  agent.tell({ role: "writer", isAdmitted: true, incarnation: 1 });

/** A control plane's view of a writer, instance-1, and readers. */
function make(readers: number) {
  const clock = new VirtualClock();
  const agents = Array.from(
    { length: readers + 1 },
    (_, k) => new ScriptedAgent(clock, k === 0 ? "writer" : "reader", k + 1, { beWriter: writes }),
  );
  const lost = new Set<string>();
  let state = newState(readers + 1);
  const find = (id: string) => agents.find((one) => one.id === id && !lost.has(id));
  const closing = new AbortController();
  const moves = new WriterMoves({
    clock,
    logger: openLogger({ file: undefined, process: "test" }),
    detectionMs: 2_000,
    signal: closing.signal,
    state: () => state,
    isStopping: () => false,
    status: (id) => find(id)?.status,
    client: find,
    killAgent: () => Promise.reject(new Error("another can write")),
    candidates: () => agents.map(({ candidate }) => candidate),
    appoint: (writer) => {
      state = { ...state, writer };
    },
    writerOrder: () => ({ bootstrap: null, sources: [], backtrack: null }),
    remainingOn: () => ({ statements: 0, blocks: 0 }),
    onChange: () => undefined,
  });
  const watching = moves.watch(closing.signal);
  const [writer, ...others] = agents;
  if (!writer) throw new Error("there is a writer");
  const end = async (): Promise<void> => {
    closing.abort(new Error("the test is over"));
    await clock.during(watching);
  };
  return { clock, moves, writer, others, lost, end, appointed: () => state.writer };
}

describe("the writer's reboot", () => {
  it("is left to it for as long as its agent answers", async () => {
    const { clock, moves, writer, end, appointed } = make(1);
    writer.script = {
      restart: (agent) => {
        agent.tell({ role: "none", isAdmitted: false, incarnation: 2 });
        clock.after(30_000, () => agent.tell({ role: "writer", isAdmitted: true }));
      },
    };
    await clock.during(moves.restart(writer.id));
    expect(clock.nowMs()).toBeGreaterThanOrEqual(30_000);
    expect(appointed()).toBe(writer.id);
    await end();
  });

  it.each(["drain", "restart"] as const)(
    "is no reason to wait for an agent that freezes at its %s: another writes after the time that was set",
    async (step) => {
      const { clock, moves, writer, end, appointed } = make(1);
      const frozen = new Promise<void>((resolve) => {
        const freeze = (agent: ScriptedAgent): Promise<never> => {
          agent.freeze();
          resolve();
          return new Promise(() => undefined);
        };
        writer.script = { [step]: freeze };
      });
      const restarted = moves.restart(writer.id);
      await clock.during(frozen);
      const frozenMs = clock.nowMs();
      await expect(clock.during(restarted)).rejects.toThrow("instance-2 was to write meanwhile");
      expect(appointed()).toBe("instance-2");
      expect(clock.nowMs() - frozenMs).toBeLessThan(3_000);
      await end();
    },
  );

  it("is over at once when its agent ends", async () => {
    const { clock, moves, writer, lost, end, appointed } = make(1);
    writer.script = {
      restart: ({ id }) => {
        lost.add(id);
        moves.observe();
        return new Promise(() => undefined);
      },
    };
    await expect(clock.during(moves.restart(writer.id))).rejects.toThrow("instance-2 was to write");
    expect(appointed()).toBe("instance-2");
    expect(clock.nowMs()).toBeLessThan(1_000);
    await end();
  });

  it("of a reader disturbs nobody", async () => {
    const { clock, moves, others, end, appointed } = make(1);
    const [reader] = others;
    if (!reader) throw new Error("there is a reader");
    reader.script = { restart: (agent) => agent.tell({ incarnation: 2 }) };
    await clock.during(moves.restart(reader.id));
    expect([reader.count("drain"), appointed()]).toEqual([0, "instance-1"]);
    await end();
  });
});
