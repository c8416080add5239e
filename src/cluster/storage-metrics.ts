import type { Family } from "../base/exposition.ts";
import type { InstanceFigures } from "../instance/index.ts";
import type { StatusReport } from "./status-messages.ts";
import { behindBytes, gauge, samplesOf, truth } from "./metric-forms.ts";

type Row = StatusReport["storage"][number];

/** The storage nodes. */
export function storageMetrics(
  { storage, cluster }: StatusReport,
  figures: ReadonlyMap<string, InstanceFigures>,
): Family[] {
  const labelsOf = ({ id: node, az }: Row): { node: string; az: string } => ({ node, az });
  return [
    gauge(
      "borealis_storage_up",
      "1 while the node answers, and has nearly all log.",
      samplesOf(storage, labelsOf, ({ state }) => truth(state === "up")),
    ),
    gauge(
      "borealis_storage_healthy",
      "1 while the node takes log; 0 if its disk is full, it has found rot, or a sync has failed.",
      samplesOf(storage, labelsOf, ({ health }) =>
        health === null ? null : truth(health === "ok"),
      ),
    ),
    gauge(
      "borealis_storage_state",
      "1, with the node's state and what it says of its health as labels.",
      storage.map(({ id: node, az, state, health }) => ({
        labels: { node, az, state, health: health ?? "unknown" },
        value: 1,
      })),
    ),
    gauge(
      "borealis_storage_scl_lag_bytes",
      "Durable log that the node does not have yet: VDL less its SCL.",
      samplesOf(storage, labelsOf, ({ scl }) => behindBytes(scl, cluster.vdl)),
    ),
    gauge(
      "borealis_storage_log_bytes",
      "Log in the node's files.",
      samplesOf(storage, labelsOf, ({ bytes }) => bytes),
    ),
    {
      kind: "histogram",
      name: "borealis_storage_append_seconds",
      help: "From an append of log to a node until it has synced and acknowledged it, as the writer's log driver sees it.",
      series: [...figures].flatMap(([instance, { driver }]) =>
        driver.appends.map(({ node, durations }) => ({ labels: { instance, node }, durations })),
      ),
    },
  ];
}
