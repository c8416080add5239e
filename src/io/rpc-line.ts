import { ProtocolViolation } from "../base/errors.ts";
import type { Connection } from "./connection.ts";

/**
 * JSON lines between processes of one cluster on one host: `{id, method, params}` asks, `{id, result}` or
 * `{id, error}` answers, `{event, data}` tells. Sockets are 0600 in a 0700 directory; each line is bounded and
 * parsed before it is believed, and handlers check their own parameters.
 */
const lineMaxBytes = 4 * 1024 * 1024;

export interface Line {
  readonly id?: number;
  readonly method?: string;
  readonly params?: unknown;
  readonly result?: unknown;
  readonly error?: { code?: string; message?: string; hint?: string; detail?: string };
  readonly event?: string;
  readonly data?: unknown;
}

/** Splits bytes into JSON lines. Raises ProtocolViolation on a line that is too long or no JSON object. */
export class LineReader {
  private pieces: Buffer[] = [];
  private sizeBytes = 0;

  push(chunk: Buffer, onLine: (line: Line) => void): void {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(10, start);
      if (end < 0) break;
      this.keep(chunk.subarray(start, end));
      const text = Buffer.concat(this.pieces).toString("utf8");
      this.pieces = [];
      this.sizeBytes = 0;
      start = end + 1;
      onLine(parseLine(text));
    }
    if (start < chunk.length) this.keep(Buffer.from(chunk.subarray(start)));
  }

  private keep(piece: Buffer): void {
    this.sizeBytes += piece.length;
    if (this.sizeBytes > lineMaxBytes) throw new ProtocolViolation("control line too long");
    this.pieces.push(piece);
  }
}

function parseLine(text: string): Line {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ProtocolViolation("control line is not JSON", { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ProtocolViolation("control line is not an object");
  }
  return value as Line; // every field is optional and looked at before use
}

export function send(connection: Connection, line: Line): void {
  connection.write(Buffer.from(`${JSON.stringify(line)}\n`));
}
