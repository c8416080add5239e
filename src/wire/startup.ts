import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { BorealisError, ProtocolViolation, sqlState } from "../base/errors.ts";
import { startupBytesMax } from "./framer.ts";
import { encodeMessage } from "./message.ts";
import { backend } from "./types.ts";

/**
 * The packets that open a connection have no type byte:
 *
 *     length u32 (itself included), code u32, then
 *     code 3.x        (name cstring, value cstring)*, zero byte
 *     code 1234.5678  CancelRequest: pid u32, key bytes to the end (4; up to 256 since 3.2)
 *     code 1234.5679  SSLRequest, nothing more
 *     code 1234.5680  GSSENCRequest, nothing more
 */
export type StartupPacket =
  | { readonly kind: "ssl" }
  | { readonly kind: "gss" }
  | { readonly kind: "cancel"; readonly pid: number; readonly key: Buffer }
  | StartupRequest;

export interface StartupRequest {
  readonly kind: "startup";
  readonly minor: number;
  /** In the client's order; what starts with `_pq_.` is in `protocolOptions`, never here. */
  readonly parameters: readonly StartupParameter[];
  readonly protocolOptions: readonly string[];
}

/** Bytes, not text: their encoding is nobody's business before the session has one. */
export interface StartupParameter {
  readonly name: string;
  readonly value: Buffer;
}

/** The highest minor version of protocol 3 that we speak. */
export const protocolMinorMax = 2;

const cancelCode = 80877102;
const sslCode = 80877103;
const gssCode = 80877104;

/**
 * The first packet in `bytes`, with its length; undefined while it is incomplete. The length is checked before the
 * body is waited for. Raises ProtocolViolation, or 0A000 for a protocol of another century.
 */
export function findStartupPacket(
  bytes: Buffer,
): { packet: StartupPacket; lengthBytes: number } | undefined {
  if (bytes.length < 4) return undefined;
  const length = bytes.readUInt32BE(0);
  if (length < 8 || length > startupBytesMax)
    throw new ProtocolViolation("invalid length of startup packet");
  if (bytes.length < length) return undefined;
  const reader = new ByteReader(bytes.subarray(4, length));
  return { packet: parsePacket(reader), lengthBytes: length };
}

function parsePacket(reader: ByteReader): StartupPacket {
  const code = reader.u32();
  if (code === sslCode) return { kind: "ssl" };
  if (code === gssCode) return { kind: "gss" };
  if (code === cancelCode) {
    const pid = reader.u32();
    const key = Buffer.from(reader.rest());
    if (key.length < 4 || key.length > 256)
      throw new ProtocolViolation("invalid length of cancel request packet");
    return { kind: "cancel", pid, key };
  }
  const major = code >>> 16;
  const minor = code & 0xffff;
  if (major !== 3) {
    const supported = `server supports 3.0 to 3.${protocolMinorMax}`;
    throw new BorealisError(
      sqlState.notSupported,
      `unsupported frontend protocol ${major}.${minor}: ${supported}`,
    );
  }
  return parseParameters(minor, reader);
}

function parseParameters(minor: number, reader: ByteReader): StartupRequest {
  const parameters: StartupParameter[] = [];
  const protocolOptions: string[] = [];
  const body = reader.rest();
  let at = 0;
  const cString = (): Buffer => {
    const end = body.indexOf(0, at);
    if (end < 0)
      throw new ProtocolViolation(
        "invalid startup packet layout: expected terminator as last byte",
      );
    const bytes = Buffer.from(body.subarray(at, end));
    at = end + 1;
    return bytes;
  };
  for (let name = cString(); name.length > 0; name = cString()) {
    const value = cString();
    const text = name.toString("utf8");
    if (text.startsWith("_pq_.")) protocolOptions.push(text);
    else parameters.push({ name: text, value });
  }
  if (at !== body.length) {
    throw new ProtocolViolation("invalid startup packet layout: expected terminator as last byte");
  }
  return { kind: "startup", minor, parameters, protocolOptions };
}

/** The value of the last parameter of that name, as text: PostgreSQL lets the last one win. */
export function findParameter(request: StartupRequest, name: string): string | undefined {
  return request.parameters
    .findLast((parameter) => parameter.name === name)
    ?.value.toString("utf8");
}

export function encodeStartup(minor: number, parameters: readonly StartupParameter[]): Buffer {
  const bytes = new ByteWriter(256).u32(0).u32(0x30000 | minor);
  for (const { name, value } of parameters) bytes.cString(name).raw(value).u8(0);
  bytes.u8(0);
  return bytes.patchU32(0, bytes.lengthBytes).finish();
}

export function encodeCancelRequest(pid: number, key: Uint8Array): Buffer {
  return new ByteWriter(16)
    .u32(12 + key.length)
    .u32(cancelCode)
    .u32(pid)
    .raw(key)
    .finish();
}

export function encodeSslRequest(): Buffer {
  return new ByteWriter(8).u32(8).u32(sslCode).finish();
}

export function encodeGssRequest(): Buffer {
  return new ByteWriter(8).u32(8).u32(gssCode).finish();
}

/** Says which minor version we go on with, and which protocol options we do not know. */
export function encodeNegotiateVersion(minor: number, unknownOptions: readonly string[]): Buffer {
  return encodeMessage(backend.negotiateVersion, (body) => {
    body.u32(0x30000 | minor).u32(unknownOptions.length);
    for (const option of unknownOptions) body.cString(option);
  });
}
