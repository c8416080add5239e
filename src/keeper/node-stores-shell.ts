import { parseAddress } from "../base/address.ts";
import { nodeId } from "../base/ids.ts";
import { type Clock, realRng } from "../io/index.ts";
import { type LinkOwner, NodeStore } from "../log-driver/index.ts";
import type { World } from "./messages.ts";

export interface NodeStoresOptions {
  /** Those of this zone are asked first. */
  readonly az: string;
  /** Nobody else may put objects under its sender's name (NodeStoreOptions). */
  readonly owner: LinkOwner;
  readonly clock: Clock;
}

/** The full members of the volume as object stores: one for each, as long as it is one. */
export class NodeStores {
  private readonly options: NodeStoresOptions;
  private readonly byNode = new Map<string, NodeStore>();
  private ordered: readonly NodeStore[] = [];

  constructor(options: NodeStoresOptions) {
    this.options = options;
  }

  /** Nearest first. The same list as long as the members are the same. */
  get all(): readonly NodeStore[] {
    return this.ordered;
  }

  /** Ids of the nodes of these. */
  idsOf(is: (store: NodeStore) => boolean): string[] {
    return this.ordered.filter(is).map((store) => store.nodeId);
  }

  /** Its calls that are under way at a node that is no member any more are raised as failed. */
  follow(nodes: World["nodes"]): void {
    const { az } = this.options;
    const full = nodes
      .filter((node) => node.isMember && node.kind === "full")
      .toSorted((a, b) => Number(a.az !== az) - Number(b.az !== az));
    const wanted = new Map(full.map((node) => [`${node.nodeId} ${node.address}`, node]));
    const isSame = [...wanted.keys()].join() === [...this.byNode.keys()].join();
    if (isSame) return;
    for (const [key, store] of this.byNode) if (!wanted.has(key)) void store.close();
    const before = new Map(this.byNode);
    this.byNode.clear();
    for (const [key, node] of wanted) this.byNode.set(key, before.get(key) ?? this.storeOf(node));
    this.ordered = [...this.byNode.values()];
  }

  async close(): Promise<void> {
    for (const store of this.ordered) await store.close();
  }

  private storeOf(node: World["nodes"][number]): NodeStore {
    const { owner, clock } = this.options;
    const { name, address } = node;
    const endpoint = { nodeId: nodeId(node.nodeId), name, address: parseAddress(address) };
    return new NodeStore({ endpoint, owner, clock, rng: realRng });
  }
}
