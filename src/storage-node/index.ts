/**
 * A storage node: a folder that holds one segment of the volume's log, and the server before it. What is decided is
 * decided by quorum's Acceptor; this room stores, reads, sends. Read frame.ts for how log lies on disk, log-store-shell.ts
 * for how files make a log, append-worker-shell.ts for the commit path, node-shell.ts for how it all meets.
 */
export {
  type CloneBirth,
  type CloneSource,
  holdsLeftLog,
  logFilesOf,
  makeCloneNode,
  pinnedFiles,
  readNodeState,
  type TakeFile,
} from "./clone-node-shell.ts";
export {
  type AppendPath,
  parseNewPeers,
  parseStorageNodeConfig,
  type Peer,
  type StorageNodeConfig,
  type StorageProcessConfig,
} from "./node-config.ts";
export type { StorageNodeDeps } from "./node-deps.ts";
export { type FolderVerdict, judgeFolder } from "./node-folder-shell.ts";
export type { StorageNode } from "./node-shell.ts";
export type { LeftLog } from "./retired-tails-shell.ts";
export { runStorageNode } from "./run-shell.ts";
export { formatStorageNode } from "./state-file-shell.ts";
// How log and state lie on a disk, for the simulator, which has a disk of its own.
export { FrameBatch, type NewFrame } from "./frame-batch.ts";
export { plainSealer } from "./frame-cipher.ts";
export { findFrames, judgeTail, reachOf, scanFrame, searchDebris } from "./frame-scan.ts";
export {
  encodeFileHeader,
  fileHeaderBytes,
  frameEnd,
  type FrameHeader,
  frameHeaderBytes,
  parseFrameHeader,
} from "./frame.ts";
export { encodeSlot, newerSlot, type NodeState, parseSlot } from "./state-slots.ts";
export { encodeSyncMark, parseSyncMark, type SyncMark, syncMarkBytes } from "./sync-mark.ts";
