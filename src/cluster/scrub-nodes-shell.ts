import { parseAddress } from "../base/address.ts";
import { nodeId, volumeId } from "../base/ids.ts";
import type { Clock } from "../io/index.ts";
import { scrubNode, type ScrubResult } from "../log-driver/index.ts";
import { type Layout, nodeAddress } from "./layout.ts";
import type { ControlConfig } from "./messages.ts";
import { shownNode } from "./replacement.ts";
import type { ClusterState } from "./state.ts";
import { z } from "zod";

const requestSchema = z.object({ ids: z.array(z.string()) });

/** Asks the nodes of these names to read all that they have through, and gives what they found. */
export function scrubNodes(
  params: unknown,
  state: ClusterState,
  deps: { readonly clock: Clock; readonly layout: Layout; readonly config: ControlConfig },
): Promise<ScrubResult[]> {
  const { ids } = requestSchema.parse(params);
  const { clock, layout, config } = deps;
  const owner = {
    volumeId: volumeId(state.volumeId),
    sender: "control-plane",
    credential: config.credential ?? undefined,
  };
  const nodes = state.nodes.filter((node) => ids.includes(node.id));
  return Promise.all(
    nodes.map((node) => {
      const shown = shownNode(node);
      const address = parseAddress(nodeAddress(layout, config.nodePorts, shown));
      return scrubNode({ name: node.id, nodeId: nodeId(shown.nodeId), address }, owner, clock);
    }),
  );
}
