import type { Family } from "../base/exposition.ts";
import type { StatusReport } from "./status-messages.ts";
import type { ProcessReport } from "./process-messages.ts";
import { counter, gauge } from "./metric-forms.ts";

/** Injected faults. */
export function faultMetrics(
  { instances, storage }: StatusReport,
  processes: readonly ProcessReport[],
): Family[] {
  const faulty = [...instances, ...storage].filter(({ fault }) => fault !== undefined);
  return [
    gauge(
      "borealis_fault_injected",
      "1 while a fault lasts that somebody has injected into this part; others are missing.",
      faulty.map(({ id: part }) => ({ labels: { part }, value: 1 })),
    ),
    counter(
      "borealis_fault_requests_total",
      "Requests that a storage node has refused or delayed because of injected faults, since its process began.",
      processes.flatMap(({ name: node, faults }) =>
        faults
          ? [
              { labels: { node, fate: "refused" }, value: faults.refused },
              { labels: { node, fate: "delayed" }, value: faults.delayed },
            ]
          : [],
      ),
    ),
  ];
}
