/** A change of the writer on scripted agents and a virtual clock. */
import { requireTarget } from "../../src/cluster/failover.ts";
import { FailoverMeter } from "../../src/cluster/failover-meter.ts";
import type { ChangeWorld } from "../../src/cluster/writer-change-shell.ts";
import { openLogger } from "../../src/io/index.ts";
import { ScriptedAgent } from "./scripted-agents.ts";
import { VirtualClock } from "./virtual-clock.ts";

export interface Scene {
  readonly clock: VirtualClock;
  readonly world: ChangeWorld;
  /** instance-1; writes as this begins. */
  readonly writer: ScriptedAgent;
  /** instance-2 and instance-3: each writes as soon as it is asked to. */
  readonly first: ScriptedAgent;
  readonly second: ScriptedAgent;
}

export function makeScene(): Scene {
  const clock = new VirtualClock();
  const beWriter = (agent: ScriptedAgent): void => agent.tell({ role: "writer" });
  const writer = new ScriptedAgent(clock, "writer", 1);
  const first = new ScriptedAgent(clock, "reader", 2, { beWriter });
  const second = new ScriptedAgent(clock, "reader", 3, { beWriter });
  const agents = [writer, first, second];
  let appointed = writer.id;
  const find = (wanted: string) => agents.find(({ id }) => id === wanted);
  const world: ChangeWorld = {
    clock,
    logger: openLogger({ file: undefined, process: "test" }),
    meter: new FailoverMeter(),
    instances: agents.map(({ id }) => id),
    detectionMs: 2_000,
    status: (id) => find(id)?.status,
    client: find,
    appoint: (id) => {
      appointed = id;
    },
    appointed: () => appointed,
    writerOrder: () => ({ bootstrap: null, sources: [], backtrack: null }),
    remainingOn: () => ({ statements: 0, blocks: 0 }),
    choose: (tried) => {
      const candidates = agents.map(({ candidate }) => candidate);
      const left = candidates.filter(({ id, isReady }) => isReady && !tried.has(id));
      if (left.length === 0) return undefined;
      return requireTarget(left, { writer: appointed, wanted: undefined });
    },
  };
  return { clock, world, writer, first, second };
}
