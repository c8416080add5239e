import type { Epoch, NodeId } from "../base/ids.ts";
import { formatLsn, type Lsn, lsnMin } from "../base/lsn.ts";
import {
  compareConfigurationIds,
  type Configuration,
  type History,
  isReadQuorum,
} from "../quorum/index.ts";
import { SimFailure } from "./failure.ts";

/** What a claim would be told by one node, from what it has synced. */
export interface NodeView {
  readonly name: string;
  readonly nodeId: NodeId;
  readonly lastEpoch: Epoch;
  readonly scl: Lsn;
  /** It agrees with what is chosen up to here. */
  readonly agrees: Lsn;
  readonly history: History;
  readonly configuration: Configuration;
}

/**
 * I3, for every subset at once: a node whose log lacks what is chosen is harmless unless some read quorum (of the highest
 * configuration in it) has nobody better. Quorums only grow with members, so for each such node, and each configuration
 * that may be the highest one, it is enough to look at all who are no better than it.
 */
export function checkRecoverable(views: readonly NodeView[], chosenEnd: Lsn, opened: Epoch): void {
  for (const view of views) {
    const needed = neededOf(view, chosenEnd, opened);
    if (view.agrees >= needed) continue;
    const noBetter = views.filter((other) => !isBetter(other, view));
    for (const { configuration } of noBetter) {
      if (configuration.sets.length === 0) continue;
      if (compareConfigurationIds(configuration.id, view.configuration.id) < 0) continue;
      const among = noBetter.filter(
        (other) => compareConfigurationIds(other.configuration.id, configuration.id) <= 0,
      );
      const ids = new Set(among.map((other) => other.nodeId));
      if (!ids.has(view.nodeId) || !isReadQuorum(configuration, (node) => ids.has(node))) continue;
      if (!isMember(configuration, view.nodeId)) continue;
      const names = among.map((other) => other.name).join(",");
      const recovers = formatLsn(view.agrees);
      throw new SimFailure(
        "I3",
        `read quorum {${names}} recovers ${recovers} from ${view.name}, acknowledged ${formatLsn(needed)}`,
      );
    }
  }
}

function isMember(configuration: Configuration, node: NodeId): boolean {
  return configuration.sets.some((set) => set.members.some((member) => member.nodeId === node));
}

function isBetter(a: NodeView, b: NodeView): boolean {
  return a.lastEpoch > b.lastEpoch || (a.lastEpoch === b.lastEpoch && a.scl > b.scl);
}

/** Up to the start of a backtrack that is in that log's history and not yet open. */
function neededOf(view: NodeView, chosenEnd: Lsn, opened: Epoch): Lsn {
  let needed = chosenEnd;
  for (const entry of view.history) {
    if (entry.kind === "backtrack" && entry.epoch > opened) needed = lsnMin(needed, entry.start);
  }
  return needed;
}
