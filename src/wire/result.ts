import { ByteReader } from "../base/bytes.ts";
import { encodeMessage } from "./message.ts";
import { backend } from "./types.ts";

export interface Column {
  readonly name: string;
  /** 25 (text) unless told. */
  readonly typeOid?: number;
  /** Of a value; -1 (they differ) unless told. */
  readonly sizeBytes?: number;
  /** Text unless told. */
  readonly isBinary?: boolean;
}

/** RowDescription of columns that belong to no table. */
export function encodeRowDescription(columns: readonly Column[]): Buffer {
  return encodeMessage(backend.rowDescription, (body) => {
    body.u16(columns.length);
    for (const { name, typeOid = 25, sizeBytes = -1, isBinary = false } of columns) {
      body.cString(name).u32(0).u16(0).u32(typeOid);
      body
        .u16(sizeBytes & 0xffff)
        .u32(0xffff_ffff)
        .u16(isBinary ? 1 : 0);
    }
  });
}

/** Values in the formats that the RowDescription before told: text, or the bytes of a binary one. */
export function encodeDataRow(values: readonly (string | Uint8Array | null)[]): Buffer {
  return encodeMessage(backend.dataRow, (body) => {
    body.u16(values.length);
    for (const value of values) {
      if (value === null) body.i32(-1);
      else if (typeof value !== "string") body.u32(value.length).raw(value);
      else body.u32(Buffer.byteLength(value)).text(value);
    }
  });
}

/** The values of a DataRow body in text format. Raises ProtocolViolation. */
export function parseDataRow(body: Buffer): (string | null)[] {
  const reader = new ByteReader(body);
  const count = reader.u16();
  const values: (string | null)[] = [];
  for (let index = 0; index < count; index++) values.push(parseValue(reader));
  reader.end();
  return values;
}

/** The value of a FunctionCallResponse body in text format. Raises ProtocolViolation. */
export function parseFunctionResult(body: Buffer): string | null {
  const reader = new ByteReader(body);
  const value = parseValue(reader);
  reader.end();
  return value;
}

function parseValue(reader: ByteReader): string | null {
  const length = reader.i32();
  return length < 0 ? null : reader.view(length).toString("utf8");
}

/** The types of a statement's parameters, as answer to Describe. */
export function encodeParameterDescription(typeOids: readonly number[]): Buffer {
  return encodeMessage(backend.parameterDescription, (body) => {
    body.u16(typeOids.length);
    for (const oid of typeOids) body.u32(oid);
  });
}

export function encodeCommandComplete(tag: string): Buffer {
  return encodeMessage(backend.commandComplete, (body) => body.cString(tag));
}

export function parseCommandTag(body: Buffer): string {
  return new ByteReader(body).cString();
}

/** `state` is one of transactionState. */
export function encodeReadyForQuery(state: number): Buffer {
  return encodeMessage(backend.readyForQuery, (body) => body.u8(state));
}

export function encodeParameterStatus(name: string, value: string): Buffer {
  return encodeMessage(backend.parameterStatus, (body) => body.cString(name).cString(value));
}

export function parseParameterStatus(body: Buffer): { name: string; value: string } {
  const reader = new ByteReader(body);
  return { name: reader.cString(), value: reader.cString() };
}

/** What a client needs to cancel: key of 4 bytes up to protocol 3.0, up to 256 since 3.2. */
export interface BackendKey {
  readonly pid: number;
  readonly key: Buffer;
}

export function encodeBackendKey(backendKey: BackendKey): Buffer {
  return encodeMessage(backend.backendKeyData, (body) =>
    body.u32(backendKey.pid).raw(backendKey.key),
  );
}

export function parseBackendKey(body: Buffer): BackendKey {
  const reader = new ByteReader(body);
  return { pid: reader.u32(), key: Buffer.from(reader.rest()) };
}
