import type { Epoch, NodeId } from "../base/ids.ts";
import { type Lsn, lsnMaxOf } from "../base/lsn.ts";
import type { History, Run } from "../quorum/index.ts";
import type { SimNode } from "./sim-node.ts";
import { origin } from "./spans.ts";

/** What nodes have acknowledged, by epoch. */
export class SaidBook {
  private readonly said = new Map<Epoch, Map<NodeId, Lsn>>();

  note(epoch: Epoch, node: NodeId, scl: Lsn): void {
    let said = this.said.get(epoch);
    if (!said) {
      said = new Map();
      this.said.set(epoch, said);
    }
    said.set(node, lsnMaxOf(said.get(node) ?? origin, scl));
  }

  has(epoch: Epoch, node: NodeId, to: Lsn): boolean {
    return (this.said.get(epoch)?.get(node) ?? origin) >= to;
  }

  /** [from, to) of a path, from a node that has said in that epoch that it has it; undefined: nobody has it any more. */
  runsFrom(
    nodes: readonly SimNode[],
    epoch: Epoch,
    { history, from, to }: { readonly history: History; readonly from: Lsn; readonly to: Lsn },
  ): readonly Run[] | undefined {
    for (const { nodeId, kept } of nodes) {
      if (!this.has(epoch, nodeId, to)) continue;
      // Acknowledgements may be late: an Elect of a newer epoch may have cut the log by now, for a backtrack.
      const runs = kept.runsOn(history, from, to);
      const found = runs.reduce((sum, { bytes }) => sum + BigInt(bytes.length), 0n);
      if (found === to - from) return runs;
    }
    return undefined;
  }
}
