import type { Family } from "../base/exposition.ts";
import type { InstanceFigures } from "../instance/index.ts";
import type { SessionFigures } from "../session/index.ts";
import type { FailoverFigures } from "./failover-meter.ts";
import { instanceMetrics } from "./instance-metrics.ts";
import type { StatusReport } from "./status-messages.ts";
import type { ProcessReport } from "./process-messages.ts";
import { faultMetrics } from "./fault-metrics.ts";
import { counter, gauge, timestamp, truth } from "./metric-forms.ts";
import { sessionMetrics } from "./session-metrics.ts";
import { storageMetrics } from "./storage-metrics.ts";

/** What is known at the moment of asking. Whoever did not answer is not there: its metrics are missing, not zero. */
export interface MetricFacts {
  readonly status: StatusReport;
  readonly snapshotAt: string | null;
  readonly processes: readonly ProcessReport[];
  readonly instances: ReadonlyMap<string, InstanceFigures>;
  readonly sessions: SessionFigures | undefined;
  readonly failovers: readonly FailoverFigures[];
}

/** Everything that GET /metrics tells, in the order of docs/operations.md. Labels are names of the cluster's own parts. */
export function metricsOf(facts: MetricFacts): Family[] {
  const { status, sessions } = facts;
  return [
    ...clusterMetrics(facts),
    ...instanceMetrics(status, facts.instances),
    ...storageMetrics(status, facts.instances),
    ...volumeMetrics(facts),
    ...failoverMetrics(facts.failovers),
    ...(sessions ? sessionMetrics(sessions) : []),
    ...faultMetrics(status, facts.processes),
    ...processMetrics(facts.processes),
  ];
}

function clusterMetrics({ status: { cluster } }: MetricFacts): Family[] {
  const { engineVersion: engine_version, state, epoch } = cluster;
  return [
    gauge("borealis_info", "Always 1; the version of PostgreSQL is its label.", [
      { labels: { engine_version }, value: 1 },
    ]),
    gauge("borealis_cluster_writable", "1 while writes are accepted.", [
      { value: truth(state === "available") },
    ]),
    gauge("borealis_cluster_state", "1, with the cluster's state as its label.", [
      { labels: { state }, value: 1 },
    ]),
    gauge("borealis_volume_epoch", "Epoch of the writer; it rises with each change of it.", [
      { value: epoch },
    ]),
  ];
}

function volumeMetrics({ status: { volume }, snapshotAt }: MetricFacts): Family[] {
  const { archive, extentBytes } = volume;
  const earliest = timestamp(volume.earliestRestorableTime);
  const latest = timestamp(volume.latestRestorableTime);
  const lagBytes = archive?.lagBytes ?? null;
  return [
    gauge("borealis_volume_bytes", "One copy of the volume: log and extents.", [
      { value: volume.bytes },
    ]),
    gauge("borealis_volume_log_bytes", "Log that is kept, for clones too.", [
      { value: volume.logBytes },
    ]),
    gauge(
      "borealis_volume_extent_bytes",
      "Extents of all snapshots together, as they are stored.",
      extentBytes === null ? [] : [{ value: extentBytes }],
    ),
    gauge("borealis_volume_shared_bytes", "What of the volume is a clone's too, or the parent's.", [
      { value: volume.sharedBytes },
    ]),
    gauge(
      "borealis_volume_damaged",
      "1 if a scrub has found something that is good in no store any more.",
      [{ value: truth(volume.damage !== null) }],
    ),
    gauge(
      "borealis_volume_failing",
      "1 while the object store cannot be used, or snapshots do not go on; borealis status says why.",
      [{ value: truth(volume.problem !== null) }],
    ),
    gauge("borealis_snapshots", "How many snapshots there are.", [{ value: volume.snapshots }]),
    gauge(
      "borealis_snapshot_newest_timestamp_seconds",
      "When the newest snapshot was taken, users' left aside, as no log goes behind those; its age is time() less this.",
      timestamp(snapshotAt),
    ),
    gauge(
      "borealis_volume_restorable_from_timestamp_seconds",
      "The earliest moment that can be restored.",
      earliest,
    ),
    gauge(
      "borealis_volume_restorable_to_timestamp_seconds",
      "Everything that was committed before this moment can be restored from the object store.",
      latest,
    ),
    gauge(
      "borealis_archive_lag_bytes",
      "Log that is durable on the nodes, and not in the object store yet.",
      lagBytes === null ? [] : [{ value: lagBytes }],
    ),
    gauge(
      "borealis_archive_failing",
      "1 while the archive does not go on; borealis logs keeper says why.",
      archive ? [{ value: truth(archive.problem !== null) }] : [],
    ),
  ];
}

function failoverMetrics(all: readonly FailoverFigures[]): Family[] {
  return [
    {
      kind: "histogram",
      name: "borealis_failover_held_seconds",
      help: "How long nobody could write, of changes of the writer that came to their end: failover, or switchover where somebody asked for it.",
      series: all.map(({ kind, held: durations }) => ({ labels: { kind }, durations })),
    },
    counter(
      "borealis_failovers_failed_total",
      "Changes of the writer that were given up.",
      all.map(({ kind, failed }) => ({ labels: { kind }, value: failed })),
    ),
    {
      kind: "histogram",
      name: "borealis_failover_phase_seconds",
      help: "What changes of the writer are made of: preparation while writes go on, release of the old writer, succession of the new one.",
      series: all.flatMap(({ kind, phases }) =>
        phases
          .filter(({ phase }) => kind === "switchover" || phase !== "preparation")
          .map(({ phase, durations }) => ({ labels: { kind, phase }, durations })),
      ),
    },
  ];
}

function processMetrics(all: readonly ProcessReport[]): Family[] {
  return [
    gauge(
      "borealis_process_up",
      "1 while the process runs; one that was stopped on purpose is missing.",
      all
        .filter(({ state }) => state !== "stopped")
        .map(({ name, state }) => ({
          labels: { process: name },
          value: truth(state === "running"),
        })),
    ),
    counter(
      "borealis_process_restarts_total",
      "How often the supervisor has started the process again, since it began itself.",
      all.map(({ name, restarts }) => ({ labels: { process: name }, value: restarts })),
    ),
  ];
}
