/**
 * PostgreSQL's protocol v3, both sides. Start with framer.ts (message boundaries without decoding) and startup.ts, then
 * one file per group of messages; scram.ts and md5.ts are arithmetic only. client-shell.ts is a small client for our own
 * PostgreSQL, replication.ts what flows inside physical replication.
 */
export {
  authenticationCode,
  encodeAuthenticationOk,
  encodeCleartextRequest,
  encodeMd5Request,
  encodePassword,
  encodeSaslContinue,
  encodeSaslFinal,
  encodeSaslInitialResponse,
  encodeSaslRequest,
  encodeSaslResponse,
  parsePassword,
  parseSaslInitialResponse,
  type SaslInitialResponse,
} from "./authentication.ts";
export {
  type BackupOptions,
  type BackupSink,
  type BaseBackup,
  takeBaseBackup,
} from "./base-backup-shell.ts";
export {
  connectPg,
  type PgAddress,
  PgClient,
  type PgConnectOptions,
  type PgResult,
  pgSocketPath,
} from "./client-shell.ts";
export { plainSession, plainSettings } from "./plain-session.ts";
export {
  decodeStandbyMessage,
  encodeKeepalive,
  encodeStandbyFeedback,
  encodeStandbyStatus,
  encodeWalHeader,
  noFeedback,
  pgTimestamp,
  ReplicationFramer,
  type ReplicationSink,
  type StandbyFeedback,
  type StandbyMessage,
  type StandbyStatus,
} from "./replication.ts";
export {
  connectReplication,
  ReplicationClient,
  type ReplicationHandlers,
  type ReplicationStart,
  type SystemIdentity,
} from "./replication-shell.ts";
export { encodeError, encodeNotice, parseReport, parseReportHead, type Severity } from "./error.ts";
export {
  type HeadPolicy,
  loginBytesMax,
  messageBytesMax,
  MessageScanner,
  startupBytesMax,
} from "./framer.ts";
export { findMd5Verifier, isMd5Answer, makeMd5Verifier, md5Answer } from "./md5.ts";
export { encodeMessage } from "./message.ts";
export { postmasterSql } from "./postmaster.ts";
export {
  type BackendKey,
  type Column,
  encodeBackendKey,
  encodeCommandComplete,
  encodeDataRow,
  encodeParameterDescription,
  encodeParameterStatus,
  encodeReadyForQuery,
  encodeRowDescription,
  parseBackendKey,
  parseCommandTag,
  parseDataRow,
  parseFunctionResult,
  parseParameterStatus,
} from "./result.ts";
export {
  findScramVerifier,
  formatScramVerifier,
  makeScramVerifier,
  mockVerifier,
  scramClientFinal,
  scramMechanisms,
  ScramServer,
  scramSha256,
  scramSha256Plus,
  type ScramServerOptions,
  type ScramVerifier,
} from "./scram.ts";
export {
  encodeCancelRequest,
  encodeGssRequest,
  encodeNegotiateVersion,
  encodeSslRequest,
  encodeStartup,
  findParameter,
  findStartupPacket,
  protocolMinorMax,
  type StartupPacket,
  type StartupParameter,
  type StartupRequest,
} from "./startup.ts";
export {
  type BindRequest,
  decodeBind,
  decodeExecute,
  decodeParse,
  encodeBind,
  encodeClose,
  encodeDescribe,
  encodeExecute,
  encodeFlush,
  encodeFunctionCall,
  encodeParse,
  encodeQuery,
  encodeSync,
  encodeTerminate,
  findBindNames,
  findExecutePortal,
  findParseName,
  findTarget,
  parseTextOf,
  queryTextOf,
  type Target,
} from "./statement.ts";
export { backend, frontend, frontendLengthMax, transactionState } from "./types.ts";
export {
  encodeCopyBoth,
  encodeCopyDone,
  encodeIdentifyReply,
  encodeNextTimeline,
  encodeTimelineHistoryReply,
  encodeWalsenderError,
  encodeWalsenderGreeting,
  encryptionRefused,
  parseReplicationCommand,
  type ReplicationCommand,
  WalReceiverFramer,
  type WalReceiverMessage,
} from "./walsender.ts";
