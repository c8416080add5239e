import type { BackupSource, InstanceStatus, ReaderOrder, WriterOrder } from "../instance/index.ts";
import { agentSocket, type Layout, postgresSocketDir } from "./layout.ts";
import type { ClusterState } from "./state.ts";

/** What the control plane knows when it orders somebody to take a role. */
export interface OrderFacts {
  readonly state: ClusterState;
  readonly layout: Layout;
  readonly status: (id: string) => InstanceStatus | undefined;
}

export function writerOrder(
  facts: OrderFacts,
  id: string,
  masterPassword: () => string,
): WriterOrder {
  const { masterUser, isSuperuser, isBootstrapped, backtrack } = facts.state;
  const bootstrap = isBootstrapped ? null : { masterUser, isSuperuser, password: masterPassword() };
  return { bootstrap, sources: sourcesFor(facts, id), backtrack: backtrack?.order ?? null };
}

export function readerOrder(facts: OrderFacts, id: string): ReaderOrder {
  const { backtrack, backtrackEpoch, writer } = facts.state;
  const mustKnowPath = backtrack !== undefined || backtrackEpoch !== undefined;
  const writerAgentSocket = agentSocket(facts.layout, writer);
  return { writerAgentSocket, sources: sourcesFor(facts, id), stageAt: null, mustKnowPath };
}

/** Who can be copied: readers first, then the writer, since a backup of it costs a segment of log; then the rest. */
function sourcesFor({ state, layout, status }: OrderFacts, id: string): BackupSource[] {
  const { backtrack, backtrackEpoch = 0, instances, writer } = state;
  const rank = (other: string): number => {
    if (other === writer) return 1;
    const seen = status(other);
    return seen?.role === "reader" && seen.isAdmitted ? 0 : 2;
  };
  // One that has not heard of the last backtrack shows what that has removed; its timeline may have the same number.
  const isOnPath = (other: string): boolean =>
    backtrack === undefined && (status(other)?.epoch ?? 0) >= backtrackEpoch;
  return instances
    .filter((one) => one.id !== id && isOnPath(one.id))
    .toSorted((a, b) => rank(a.id) - rank(b.id))
    .map((one) => ({ id: one.id, socketDir: postgresSocketDir(layout, one.id) }));
}
