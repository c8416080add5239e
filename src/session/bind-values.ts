import { ByteReader } from "../base/bytes.ts";
import { ProtocolViolation } from "../base/errors.ts";

/**
 * Values of parameters (the first is 1) in a whole Bind body, of types whose binary form is their text; NULL and what
 * is not there are left out. Of a long one the first `bytesMax`. An unreadable body has none: the server will say so.
 */
export function parseBindTexts(
  body: Buffer,
  parameters: readonly number[],
  bytesMax = Number.POSITIVE_INFINITY,
): string[] {
  try {
    const wanted = new Set(parameters);
    const reader = new ByteReader(body);
    reader.cString();
    reader.cString();
    const formats = reader.u16();
    for (let index = 0; index < formats; index++) reader.u16();
    const count = reader.u16();
    const texts: string[] = [];
    for (let number = 1; number <= count; number++) {
      const length = reader.i32();
      if (length < 0) continue;
      const value = reader.view(length);
      if (wanted.has(number)) texts.push(value.toString("utf8", 0, Math.min(length, bytesMax)));
    }
    return texts;
  } catch (error) {
    if (error instanceof ProtocolViolation) return [];
    throw error;
  }
}
