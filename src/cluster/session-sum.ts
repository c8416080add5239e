import { addDurations } from "../base/histogram.ts";
import type { SessionFigures } from "../session/index.ts";

type Counts = Readonly<Record<string, number>>;

/** What several proxies have counted, together; undefined: there is none. */
export function sumOfFigures(all: readonly SessionFigures[]): SessionFigures | undefined {
  const [first, ...others] = all;
  return first && others.reduce((sum, one) => addFigures(sum, one), first);
}

function addFigures(a: SessionFigures, b: SessionFigures): SessionFigures {
  return {
    sessions: addRows(
      [...a.sessions, ...b.sessions],
      ({ endpoint, state }) => `${endpoint} ${state}`,
      (one, other) => ({ ...one, count: one.count + other.count }),
    ),
    unauthenticated: a.unauthenticated + b.unauthenticated,
    connections: addCounts(a.connections, b.connections),
    loginsRefused: a.loginsRefused + b.loginsRefused,
    connectionsRefused: addCounts(a.connectionsRefused, b.connectionsRefused),
    loginsSlowed: a.loginsSlowed + b.loginsSlowed,
    auditLost: a.auditLost + b.auditLost,
    outcomes: { ...a.outcomes, ...addCounts(a.outcomes, b.outcomes) },
    errors: addCounts(a.errors, b.errors),
    held: a.held + b.held,
    holds: addDurations(a.holds, b.holds),
    commits: {
      server: addDurations(a.commits.server, b.commits.server),
      gate: addDurations(a.commits.gate, b.commits.gate),
    },
    pool: {
      instances: addRows(
        [...a.pool.instances, ...b.pool.instances],
        ({ instance }) => instance,
        (one, other) => ({
          instance: one.instance,
          open: one.open + other.open,
          free: one.free + other.free,
          waiting: one.waiting + other.waiting,
        }),
      ),
      waits: addDurations(a.pool.waits, b.pool.waits),
      timeouts: a.pool.timeouts + b.pool.timeouts,
      opened: a.pool.opened + b.pool.opened,
      kept: addCounts(a.pool.kept, b.pool.kept),
    },
  };
}

function addCounts(a: Counts, b: Counts): Record<string, number> {
  const sum = { ...a };
  for (const [key, count] of Object.entries(b)) sum[key] = (sum[key] ?? 0) + count;
  return sum;
}

/** Rows of the same key become one. */
function addRows<Row>(
  rows: readonly Row[],
  keyOf: (row: Row) => string,
  plus: (a: Row, b: Row) => Row,
): Row[] {
  const sums = new Map<string, Row>();
  for (const row of rows) {
    const before = sums.get(keyOf(row));
    sums.set(keyOf(row), before ? plus(before, row) : row);
  }
  return [...sums.values()];
}
