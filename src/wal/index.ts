/**
 * WAL as bytes, as PostgreSQL 15 to 18 write it: pages, records, segment files and timeline histories. Start with
 * walker.ts, which follows the records through a stream that is cut anywhere and says where the last complete one
 * ends: the only place where a log may end, a feed may stop and a timeline may branch. page.ts and record.ts have the
 * layouts.
 */
export { findFirstBoundary } from "./first-record.ts";
export { formatHistoryFile, type HistoryLine, parseHistoryFile } from "./history-file.ts";
export {
  type CommitSpan,
  type Moment,
  MomentFinder,
  type MomentTarget,
  withCommit,
} from "./moment.ts";
export { pageBytes, segmentBytes } from "./page.ts";
export { safeCut } from "./safe-cut.ts";
export { parseSegmentName, segmentName } from "./segment-name.ts";
export type { WalCommit, WalFailure, WalkerOptions, WalkStart } from "./walk.ts";
export { WalWalker } from "./walker.ts";
