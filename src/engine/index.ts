/**
 * One PostgreSQL: which installation runs, as whom, from which files, with which settings, and its life as a process.
 * Start with settings.ts (every setting, and why) and postgres-shell.ts (start, ready, stop, exit). The way of an
 * instance: findEngine, chooseOsUser, placeInstances; createGenesis once a volume; judgeCache, then seedInstance or
 * another rebuild; stampCache; Postgres. What the log means, and who may write, is none of this room's business.
 */
export { adoptImage, type ImagePlace } from "./adopt-image-shell.ts";
export { parseAutoConf } from "./auto-conf.ts";
export {
  beginRebuild,
  type CacheVerdict,
  dataDirOf,
  finishRebuild,
  judgeCache,
  sealCache,
  seedInstance,
  type SeedOptions,
  stampCache,
  unstampCache,
} from "./cache-shell.ts";
export { baseLsn, type ControlFile, type ControlState, parseControlFile } from "./control-file.ts";
export {
  autoConfName,
  type HistoryFile,
  historyFileName,
  installHistoryFiles,
  prepareSocketDirs,
} from "./data-dir-shell.ts";
export { type DirectorySnapshotOptions, snapshotOfDirectory } from "./directory-snapshot-shell.ts";
export { isOwnDiskFull } from "./disk-failure-shell.ts";
export { trustedExtensions } from "./extensions-shell.ts";
export { type Engine, type EngineWish, findEngine } from "./find-engine-shell.ts";
export {
  createGenesis,
  type Genesis,
  type GenesisOptions,
  readControlFile,
  readGenesis,
} from "./genesis-shell.ts";
export { hydrateFromBackup, type HydrateOptions } from "./hydrate-shell.ts";
export {
  hydrateFromSnapshot,
  type HydrationFigures,
  type HydrationProgress,
  type SnapshotHydration,
  type SnapshotUnpacking,
  unpackSnapshot,
} from "./hydrate-snapshot-shell.ts";
export {
  canReach,
  chooseOsUser,
  type InstancesPlace,
  type OsUser,
  placeInstances,
  relocationRoot,
} from "./os-user-shell.ts";
export { type LaidLog, layLog, type LogToLay, type TimelineStart } from "./lay-log-shell.ts";
export {
  copyTree,
  makeOwnedDir,
  namesOwned,
  readOwned,
  removeDraftsOf,
  syncTree,
  type TreeCopy,
  removeOwned,
  writeOwned,
} from "./owned-files-shell.ts";
export {
  EndedAtStart,
  Postgres,
  type PostgresExit,
  type PostgresOptions,
  type StopMode,
  type StopResult,
} from "./postgres-shell.ts";
export { CpuWatch } from "./cpu-watch-shell.ts";
export { findProcesses, killProcesses } from "./processes-shell.ts";
export { recoverImage, type Recovery } from "./recover-shell.ts";
export {
  bootstrapUser,
  commandLineSettings,
  configurationFile,
  hbaFile,
  logDriverName,
  mayOverride,
  primaryConninfo,
  type Role,
  type Setting,
  type SettingContext,
  settings,
  socketPort,
  userConnectionsMax,
} from "./settings.ts";
export {
  type SnapshotFigures,
  type SnapshotProgress,
  takeSnapshot,
  type TakenSnapshot,
  type TakeSnapshotOptions,
} from "./snapshot-shell.ts";
export { dropUnreachedTimeline } from "./unreached-timeline-shell.ts";
