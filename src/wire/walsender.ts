import { type BorealisError, ProtocolViolation } from "../base/errors.ts";
import { type Timeline, timeline } from "../base/ids.ts";
import { findLsn, formatLsn, type Lsn } from "../base/lsn.ts";
import { encodeAuthenticationOk } from "./authentication.ts";
import { encodeError } from "./error.ts";
import { encodeMessage } from "./message.ts";
import { decodeStandbyMessage, type StandbyMessage } from "./replication.ts";
import {
  encodeBackendKey,
  encodeCommandComplete,
  encodeDataRow,
  encodeParameterStatus,
  encodeReadyForQuery,
  encodeRowDescription,
} from "./result.ts";
import { findStartupPacket } from "./startup.ts";
import { queryTextOf } from "./statement.ts";
import { backend, frontend, transactionState } from "./types.ts";

/**
 * The walsender's half of a conversation with a standby's walreceiver (PostgreSQL 15 to 18 send the same):
 *
 *     walreceiver                               walsender
 *     [SSLRequest] [GSSENCRequest]              'N' each
 *     startup                                   AuthenticationOk, ParameterStatus..., ReadyForQuery
 *     Query IDENTIFY_SYSTEM                     one row, CommandComplete, ReadyForQuery
 *     Query TIMELINE_HISTORY n                  one row, CommandComplete, ReadyForQuery
 *     Query START_REPLICATION X/X TIMELINE n    CopyBothResponse, then CopyData both ways (replication.ts)
 *                                               CopyDone at the timeline's end
 *     CopyDone                                  one row (next timeline), CommandComplete twice, ReadyForQuery
 */
const messageBytesMax = 64 * 1024;

export type WalReceiverMessage =
  | { readonly kind: "encryptionRequest" }
  | { readonly kind: "startup" }
  | { readonly kind: "query"; readonly text: string }
  | { readonly kind: "standby"; readonly message: StandbyMessage }
  | { readonly kind: "copyDone" }
  | { readonly kind: "goodbye" };

const nothing = Buffer.alloc(0);

/** Cuts what a walreceiver sends into messages. */
export class WalReceiverFramer {
  private pending: Buffer = nothing;
  private isStarted = false;

  /** Raises ProtocolViolation; then drop the connection. */
  push(chunk: Buffer, onMessage: (message: WalReceiverMessage) => void): void {
    const bytes = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk]);
    this.pending = nothing;
    let at = 0;
    for (;;) {
      const used = this.next(bytes.subarray(at), onMessage);
      if (used === 0) break;
      at += used;
    }
    if (at < bytes.length) this.pending = Buffer.from(bytes.subarray(at));
  }

  /** Bytes used; 0 if more must come first. */
  private next(bytes: Buffer, onMessage: (message: WalReceiverMessage) => void): number {
    if (!this.isStarted) {
      const found = findStartupPacket(bytes);
      if (found) onMessage(this.begin(found.packet.kind));
      return found?.lengthBytes ?? 0;
    }
    if (bytes.length < 5) return 0;
    const length = bytes.readUInt32BE(1);
    if (length < 4 || length > messageBytesMax) {
      throw new ProtocolViolation(`message of ${length} bytes from a walreceiver`);
    }
    if (bytes.length < 1 + length) return 0;
    onMessage(parseMessage(bytes.readUInt8(0), bytes.subarray(5, 1 + length)));
    return 1 + length;
  }

  private begin(kind: "ssl" | "gss" | "cancel" | "startup"): WalReceiverMessage {
    if (kind === "cancel") return { kind: "goodbye" };
    if (kind !== "startup") return { kind: "encryptionRequest" };
    this.isStarted = true;
    return { kind: "startup" };
  }
}

function parseMessage(type: number, body: Buffer): WalReceiverMessage {
  switch (type) {
    case frontend.copyData:
      return { kind: "standby", message: decodeStandbyMessage(body) };
    case frontend.query:
      return { kind: "query", text: queryTextOf(body) };
    case frontend.copyDone:
      return { kind: "copyDone" };
    case frontend.terminate:
      return { kind: "goodbye" };
    default:
      throw new ProtocolViolation(`message type ${type} from a walreceiver`);
  }
}

export type ReplicationCommand =
  | { readonly kind: "identifySystem" }
  | { readonly kind: "timelineHistory"; readonly timeline: Timeline }
  | { readonly kind: "startReplication"; readonly from: Lsn; readonly timeline: Timeline };

/** Undefined: a command that a walreceiver without slots never sends. */
export function parseReplicationCommand(text: string): ReplicationCommand | undefined {
  if (/^IDENTIFY_SYSTEM\s*;?$/i.test(text)) return { kind: "identifySystem" };
  const history = /^TIMELINE_HISTORY\s+(\d{1,10})\s*;?$/i.exec(text);
  if (history) return { kind: "timelineHistory", timeline: timeline(Number(history[1])) };
  const start =
    /^START_REPLICATION\s+(?:SLOT\s+"\w+"\s+)?(?:PHYSICAL\s+)?([0-9A-F]+\/[0-9A-F]+)\s+TIMELINE\s+(\d{1,10})\s*;?$/i;
  const parts = start.exec(text);
  const from = findLsn(parts?.[1] ?? "");
  if (!parts || from === undefined) return undefined;
  return { kind: "startReplication", from, timeline: timeline(Number(parts[2])) };
}

/** The answer to an encryption request: no. */
export const encryptionRefused = Buffer.from("N");

const int8Oid = 20;

function readyForQuery(): Buffer {
  return encodeReadyForQuery(transactionState.idle);
}

/** Greets a walreceiver: no password, since the socket lies in a folder of the engine's own user. */
export function encodeWalsenderGreeting(serverVersion: string): Buffer {
  return Buffer.concat([
    encodeAuthenticationOk(),
    encodeParameterStatus("server_version", serverVersion),
    encodeParameterStatus("server_encoding", "UTF8"),
    encodeParameterStatus("client_encoding", "UTF8"),
    encodeParameterStatus("integer_datetimes", "on"),
    encodeBackendKey({ pid: 0, key: Buffer.alloc(4) }),
    readyForQuery(),
  ]);
}

export function encodeIdentifyReply(facts: {
  readonly systemId: string;
  readonly timeline: Timeline;
  readonly end: Lsn;
}): Buffer {
  return Buffer.concat([
    encodeRowDescription([
      { name: "systemid" },
      { name: "timeline", typeOid: int8Oid },
      { name: "xlogpos" },
      { name: "dbname" },
    ]),
    encodeDataRow([facts.systemId, String(facts.timeline), formatLsn(facts.end), null]),
    encodeCommandComplete("IDENTIFY_SYSTEM"),
    readyForQuery(),
  ]);
}

export function encodeTimelineHistoryReply(fileName: string, text: string): Buffer {
  return Buffer.concat([
    encodeRowDescription([{ name: "filename" }, { name: "content" }]),
    encodeDataRow([fileName, text]),
    encodeCommandComplete("TIMELINE_HISTORY"),
    readyForQuery(),
  ]);
}

/** CopyBothResponse: text format, no columns. */
export function encodeCopyBoth(): Buffer {
  return encodeMessage(backend.copyBoth, (body) => body.u8(0).u16(0));
}

/** Ends the stream; the receiver answers with its own. */
export function encodeCopyDone(): Buffer {
  return encodeMessage(backend.copyDone);
}

/** What follows both CopyDones at the end of a timeline. The receiver waits for two CommandCompletes. */
export function encodeNextTimeline(next: { timeline: Timeline; start: Lsn }): Buffer {
  return Buffer.concat([
    encodeRowDescription([{ name: "next_tli", typeOid: int8Oid }, { name: "next_tli_startpos" }]),
    encodeDataRow([String(next.timeline), formatLsn(next.start)]),
    encodeCommandComplete("START_STREAMING"),
    encodeCommandComplete("START_REPLICATION"),
    readyForQuery(),
  ]);
}

/** An error, after which the walreceiver may ask again. */
export function encodeWalsenderError(error: BorealisError): Buffer {
  return Buffer.concat([encodeError(error, "ERROR"), readyForQuery()]);
}
