/**
 * The quorum protocol, pure: who owns the volume, what is durable, how a new owner recovers. Start with driver.ts (one
 * epoch in good times), then recovery.ts; acceptor.ts is a storage node's side. messages.ts is what they say to each
 * other. The laws I1-I15 are in quorum-protocol.md; each machine's checkInvariants states those it can see alone.
 * log-driver and storage-node carry out the actions returned here; link-shell.ts is the connection between them.
 */
export {
  appendAckBytes,
  type AppendAckMessage,
  appendAckType,
  appendAt,
  type AppendHeader,
  appendHeaderBytes,
  appendType,
  checkAppendHeader,
  decodeAppendAck,
  encodeAppendAck,
  isForLink,
  type LinkIds,
  messageVersion,
  readAppendHeader,
  readEpochAt,
  writeAppendHeader,
} from "./append-codec.ts";
export {
  decodeMessage,
  encodeAppendAnswer,
  encodeMessage,
  messageBytesMax,
  MessageFramer,
  type ReceivedMessage,
} from "./codec.ts";
export { readElect, writeElect } from "./codec-bodies.ts";
export {
  readConfiguration,
  readHistory,
  readPin,
  readUuid,
  uuidFromBytes,
  uuidToBytes,
  writeConfiguration,
  writeHistory,
  writePin,
  writeUuid,
} from "./codec-fields.ts";
export {
  compareConfigurationIds,
  type Configuration,
  type ConfigurationId,
  isBlockingSet,
  isReadQuorum,
  isSoundSet,
  isWriteQuorum,
  type Member,
  memberSet,
  type MemberSet,
  membersOf,
  newerConfiguration,
  noConfiguration,
  thresholdsFor,
  vclOf,
} from "./configuration.ts";
export {
  decodeHello,
  decodeHelloAnswer,
  encodeHello,
  encodeHelloAnswer,
  type Hello,
  helloAnswerBytes,
  helloBytes,
  type HelloResult,
  judgeHello,
  type LinkPurpose,
  protocolVersion,
} from "./hello.ts";
export {
  commonPrefix,
  effectiveHistory,
  entryAt,
  epochAt,
  extendHistory,
  type History,
  type HistoryEntry,
  isOnPath,
  lastEpoch,
  newestBacktrack,
  timelineAt,
  type TimelineSpan,
  timelineSpans,
} from "./history.ts";
export * from "./messages.ts";
export { Acceptor, type AcceptorOptions } from "./acceptor.ts";
export type { AcceptorAction, AcceptorEvent, Reply } from "./acceptor-io.ts";
export {
  type AcceptorState,
  decodeAcceptorState,
  encodeAcceptorState,
  formattedState,
  type PendingCut,
} from "./acceptor-state.ts";
export { type AppendView, judgeAppend, overlapBytes } from "./append-rule.ts";
export {
  type AcceptedLink,
  acceptLink,
  type LinkOptions,
  NodeLink,
  openLink,
  serveLink,
} from "./link-shell.ts";
export { everyRound } from "./node-lease.ts";
export { type LogRank, type NodeEpochs, type Rules, trueRules } from "./rules.ts";
export { Driver, type DriverOptions } from "./driver.ts";
export type { DriverAction, DriverEvent } from "./driver-io.ts";
export type { FanOutMode } from "./fan-out.ts";
export { chooseRecovery, type Recovery } from "./recovery.ts";
