import { parseAddress } from "../base/address.ts";
import { messageOf } from "../base/errors.ts";
import { nodeId, volumeId } from "../base/ids.ts";
import { type Clock, type RpcClient, type RpcPeer, sleep } from "../io/index.ts";
import { scrubReachSchema, type StoreScrub, storeScrubsSchema } from "../keeper/index.ts";
import { type OnScrubProgress, scrubNode } from "../log-driver/index.ts";
import type { KeeperLine } from "./keeper-line-shell.ts";
import { type Layout, nodeAddress } from "./layout.ts";
import type { ControlConfig, ScrubStep } from "./messages.ts";
import { shownNode } from "./replacement.ts";
import { objectStoreRow, type ScrubRow, withObjects } from "./scrub-rows.ts";
import { LogStep, objectsStep } from "./scrub-steps.ts";
import type { ClusterState } from "./state.ts";
import { z } from "zod";

const requestSchema = z.object({ ids: z.array(z.string()), objectStore: z.boolean() });

/** A keeper that was killed is back within seconds, and opens the object store. */
const patienceMs = 15_000;
const againMs = 500;
const lookEveryMs = 200;

export interface ScrubDeps {
  readonly clock: Clock;
  readonly layout: Layout;
  readonly config: ControlConfig;
  readonly keeper: Pick<KeeperLine, "client">;
  /** Who asked, and is told how it gets on. */
  readonly peer: RpcPeer;
}

/**
 * Has the nodes of these names read all log that they have, then the keeper read their objects, for which it has the keys; and
 * the object store's if it is asked for. Gives what was found, a row for each; tells of events "progress" meanwhile.
 */
export async function scrubNodes(
  params: unknown,
  state: ClusterState,
  deps: ScrubDeps,
): Promise<ScrubRow[]> {
  const { ids, objectStore } = requestSchema.parse(params);
  const { clock, layout, config, peer } = deps;
  const owner = {
    volumeId: volumeId(state.volumeId),
    sender: "control-plane",
    credential: config.credential ?? undefined,
  };
  const nodes = state.nodes
    .filter((node) => ids.includes(node.id))
    .map((node) => ({ kind: node.kind, shown: shownNode(node), id: node.id }));
  const step = new LogStep();
  const logs = await Promise.all(
    nodes.map(async ({ id, shown }) => {
      const address = parseAddress(nodeAddress(layout, config.nodePorts, shown));
      const endpoint = { name: id, nodeId: nodeId(shown.nodeId), address };
      const onProgress: OnScrubProgress = (doneBytes, totalBytes) =>
        tell(peer, step.take(id, { doneBytes, totalBytes }));
      const found = await scrubNode(endpoint, owner, { clock, onProgress });
      tell(peer, step.end(id, found.checkedBytes));
      return found;
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
  { clock, keeper, peer }: ScrubDeps,
): Promise<StoreScrub[] | string> {
  const startMs = clock.nowMs();
  for (;;) {
    let why = "the keeper does not run";
    try {
      const { client } = keeper;
      // For as long as it takes: it ends with the keeper.
      if (client) {
        const found = storeScrubsSchema.parse(await askTelling(client, request, { clock, peer }));
        const doneBytes = found.reduce((sum, { checkedBytes }) => sum + checkedBytes, 0);
        tellObjects(peer, { doneBytes, totalBytes: doneBytes });
        return found;
      }
    } catch (error) {
      why = messageOf(error);
    }
    if (clock.nowMs() - startMs >= patienceMs) return why;
    await sleep(clock, againMs);
  }
}

/** Meanwhile who asked is told how far the keeper is. */
async function askTelling(
  keeper: RpcClient,
  request: unknown,
  { clock, peer }: Pick<ScrubDeps, "clock" | "peer">,
): Promise<unknown> {
  let isOver = false;
  const over = keeper.call("scrub", request).finally(() => {
    isOver = true;
  });
  over.catch(() => undefined);
  while (!isOver) {
    const reach = scrubReachSchema.parse(await keeper.call("scrubReach"));
    if (reach) tellObjects(peer, reach);
    await Promise.race([over.catch(() => undefined), sleep(clock, lookEveryMs)]);
  }
  return over;
}

function tellObjects(peer: RpcPeer, reach: Omit<ScrubStep, "step">): void {
  tell(peer, { step: objectsStep, ...reach });
}

/** Whoever asked may not wait any more. */
function tell(peer: RpcPeer, step: ScrubStep): void {
  if (!peer.signal.aborted) peer.tell("progress", step);
}
