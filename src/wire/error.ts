import { ByteReader } from "../base/bytes.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { encodeMessage } from "./message.ts";
import { backend } from "./types.ts";

export type Severity = "ERROR" | "FATAL" | "WARNING" | "NOTICE";

/** ErrorResponse for an error of ours. What is no BorealisError is XX000 and shows nothing of itself. */
export function encodeError(error: unknown, severity: Severity): Buffer {
  return encodeReport(backend.error, error, severity);
}

export function encodeNotice(error: unknown, severity: Severity): Buffer {
  return encodeReport(backend.notice, error, severity);
}

function encodeReport(type: number, error: unknown, severity: Severity): Buffer {
  const known =
    error instanceof BorealisError
      ? error
      : new BorealisError(sqlState.internal, "internal error of the endpoint");
  return encodeMessage(type, (body) => {
    body.text("S").cString(severity).text("V").cString(severity);
    body.text("C").cString(known.code).text("M").cString(known.message);
    if (known.detail !== undefined) body.text("D").cString(known.detail);
    if (known.hint !== undefined) body.text("H").cString(known.hint);
    if (known.position !== undefined) body.text("P").cString(String(known.position));
    body.u8(0);
  });
}

/** The fields of an ErrorResponse or NoticeResponse body, by their letter. Raises ProtocolViolation. */
export function parseReport(body: Buffer): Map<string, string> {
  const reader = new ByteReader(body);
  const fields = new Map<string, string>();
  for (let letter = reader.u8(); letter !== 0; letter = reader.u8()) {
    fields.set(String.fromCharCode(letter), reader.cString());
  }
  return fields;
}

/** ... of the beginning of such a body: those that are whole in it. The SQLSTATE comes third, before any long text. */
export function parseReportHead(head: Buffer): Map<string, string> {
  const fields = new Map<string, string>();
  let at = 0;
  for (;;) {
    const end = head.indexOf(0, at);
    // Nothing more, or the zero that ends them all.
    if (end <= at) return fields;
    fields.set(head.toString("latin1", at, at + 1), head.toString("utf8", at + 1, end));
    at = end + 1;
  }
}
