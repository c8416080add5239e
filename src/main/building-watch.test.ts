import { describe, expect, it } from "vitest";
import type { StatusReport } from "../cluster/index.ts";
import { BuildingWatch } from "./building-watch.ts";

type Row = StatusReport["instances"][number];

function row(given: Partial<Row>): Row {
  return {
    id: "instance-2",
    role: "reader",
    az: "az1",
    tier: 1,
    state: "starting",
    agentPid: null,
    postgresPid: null,
    replayLsn: null,
    lagMs: null,
    port: 5444,
    building: null,
    problem: null,
    ...given,
  };
}

describe("an instance that is on its way", () => {
  it("is told as unpacking, then replaying from where it was first seen", () => {
    const told: string[] = [];
    const watch = new BuildingWatch(
      {
        begin: (step) => void told.push(step),
        at: (doneBytes, totalBytes) => void told.push(`${doneBytes} of ${totalBytes}`),
      },
      0,
    );
    const unpacking = { step: "unpacking a snapshot", doneBytes: 10, totalBytes: 40 };
    const seen: [Partial<Row>, string | null][] = [
      [{}, null],
      [{ building: { ...unpacking, doneBytes: 0 } }, null],
      [{ building: unpacking }, null],
      [{ building: { step: "copying instance-1", doneBytes: 7, totalBytes: null } }, null],
      [{ state: "recovering", replayLsn: "0/100" }, null],
      [{ state: "recovering", replayLsn: "0/180" }, "0/200"],
      [{ state: "recovering", replayLsn: "0/180" }, "0/140"],
      [{ state: "starting", problem: "no room" }, null],
    ];
    for (const [index, [facts, vdl]] of seen.entries()) watch.take(row(facts), vdl, index);
    expect(told).toEqual([
      "instance-2: starting",
      "instance-2: unpacking a snapshot",
      "10 of 40",
      "instance-2: copying instance-1",
      "7 of undefined",
      "instance-2: replaying the log",
      "128 of 256",
      "128 of undefined",
      "instance-2: starting: no room",
    ]);
    expect(watch.lastMovedMs).toBe(7);
  });

  it("has nothing to count where there is nothing to replay", () => {
    const told: (number | undefined)[] = [];
    const progress = { begin: (_: string, total?: number) => void told.push(total), at: () => {} };
    const watch = new BuildingWatch(progress, 0);
    watch.take(row({ state: "recovering", replayLsn: "0/100" }), "0/100", 1);
    expect(told).toEqual([undefined]);
  });

  it("has not moved while the same is said of it", () => {
    const watch = new BuildingWatch(undefined, 0);
    for (const nowMs of [5, 6, 7]) watch.take(row({ state: "recovering" }), null, nowMs);
    expect(watch.lastMovedMs).toBe(5);
  });
});
