import { crc32c } from "../base/crc32c.ts";
import { ProtocolViolation } from "../base/errors.ts";
import { type NodeId, nodeId, type VolumeId, volumeId } from "../base/ids.ts";
import { uuidFromBytes, uuidToBytes } from "./codec-fields.ts";

/**
 * What opens each connection to a node, and its answer. Big-endian, fixed size, so that a blocking reader needs no
 * framer.
 *
 *     offset size  hello
 *          0    8  "BOREALIS"
 *          8    2  protocol version
 *         10    1  purpose: 1 control, 2 append, 3 object
 *         11    1  length of the sender's name, at most 64
 *         12   16  volume id
 *         28   16  node id: the node that the caller believes is here
 *         44   64  sender, zero-padded
 *        108    4  crc32c of bytes [0, 108)
 *
 *     offset size  answer
 *          0    8  "BOREALIS"
 *          8    2  protocol version of the node
 *         10    1  result: 0 ok, 1 wrong volume, 2 wrong node, 3 wrong version
 *         11    1  zero
 *         12    4  crc32c of bytes [0, 12)
 *
 * There is one version for all links: whoever changes the layout of any message raises it, also if that is only one byte of
 * one kind. Nobody reads what another version has written; the link is refused and dialled again until both are the same,
 * which is after a restart of the cluster. 2: listings of objects say what is shared (1 was never released). 3: a node says
 * how much it has healed.
 */
export const protocolVersion = 3;
export const helloBytes = 112;
export const helloAnswerBytes = 16;
const magic = Buffer.from("BOREALIS", "latin1");
const senderBytesMax = 64;

export type LinkPurpose = "control" | "append" | "object";

export interface Hello {
  readonly version: number;
  readonly purpose: LinkPurpose;
  readonly volumeId: VolumeId;
  readonly nodeId: NodeId;
  readonly sender: string;
}

export type HelloResult = "ok" | "wrongVolume" | "wrongNode" | "wrongVersion";
const results: readonly HelloResult[] = ["ok", "wrongVolume", "wrongNode", "wrongVersion"];
const purposes: readonly LinkPurpose[] = ["control", "append", "object"];

export function encodeHello(hello: Omit<Hello, "version">): Buffer {
  const bytes = Buffer.alloc(helloBytes);
  bytes.set(magic, 0);
  bytes.writeUInt16BE(protocolVersion, 8);
  bytes[10] = purposes.indexOf(hello.purpose) + 1;
  bytes.set(uuidToBytes(hello.volumeId), 12);
  bytes.set(uuidToBytes(hello.nodeId), 28);
  bytes[11] = bytes.write(hello.sender, 44, senderBytesMax, "utf8");
  bytes.writeUInt32BE(crc32c(bytes, 0, 0, 108), 108);
  return bytes;
}

/** `bytes` begins with a whole hello. Raises ProtocolViolation if it is none; a wrong version is not an error here. */
export function decodeHello(bytes: Buffer): Hello {
  if (bytes.length < helloBytes) throw new ProtocolViolation("hello cut short");
  if (magic.compare(bytes, 0, 8) !== 0) throw new ProtocolViolation("not a Borealis link");
  if (crc32c(bytes, 0, 0, 108) !== bytes.readUInt32BE(108))
    throw new ProtocolViolation("hello CRC does not match");
  const purpose = purposes[(bytes[10] ?? 0) - 1];
  const senderBytes = bytes[11] ?? 0;
  if (purpose === undefined) throw new ProtocolViolation(`link purpose ${bytes[10]}`);
  if (senderBytes > senderBytesMax) throw new ProtocolViolation(`sender of ${senderBytes} bytes`);
  return {
    version: bytes.readUInt16BE(8),
    purpose,
    volumeId: volumeId(uuidFromBytes(bytes.subarray(12, 28))),
    nodeId: nodeId(uuidFromBytes(bytes.subarray(28, 44))),
    sender: bytes.toString("utf8", 44, 44 + senderBytes),
  };
}

/** What a node answers to this hello. */
export function judgeHello(
  hello: Hello,
  own: { readonly volumeId: VolumeId; readonly nodeId: NodeId },
): HelloResult {
  if (hello.version !== protocolVersion) return "wrongVersion";
  if (hello.volumeId !== own.volumeId) return "wrongVolume";
  if (hello.nodeId !== own.nodeId) return "wrongNode";
  return "ok";
}

export function encodeHelloAnswer(result: HelloResult): Buffer {
  const bytes = Buffer.alloc(helloAnswerBytes);
  bytes.set(magic, 0);
  bytes.writeUInt16BE(protocolVersion, 8);
  bytes[10] = results.indexOf(result);
  bytes.writeUInt32BE(crc32c(bytes, 0, 0, 12), 12);
  return bytes;
}

/** `bytes` begins with a whole answer. Raises ProtocolViolation if it is none. */
export function decodeHelloAnswer(bytes: Buffer): HelloResult {
  if (bytes.length < helloAnswerBytes) throw new ProtocolViolation("hello answer cut short");
  if (magic.compare(bytes, 0, 8) !== 0) throw new ProtocolViolation("not a Borealis link");
  if (crc32c(bytes, 0, 0, 12) !== bytes.readUInt32BE(12))
    throw new ProtocolViolation("hello answer CRC does not match");
  const result = results[bytes[10] ?? 0];
  if (result === undefined) throw new ProtocolViolation(`hello result ${bytes[10]}`);
  return result;
}
