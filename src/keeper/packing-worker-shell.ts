/**
 * The thread that compresses what a snapshot stores. It is most of what a snapshot costs in CPU; Node's pool would do it on all
 * cores at once, as urgently as anything else, and the workload is on the same ones.
 */
import type { ParentThread } from "../io/index.ts";
import { packHere } from "../volume/index.ts";
import type { Packed, PackOrder } from "./packing.ts";

export function run(parent: ParentThread): void {
  parent.giveWay();
  parent.onMessage((raw) => {
    // Written by PackingThread, in this process.
    const { id, plain } = raw as PackOrder;
    parent.post({ id, packed: packHere(plain) } satisfies Packed);
  });
}
