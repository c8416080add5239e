import type { Epoch, NodeId } from "../base/ids.ts";
import { formatLsn, type Lsn } from "../base/lsn.ts";
import {
  compareConfigurationIds,
  type ConfigurationId,
  membersOf,
  newerConfiguration,
  noConfiguration,
} from "../quorum/index.ts";
import { SimFailure } from "./failure.ts";
import type { SimNode } from "./sim-node.ts";
import type { SimWorld } from "./world.ts";

/** I9: whoever is in the open epoch and behind finds what it lacks at another member, or at the driver. */
export function checkFillable(
  { nodes, instances }: SimWorld,
  chosen: { readonly opened: Epoch; readonly end: Lsn },
  /** The newest change of members that each node has acknowledged. */
  told: ReadonlyMap<NodeId, ConfigurationId>,
): void {
  const { opened } = chosen;
  const driver = instances.find((one) => one.isOpen && one.driver?.epoch === opened);
  // Who was dropped may not have heard of it, and counts itself a member still.
  const counted =
    driver?.driver?.configuration ??
    nodes
      .map((node) => node.files.newest().acceptor.configuration)
      .reduce(newerConfiguration, noConfiguration);
  const members = new Set(membersOf(counted).map(({ nodeId }) => nodeId));
  for (const node of nodes) {
    const { accepted, configuration, pendingCut } = node.files.newest().acceptor;
    const isIn = accepted === opened && node.fate !== "lost" && pendingCut === undefined;
    // Who joins below the low-water begins there only when the ConfigChange has reached it: an Elect brings that of its
    // epoch's start. One that is never told does not become healthy, which the end of the run looks at.
    const isNewest = compareConfigurationIds(configuration.id, counted.id) === 0;
    const last = told.get(node.nodeId);
    const isAsked = last !== undefined && compareConfigurationIds(last, counted.id) === 0;
    const isTold = isNewest && (counted.id.version === 1 || isAsked);
    const isMember = members.has(node.nodeId) && isTold;
    const end = node.files.durableEnd;
    if (!isIn || !isMember || node.health === "damaged" || end >= chosen.end) continue;
    const mayFill = (other: SimNode): boolean =>
      other !== node &&
      other.fate !== "lost" &&
      other.files.newest().acceptor.base <= end &&
      other.files.durableEnd > end;
    const isStreamed = driver?.heldFrom !== undefined && driver.heldFrom <= end;
    if (!isStreamed && !nodes.some(mayFill))
      throw new SimFailure(
        "I9",
        `${node.name} ends at ${formatLsn(end)}, and nobody has log from there on`,
      );
  }
}
