import { BorealisError, sqlState } from "../base/errors.ts";
import type { NodeId, VolumeId } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import { type Disk, type DiskFile, realDisk } from "../io/index.ts";
import { formattedState } from "../acceptor/index.ts";
import { type Ancestors, encodeAncestors, parseAncestors } from "./ancestors.ts";
import {
  encodeSlot,
  newestSlot,
  type NodeState,
  slotOffsets,
  stateFileBytes,
} from "./state-slots.ts";
import { encodeSyncMark, parseSyncMark, type SyncMark, syncMarkBytes } from "./sync-mark.ts";

/** What a node's folder holds; and, beside the folder, the marker of a failed disk. */
export const folderOf = {
  state: (dir: string) => `${dir}/state`,
  mark: (dir: string) => `${dir}/mark`,
  log: (dir: string) => `${dir}/log`,
  retired: (dir: string) => `${dir}/retired`,
  pins: (dir: string) => `${dir}/pins`,
  objects: (dir: string) => `${dir}/objects`,
  ancestors: (dir: string) => `${dir}/ancestors.json`,
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
  const { volumeId, nodeId, base } = facts;
  const acceptor = formattedState({ volumeId, nodeId, base });
  await writeNodeFolder(disk, dir, { state: { acceptor, cut: undefined, rotKnownEnd: undefined } });
}

/** What a new node has at once. The state comes last: a folder without one is none. */
export async function writeNodeFolder(
  disk: Disk,
  dir: string,
  first: { readonly state: NodeState; readonly mark?: SyncMark; readonly ancestors?: Ancestors },
): Promise<void> {
  await disk.createFolder(folderOf.log(dir));
  const mark = await disk.open(folderOf.mark(dir), "createSynced");
  await mark.write(first.mark ? encodeSyncMark(first.mark) : Buffer.alloc(syncMarkBytes), 0);
  await mark.close();
  if (first.ancestors && first.ancestors.length > 0) {
    const file = await disk.open(folderOf.ancestors(dir), "createSynced");
    await file.write(Buffer.from(encodeAncestors(first.ancestors)), 0);
    await file.close();
  }
  const state = await disk.open(folderOf.state(dir), "createSynced");
  // All slots are written whole once, so that no later write can meet a full disk.
  await state.write(Buffer.alloc(stateFileBytes), 0);
  await writeSlot(state, 1n, first.state);
  await writeSlot(state, 2n, first.state);
  await state.close();
  await disk.syncFolder(dir);
}

/** Whose log files a clone's node has; none for any other node. Raises BorealisError XX001 if that can no longer be read. */
export async function readAncestors(disk: Disk, dir: string): Promise<Ancestors> {
  const path = folderOf.ancestors(dir);
  const bytes = await disk.readWhole(path);
  if (bytes === undefined) return [];
  const ancestors = parseAncestors(bytes.toString("utf8"));
  if (ancestors) return ancestors;
  throw new BorealisError(sqlState.dataCorrupted, `${path} is damaged`, {
    hint: "replace this storage node; the others hold its log",
  });
}

/** Both copies at once: if the power fails between them, the older state is whole in both, or the newer in one. */
async function writeSlot(file: DiskFile, sequence: bigint, state: NodeState): Promise<void> {
  const bytes = encodeSlot(sequence, state);
  await Promise.all(slotOffsets(sequence).map((at) => file.write(bytes, at)));
}

/** The node's state on disk: written and synced before it is used. */
export class StateFile {
  readonly file: DiskFile;
  /** How often something in it was found torn or rotten, and written anew. */
  healed = 0;
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
    const found = newestSlot(bytes);
    if (found === undefined) {
      throw new BorealisError(sqlState.dataCorrupted, `${path} has no whole slot`, {
        hint: "replace this storage node; the others hold its log",
      });
    }
    const { newest, isWhole } = found;
    const file = await disk.open(path, "writeSynced");
    const opened = new StateFile(file, newest.sequence, newest.state);
    // What was torn is written anew as what has rotted is: nobody can tell them apart, and nobody has to.
    if (!isWhole) await opened.rewrite();
    return opened;
  }

  get state(): NodeState {
    return this.latest;
  }

  /** Resolves when the state is on the disk. One at a time. */
  async write(state: NodeState): Promise<void> {
    const sequence = this.sequence + 1n;
    await writeSlot(this.file, sequence, state);
    this.sequence = sequence;
    this.latest = state;
  }

  /** Reads the file through. False: something in it was not as it was written; it is now. */
  async scrub(): Promise<boolean> {
    const bytes = Buffer.alloc(stateFileBytes);
    const size = await this.file.read(bytes, 0);
    const found = newestSlot(bytes.subarray(0, size));
    if (found?.isWhole && found.newest.sequence === this.sequence) return true;
    await this.rewrite();
    return false;
  }

  /** The same state in both slots. */
  private async rewrite(): Promise<void> {
    await this.write(this.latest);
    await this.write(this.latest);
    this.healed++;
  }
}

/** The sync mark's file; a worker writes to it by its `fd`, too. */
export class MarkFile {
  readonly file: DiskFile;
  readonly found: SyncMark | undefined;
  healed = 0;
  private syncedLsn: Lsn | undefined;

  private constructor(file: DiskFile, found: SyncMark | undefined) {
    this.file = file;
    this.found = found;
  }

  static async open(disk: Disk, dir: string): Promise<MarkFile> {
    const path = folderOf.mark(dir);
    const bytes = await disk.readWhole(path);
    const found = bytes && parseSyncMark(bytes);
    const file = new MarkFile(await disk.open(path, "write"), found);
    // The first sync writes it anew.
    if (!found && bytes?.some((byte) => byte !== 0)) file.healed++;
    return file;
  }

  /** False: what is there is no mark that was written whole; it is now. */
  async scrub(mark: SyncMark): Promise<boolean> {
    const bytes = Buffer.alloc(syncMarkBytes);
    await this.file.read(bytes, 0);
    if (parseSyncMark(bytes) !== undefined || bytes.every((byte) => byte === 0)) return true;
    this.syncedLsn = undefined;
    await this.sync(mark);
    this.healed++;
    return false;
  }

  /** Makes the mark durable if the log has grown since the last time. */
  async sync(mark: SyncMark): Promise<void> {
    if (mark.lsn === this.syncedLsn) return;
    await this.file.write(encodeSyncMark(mark), 0);
    await this.file.sync();
    this.syncedLsn = mark.lsn;
  }
}
