import type { Epoch } from "../base/ids.ts";
import { formatLsn, type Lsn } from "../base/lsn.ts";
import { membersOf } from "../quorum/index.ts";
import { SimFailure } from "./failure.ts";
import type { SimNode } from "./sim-node.ts";
import type { SimWorld } from "./world.ts";

/** I9: whoever is in the open epoch and behind finds what it lacks at another member, or at the driver. */
export function checkFillable(
  { nodes, instances }: SimWorld,
  chosen: { readonly opened: Epoch; readonly end: Lsn },
): void {
  const { opened } = chosen;
  const driver = instances.find((one) => one.isOpen && one.driver?.epoch === opened);
  for (const node of nodes) {
    const { accepted, configuration, pendingCut } = node.files.newest().acceptor;
    const isIn = accepted === opened && node.fate !== "lost" && pendingCut === undefined;
    const isMember = membersOf(configuration).some(({ nodeId }) => nodeId === node.nodeId);
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
