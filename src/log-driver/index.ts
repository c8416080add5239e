/**
 * The writer's synchronous standby, which fans WAL out to the storage nodes, and the readers' log feed, which stops at
 * VDL. What decides is quorum's Driver and the pure files here (ring.ts, feed-view.ts); the rest carries it out. Start
 * with handle-shell.ts (an agent's view of the driver), then driver-shell.ts (its thread), then feed-shell.ts.
 */
export {
  commitParts,
  type CommitPart,
  DriverCounts,
  type DriverFigures,
} from "./driver-figures.ts";
export type {
  Claimed,
  DriverEvent,
  DriverSettings,
  DriverStatus,
  NodeStatus,
  Opened,
  Opening,
  PgTarget,
  PinWish,
  TimelineChoice,
  VolumeNode,
} from "./driver-messages.ts";
export { findHistoryFile, historyFileName } from "./feed-history.ts";
export { FeedView } from "./feed-view.ts";
export type { OwnLog } from "./feed-view.ts";
export { type FeedStatus, LogFeed, type LogFeedOptions } from "./feed-shell.ts";
export { LogDriverHandle, startLogDriver } from "./handle-shell.ts";
export { inspectNode } from "./inspect-shell.ts";
export { inspectVolume, type VolumeSight } from "./inspect-volume-shell.ts";
export { type Holding, LogHold } from "./log-hold.ts";
export { LogTail } from "./log-tail.ts";
export { judgeBranch, judgeSystem, type WantedWriter } from "./writer-identity.ts";
export { compareLocalWal, type LocalWal, type LocalWalOptions } from "./local-wal-shell.ts";
export { findLow, type LowSearch } from "./low-shell.ts";
export { NodeStore, type NodeStoreLimits, type NodeStoreOptions } from "./node-store-shell.ts";
export type { LinkOwner, NodeEndpoint } from "./node-endpoint.ts";
export type { DriverProgress } from "./progress.ts";
export { releaseEpoch, type ReleaseOptions } from "./release-shell.ts";
export { volumeLog, WideVolumeLog } from "./volume-log-shell.ts";
export { type VolumeRange, VolumeReader, type VolumeReaderOptions } from "./volume-reader-shell.ts";
export { type Salvageable, type SalvageOptions, sealVolume } from "./salvage-shell.ts";
export { type OnScrubProgress, scrubNode, type ScrubResult } from "./scrub-shell.ts";
