import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { crc32c } from "../base/crc32c.ts";
import { ProtocolViolation } from "../base/errors.ts";
import { nodeId, type NodeId, volumeId, type VolumeId } from "../base/ids.ts";
import {
  appendAckType,
  appendAt,
  appendHeaderBytes,
  appendType,
  decodeAppendAck,
  encodeAppendAck,
  messageVersion,
  readAppendHeader,
  writeAppendHeader,
} from "./append-codec.ts";
import { bodies, type BodyCodec } from "./codec-bodies.ts";
import { readNodeId, readVolumeId, uuidFromBytes, uuidToBytes, writeUuid } from "./codec-fields.ts";
import {
  type Append,
  type AppendAnswer,
  type Envelope,
  payloadBytesMax,
  type QuorumMessage,
} from "./messages.ts";

/**
 * A message as bytes. Big-endian.
 *
 *     offset size
 *          0    4  length of the whole message, this word included
 *          4    4  crc32c of everything after it (an Append's covers its header; see append-codec.ts)
 *          8    1  type
 *          9    1  version
 *         10   16  volume id
 *         26   16  node id: the one asked, and the one that answers
 *         42    8  request id
 *         50       sender: u16 length, text; not in Append and AppendAck, whose link's hello named it
 *                  body: codec-bodies.ts
 */
const commonBytes = 50;

/** Log of payloadBytesMax plus room for what stands around it: histories, configurations, pins. */
export const messageBytesMax = payloadBytesMax + 512 * 1024;

const byType: ReadonlyMap<number, BodyCodec<QuorumMessage>> = new Map(
  // Each codec is called only with what its own type byte, or its own kind, selected.
  Object.values(bodies).map((codec) => [codec.type, codec as BodyCodec<QuorumMessage>]),
);

export interface ReceivedMessage {
  readonly envelope: Envelope;
  readonly message: QuorumMessage;
}

/** The message's bytes. A large payload is copied once: the commit path uses writeAppendHeader instead. */
export function encodeMessage(envelope: Envelope, message: QuorumMessage): Buffer {
  switch (message.kind) {
    case "append":
      return encodeAppend(envelope, message);
    case "appendAck":
    case "gap":
      return encodeAppendAnswer(envelope, message);
    default:
      // The codec and the message were selected by the same kind, which the checker cannot follow through the table.
      return bytesOfBody(envelope, bodies[message.kind] as BodyCodec<QuorumMessage>, message);
  }
}

/** On append links every answer has the fixed form, refusals too. */
export function encodeAppendAnswer(envelope: Envelope, answer: AppendAnswer): Buffer {
  return encodeAppendAck(idsOf(envelope), envelope.requestId, answer);
}

function idsOf(envelope: Envelope) {
  return { volume: uuidToBytes(envelope.volumeId), node: uuidToBytes(envelope.target) };
}

function encodeAppend(envelope: Envelope, message: Append): Buffer {
  const bytes = Buffer.allocUnsafe(appendHeaderBytes + message.payload.length);
  bytes.set(message.payload, appendHeaderBytes);
  writeAppendHeader(bytes, idsOf(envelope), {
    ...message,
    requestId: envelope.requestId,
    payloadBytes: message.payload.length,
    payloadCrc: crc32c(message.payload),
  });
  return bytes;
}

/** The envelope and a body, framed. */
export function bytesOfBody<M>(envelope: Envelope, codec: BodyCodec<M>, message: M): Buffer {
  const writer = new ByteWriter();
  writer.u32(0).u32(0).u8(codec.type).u8(messageVersion);
  writeUuid(writer, envelope.volumeId);
  writeUuid(writer, envelope.target);
  writer.u64(envelope.requestId).shortString(envelope.sender);
  codec.encode(writer, message);
  writer.patchU32(appendAt.length, writer.lengthBytes);
  const bytes = writer.finish();
  bytes.writeUInt32BE(crc32c(bytes, 0, appendAt.type), appendAt.crc);
  return bytes;
}

/**
 * One whole message, as the framer cuts it. Byte fields are borrowed views of `bytes`. Raises ProtocolViolation for a
 * wrong length, CRC, type, version or content.
 */
export function decodeMessage(bytes: Buffer): ReceivedMessage {
  checkLength(bytes);
  const type = bytes[appendAt.type];
  if (type === appendType) return decodeAppend(bytes);
  if (type === appendAckType) {
    const { requestId, answer } = decodeAppendAck(bytes);
    return { envelope: fixedEnvelope(bytes, requestId), message: answer };
  }
  return openBody(bytes, byType);
}

function checkLength(bytes: Buffer): void {
  if (bytes.length < commonBytes || bytes.readUInt32BE(appendAt.length) !== bytes.length)
    throw new ProtocolViolation(`message of ${bytes.length} bytes does not match its length`);
}

function fixedEnvelope(bytes: Buffer, requestId: bigint): Envelope {
  const volume: VolumeId = volumeId(uuidAt(bytes, appendAt.volume));
  const target: NodeId = nodeId(uuidAt(bytes, appendAt.node));
  return { volumeId: volume, sender: "", target, requestId };
}

function uuidAt(bytes: Buffer, at: number): string {
  return uuidFromBytes(bytes.subarray(at, at + 16));
}

function decodeAppend(bytes: Buffer): ReceivedMessage {
  const header = readAppendHeader(bytes);
  const payload = bytes.subarray(appendHeaderBytes);
  if (crc32c(payload) !== header.payloadCrc)
    throw new ProtocolViolation("append payload CRC does not match");
  const { epoch, timeline, lsn, vdl } = header;
  return {
    envelope: fixedEnvelope(bytes, header.requestId),
    message: { kind: "append", epoch, timeline, lsn, vdl, payload },
  };
}

/** One whole message whose type is one of these. Raises ProtocolViolation. */
export function openBody<M>(
  bytes: Buffer,
  types: ReadonlyMap<number, BodyCodec<M>>,
): { readonly envelope: Envelope; readonly message: M } {
  checkLength(bytes);
  if (crc32c(bytes, 0, appendAt.type) !== bytes.readUInt32BE(appendAt.crc))
    throw new ProtocolViolation("message CRC does not match");
  const reader = new ByteReader(bytes.subarray(appendAt.type));
  const codec = types.get(reader.u8());
  if (!codec) throw new ProtocolViolation(`message type ${bytes[appendAt.type]} is unknown`);
  const version = reader.u8();
  if (version !== messageVersion) throw new ProtocolViolation(`message version ${version}`);
  const envelope: Envelope = {
    volumeId: readVolumeId(reader),
    target: readNodeId(reader),
    requestId: reader.u64(),
    sender: reader.shortString(),
  };
  const message = codec.decode(reader);
  reader.end();
  return { envelope, message };
}

/**
 * Cuts a byte stream into whole messages. A message that lies within one chunk is a view of it; only one that spans
 * chunks is copied, once, when its last byte is there. Holds at most one message of messageBytesMax.
 */
export class MessageFramer {
  private waiting: Buffer[] = [];
  private waitingBytes = 0;
  private neededBytes = 0;
  private readonly limitBytes: number;

  constructor(limitBytes = messageBytesMax) {
    this.limitBytes = limitBytes;
  }

  /** The messages that this chunk completes; decodeMessage takes each. Raises ProtocolViolation; then drop the link. */
  push(chunk: Buffer): Buffer[] {
    const messages: Buffer[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.waitingBytes === 0 && chunk.length - at >= 4) {
        const length = this.checkedLength(chunk.readUInt32BE(at));
        if (length <= chunk.length - at) {
          messages.push(chunk.subarray(at, at + length));
          at += length;
          continue;
        }
        this.neededBytes = length;
      }
      at += this.keep(chunk, at);
      if (this.neededBytes > 0 && this.waitingBytes === this.neededBytes)
        messages.push(this.joined());
    }
    return messages;
  }

  /** Keeps what the message under way still needs of the chunk from `at` on; tells how much that was. */
  private keep(chunk: Buffer, at: number): number {
    const wanted = this.neededBytes > 0 ? this.neededBytes : 4;
    const taken = Math.min(wanted - this.waitingBytes, chunk.length - at);
    this.waiting.push(chunk.subarray(at, at + taken));
    this.waitingBytes += taken;
    if (this.neededBytes === 0 && this.waitingBytes === 4)
      this.neededBytes = this.checkedLength(Buffer.concat(this.waiting).readUInt32BE(0));
    return taken;
  }

  private joined(): Buffer {
    const message = Buffer.concat(this.waiting, this.waitingBytes);
    this.waiting = [];
    this.waitingBytes = 0;
    this.neededBytes = 0;
    return message;
  }

  private checkedLength(length: number): number {
    if (length < commonBytes || length > this.limitBytes)
      throw new ProtocolViolation(
        `message length ${length} is not in ${commonBytes}..${this.limitBytes}`,
      );
    return length;
  }
}
