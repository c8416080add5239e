import { BorealisError, sqlState } from "../base/errors.ts";
import type { NodeId, VolumeId } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import { type Disk, type DiskFile, realDisk } from "../io/index.ts";
import { formattedState } from "../acceptor/index.ts";
import { encodeSlot, newestSlot, type NodeState, slotBytes, slotOffset } from "./state-slots.ts";
import { encodeSyncMark, parseSyncMark, type SyncMark, syncMarkBytes } from "./sync-mark.ts";

/** What a node's folder holds; and, beside the folder, the marker of a failed disk. */
export const folderOf = {
  state: (dir: string) => `${dir}/state`,
  mark: (dir: string) => `${dir}/mark`,
  log: (dir: string) => `${dir}/log`,
  retired: (dir: string) => `${dir}/retired`,
  pins: (dir: string) => `${dir}/pins`,
  failed: (dir: string) => `${dir}.failed`,
};

/**
 * Makes an empty node (decisions.md D1): base = SCL = `base`, nothing promised. Raises the system's EEXIST if the
 * folder has a state already: an empty disk is a new node, never an old one.
 */
export async function formatStorageNode(
  dir: string,
  facts: { readonly volumeId: VolumeId; readonly nodeId: NodeId; readonly base: Lsn },
  disk: Disk = realDisk,
): Promise<void> {
  await disk.createFolder(folderOf.log(dir));
  const mark = await disk.open(folderOf.mark(dir), "createSynced");
  await mark.write(Buffer.alloc(syncMarkBytes), 0);
  await mark.close();
  const state = await disk.open(folderOf.state(dir), "createSynced");
  const { volumeId, nodeId, base } = facts;
  const first: NodeState = {
    acceptor: formattedState({ volumeId, nodeId, base }),
    cut: undefined,
    rotKnownEnd: undefined,
  };
  // Both slots are written whole once, so that no later write can meet a full disk.
  await state.write(Buffer.alloc(2 * slotBytes), 0);
  await state.write(encodeSlot(1n, first), slotOffset(1n));
  await state.close();
  await disk.syncFolder(dir);
}

/** The node's state on disk: written and synced before it is used. */
export class StateFile {
  readonly file: DiskFile;
  private sequence: bigint;
  private latest: NodeState;

  private constructor(file: DiskFile, sequence: bigint, state: NodeState) {
    this.file = file;
    this.sequence = sequence;
    this.latest = state;
  }

  /** Raises BorealisError XX001 if neither slot is whole, 55000 if the folder was never formatted. */
  static async open(disk: Disk, dir: string): Promise<StateFile> {
    const path = folderOf.state(dir);
    const bytes = await disk.readWhole(path);
    if (bytes === undefined) {
      throw new BorealisError(sqlState.notInPrerequisiteState, `${dir} holds no storage node`);
    }
    const slot = newestSlot(bytes);
    if (slot === undefined) {
      throw new BorealisError(sqlState.dataCorrupted, `${path} has no whole slot`, {
        hint: "replace this storage node; the others hold its log",
      });
    }
    return new StateFile(await disk.open(path, "writeSynced"), slot.sequence, slot.state);
  }

  get state(): NodeState {
    return this.latest;
  }

  /** Resolves when the state is on the disk. One at a time. */
  async write(state: NodeState): Promise<void> {
    const sequence = this.sequence + 1n;
    await this.file.write(encodeSlot(sequence, state), slotOffset(sequence));
    this.sequence = sequence;
    this.latest = state;
  }
}

/** The sync mark's file; a worker writes to it by its `fd`, too. */
export class MarkFile {
  readonly file: DiskFile;
  readonly found: SyncMark | undefined;
  private syncedLsn: Lsn | undefined;

  private constructor(file: DiskFile, found: SyncMark | undefined) {
    this.file = file;
    this.found = found;
  }

  static async open(disk: Disk, dir: string): Promise<MarkFile> {
    const path = folderOf.mark(dir);
    const bytes = await disk.readWhole(path);
    const found = bytes && parseSyncMark(bytes);
    return new MarkFile(await disk.open(path, "write"), found);
  }

  /** Makes the mark durable if the log has grown since the last time. */
  async sync(mark: SyncMark): Promise<void> {
    if (mark.lsn === this.syncedLsn) return;
    await this.file.write(encodeSyncMark(mark), 0);
    await this.file.sync();
    this.syncedLsn = mark.lsn;
  }
}
