import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readExposition, type ReadFamily, valueOf } from "../../test/helpers/exposition.ts";
import { encodeExposition } from "../base/exposition.ts";
import { Histogram } from "../base/histogram.ts";
import type { InstanceFigures } from "../instance/index.ts";
import { SessionCounters } from "../session/index.ts";
import { FailoverMeter } from "./failover-meter.ts";
import type { StatusReport } from "./status-messages.ts";
import { type MetricFacts, metricsOf } from "./metrics.ts";

function durations(...durationsMs: number[]) {
  const histogram = new Histogram();
  for (const ms of durationsMs) histogram.observe(ms);
  return histogram.figures;
}

const node = (id: string, facts: Partial<StatusReport["storage"][number]>) => ({
  id,
  az: id.slice(0, 3),
  kind: "full" as const,
  nodeId: id,
  state: "up" as const,
  pid: 1,
  scl: "0/300",
  base: "0/0",
  epoch: 3,
  bytes: 77,
  health: "ok" as const,
  ...facts,
});

const instance = (id: string, facts: Partial<StatusReport["instances"][number]>) => ({
  id,
  role: "reader" as const,
  az: "az1",
  tier: 1,
  state: "available" as const,
  agentPid: 1,
  postgresPid: 2,
  replayLsn: "0/300",
  lagMs: 1.5,
  port: 1,
  building: null,
  problem: null,
  ...facts,
});

const status: StatusReport = {
  cluster: {
    id: "borealis",
    state: "available",
    engineVersion: "18.4",
    epoch: 3,
    timeline: 2,
    vdl: "1/300",
    writer: "instance-1",
    dataDir: "somewhere",
    supervisorPid: 1,
  },
  endpoints: [],
  instances: [
    instance("instance-1", { role: "writer", replayLsn: "1/300", lagMs: 0 }),
    instance("instance-2", { replayLsn: "1/100" }),
    instance("instance-3", { state: "starting", replayLsn: null, lagMs: null }),
  ],
  storage: [
    node("az1-full", { scl: "1/2F0" }),
    // Asked a moment after the writer: it is further.
    node("az1-tail", { scl: "1/400", health: "full" }),
    node("az2-full", { state: "down", scl: null, health: null, bytes: null }),
  ],
  volume: {
    bytes: 100,
    logBytes: 60,
    extentBytes: null,
    sharedBytes: 0,
    logStart: "0/0",
    snapshots: 2,
    damage: null,
    problem: "no such bucket, says secret",
    earliestRestorableTime: "1970-01-01T00:00:10Z",
    latestRestorableTime: null,
    archive: { archivedLsn: "1/0", lagBytes: 768, problem: "the store is away, says secret" },
  },
};

const figures: InstanceFigures = {
  starts: { claim: durations(40), recovery: durations(100), attachment: durations(60) },
  driver: {
    commits: 7,
    logBytes: 512,
    parts: { postgresql: durations(0.2), driver: durations(0.3), nodes: durations(0.1, 2) },
    durable: durations(0.4, 3),
    appends: [{ node: "az1-full", durations: durations(0.3) }],
  },
};

function told(facts: Partial<MetricFacts> = {}): Map<string, ReadFamily> {
  const all: MetricFacts = {
    status,
    snapshotAt: "1970-01-01T00:01:00.500Z",
    processes: [
      { name: "proxy", pid: 1, state: "running", restarts: 2 },
      { name: "keeper", pid: null, state: "restarting", restarts: 7 },
      { name: "az2-full", pid: null, state: "stopped", restarts: 0 },
    ],
    instances: new Map([["instance-1", figures]]),
    sessions: undefined,
    failovers: new FailoverMeter().figures,
    ...facts,
  };
  return readExposition(encodeExposition(metricsOf(all)));
}

describe("metrics of a cluster", () => {
  const now = told();
  const cases: [string, Record<string, string>, number | undefined][] = [
    ["info", { engine_version: "18.4" }, 1],
    ["cluster_writable", {}, 1],
    ["cluster_state", { state: "available" }, 1],
    ["volume_epoch", {}, 3],
    ["volume_vdl_bytes", {}, 2 ** 32 + 0x300],
    ["instance_available", { instance: "instance-3" }, 0],
    ["instance_state", { instance: "instance-3", role: "reader", state: "starting" }, 1],
    ["reader_replay_lag_seconds", { instance: "instance-2" }, 0.0015],
    ["reader_replay_lag_bytes", { instance: "instance-2" }, 0x200],
    ["reader_replay_lag_bytes", { instance: "instance-3" }, undefined],
    ["reader_replay_lag_seconds", { instance: "instance-1" }, undefined],
    ["commit_durable_seconds_count", { instance: "instance-1" }, 2],
    ["commit_durable_seconds_bucket", { instance: "instance-1", le: "0.0005" }, 1],
    ["commit_log_bytes_total", { instance: "instance-1" }, 512],
    ["commits_total", { instance: "instance-1" }, 7],
    ["commit_part_seconds_sum", { instance: "instance-1", part: "postgresql" }, 0.0002],
    ["commit_part_seconds_bucket", { instance: "instance-1", part: "driver", le: "0.0005" }, 1],
    ["commit_part_seconds_count", { instance: "instance-1", part: "nodes" }, 2],
    ["storage_append_seconds_count", { instance: "instance-1", node: "az1-full" }, 1],
    ["writer_start_phase_seconds_sum", { instance: "instance-1", phase: "recovery" }, 0.1],
    ["storage_up", { node: "az2-full" }, 0],
    ["storage_healthy", { node: "az1-full" }, 1],
    ["storage_healthy", { node: "az1-tail" }, 0],
    ["storage_healthy", { node: "az2-full" }, undefined],
    ["storage_state", { node: "az1-tail", state: "up", health: "full" }, 1],
    ["storage_state", { node: "az2-full", state: "down", health: "unknown" }, 1],
    ["storage_scl_lag_bytes", { node: "az1-full" }, 16],
    ["storage_scl_lag_bytes", { node: "az1-tail" }, 0],
    ["storage_scl_lag_bytes", { node: "az2-full" }, undefined],
    ["storage_log_bytes", { node: "az1-full" }, 77],
    ["volume_bytes", {}, 100],
    ["volume_extent_bytes", {}, undefined],
    ["volume_damaged", {}, 0],
    ["volume_failing", {}, 1],
    ["snapshots", {}, 2],
    ["snapshot_newest_timestamp_seconds", {}, 60.5],
    ["volume_restorable_from_timestamp_seconds", {}, 10],
    ["volume_restorable_to_timestamp_seconds", {}, undefined],
    ["archive_lag_bytes", {}, 768],
    ["archive_failing", {}, 1],
    ["process_up", { process: "proxy" }, 1],
    ["process_up", { process: "keeper" }, 0],
    ["process_up", { process: "az2-full" }, undefined],
    ["process_restarts_total", { process: "keeper" }, 7],
  ];
  it.each(cases)("say borealis_%s %j is %s", (name, labels, value) => {
    expect(valueOf(now, `borealis_${name}`, labels)).toBe(value);
  });

  it("are missing where nobody says anything, not zero", () => {
    const cluster = { ...status.cluster, vdl: null, state: "failing-over" as const };
    const less = told({
      status: { ...status, cluster, volume: { ...status.volume, archive: null } },
      instances: new Map(),
      processes: [],
      snapshotAt: null,
    });
    expect(valueOf(less, "borealis_cluster_writable")).toBe(0);
    for (const name of [
      "volume_vdl_bytes",
      "storage_scl_lag_bytes",
      "commit_durable_seconds",
      "archive_failing",
      "archive_lag_bytes",
      "snapshot_newest_timestamp_seconds",
      "process_up",
      "sessions_held",
      "session_losses_total",
    ])
      expect([name, less.has(`borealis_${name}`)]).toEqual([name, false]);
  });

  it("hold nobody's words", () => {
    expect(encodeExposition(metricsOf({ ...factsOf(), sessions: undefined }))).not.toContain(
      "secret",
    );
  });
});

function factsOf(): MetricFacts {
  return {
    status,
    snapshotAt: null,
    processes: [],
    instances: new Map(),
    sessions: undefined,
    failovers: [],
  };
}

describe("metrics of sessions", () => {
  it("are what the endpoints have counted", () => {
    const counters = new SessionCounters();
    counters.outcomes.count("replayed");
    counters.told("08007");
    counters.connected("writer");
    counters.holdBegun();
    counters.holdBegun();
    counters.holdEnded(250);
    counters.committed({ sentMs: 1, heardMs: 4, nowMs: 4.5 });
    counters.poolWaited(4);
    counters.poolTimedOut();
    counters.connectionRefused("tooOften");
    const sessions = counters.figures({
      sessions: [{ endpoint: "writer", state: "in transaction", count: 3 }],
      unauthenticated: 5,
      loginsSlowed: 0,
      auditLost: 0,
      instances: [{ instance: "instance-1", open: 9, free: 2, waiting: 1 }],
      reasons: new Map([["a transaction is open", 6]]),
    });
    const now = told({ sessions });
    const cases: [string, Record<string, string>, number][] = [
      ["sessions", { endpoint: "writer", state: "in transaction" }, 3],
      ["connections_total", { endpoint: "writer" }, 1],
      ["connections_unauthenticated", {}, 5],
      ["logins_refused_total", {}, 0],
      ["connections_refused_total", { reason: "tooOften" }, 1],
      ["connections_refused_total", { reason: "madeRoom" }, 0],
      ["session_losses_total", { outcome: "replayed" }, 1],
      ["session_losses_total", { outcome: "unknown" }, 0],
      ["session_errors_total", { sqlstate: "08007" }, 1],
      ["sessions_held", {}, 1],
      ["session_hold_seconds_bucket", { le: "0.25" }, 1],
      ["session_hold_seconds_bucket", { le: "0.1" }, 0],
      ["commit_seconds_sum", { part: "server" }, 0.003],
      ["commit_seconds_sum", { part: "gate" }, 0.0005],
      ["pool_connections", { instance: "instance-1", state: "in_use" }, 7],
      ["pool_connections", { instance: "instance-1", state: "free" }, 2],
      ["pool_waiting", { instance: "instance-1" }, 1],
      ["pool_kept", { reason: "transaction" }, 6],
      ["pool_wait_seconds_sum", {}, 0.004],
      ["pool_timeouts_total", {}, 1],
      ["pool_connections_opened_total", {}, 0],
    ];
    for (const [name, labels, value] of cases)
      expect([name, valueOf(now, `borealis_${name}`, labels)]).toEqual([name, value]);
  });
});

describe("metrics in docs/operations.md", () => {
  it("are those that there are, all of them", () => {
    const sessions = new SessionCounters().figures({
      sessions: [],
      unauthenticated: 0,
      loginsSlowed: 0,
      auditLost: 0,
      instances: [],
      reasons: new Map(),
    });
    const there = metricsOf({ ...factsOf(), sessions }).map(({ name }) => name);
    const text = readFileSync("docs/operations.md", "utf8");
    const series = ["", "_bucket", "_sum", "_count"];
    const named = new Set(
      [...text.matchAll(/\bborealis_[a-z_]+/g)].map(
        ([word]) => there.find((name) => series.some((end) => word === name + end)) ?? word,
      ),
    );
    expect([...named].toSorted()).toEqual(there.toSorted());
  });
});

describe("metrics of failovers", () => {
  it("tell those that were asked for from those that had to be, and from what they came to", () => {
    const meter = new FailoverMeter();
    meter.phase("failover", "release", 80);
    meter.phase("failover", "succession", 300);
    meter.done("failover", 380);
    meter.failed("switchover");
    const now = told({ failovers: meter.figures });
    const cases: [string, Record<string, string>, number | undefined][] = [
      ["failover_held_seconds_sum", { kind: "failover" }, 0.38],
      ["failover_held_seconds_count", { kind: "failover" }, 1],
      ["failover_held_seconds_count", { kind: "switchover" }, 0],
      ["failover_phase_seconds_sum", { kind: "failover", phase: "succession" }, 0.3],
      ["failover_phase_seconds_count", { kind: "failover", phase: "preparation" }, undefined],
      ["failover_phase_seconds_count", { kind: "switchover", phase: "preparation" }, 0],
      ["failovers_failed_total", { kind: "switchover" }, 1],
      ["failovers_failed_total", { kind: "failover" }, 0],
    ];
    for (const [name, labels, value] of cases)
      expect([name, labels, valueOf(now, `borealis_${name}`, labels)]).toEqual([
        name,
        labels,
        value,
      ]);
  });
});
