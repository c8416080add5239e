import type { NodeId, VolumeId } from "../base/ids.ts";
import { type Disk, realDisk } from "../io/index.ts";
import { folderOf } from "./state-file-shell.ts";
import { newestSlot } from "./state-slots.ts";

/**
 * What the folder of a node is worth. `missing`: files that a node cannot be without; `failed`: its disk refused a write
 * or a sync, or its files vanished under it; `unreadable`: neither slot of its state is whole; `foreign`: of another node.
 * All but `ok` are final: the node that had this disk never comes back (quorum-protocol.md 1).
 */
export type FolderVerdict = "ok" | "missing" | "failed" | "unreadable" | "foreign";

/** Looks without changing anything. Raises the system's error where it cannot look: that says nothing of the disk. */
export async function judgeFolder(
  dir: string,
  facts: { readonly volumeId: VolumeId; readonly nodeId: NodeId },
  disk: Disk = realDisk,
): Promise<FolderVerdict> {
  if ((await disk.factsOf(folderOf.failed(dir))) !== undefined) return "failed";
  for (const path of [folderOf.mark(dir), folderOf.log(dir)])
    if ((await disk.factsOf(path)) === undefined) return "missing";
  const bytes = await disk.readWhole(folderOf.state(dir));
  if (bytes === undefined) return "missing";
  const { newest } = newestSlot(bytes) ?? {};
  if (newest === undefined) return "unreadable";
  const { volumeId, nodeId } = newest.state.acceptor;
  return volumeId === facts.volumeId && nodeId === facts.nodeId ? "ok" : "foreign";
}
