/**
 * The volume beside its log: snapshots as manifests of extents, and the stores that keep them. Start with
 * object-store-shell.ts (what a store promises) and object-names.ts (what lies in one).
 */
export { findHexLsn, formatHexLsn } from "./hex-lsn.ts";
export {
  extentObject,
  extentPrefix,
  findExtentId,
  findSnapshotId,
  isObjectName,
  isSnapshotId,
  logObject,
  logPrefix,
  objectNameBytesMax,
  snapshotObject,
  snapshotPrefix,
  volumeObject,
} from "./object-names.ts";
export type { ObjectFacts, ObjectStore } from "./object-store-shell.ts";
export type { Env } from "./s3-location.ts";
export { openS3Store, type S3Limits, type S3OpenOptions } from "./s3-open-shell.ts";
export type { S3Store } from "./s3-store-shell.ts";
