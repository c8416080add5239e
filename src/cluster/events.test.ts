import { expect, it } from "vitest";
import { pino } from "pino";
import { VirtualClock } from "../../test/helpers/virtual-clock.ts";
import type { ClusterEvent } from "../events/index.ts";
import { Events } from "./events-shell.ts";
import type { StatusReport } from "./status-messages.ts";

const status = {
  cluster: { id: "c", state: "available", epoch: 1, writer: "instance-1" },
  instances: [],
  storage: [],
  endpoints: [],
  volume: { damage: null, problem: null, archive: null },
} as unknown as StatusReport; // what is looked at

it("tells of a snapshot that is taken soon after the keeper has come, which is later than the first look", async () => {
  const clock = new VirtualClock();
  const events = new Events({
    clock,
    logger: pino({ level: "silent" }),
    file: { read: () => "", append: () => undefined, replace: () => undefined },
    state: { clusterId: "c" },
    parts: () => Promise.resolve({ nodes: new Map(), processes: new Map() }),
    status: () => status,
    snapshots: () => {
      if (clock.nowMs() < 500) return Promise.resolve(undefined);
      const kept = clock.nowMs() < 1_500 ? [] : [{ id: "kept", kind: "manual" }];
      return Promise.resolve(kept);
    },
    loginsRefused: () => undefined,
    connectionsRefused: () => undefined,
    auditLost: () => undefined,
    healedObjects: () => undefined,
  });
  const stop = new AbortController();
  clock.after(7_000, () => stop.abort());
  await clock.during(events.run(stop.signal));
  const told = events.handlers["events"]?.({}, undefined as never) as ClusterEvent[];
  expect(told.map(({ source, message }) => [source, message])).toEqual([
    ["kept", "A manual snapshot is taken."],
  ]);
});
