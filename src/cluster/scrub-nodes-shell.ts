import { parseAddress } from "../base/address.ts";
import { messageOf } from "../base/errors.ts";
import { nodeId, volumeId } from "../base/ids.ts";
import { type Clock, sleep } from "../io/index.ts";
import { type StoreScrub, storeScrubsSchema } from "../keeper/index.ts";
import { scrubNode } from "../log-driver/index.ts";
import type { KeeperLine } from "./keeper-line-shell.ts";
import { type Layout, nodeAddress } from "./layout.ts";
import type { ControlConfig } from "./messages.ts";
import { shownNode } from "./replacement.ts";
import { objectStoreRow, type ScrubRow, withObjects } from "./scrub-rows.ts";
import type { ClusterState } from "./state.ts";
import { z } from "zod";

const requestSchema = z.object({ ids: z.array(z.string()), objectStore: z.boolean() });

/** A keeper that was killed is back within seconds, and opens the object store. */
const patienceMs = 15_000;
const againMs = 500;

export interface ScrubDeps {
  readonly clock: Clock;
  readonly layout: Layout;
  readonly config: ControlConfig;
  readonly keeper: Pick<KeeperLine, "client">;
}

/**
 * Has the nodes of these names read all log that they have, then the keeper read their objects, for which it has the keys; and
 * the object store's if it is asked for. Gives what was found, a row for each.
 */
export async function scrubNodes(
  params: unknown,
  state: ClusterState,
  deps: ScrubDeps,
): Promise<ScrubRow[]> {
  const { ids, objectStore } = requestSchema.parse(params);
  const { clock, layout, config } = deps;
  const owner = {
    volumeId: volumeId(state.volumeId),
    sender: "control-plane",
    credential: config.credential ?? undefined,
  };
  const nodes = state.nodes
    .filter((node) => ids.includes(node.id))
    .map((node) => ({ kind: node.kind, shown: shownNode(node), id: node.id }));
  const logs = await Promise.all(
    nodes.map(({ id, shown }) => {
      const address = parseAddress(nodeAddress(layout, config.nodePorts, shown));
      return scrubNode({ name: id, nodeId: nodeId(shown.nodeId), address }, owner, clock);
    }),
  );
  // Only now: a node that found rot in its log starts anew, and takes no objects before it has healed.
  const full = nodes.filter(({ kind }) => kind === "full").map(({ shown }) => shown.nodeId);
  const found =
    full.length > 0 || objectStore ? await scrubObjects({ nodeIds: full, objectStore }, deps) : [];
  const rows = logs.map((log, at): ScrubRow => {
    const { kind, shown } = nodes[at] ?? {};
    return kind === "full" ? withObjects(log, found, shown?.nodeId) : { ...log, objects: null };
  });
  return objectStore ? [...rows, objectStoreRow(found)] : rows;
}

/** Why there is nothing, as text, if the keeper does not do it. */
async function scrubObjects(
  request: { readonly nodeIds: readonly string[]; readonly objectStore: boolean },
  { clock, keeper }: ScrubDeps,
): Promise<StoreScrub[] | string> {
  const startMs = clock.nowMs();
  for (;;) {
    let why = "the keeper does not run";
    try {
      // For as long as it takes: it ends with the keeper.
      const answer = await keeper.client?.call("scrub", request);
      if (answer !== undefined) return storeScrubsSchema.parse(answer);
    } catch (error) {
      why = messageOf(error);
    }
    if (clock.nowMs() - startMs >= patienceMs) return why;
    await sleep(clock, againMs);
  }
}
