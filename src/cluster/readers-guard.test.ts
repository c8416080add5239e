import { describe, expect, it } from "vitest";
import { ScriptedAgent } from "../../test/helpers/scripted-agents.ts";
import { VirtualClock } from "../../test/helpers/virtual-clock.ts";
import { openLogger, sleep } from "../io/index.ts";
import { ReadersGuard } from "./readers-guard-shell.ts";

/** A guard over two readers beside a writer. */
function make() {
  const clock = new VirtualClock();
  const writer = new ScriptedAgent(clock, "writer", 1);
  const readers = [new ScriptedAgent(clock, "reader", 2), new ScriptedAgent(clock, "reader", 3)];
  const [first, second] = readers as [ScriptedAgent, ScriptedAgent];
  const all = [writer, first, second];
  for (const agent of all) agent.tell({ vdl: "0/20", replayLsn: "0/20" });
  const seen = { changes: 0, unheard: [] as string[] };
  const guard = new ReadersGuard({
    clock,
    logger: openLogger({ file: undefined, process: "test" }),
    detectionMs: 2_000,
    statuses: () => all.map(({ status }) => status),
    unheard: () => seen.unheard,
    writerHeardMs: () => undefined,
    client: (id) => all.find((one) => one.id === id),
    onChange: () => seen.changes++,
  });
  const watch = async (ms: number): Promise<string[]> => {
    const over = new AbortController();
    const watching = guard.run(over.signal);
    await clock.during(sleep(clock, ms));
    over.abort(new Error("it has watched for long enough"));
    await clock.during(watching);
    return all.filter(({ status }) => guard.isSilent(status)).map(({ id }) => id);
  };
  return { clock, writer, first, second, seen, watch, guard };
}

describe("the guard over readers", () => {
  it("finds the frozen one silent, and has it back when it answers and has caught up", async () => {
    const { writer, first, seen, watch } = make();
    expect(await watch(5_000)).toEqual([]);
    first.freeze();
    expect(await watch(3_000)).toEqual(["instance-2"]);
    expect(seen.changes).toBe(1);
    writer.tell({ vdl: "0/30" });
    first.thaw();
    expect(await watch(4_000)).toEqual(["instance-2"]);
    first.tell({ replayLsn: "0/30" });
    expect(await watch(1_000)).toEqual([]);
    expect(seen.changes).toBe(2);
  });

  it("finds one silent whose PostgreSQL is, as its agent says", async () => {
    const { clock, second, watch } = make();
    await watch(1_000);
    const sinceMs = clock.nowMs();
    second.script = { pulse: () => ({ silentMs: clock.nowMs() - sinceMs, standstillMs: 0 }) };
    expect(await watch(3_000)).toEqual(["instance-3"]);
  });

  it("asks neither the writer, nor one that takes no sessions", async () => {
    const { writer, first, second, watch } = make();
    first.tell({ isAdmitted: false });
    first.freeze();
    writer.freeze();
    expect(await watch(20_000)).toEqual([]);
    expect([writer.count("pulse"), first.count("pulse")]).toEqual([0, 0]);
    expect(second.count("pulse")).toBeGreaterThan(10);
  });

  it("finds one that was never heard, and takes it in when it has answered for a while", async () => {
    const { first, seen, watch, guard } = make();
    first.tell({ role: "none" });
    seen.unheard = ["instance-2"];
    await watch(2_500);
    expect([guard.isUnheard("instance-2"), seen.changes]).toEqual([false, 0]);
    await watch(1_500);
    expect([guard.isUnheard("instance-2"), seen.changes]).toEqual([true, 1]);
    first.tell({ role: "reader" });
    seen.unheard = [];
    expect(await watch(1_000)).toEqual(["instance-2"]);
    expect(guard.isUnheard("instance-2")).toBe(false);
    expect(await watch(3_000)).toEqual([]);
  });
});
