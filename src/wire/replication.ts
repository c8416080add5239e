import { ByteReader } from "../base/bytes.ts";
import { ProtocolViolation } from "../base/errors.ts";
import { advance, lsn, type Lsn } from "../base/lsn.ts";

/**
 * What flows inside CopyBoth of physical replication, both ways. Each of these is the body of a CopyData message:
 *
 *     server to client                            client to server
 *     'w' start u64, end u64, time i64, bytes     'r' write u64, flush u64, apply u64, time i64, reply u8
 *     'k' end u64, time i64, reply u8             'h' time i64, xmin u32, epoch u32, catalog xmin u32, epoch u32
 *
 * Times are microseconds since 2000-01-01; big-endian throughout.
 */
const tag = { copyData: 0x64, wal: 0x77, keepalive: 0x6b, status: 0x72, feedback: 0x68 } as const;

/** CopyData's letter and length. */
const copyHeaderBytes = 5;
/** What precedes the bytes of a 'w'. */
const walHeaderBytes = 25;
const keepaliveBytes = 18;
const statusBytes = 34;
const feedbackBytes = 25;
/** Anything but WAL is text of a few lines, at most a timeline history. */
const textBytesMax = 1024 * 1024;

const microsecondsAt2000 = 946_684_800_000_000n;

/** PostgreSQL's timestamp of `wallMs` (milliseconds since 1970). */
export function pgTimestamp(wallMs: number): bigint {
  return BigInt(Math.round(wallMs * 1000)) - microsecondsAt2000;
}

/** What a standby says it has: nothing may be reported that is not durable in its sense. */
export interface StandbyStatus {
  readonly write: Lsn;
  readonly flush: Lsn;
  readonly apply: Lsn;
}

/** A standby's oldest transaction, which the primary must not vacuum away. All zero: none. */
export interface StandbyFeedback {
  readonly xmin: number;
  readonly xminEpoch: number;
  readonly catalogXmin: number;
  readonly catalogXminEpoch: number;
}

export const noFeedback: StandbyFeedback = {
  xmin: 0,
  xminEpoch: 0,
  catalogXmin: 0,
  catalogXminEpoch: 0,
};

function copyData(bodyBytes: number, letter: number): Buffer {
  const message = Buffer.allocUnsafe(copyHeaderBytes + bodyBytes);
  message.writeUInt8(tag.copyData, 0);
  message.writeUInt32BE(4 + bodyBytes, 1);
  message.writeUInt8(letter, copyHeaderBytes);
  return message;
}

/** A whole CopyData message 'r'. */
export function encodeStandbyStatus(status: StandbyStatus, wallMs: number): Buffer {
  const message = copyData(statusBytes, tag.status);
  message.writeBigUInt64BE(status.write, 6);
  message.writeBigUInt64BE(status.flush, 14);
  message.writeBigUInt64BE(status.apply, 22);
  message.writeBigInt64BE(pgTimestamp(wallMs), 30);
  message.writeUInt8(0, 38);
  return message;
}

/** A whole CopyData message 'h'. */
export function encodeStandbyFeedback(feedback: StandbyFeedback, wallMs: number): Buffer {
  const message = copyData(feedbackBytes, tag.feedback);
  message.writeBigInt64BE(pgTimestamp(wallMs), 6);
  message.writeUInt32BE(feedback.xmin, 14);
  message.writeUInt32BE(feedback.xminEpoch, 18);
  message.writeUInt32BE(feedback.catalogXmin, 22);
  message.writeUInt32BE(feedback.catalogXminEpoch, 26);
  return message;
}

/** A whole CopyData message 'k'. */
export function encodeKeepalive(end: Lsn, wallMs: number, mustReply: boolean): Buffer {
  const message = copyData(keepaliveBytes, tag.keepalive);
  message.writeBigUInt64BE(end, 6);
  message.writeBigInt64BE(pgTimestamp(wallMs), 14);
  message.writeUInt8(mustReply ? 1 : 0, 22);
  return message;
}

/** Everything of a CopyData message 'w' but its bytes, `sizeBytes` of which must follow at once. */
export function encodeWalHeader(
  chunk: { readonly start: Lsn; readonly end: Lsn; readonly sizeBytes: number },
  wallMs: number,
): Buffer {
  const message = Buffer.allocUnsafe(copyHeaderBytes + walHeaderBytes);
  message.writeUInt8(tag.copyData, 0);
  message.writeUInt32BE(4 + walHeaderBytes + chunk.sizeBytes, 1);
  message.writeUInt8(tag.wal, copyHeaderBytes);
  message.writeBigUInt64BE(chunk.start, 6);
  message.writeBigUInt64BE(chunk.end, 14);
  message.writeBigInt64BE(pgTimestamp(wallMs), 22);
  return message;
}

/** What a standby sends inside CopyBoth. */
export type StandbyMessage =
  | ({ readonly kind: "status"; readonly mustReply: boolean } & StandbyStatus)
  | { readonly kind: "feedback"; readonly feedback: StandbyFeedback };

/** Parses the body of a CopyData from a standby. Raises ProtocolViolation on anything but 'r' and 'h'. */
export function decodeStandbyMessage(body: Buffer): StandbyMessage {
  const letter = body.length > 0 ? body.readUInt8(0) : 0;
  if (letter === tag.status && body.length === statusBytes) {
    return {
      kind: "status",
      write: lsn(body.readBigUInt64BE(1)),
      flush: lsn(body.readBigUInt64BE(9)),
      apply: lsn(body.readBigUInt64BE(17)),
      mustReply: body.readUInt8(33) === 1,
    };
  }
  if (letter === tag.feedback && body.length === feedbackBytes) {
    const reader = new ByteReader(body.subarray(9));
    const [xmin, xminEpoch] = [reader.u32(), reader.u32()];
    const [catalogXmin, catalogXminEpoch] = [reader.u32(), reader.u32()];
    return { kind: "feedback", feedback: { xmin, xminEpoch, catalogXmin, catalogXminEpoch } };
  }
  throw new ProtocolViolation(`standby message ${letter} of ${body.length} bytes`);
}

/** Where ReplicationFramer delivers. Views are borrowed until the call returns. */
export interface ReplicationSink {
  /** A piece of WAL: `bytes` begins at `start` and continues the piece before it within one 'w'. */
  onWal(start: Lsn, bytes: Buffer): void;
  onKeepalive(end: Lsn, mustReply: boolean): void;
  /** Any other message, whole, with its letter and length. */
  onMessage(message: Buffer): void;
}

const nothing = Buffer.alloc(0);

/**
 * Splits what a walsender sends. WAL is never collected or copied: each piece of a 'w' is handed on as it came from
 * the socket, so a message of 128 kB that arrives in three reads is three pieces.
 */
export class ReplicationFramer {
  private readonly sink: ReplicationSink;
  private pending: Buffer = nothing;
  private walRest = 0;
  private walAt = lsn(0n);

  constructor(sink: ReplicationSink) {
    this.sink = sink;
  }

  /** Raises ProtocolViolation on a length that no such message has. */
  push(chunk: Buffer): void {
    // Copies only when a header or a text message straddles two reads.
    const bytes = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk]);
    this.pending = nothing;
    let at = 0;
    while (at < bytes.length) {
      const used = this.walRest > 0 ? this.passWal(bytes, at) : this.message(bytes, at);
      if (used === 0) {
        this.pending = at === 0 ? bytes : Buffer.from(bytes.subarray(at));
        return;
      }
      at += used;
    }
  }

  private passWal(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.walRest);
    const start = this.walAt;
    this.walRest -= end - at;
    if (this.walRest > 0) this.walAt = advance(start, end - at);
    this.sink.onWal(start, bytes.subarray(at, end));
    return end - at;
  }

  /** Bytes used; 0 if more must come first. */
  private message(bytes: Buffer, at: number): number {
    const have = bytes.length - at;
    if (have < copyHeaderBytes) return 0;
    const length = bytes.readUInt32BE(at + 1);
    if (length < 4) throw new ProtocolViolation(`message length ${length}`);
    const isCopyData = bytes[at] === tag.copyData && length > 4;
    // What a CopyData is stands in its first byte.
    if (isCopyData && have === copyHeaderBytes) return 0;
    if (isCopyData && bytes[at + copyHeaderBytes] === tag.wal) {
      if (length < 4 + walHeaderBytes)
        throw new ProtocolViolation(`WAL message of ${length} bytes`);
      if (have < copyHeaderBytes + walHeaderBytes) return 0;
      this.walAt = lsn(bytes.readBigUInt64BE(at + 6));
      this.walRest = length - 4 - walHeaderBytes;
      return copyHeaderBytes + walHeaderBytes;
    }
    if (length > textBytesMax) throw new ProtocolViolation(`message of ${length} bytes`);
    if (have < 1 + length) return 0;
    if (isCopyData && bytes[at + copyHeaderBytes] === tag.keepalive) {
      if (length !== 4 + keepaliveBytes)
        throw new ProtocolViolation(`keepalive of ${length} bytes`);
      this.sink.onKeepalive(lsn(bytes.readBigUInt64BE(at + 6)), bytes[at + 22] === 1);
    } else {
      this.sink.onMessage(bytes.subarray(at, at + 1 + length));
    }
    return 1 + length;
  }
}
