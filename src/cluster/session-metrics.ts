import type { Family, Sample } from "../base/exposition.ts";
import type { SessionFigures } from "../session/index.ts";
import { counter, gauge } from "./metric-forms.ts";

/** Who comes in, and who does not. */
function loginMetrics(figures: SessionFigures): Family[] {
  return [
    counter(
      "borealis_connections_total",
      "Connections that came in.",
      counts("endpoint", figures.connections),
    ),
    gauge("borealis_connections_unauthenticated", "Connections that are not logged in yet.", [
      { value: figures.unauthenticated },
    ]),
    counter("borealis_logins_refused_total", "Log-ins that were refused, or broken off.", [
      { value: figures.loginsRefused },
    ]),
    counter(
      "borealis_connections_refused_total",
      "Connections of which nothing was read: notAllowed at their endpoint, tooOften from their address, tooMany that are not logged in, or cut off for others (madeRoom).",
      counts("reason", figures.connectionsRefused),
    ),
    counter(
      "borealis_logins_slowed_total",
      "Wrong passwords that were told late, since many came from their address.",
      [{ value: figures.loginsSlowed }],
    ),
    counter(
      "borealis_audit_records_lost_total",
      "Records of the audit that could not be written.",
      [{ value: figures.auditLost }],
    ),
  ];
}

/** Sessions at the endpoints, what became of them, and their pools. */
export function sessionMetrics(figures: SessionFigures): Family[] {
  const { sessions, holds, commits } = figures;
  return [
    gauge(
      "borealis_sessions",
      "Sessions by endpoint and state; waiting: for an instance, parked: without a server connection, which they do not need.",
      sessions.map(({ endpoint, state, count: value }) => ({ labels: { endpoint, state }, value })),
    ),
    ...loginMetrics(figures),
    counter(
      "borealis_session_losses_total",
      "Sessions that lost their server, by what became of them (docs/sessions.md): rerun statements, replayed transactions, answered commits, refused with 40001, unknown with 08007, ended with 57P01, expired without an instance.",
      counts("outcome", figures.outcomes),
    ),
    counter(
      "borealis_session_errors_total",
      "Errors of the endpoints' own that clients were told: 40001, 08007, 57P01, 57P03, 53300 and others.",
      counts("sqlstate", figures.errors),
    ),
    gauge("borealis_sessions_held", "Sessions and log-ins that wait for an instance now.", [
      { value: figures.held },
    ]),
    {
      kind: "histogram",
      name: "borealis_session_hold_seconds",
      help: "How long sessions and log-ins waited for an instance.",
      series: [{ durations: holds }],
    },
    {
      kind: "histogram",
      name: "borealis_commit_seconds",
      help: "Commits as the endpoints see them: those of transactions that wrote, while nothing else of their session was under way. server: from sending COMMIT, or the statement that commits by itself, to PostgreSQL until the answer has come; gate: from there until the client is told.",
      series: (["server", "gate"] as const).map((part) => ({
        labels: { part },
        durations: commits[part],
      })),
    },
    ...poolMetrics(figures.pool),
  ];
}

function poolMetrics({
  instances,
  waits,
  timeouts,
  opened,
  kept,
}: SessionFigures["pool"]): Family[] {
  return [
    gauge(
      "borealis_pool_connections",
      "Server connections of pools: in use, or free.",
      instances.flatMap(({ instance, open, free }) => [
        { labels: { instance, state: "in_use" }, value: open - free },
        { labels: { instance, state: "free" }, value: free },
      ]),
    ),
    gauge(
      "borealis_pool_kept",
      "Server connections of pools that cannot be given on now, by what keeps them.",
      counts("reason", kept),
    ),
    gauge(
      "borealis_pool_waiting",
      "Sessions that wait for a server connection now.",
      instances.map(({ instance, waiting: value }) => ({ labels: { instance }, value })),
    ),
    {
      kind: "histogram",
      name: "borealis_pool_wait_seconds",
      help: "How long those waited for a server connection that did not have one at once, also while it was opened.",
      series: [{ durations: waits }],
    },
    counter("borealis_pool_timeouts_total", "Who waited for pool.borrowTimeoutMs in vain: 53300.", [
      { value: timeouts },
    ]),
    counter("borealis_pool_connections_opened_total", "Server connections that pools opened.", [
      { value: opened },
    ]),
  ];
}

function counts(label: string, all: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(all).map(([key, value]) => ({ labels: { [label]: key }, value }));
}
