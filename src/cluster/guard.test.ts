import { describe, expect, it } from "vitest";
import { ScriptedAgent } from "../../test/helpers/scripted-agents.ts";
import { VirtualClock } from "../../test/helpers/virtual-clock.ts";
import { openLogger, sleep } from "../io/index.ts";
import type { Loss } from "./detection.ts";
import { WriterGuard } from "./guard-shell.ts";

/** A guard over instance-1, which serves; `hasOther`: another could take over. What the guard did lies in the lists. */
function make({ hasOther }: { readonly hasOther: boolean }) {
  const clock = new VirtualClock();
  const agent = new ScriptedAgent(clock, "writer", 1);
  const killed: unknown[] = [];
  const losses: Loss[] = [];
  const seen = { isAway: false };
  const guard = new WriterGuard({
    clock,
    logger: openLogger({ file: undefined, process: "test" }),
    detectionMs: 2_000,
    writer: () => agent.id,
    status: () => (seen.isAway ? undefined : agent.status),
    client: () => (seen.isAway ? undefined : agent),
    isBusy: () => false,
    isRestarting: () => false,
    mayStop: () => false,
    takeOver: (_, loss) => {
      losses.push(loss);
      return hasOther;
    },
    killAgent: (one) => {
      killed.push(one);
      agent.thaw();
      return Promise.resolve();
    },
  });
  /** The guard watches for so long. */
  const watch = async (ms: number): Promise<void> => {
    const over = new AbortController();
    const watching = guard.run(over.signal);
    await clock.during(sleep(clock, ms));
    over.abort(new Error("it has watched for long enough"));
    await clock.during(watching);
  };
  const fail = (code: string): void => guard.noteFailed(agent.id, code);
  return { clock, agent, killed, losses, seen, watch, fail };
}

describe("where nobody else can write", () => {
  it("has a frozen agent killed, the process that it was seen to be", async () => {
    const { agent, killed, losses, watch } = make({ hasOther: false });
    await watch(1_000);
    agent.freeze();
    await watch(4_000);
    expect(losses).toEqual(["silent"]);
    expect(killed).toEqual([{ id: "instance-1", pid: 101 }]);
    expect(agent.count("yieldVolume")).toBe(0);
  });

  it("has a PostgreSQL that answers nothing killed by its agent", async () => {
    const { clock, agent, killed, watch } = make({ hasOther: false });
    agent.script = {
      pulse: () => ({ silentMs: clock.nowMs(), standstillMs: 0 }),
      yieldVolume: () => agent.tell({ role: "none", isAdmitted: false }),
    };
    await watch(4_000);
    expect(killed).toEqual([]);
    expect(agent.asked.at(-1)?.method).toBe("pulse");
    expect(agent.count("yieldVolume")).toBe(1);
  });

  it("has an agent killed that freezes before its writer is open, and not sooner than one may take to start", async () => {
    const { agent, killed, watch } = make({ hasOther: false });
    agent.tell({ isAdmitted: false });
    agent.freeze();
    await watch(9_000);
    expect(killed).toEqual([]);
    await watch(3_000);
    expect(killed).toEqual([{ id: "instance-1", pid: 101 }]);
  });

  it("leaves alone an agent that was never heard: the supervisor starts it", async () => {
    const { killed, losses, seen, watch } = make({ hasOther: false });
    seen.isAway = true;
    await watch(30_000);
    expect(losses).toContain("absent");
    expect(killed).toEqual([]);
  });
});

describe("where another can write", () => {
  it("replaces one that has failed to write twice, and is not open", async () => {
    const { agent, losses, killed, watch, fail } = make({ hasOther: true });
    agent.tell({ role: "none", isAdmitted: false });
    await watch(1_000);
    fail("57P03");
    await watch(1_000);
    expect(losses).toEqual([]);
    fail("57P03");
    expect(losses).toEqual(["unfit"]);
    expect([killed, agent.count("yieldVolume")]).toEqual([[], 0]);
  });

  it("does not count failures for want of a quorum, or before it was open", async () => {
    const { agent, losses, watch, fail } = make({ hasOther: true });
    agent.tell({ role: "none", isAdmitted: false });
    await watch(1_000);
    for (const code of ["58000", "58000", "57P03"]) fail(code);
    agent.tell({ role: "writer", isAdmitted: true });
    await watch(1_000);
    agent.tell({ role: "none", isAdmitted: false });
    await watch(1_000);
    losses.length = 0;
    fail("57P03");
    expect(losses).toEqual([]);
  });

  it("leaves the one that is frozen as it is", async () => {
    const { agent, killed, losses, watch } = make({ hasOther: true });
    await watch(1_000);
    agent.freeze();
    await watch(4_000);
    expect(losses).toEqual(["silent"]);
    expect(killed).toEqual([]);
  });
});
