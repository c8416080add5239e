import { describe, expect, it } from "vitest";
import type { ArchiveReport } from "../keeper/index.ts";
import type { ClusterState } from "./state.ts";
import { statusReport } from "./status.ts";

const state = {
  clusterId: "c",
  writer: "instance-1",
  isBootstrapped: true,
  engineVersion: "18.4",
  instances: [],
  nodes: [],
} as unknown as ClusterState; // what the volume's part of a report is made of

const archive = {
  isOn: true,
  archivedLsn: "0/2000000",
  lagBytes: 7,
  problem: "no space",
} as ArchiveReport;

function volume(facts: { report: ArchiveReport; problem: string | null }) {
  return statusReport({
    state,
    isStopping: false,
    host: "127.0.0.1",
    loopback: [],
    port: 5432,
    dataDir: "/d",
    supervisorPid: 1,
    instances: new Map(),
    lagOf: () => ({ lagMs: 0, isLagging: false }),
    isSilent: () => false,
    nodes: new Map(),
    processes: new Map(),
    snapshots: 1,
    damage: null,
    problem: facts.problem,
    parts: { pins: [], branch: undefined, extents: undefined },
    archive: { report: facts.report, latestTime: null, earliestTime: null },
  }).volume;
}

describe("what status says of the object store", () => {
  it("is the archive's problem where log is archived", () => {
    expect(volume({ report: archive, problem: null })).toMatchObject({
      problem: null,
      archive: { archivedLsn: "0/2000000", lagBytes: 7, problem: "no space" },
    });
  });

  it("is the volume's where none is", () => {
    const off = { ...archive, isOn: false };
    expect(volume({ report: off, problem: "no such bucket" })).toMatchObject({
      problem: "no such bucket",
      archive: null,
    });
  });
});
