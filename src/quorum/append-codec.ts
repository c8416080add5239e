import { crc32c } from "../base/crc32c.ts";
import { ProtocolViolation } from "../base/errors.ts";
import { type Epoch, epoch, type Timeline, timeline } from "../base/ids.ts";
import { type Lsn, lsn, lsnZero } from "../base/lsn.ts";
import { type AppendAnswer, payloadBytesMax, type RefuseReason } from "./messages.ts";

/**
 * The two messages of the commit path, at fixed offsets, so that a blocking worker reads them without allocating and a
 * driver sends one payload buffer behind six headers. Big-endian; neither carries a sender: the link's hello named it.
 *
 *     offset size  both
 *          0    4  length of the whole message, this word included
 *          4    4  crc32c: of bytes [8, 86) in an Append (its payload has its own), of [8, end) in an AppendAck
 *          8    1  type: 1 Append, 2 AppendAck
 *          9    1  version
 *         10   16  volume id
 *         26   16  node id: the one asked, and the one that answers
 *         42    8  request id
 *         50    8  epoch
 *                  Append
 *         58    4  timeline
 *         62    8  lsn
 *         70    8  vdl
 *         78    4  payload length, at most 1 MiB; 0 brings only the VDL
 *         82    4  crc32c of the payload
 *         86       payload
 *                  AppendAck
 *         58    8  scl
 *         66    1  status: 0 ack, 1 gap, 2 refuse
 *         67    1  flags: bit 0 has subscribers
 *         68    1  refuse: reason
 *         69    8  gap: end of the log; refuse: promised epoch; else 0
 */
export const messageVersion = 1;
export const appendType = 1;
export const appendAckType = 2;
export const appendHeaderBytes = 86;
export const appendAckBytes = 77;

/** Where each field lies, for readers that want no object. */
export const appendAt = {
  length: 0,
  crc: 4,
  type: 8,
  version: 9,
  volume: 10,
  node: 26,
  requestId: 42,
  epoch: 50,
  timeline: 58,
  lsn: 62,
  vdl: 70,
  payloadBytes: 78,
  payloadCrc: 82,
} as const;

export interface AppendHeader {
  readonly requestId: bigint;
  readonly epoch: Epoch;
  readonly timeline: Timeline;
  readonly lsn: Lsn;
  readonly vdl: Lsn;
  readonly payloadBytes: number;
  /** crc32c of the payload, computed once for all nodes. */
  readonly payloadCrc: number;
}

/** The two ids of a link as bytes (uuidToBytes), made once. */
export interface LinkIds {
  readonly volume: Uint8Array;
  readonly node: Uint8Array;
}

/** Epochs stay below 2^53: two words instead of a bigint. */
export function readEpochAt(bytes: Buffer, at: number): Epoch {
  const value = bytes.readUInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4);
  if (value > Number.MAX_SAFE_INTEGER)
    throw new ProtocolViolation(`epoch ${value} is out of range`);
  return epoch(value);
}

function writeEpochAt(into: Buffer, value: Epoch, at: number): void {
  into.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at);
  into.writeUInt32BE(value % 0x1_0000_0000, at + 4);
}

function writeCommon(
  into: Buffer,
  ids: LinkIds,
  facts: { type: number; length: number; requestId: bigint; epoch: Epoch },
): void {
  into.writeUInt32BE(facts.length, appendAt.length);
  into[appendAt.type] = facts.type;
  into[appendAt.version] = messageVersion;
  into.set(ids.volume, appendAt.volume);
  into.set(ids.node, appendAt.node);
  into.writeBigUInt64BE(facts.requestId, appendAt.requestId);
  writeEpochAt(into, facts.epoch, appendAt.epoch);
}

/** Fills the first appendHeaderBytes of `into`; the payload follows it on the wire. */
export function writeAppendHeader(into: Buffer, ids: LinkIds, header: AppendHeader): void {
  const length = appendHeaderBytes + header.payloadBytes;
  const { requestId } = header;
  writeCommon(into, ids, { type: appendType, length, requestId, epoch: header.epoch });
  into.writeUInt32BE(header.timeline, appendAt.timeline);
  into.writeBigUInt64BE(header.lsn, appendAt.lsn);
  into.writeBigUInt64BE(header.vdl, appendAt.vdl);
  into.writeUInt32BE(header.payloadBytes, appendAt.payloadBytes);
  into.writeUInt32BE(header.payloadCrc, appendAt.payloadCrc);
  into.writeUInt32BE(crc32c(into, 0, appendAt.type, appendHeaderBytes), appendAt.crc);
}

/**
 * Reads the header at `at`. The payload's CRC is the caller's to check, when all of it is there. Raises
 * ProtocolViolation for anything but a whole, sound Append header.
 */
export function readAppendHeader(bytes: Buffer, at = 0): AppendHeader {
  checkAppendHeader(bytes, at);
  return {
    requestId: bytes.readBigUInt64BE(at + appendAt.requestId),
    epoch: readEpochAt(bytes, at + appendAt.epoch),
    timeline: timeline(bytes.readUInt32BE(at + appendAt.timeline)),
    lsn: lsn(bytes.readBigUInt64BE(at + appendAt.lsn)),
    vdl: lsn(bytes.readBigUInt64BE(at + appendAt.vdl)),
    payloadBytes: bytes.readUInt32BE(at + appendAt.payloadBytes),
    payloadCrc: bytes.readUInt32BE(at + appendAt.payloadCrc),
  };
}

/** The header's own checks, without an object; afterwards its fields may be read at their offsets. */
export function checkAppendHeader(bytes: Buffer, at = 0): void {
  if (bytes.length - at < appendHeaderBytes) throw new ProtocolViolation("append header cut short");
  checkTypeAndVersion(bytes, at, appendType);
  const payloadBytes = bytes.readUInt32BE(at + appendAt.payloadBytes);
  if (payloadBytes > payloadBytesMax)
    throw new ProtocolViolation(`append of ${payloadBytes} bytes exceeds ${payloadBytesMax}`);
  if (bytes.readUInt32BE(at + appendAt.length) !== appendHeaderBytes + payloadBytes)
    throw new ProtocolViolation("append lengths differ");
  checkCrc(bytes, at, at + appendHeaderBytes);
}

/** True if the link's ids are the ones in the message at `at`. */
export function isForLink(bytes: Buffer, ids: LinkIds, at = 0): boolean {
  const volumeAt = at + appendAt.volume;
  const nodeAt = at + appendAt.node;
  return (
    bytes.compare(ids.volume, 0, 16, volumeAt, volumeAt + 16) === 0 &&
    bytes.compare(ids.node, 0, 16, nodeAt, nodeAt + 16) === 0
  );
}

function checkTypeAndVersion(bytes: Buffer, at: number, type: number): void {
  if (bytes[at + appendAt.type] !== type)
    throw new ProtocolViolation(`message type ${bytes[at + appendAt.type]} instead of ${type}`);
  if (bytes[at + appendAt.version] !== messageVersion)
    throw new ProtocolViolation(`message version ${bytes[at + appendAt.version]}`);
}

function checkCrc(bytes: Buffer, at: number, end: number): void {
  if (crc32c(bytes, 0, at + appendAt.type, end) !== bytes.readUInt32BE(at + appendAt.crc))
    throw new ProtocolViolation("message CRC does not match");
}

/** Refusals that an AppendAck can carry, in the order of their numbers. */
export const refuseReasons: readonly RefuseReason[] = [
  "stale",
  "notAccepted",
  "sealed",
  "damaged",
  "full",
  "wrongTarget",
  "notSupported",
  "outgrown",
];

const statusOf = { appendAck: 0, gap: 1, refuse: 2 } as const;

/** Fills appendAckBytes of `into`, or of a new buffer. */
export function encodeAppendAck(
  ids: LinkIds,
  requestId: bigint,
  answer: AppendAnswer,
  into: Buffer = Buffer.allocUnsafe(appendAckBytes),
): Buffer {
  const length = appendAckBytes;
  writeCommon(into, ids, { type: appendAckType, length, requestId, epoch: answer.epoch });
  into.writeBigUInt64BE(answer.kind === "appendAck" ? answer.scl : lsnZero, 58);
  into[66] = statusOf[answer.kind];
  into[67] = answer.kind === "appendAck" && answer.hasSubscribers ? 1 : 0;
  into[68] = answer.kind === "refuse" ? refuseReasons.indexOf(answer.reason) : 0;
  if (answer.kind === "refuse") writeEpochAt(into, answer.promised, 69);
  else into.writeBigUInt64BE(answer.kind === "gap" ? answer.end : lsnZero, 69);
  into.writeUInt32BE(crc32c(into, 0, appendAt.type, appendAckBytes), appendAt.crc);
  return into;
}

export interface AppendAckMessage {
  readonly requestId: bigint;
  readonly answer: AppendAnswer;
}

/** Raises ProtocolViolation for anything but a whole, sound AppendAck. */
export function decodeAppendAck(bytes: Buffer, at = 0): AppendAckMessage {
  if (bytes.length - at < appendAckBytes) throw new ProtocolViolation("append ack cut short");
  checkTypeAndVersion(bytes, at, appendAckType);
  if (bytes.readUInt32BE(at + appendAt.length) !== appendAckBytes)
    throw new ProtocolViolation("append ack of a wrong length");
  checkCrc(bytes, at, at + appendAckBytes);
  const requestId = bytes.readBigUInt64BE(at + appendAt.requestId);
  return { requestId, answer: readAnswer(bytes, at) };
}

function readAnswer(bytes: Buffer, at: number): AppendAnswer {
  const ackEpoch = readEpochAt(bytes, at + appendAt.epoch);
  switch (bytes[at + 66]) {
    case statusOf.appendAck:
      return {
        kind: "appendAck",
        epoch: ackEpoch,
        scl: lsn(bytes.readBigUInt64BE(at + 58)),
        hasSubscribers: bytes[at + 67] === 1,
      };
    case statusOf.gap:
      return { kind: "gap", epoch: ackEpoch, end: lsn(bytes.readBigUInt64BE(at + 69)) };
    case statusOf.refuse: {
      const reason = refuseReasons[bytes[at + 68] ?? 0];
      if (reason === undefined) throw new ProtocolViolation(`refusal for reason ${bytes[at + 68]}`);
      return { kind: "refuse", epoch: ackEpoch, promised: readEpochAt(bytes, at + 69), reason };
    }
    default:
      throw new ProtocolViolation(`append ack of status ${bytes[at + 66]}`);
  }
}
