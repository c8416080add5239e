/**
 * The keeper: one process a cluster that does what the volume needs done beside the data path, at its own pace. Start with
 * messages.ts (what it is told and tells), then keeper-shell.ts;
 * snapshots are snapshot-jobs-shell.ts, the log's archive is archiver-shell.ts.
 */
export { Keeper, type KeeperContext, type KeeperDeps } from "./keeper-shell.ts";
export {
  type ArchiveReport,
  type ExtentReport,
  type KeeperConfig,
  keeperConfigSchema,
  type KeeperReport,
  keeperReportSchema,
  type ListedSnapshot,
  snapshotDeletedSchema,
  scrubReachSchema,
  type StoreScrub,
  storeScrubsSchema,
  type SnapshotJob,
  snapshotJobSchema,
  snapshotReachedSchema,
  type SnapshotRow,
  snapshotRowSchema,
  snapshotRowsSchema,
  type World,
  worldSchema,
} from "./messages.ts";
export { oldestFirst, rowOf, unreadRowOf } from "./snapshot-rows.ts";
