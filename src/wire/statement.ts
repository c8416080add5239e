import { ByteReader } from "../base/bytes.ts";
import { encodeMessage } from "./message.ts";
import { frontend } from "./types.ts";

/** Simple protocol: one text, any number of statements. */
export function encodeQuery(sql: string | Uint8Array): Buffer {
  return encodeMessage(frontend.query, (body) => body.raw(bytesOf(sql)).u8(0));
}

/** Parse: statement name, text, and no parameter types. */
export function encodeParse(name: string, sql: string | Uint8Array): Buffer {
  return encodeMessage(frontend.parse, (body) => body.cString(name).raw(bytesOf(sql)).u8(0).u16(0));
}

/** Bind without parameters; results in text. */
export function encodeBind(portal: string, statement: string): Buffer {
  return encodeMessage(frontend.bind, (body) =>
    body.cString(portal).cString(statement).u16(0).u16(0).u16(0),
  );
}

export type Target = "portal" | "statement";

export function encodeDescribe(target: Target, name: string): Buffer {
  return encodeMessage(frontend.describe, (body) => body.text(targetLetter(target)).cString(name));
}

export function encodeClose(target: Target, name: string): Buffer {
  return encodeMessage(frontend.close, (body) => body.text(targetLetter(target)).cString(name));
}

/** Execute to the end. */
export function encodeExecute(portal: string): Buffer {
  return encodeMessage(frontend.execute, (body) => body.cString(portal).u32(0));
}

export function encodeSync(): Buffer {
  return encodeMessage(frontend.sync);
}

export function encodeFlush(): Buffer {
  return encodeMessage(frontend.flush);
}

export function encodeTerminate(): Buffer {
  return encodeMessage(frontend.terminate);
}

/** Calls a function by OID with text arguments; the result comes as text. */
export function encodeFunctionCall(oid: number, values: readonly string[]): Buffer {
  return encodeMessage(frontend.functionCall, (body) => {
    body.u32(oid).u16(0).u16(values.length);
    for (const value of values) body.u32(Buffer.byteLength(value)).text(value);
    body.u16(0);
  });
}

/** A whole Parse body. */
export interface ParseRequest {
  readonly name: string;
  readonly sql: string;
  /** Of the first parameters; 0: not said. */
  readonly typeOids: readonly number[];
}

/** Raises ProtocolViolation. */
export function decodeParse(body: Buffer): ParseRequest {
  const reader = new ByteReader(body);
  const name = reader.cString();
  const sql = reader.cString();
  const typeOids = listOf(reader, () => reader.u32());
  reader.end();
  return { name, sql, typeOids };
}

/** A whole Bind body; its values are views of it. */
export interface BindRequest {
  readonly portal: string;
  readonly statement: string;
  /** 0: text, 1: binary; none: all text; one: of all. */
  readonly formats: readonly number[];
  readonly values: readonly (Buffer | null)[];
  /** As `formats`. */
  readonly resultFormats: readonly number[];
}

/** Raises ProtocolViolation. */
export function decodeBind(body: Buffer): BindRequest {
  const reader = new ByteReader(body);
  const portal = reader.cString();
  const statement = reader.cString();
  const formats = listOf(reader, () => reader.u16());
  const values = listOf(reader, () => {
    const length = reader.i32();
    return length < 0 ? null : reader.view(length);
  });
  const resultFormats = listOf(reader, () => reader.u16());
  reader.end();
  return { portal, statement, formats, values, resultFormats };
}

/** A whole Execute body; `rowsMax` 0: all. Raises ProtocolViolation. */
export function decodeExecute(body: Buffer): { portal: string; rowsMax: number } {
  const reader = new ByteReader(body);
  const portal = reader.cString();
  const rowsMax = Math.max(reader.i32(), 0);
  reader.end();
  return { portal, rowsMax };
}

function listOf<T>(reader: ByteReader, next: () => T): T[] {
  const count = reader.u16();
  const list: T[] = [];
  for (let index = 0; index < count; index++) list.push(next());
  return list;
}

/** The two names at the start of a Bind body; undefined if they are not all in `head`. */
export function findBindNames(head: Buffer): { portal: string; statement: string } | undefined {
  const portalEnd = head.indexOf(0);
  const statementEnd = portalEnd < 0 ? -1 : head.indexOf(0, portalEnd + 1);
  if (statementEnd < 0) return undefined;
  return {
    portal: head.toString("utf8", 0, portalEnd),
    statement: head.toString("utf8", portalEnd + 1, statementEnd),
  };
}

/** The portal name at the start of an Execute body; undefined if it is not all in `head`. */
export function findExecutePortal(head: Buffer): string | undefined {
  const end = head.indexOf(0);
  return end < 0 ? undefined : head.toString("utf8", 0, end);
}

/** What a Close or Describe body names; undefined if it is malformed (the server will say so). */
export function findTarget(head: Buffer): { target: Target; name: string } | undefined {
  const end = head.indexOf(0, 1);
  if (end < 0) return undefined;
  const name = head.toString("utf8", 1, end);
  if (head[0] === 0x53) return { target: "statement", name };
  return head[0] === 0x50 ? { target: "portal", name } : undefined;
}

/** The name of a Parse body, which stands first; undefined if it is not all in `head`. */
export function findParseName(head: Buffer): string | undefined {
  return findExecutePortal(head);
}

/** The text of a whole Parse body (name, text, types). Raises ProtocolViolation. */
export function parseTextOf(body: Buffer): string {
  const reader = new ByteReader(body);
  reader.cString();
  return reader.cString();
}

/** The text of a whole Query body. Raises ProtocolViolation. */
export function queryTextOf(body: Buffer): string {
  const reader = new ByteReader(body);
  const text = reader.cString();
  reader.end();
  return text;
}

function targetLetter(target: Target): string {
  return target === "portal" ? "P" : "S";
}

function bytesOf(sql: string | Uint8Array): Uint8Array {
  return typeof sql === "string" ? Buffer.from(sql, "utf8") : sql;
}
