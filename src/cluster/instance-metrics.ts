import type { Family } from "../base/exposition.ts";
import { findLsn } from "../base/lsn.ts";
import { type InstanceFigures, startPhases } from "../instance/index.ts";
import { commitParts } from "../log-driver/index.ts";
import type { StatusReport } from "./status-messages.ts";
import { behindBytes, counter, gauge, samplesOf, truth } from "./metric-forms.ts";

type Row = StatusReport["instances"][number];

/** Instances: what each is, how far readers are, how long commits and starts take. */
export function instanceMetrics(
  { instances, cluster }: StatusReport,
  figures: ReadonlyMap<string, InstanceFigures>,
): Family[] {
  const labelsOf = ({ id: instance }: Row): { instance: string } => ({ instance });
  const readers = instances.filter(({ role }) => role === "reader");
  const vdl = findLsn(cluster.vdl ?? "");
  return [
    gauge(
      "borealis_instance_available",
      "1 while the instance takes sessions.",
      samplesOf(instances, labelsOf, ({ state }) => truth(state === "available")),
    ),
    gauge(
      "borealis_instance_state",
      "1, with the instance's role and state as labels.",
      instances.map(({ id: instance, role, state }) => ({
        labels: { instance, role, state },
        value: 1,
      })),
    ),
    gauge(
      "borealis_reader_replay_lag_seconds",
      "How old what a reader shows is, at most.",
      samplesOf(readers, labelsOf, ({ lagMs }) => (lagMs === null ? undefined : lagMs / 1000)),
    ),
    gauge(
      "borealis_reader_replay_lag_bytes",
      "Durable log that a reader has not replayed.",
      samplesOf(readers, labelsOf, ({ replayLsn }) => behindBytes(replayLsn, cluster.vdl)),
    ),
    gauge(
      "borealis_volume_vdl_bytes",
      "VDL, the position in the log up to which everything is durable. A backtrack sets it back.",
      // A position as a number is exact up to 8 PiB, and only for graphs.
      vdl === undefined ? [] : [{ value: Number(vdl) }],
    ),
    ...writerMetrics(figures),
  ];
}

function writerMetrics(figures: ReadonlyMap<string, InstanceFigures>): Family[] {
  const all = [...figures];
  return [
    {
      kind: "histogram",
      name: "borealis_commit_part_seconds",
      help: "What each commit waited for in the log of its writer. postgresql: from the time in its commit record, taken as PostgreSQL begins to write it, until the record has come to the log driver (to a tenth of a millisecond). driver: from there until the first storage node was sent it. nodes: from there until four nodes hold it, and PostgreSQL was told.",
      series: all.flatMap(([instance, { driver }]) =>
        commitParts.map((part) => ({ labels: { instance, part }, durations: driver.parts[part] })),
      ),
    },
    {
      kind: "histogram",
      name: "borealis_commit_durable_seconds",
      help: "Of each commit, from the arrival of its record at the log driver until four storage nodes hold it, and PostgreSQL was told: the parts driver and nodes together.",
      series: all.map(([instance, { driver }]) => ({
        labels: { instance },
        durations: driver.durable,
      })),
    },
    counter(
      "borealis_commits_total",
      "Commits in the log that PostgreSQL has sent to the log driver.",
      all.map(([instance, { driver }]) => ({ labels: { instance }, value: driver.commits })),
    ),
    counter(
      "borealis_commit_log_bytes_total",
      "Log that PostgreSQL has sent to the log driver; its rate is that of VDL.",
      all.map(([instance, { driver }]) => ({ labels: { instance }, value: driver.logBytes })),
    ),
    {
      kind: "histogram",
      name: "borealis_writer_start_phase_seconds",
      help: "What the starts of a writer are made of: claim of the volume, recovery to the epoch's start, attachment of the log driver.",
      series: all.flatMap(([instance, { starts }]) =>
        startPhases.map((phase) => ({ labels: { instance, phase }, durations: starts[phase] })),
      ),
    },
  ];
}
