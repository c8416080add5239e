/**
 * The volume beside its log: snapshots as manifests of extents, and the stores that keep them. Start with
 * object-store-shell.ts (what a store promises), object-names.ts (what lies in one) and manifest.ts (what a snapshot is);
 * then cutter.ts (files become extents), extent-sealer-shell.ts (extents become objects) and snapshots-shell.ts (a snapshot
 * comes to exist). snapshot-plan.ts says which are kept, collect-shell.ts takes away what none names.
 */
export { archivedLogBytesMax, type ArchivedRange, ArchiveIndex } from "./archive-index.ts";
export {
  type ArchiveNeeds,
  type ArchivePlan,
  inheritedRanges,
  leftBehind,
  planArchive,
  planMerge,
} from "./archive-plan.ts";
export { type Collected, collectExtents, type CollectOptions } from "./collect-shell.ts";
export { bestCompression, type Compression, packHere, withDeflate } from "./compression-shell.ts";
export { type CopiedSnapshot, copySnapshotTo, type SnapshotCopy } from "./copy-snapshot-shell.ts";
export { type CutSnapshot, type CutterOptions, SnapshotCutter } from "./cutter.ts";
export { type Codec, extentBytesMax } from "./extent-format.ts";
export type { CutExtent } from "./extent-packer.ts";
export { ExtentSealer, type SealerKeys } from "./extent-sealer-shell.ts";
export { ExtentUpload, type UploadOptions } from "./extent-upload-shell.ts";
export {
  findFirstCommit,
  countCommits,
  findMoment,
  type LogSource,
  type MomentSearch,
  walkToEnd,
} from "./find-moment-shell.ts";
export { FolderStore, type ObjectDraft, type ObjectFile } from "./folder-store-shell.ts";
export { findHexLsn, formatHexLsn } from "./hex-lsn.ts";
export {
  crcOfPieces,
  type ExtentWork,
  type ExtentWrite,
  filesToHydrate,
  planHydration,
  type TargetFile,
  writtenBytes,
} from "./hydration-plan.ts";
export {
  archivedUpTo,
  ArchivedLog,
  listArchivedLog,
  openArchivedLog,
  putArchivedLog,
  readArchivedLog,
} from "./log-archive-shell.ts";
export {
  isSamePath,
  type LogPath,
  newestEpoch,
  type PathEntry,
  type PathRun,
  runsOf,
  sharedUpTo,
} from "./log-path.ts";
export { encodeManifest, parseManifest } from "./manifest-codec.ts";
export {
  backupManifestName,
  type ExtentSize,
  reasonForFull,
  sizeOfSnapshot,
  type SnapshotFacts,
  type SnapshotFile,
  type SnapshotKind,
  type SnapshotLog,
  type SnapshotManifest,
  type SnapshotSize,
} from "./manifest.ts";
export {
  deleteSnapshot,
  type Deletion,
  learnDeletions,
  type LiveSnapshots,
  liveIn,
  liveSnapshots,
  readDeletions,
  type Sweep,
  sweepDeletions,
} from "./deletions-shell.ts";
export {
  extentObject,
  extentPrefix,
  findExtentId,
  findLogRange,
  findSnapshotId,
  findTombstoneName,
  isObjectName,
  isSnapshotId,
  logObject,
  logPrefix,
  type LogRange,
  objectNameBytesMax,
  reachedObject,
  snapshotObject,
  snapshotPrefix,
  tombstoneObject,
  tombstonePrefix,
  volumeObject,
} from "./object-names.ts";
export type { ObjectFacts, ObjectStore, Relative } from "./object-store-shell.ts";
export {
  isSameStore,
  objectStoreEnv,
  openObjectStore,
  type StoreAddress,
  tryObjectStore,
} from "./open-store-shell.ts";
export { type Piece, PieceCursor, PieceList, type Pieces } from "./pieces.ts";
export {
  futureOfLsn,
  futureOfSeen,
  futureOfTime,
  type LeftFuture,
  sharedEnd,
  unnamedFutures,
} from "./left-futures.ts";
export { isReachedBy, type ReachedMoment } from "./reached-moment.ts";
export { readReached, writeReached } from "./reached-moment-shell.ts";
export { readSnapshotFile, readSnapshotLog } from "./read-file-shell.ts";
export { onlyStore, type ReplicaEvents, type ReplicaOptions, Replicas } from "./replicas-shell.ts";
export {
  type CopiedExtents,
  type Reached,
  type Replication,
  replicateSnapshots,
} from "./replicate-shell.ts";
export {
  type ArchiveScrubOptions,
  describeLostLog,
  type Healing,
  scrubArchive,
} from "./scrub-archive-shell.ts";
export { ObjectScrub, type ObjectScrubOptions, type ScrubEvents } from "./scrub-objects-shell.ts";
export { describeLost, type LostObject, type ScrubFigures, ScrubTally } from "./scrub-tally.ts";
export { buildManifest, type BuildOptions } from "./snapshot-build.ts";
export { automaticSnapshotFacts, automaticSnapshotId, genesisSnapshotId } from "./snapshot-ids.ts";
export { keepLog, type KeepLogOptions, logOfSnapshot } from "./snapshot-log-shell.ts";
export {
  isOnPath,
  isSnapshotDue,
  type PlannedSnapshot,
  planMode,
  planRetention,
  reachOf,
  type RetentionPlan,
  type Schedule,
  snapshotFor,
  type SnapshotMode,
} from "./snapshot-plan.ts";
export {
  findSnapshot,
  type Publication,
  publishSnapshot,
  readSnapshot,
  snapshotIds,
} from "./snapshots-shell.ts";
export { Deletions, incarnationOf, type Tombstone, tombstoneBytesMax } from "./tombstone.ts";
export { TriedReplicas } from "./tried-replicas-shell.ts";
export {
  isUsable,
  type SnapshotSearch,
  type SnapshotWish,
  usableSnapshots,
} from "./usable-snapshot-shell.ts";
export type { Env } from "./s3-location.ts";
export { openS3Store, type S3Limits, type S3OpenOptions } from "./s3-open-shell.ts";
export type { S3Store } from "./s3-store-shell.ts";
export {
  encodeVolumeRecord,
  type LeftPath,
  parseVolumeRecord,
  type RecordedMember,
  type VolumeRecord,
  volumeRecordFormat,
} from "./volume-record.ts";
export { readVolumeRecord, writeVolumeRecord } from "./volume-record-shell.ts";
