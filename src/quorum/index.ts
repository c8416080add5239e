/**
 * The words of the quorum protocol: epochs, histories and configurations as values, the messages and their codec, the
 * rules on which the laws hang. Start with history.ts and configuration.ts, then messages.ts. Who acts on them: acceptor
 * (a storage node's side) and ownership (a driver's). The laws I1-I15 are in docs/quorum.md; link-shell.ts is the
 * connection between a node and whoever talks to it.
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
  readEpoch,
  readFlag,
  readNodeId,
  readPin,
  readUuid,
  readVolumeId,
  readVolumeOrNone,
  uuidFromBytes,
  uuidToBytes,
  writeConfiguration,
  writeCount,
  writeFlag,
  writeHistory,
  writePin,
  writeUuid,
  writeVolumeOrNone,
} from "./codec-fields.ts";
export {
  compareConfigurationIds,
  type Configuration,
  type ConfigurationId,
  isBlockingSet,
  isReadQuorum,
  isSameSet,
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
  isSameHistory,
  isSoundHistory,
  lastEpoch,
  meetsBacktrack,
  newestBacktrack,
  timelineAt,
  type TimelineSpan,
  timelineSpans,
} from "./history.ts";
export * from "./messages.ts";
export {
  decodeObjectMessage,
  encodeObjectMessage,
  type ReceivedObjectMessage,
} from "./object-codec.ts";
export * from "./object-messages.ts";
export {
  type AcceptedLink,
  acceptLink,
  type LinkOptions,
  NodeLink,
  openLink,
  serveLink,
} from "./link-shell.ts";
export { type LogRank, type NodeEpochs, type Rules, trueRules } from "./rules.ts";
