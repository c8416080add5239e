import type { ByteReader, ByteWriter } from "../base/bytes.ts";
import { ProtocolViolation } from "../base/errors.ts";
import { bytesOfBody, openBody } from "./codec.ts";
import type { BodyCodec } from "./codec-bodies.ts";
import { readChoice, readCount, readFlag, writeCount, writeFlag } from "./codec-fields.ts";
import type { Envelope } from "./messages.ts";
import {
  type ListedObject,
  objectBytesMax,
  type ObjectMessage,
  type ObjectMessageKind,
  type ObjectMessageOf,
  objectNameLengthMax,
  objectNamesMax,
  objectPartBytesMax,
  type ObjectRefusalReason,
  refusalBytesMax,
} from "./object-messages.ts";

/** Messages of object links as bytes: framed as all others (codec.ts), with types from 128 on, which no other link takes. */
export interface ReceivedObjectMessage {
  readonly envelope: Envelope;
  readonly message: ObjectMessage;
}

/** The message's bytes; what it carries of an object is copied once. */
export function encodeObjectMessage(envelope: Envelope, message: ObjectMessage): Buffer {
  // The codec and the message were selected by the same kind, which the checker cannot follow through the table.
  return bytesOfBody(envelope, objectBodies[message.kind] as BodyCodec<ObjectMessage>, message);
}

/**
 * One whole message, as the framer cuts it. Byte fields are borrowed views of `bytes`. Raises ProtocolViolation for a
 * wrong length, CRC, type, version or content.
 */
export function decodeObjectMessage(bytes: Buffer): ReceivedObjectMessage {
  return openBody(bytes, byType);
}

const reasons: readonly ObjectRefusalReason[] = ["noSpace", "failed", "damaged", "notKept"];

const objectBodies: { readonly [K in ObjectMessageKind]: BodyCodec<ObjectMessageOf<K>> } = {
  putObject: {
    type: 128,
    encode(w, m) {
      writeName(w, m.name);
      writeBeginning(w, m);
    },
    decode: (r) => ({ kind: "putObject", name: readName(r), ...readBeginning(r) }),
  },
  objectPart: {
    type: 129,
    encode: (w, m) => writePart(w, m.bytes),
    decode: (r) => ({ kind: "objectPart", bytes: readPart(r) }),
  },
  getObject: {
    type: 130,
    encode: (w, m) => writeName(w, m.name),
    decode: (r) => ({ kind: "getObject", name: readName(r) }),
  },
  objectData: {
    type: 131,
    encode: (w, m) => writeBeginning(w, m),
    decode: (r) => ({ kind: "objectData", ...readBeginning(r) }),
  },
  objectAbsent: { type: 132, encode: () => {}, decode: () => ({ kind: "objectAbsent" }) },
  hasObjects: {
    type: 133,
    encode: (w, m) => writeNames(w, m.names),
    decode: (r) => ({ kind: "hasObjects", names: readNames(r) }),
  },
  objectsFound: {
    type: 134,
    encode(w, m) {
      w.u16(m.areThere.length);
      for (const isThere of m.areThere) writeFlag(w, isThere);
    },
    decode: (r) => ({ kind: "objectsFound", areThere: readSome(r, readFlag) }),
  },
  listObjects: {
    type: 135,
    encode(w, m) {
      writeName(w, m.prefix);
      writeName(w, m.after);
    },
    decode: (r) => ({ kind: "listObjects", prefix: readName(r), after: readName(r) }),
  },
  objectList: {
    type: 136,
    encode(w, m) {
      w.u16(m.objects.length);
      for (const one of m.objects) writeListed(w, one);
      writeFlag(w, m.isEnd);
    },
    decode(r) {
      const objects = readSome(r, readListed);
      const isEnd = readFlag(r);
      if (!isEnd && objects.length === 0)
        throw new ProtocolViolation("an empty listing that goes on");
      return { kind: "objectList", objects, isEnd };
    },
  },
  deleteObjects: {
    type: 137,
    encode: (w, m) => writeNames(w, m.names),
    decode: (r) => ({ kind: "deleteObjects", names: readNames(r) }),
  },
  tidyObjects: {
    type: 138,
    encode: (w, m) => writeCount(w, m.beforeMs),
    decode: (r) => ({ kind: "tidyObjects", beforeMs: readCount(r) }),
  },
  objectsDone: { type: 139, encode: () => {}, decode: () => ({ kind: "objectsDone" }) },
  objectRefused: {
    type: 140,
    encode: (w, m) => void w.u8(reasons.indexOf(m.reason)).shortString(m.message),
    decode: (r) => ({
      kind: "objectRefused",
      reason: readChoice(r, reasons),
      message: readText(r, refusalBytesMax),
    }),
  },
};

const byType: ReadonlyMap<number, BodyCodec<ObjectMessage>> = new Map(
  // Each codec is called only with what its own type byte, or its own kind, selected.
  Object.values(objectBodies).map((codec) => [codec.type, codec as BodyCodec<ObjectMessage>]),
);

type Beginning = Pick<ObjectMessageOf<"objectData">, "sizeBytes" | "bytes">;

function writeBeginning(w: ByteWriter, { sizeBytes, bytes }: Beginning): void {
  writeCount(w, sizeBytes);
  writePart(w, bytes);
}
function readBeginning(r: ByteReader): Beginning {
  const sizeBytes = readCount(r);
  const bytes = readPart(r);
  if (sizeBytes > objectBytesMax) throw new ProtocolViolation(`an object of ${sizeBytes} bytes`);
  // Without progress in each message a peer could be kept busy for nothing.
  if (bytes.length > sizeBytes || (bytes.length === 0 && sizeBytes > 0))
    throw new ProtocolViolation(`${bytes.length} bytes of an object of ${sizeBytes}`);
  return { sizeBytes, bytes };
}

function writePart(w: ByteWriter, bytes: Uint8Array): void {
  w.u32(bytes.length).raw(bytes);
}
function readPart(r: ByteReader): Buffer {
  const length = r.u32();
  if (length > objectPartBytesMax) throw new ProtocolViolation(`a part of ${length} bytes`);
  return r.view(length);
}

function writeName(w: ByteWriter, name: string): void {
  w.shortString(name);
}
function readName(r: ByteReader): string {
  return readText(r, objectNameLengthMax);
}
function readText(r: ByteReader, bytesMax: number): string {
  const length = r.u16();
  if (length > bytesMax) throw new ProtocolViolation(`a text of ${length} bytes`);
  return r.view(length).toString("utf8");
}

function writeNames(w: ByteWriter, names: readonly string[]): void {
  w.u16(names.length);
  for (const name of names) writeName(w, name);
}
function readNames(r: ByteReader): string[] {
  return readSome(r, readName);
}

function readSome<T>(r: ByteReader, read: (r: ByteReader) => T): T[] {
  const count = r.u16();
  if (count > objectNamesMax) throw new ProtocolViolation(`${count} names in one message`);
  return Array.from({ length: count }, () => read(r));
}

function writeListed(w: ByteWriter, listed: ListedObject): void {
  const { name, sizeBytes, putAtMs, isShared } = listed;
  writeName(w, name);
  writeCount(w, sizeBytes);
  writeCount(w, putAtMs);
  writeFlag(w, isShared);
}
function readListed(r: ByteReader): ListedObject {
  return {
    name: readName(r),
    sizeBytes: readCount(r),
    putAtMs: readCount(r),
    isShared: readFlag(r),
  };
}
